import { AnalyticsBrowser } from "@segment/analytics-next";
import { page } from "./calls.js";

const batching = { strategy: "batching", config: { size: 4, timeout: 1000 } };

page(async ({ sdk, writeKey, url }) => {
  const segment = sdk.endsWith("batch") ? { deliveryStrategy: batching } : {};
  const options = { integrations: { "Segment.io": segment } };
  const [client] = await AnalyticsBrowser.load({ writeKey, cdnURL: url }, options);
  return client;
});
