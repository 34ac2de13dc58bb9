import * as rudderanalytics from "rudder-sdk-js";
import { page } from "./calls.js";

page(({ sdk, writeKey, url }) => {
  const useBeacon = sdk.endsWith("beacon");
  const beaconQueueOptions = { maxItems: 3, flushQueueInterval: 500 };
  return new Promise((ready) => {
    rudderanalytics.ready(() => ready(rudderanalytics));
    rudderanalytics.load(writeKey, url, { configUrl: url, useBeacon, beaconQueueOptions });
  });
});
