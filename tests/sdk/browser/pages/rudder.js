// How RudderStack's browser SDK is loaded: the gateway's address twice, and what a variant sets.
const options = {
  "rudder-js-batch": { queueOptions: { batch: { enabled: true, maxItems: 4, flushInterval: 1000 } } },
  "rudder-js-beacon": { useBeacon: true, beaconQueueOptions: { maxItems: 3, flushQueueInterval: 500 } },
};

export const load = (RudderAnalytics) => ({ sdk, writeKey, url }) =>
  new Promise((ready) => {
    const client = new RudderAnalytics();
    client.load(writeKey, url, { configUrl: url, ...options[sdk] });
    client.ready(() => ready(client));
  });
