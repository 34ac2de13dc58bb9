// Runs jobs in pages of a headless Chromium, each in a profile of its own.
//
// usage: node drive.mjs CHROMIUM WORK_FOLDER SINK
//
// Reads one command a line from standard input and answers each with one line:
//   {"do": "run", "job": {...}}     opens the SDK's page, loads the SDK, makes the calls
//   {"do": "leave", "job": {...}}   the user follows a link at once: the site's next page loads the
//                                   SDK too, which sends what is still stored
//   {"do": "close", "name": "..."}  closes it and tells which addresses it asked
//
// Pages are served from another site (localhost) than the gateway (127.0.0.1), so each request of
// an SDK is across origins, with preflights. Nothing is intercepted: interception would answer the
// preflights. What is not for this machine goes to SINK, a proxy that answers nothing and is read
// by the caller, service workers and beacons included.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createRequire } from "node:module";
import path from "node:path";

const [chromium_path, folder, sink] = process.argv.slice(2);
const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, "../node/"));
const esbuild = require("esbuild");
const { chromium } = require("playwright-core");

const PAGES = [
  "rudder-js", "rudder-js-legacy", "rudder-js-lite", "rudder-js-v1", "segment-js", "rudder-worker",
  "rudder-worker.sw",
];
// Which bundle a variant uses, where it is not called the same.
const BUNDLES = {
  "rudder-js-batch": "rudder-js",
  "rudder-js-beacon": "rudder-js",
  "rudder-js-desktop": "rudder-js",
  "rudder-js-v1-beacon": "rudder-js-v1",
  "segment-js-batch": "segment-js",
};

async function bundle() {
  await esbuild.build({
    entryPoints: PAGES.map((name) => path.join(here, "pages", `${name}.js`)),
    nodePaths: [path.join(here, "../node/node_modules")],
    define: { "process.env.NODE_ENV": '"production"', global: "globalThis" },
    outdir: folder,
    bundle: true,
    format: "iife",
    logLevel: "error",
  });
}

function serve() {
  const server = createServer((request, response) => {
    const name = new URL(request.url, "http://localhost").pathname.slice(1);
    if (name.endsWith(".js") && PAGES.includes(name.slice(0, -3))) {
      response.setHeader("content-type", "text/javascript");
      return response.end(readFileSync(path.join(folder, name)));
    }
    if (!PAGES.includes(name)) return response.writeHead(404).end();
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end(`<!doctype html><title>${name}</title><script src="/${name}.js"></script>`);
  });
  return new Promise((ok) => server.listen(0, "localhost", () => ok(server.address().port)));
}

const browser_flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
  "--disable-domain-reliability", "--disable-client-side-phishing-detection", "--no-pings",
  "--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider,Translate,AutofillServerCommunication",
];
const open = new Map();

async function run(browser, origin, job) {
  const context = await browser.newContext(job.user_agent ? { userAgent: job.user_agent } : {});
  const asked = new Set();
  const faults = [];
  context.on("request", (request) => asked.add(new URL(request.url()).host));
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(error.message));
  open.set(job.name, { context, page, asked, faults });
  await page.goto(`${origin}/${BUNDLES[job.sdk] ?? job.sdk}`);
  await page.evaluate((job) => window.begin(job), job);
  await page.evaluate((job) => window.calls(job), job);
  return {};
}

async function leave(origin, job) {
  const { page } = open.get(job.name);
  await page.goto(`${origin}/${BUNDLES[job.sdk] ?? job.sdk}?next`);
  await page.evaluate((job) => window.begin(job), job);
  return {};
}

async function close(name) {
  const { context, asked, faults } = open.get(name);
  open.delete(name);
  await context.close();
  return { asked: [...asked], faults };
}

const [port] = await Promise.all([serve(), bundle()]);
const origin = `http://localhost:${port}`;
const browser = await chromium.launch({
  executablePath: chromium_path,
  args: browser_flags,
  proxy: { server: sink, bypass: "localhost,127.0.0.1" },
});
console.log(JSON.stringify({ ready: true, pages: `localhost:${port}` }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const name = command.name ?? command.job.name;
  const work = { run: () => run(browser, origin, command.job), leave: () => leave(origin, command.job), close: () => close(name) };
  work[command.do]().then(
    (answer) => console.log(JSON.stringify({ name, done: command.do, ...answer })),
    (error) => console.log(JSON.stringify({ name, done: command.do, error: error.message })),
  );
}
await browser.close();
process.exit(0);
