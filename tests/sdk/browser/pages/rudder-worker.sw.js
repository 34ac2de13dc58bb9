import { Analytics } from "@rudderstack/analytics-js-service-worker";

const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

async function make({ url, writeKey, calls, interval_ms }) {
  const client = new Analytics(writeKey, `${url}/v1/batch`, { flushAt: 4, flushInterval: 500 });
  for (const { call, name, id, user: userId, fields } of calls) {
    const given = {
      track: { event: name, properties: fields },
      identify: { traits: fields },
      page: { name, properties: fields },
      screen: { name, properties: fields },
      group: { groupId: id, traits: fields },
      alias: { previousId: id },
    }[call];
    client[call]({ userId, ...given });
    if (interval_ms) await sleep(interval_ms);
  }
  // The interval sends the rest: flush() of an empty queue calls setImmediate, which workers lack.
}

self.addEventListener("message", (event) => {
  const made = make(event.data).then(() => "made", String);
  event.waitUntil(made.then((text) => event.ports[0].postMessage(text)));
});
