// Sends the calls of ../events.json through one SDK and exits when the SDK says that all are out.
// usage: node send.mjs SDK URL WRITE_KEY MARKER
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const [sdk, url, writeKey, marker] = process.argv.slice(2);
const calls = JSON.parse(readFileSync(new URL("../events.json", import.meta.url)));

const rudder = (gzip) => () => {
  const Analytics = require("@rudderstack/rudder-sdk-node");
  const client = new Analytics(writeKey, { dataPlaneUrl: url, gzip });
  return { client, done: () => new Promise((ok) => client.flush(() => ok())) };
};

const sdks = {
  "rudder-node-gzip": rudder(true),
  "rudder-node-plain": rudder(false),
  "segment-node": () => {
    const { Analytics } = require("@segment/analytics-node");
    const client = new Analytics({ writeKey, host: url, path: "/v1/batch", maxEventsInBatch: 3 });
    client.on("error", (error) => fail(error.code ?? "error"));
    return { client, done: () => client.closeAndFlush() };
  },
  "segment-node-legacy": () => {
    const Analytics = require("analytics-node");
    const client = new Analytics(writeKey, { host: url, flushAt: 3 });
    return { client, done: () => new Promise((ok, no) => client.flush((e) => (e ? no(e) : ok()))) };
  },
};

function fail(reason) {
  console.error(`${sdk}: ${reason}`);
  process.exit(1);
}

const { client, done } = (sdks[sdk] ?? (() => fail("no such SDK")))();
calls.forEach((call, n) => {
  const fields = { ...call.fields, marker: `${marker}-${n}` };
  if (call.repeat) fields[call.repeat.field] = call.repeat.text.repeat(call.repeat.times);
  const userId = `${marker}-${n}`;
  switch (call.call) {
    case "track":
      return client.track({ userId, event: call.name, properties: fields });
    case "identify":
      return client.identify({ userId, traits: fields });
    case "page":
    case "screen":
      return client[call.call]({ userId, name: call.name, properties: fields });
    case "group":
      return client.group({ userId, groupId: call.id, traits: fields });
    case "alias":
      return client.alias({ userId, previousId: call.id });
  }
});
await done();
process.exit(0);
