// Sends a job's calls through one SDK of Node and exits when the SDK says that all are out.
// usage: node send.mjs < job.json, as jobs.py writes it
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const require = createRequire(import.meta.url);
const { sdk, url, writeKey, calls, interval_ms } = JSON.parse(readFileSync(0));

const rudder = (gzip) => () => {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const client = new Analytics(writeKey, { dataPlaneUrl: url, gzip, flushInterval: 500 });
  return { client, done: () => flushed(client) };
};

const sdks = {
  "rudder-node-gzip": rudder(true),
  "rudder-node-plain": rudder(false),
  // Its own way to end: everything out, then nothing more taken.
  "segment-node": () => {
    const { Analytics } = require("@segment/analytics-node");
    // Its path replaces the host's, so a prefix goes there.
    const { origin, pathname } = new URL(`${url}/v1/batch`);
    const settings = { writeKey, host: origin, path: pathname, maxEventsInBatch: 3, httpRequestTimeout: 2000 };
    const client = new Analytics(settings);
    client.on("error", (error) => fail(error.code ?? "error"));
    return { client, done: () => client.closeAndFlush({ timeout: 60_000 }) };
  },
  "segment-node-legacy": () => {
    const Analytics = require("analytics-node");
    const client = new Analytics(writeKey, { host: url, flushAt: 3, flushInterval: 500 });
    return { client, done: () => flushed(client) };
  },
  // Made for service workers, also used in serverless runtimes, which are Node's like.
  "rudder-worker-node": () => {
    const { Analytics } = require("@rudderstack/analytics-js-service-worker");
    const client = new Analytics(writeKey, `${url}/v1/batch`, { flushInterval: 500 });
    return { client, done: () => flushed(client) };
  },
};

// An empty queue is no end: a batch may be under way. Each call's own answer is waited for.
const answers = [];
async function flushed(client) {
  await new Promise((ok) => client.flush(() => ok()));
  await Promise.all(answers);
}

function answered() {
  let done;
  answers.push(new Promise((ok, no) => (done = (error) => (error ? no(error) : ok()))));
  return done;
}

function fail(reason) {
  console.error(`${sdk}: ${reason}`);
  process.exit(1);
}

const { client, done } = (sdks[sdk] ?? (() => fail("no such SDK")))();
try {
  for (const { call, name, id, user: userId, fields } of calls) {
    const given = {
      track: { event: name, properties: fields },
      identify: { traits: fields },
      page: { name, properties: fields },
      screen: { name, properties: fields },
      group: { groupId: id, traits: fields },
      alias: { previousId: id },
    }[call];
    client[call]({ userId, ...given }, ...(sdk === "segment-node" ? [] : [answered()]));
    if (interval_ms) await sleep(interval_ms);
  }
  await done();
} catch (error) {
  fail(error.code ?? error.message);
}
process.exit(0);
