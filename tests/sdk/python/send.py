"""Sends a job's calls through one SDK of Python and returns when the SDK has sent them all.

usage: send.py < job.json, as jobs.py writes it
"""

import json
import sys
import time

job = json.load(sys.stdin)
sdk = job["sdk"]
failures = []


def client():
    if sdk.startswith("rudder-python"):
        from rudderstack.analytics.client import Client
    else:
        from segment.analytics.client import Client
    return Client(
        job["writeKey"],
        host=job["url"],
        gzip=sdk.endswith("gzip"),
        timeout=2,
        upload_interval=0.2,
        on_error=lambda error, _: failures.append(error),
    )


analytics = client()
for call in job["calls"]:
    user, name, fields = call["user"], call.get("name"), call["fields"]
    match call["call"]:
        case "track":
            analytics.track(user, name, fields)
        case "identify":
            analytics.identify(user, fields)
        case "page":
            analytics.page(user, None, name, fields)
        case "screen":
            analytics.screen(user, None, name, fields)
        case "group":
            analytics.group(user, call["id"], fields)
        case "alias":
            analytics.alias(call["id"], user)
    time.sleep(job["interval_ms"] / 1000)
# What a program's end does by itself: the SDK has registered it with atexit.
analytics.shutdown() if hasattr(analytics, "shutdown") else (analytics.flush(), analytics.join())
if failures:
    sys.exit(f"{sdk}: {type(failures[0]).__name__}")
