import { RudderAnalytics } from "@rudderstack/analytics-js/lite";
import { page } from "./calls.js";
import { load } from "./rudder.js";

page(load(RudderAnalytics));
