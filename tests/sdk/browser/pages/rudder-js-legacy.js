import { RudderAnalytics } from "@rudderstack/analytics-js/legacy-bundled";
import { page } from "./calls.js";
import { load } from "./rudder.js";

page(load(RudderAnalytics));
