// Opens the example page, presses its buttons, and prints its rows once all are read back.
// usage: node example.mjs CHROMIUM ADDRESS PICTURE
import { createRequire } from "node:module";

const require = createRequire(new URL("../node/", import.meta.url));
const { chromium } = require("playwright-core");
const [executablePath, address, picture] = process.argv.slice(2);
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
  "--disable-background-networking", "--disable-component-update"];

const browser = await chromium.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 1100, height: 600 } });
await page.goto(address);
const buttons = await page.locator("button").all();
for (const button of buttons) await button.click();
try {
  await page.locator(".arrived").nth(buttons.length - 1).waitFor({ timeout: 60_000 });
} finally {
  await page.screenshot({ path: picture });
}
const rows = page.locator("#rows tr");
console.log(JSON.stringify(await rows.evaluateAll((all) => all.map((row) => [...row.cells].map((c) => c.textContent)))));
await browser.close();
