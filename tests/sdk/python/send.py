"""Sends the calls of ../events.json through one SDK and returns when the SDK has sent them all.

usage: send.py SDK URL WRITE_KEY MARKER
"""

import json
import pathlib
import sys

sdk, url, write_key, marker = sys.argv[1:]
calls = json.loads((pathlib.Path(__file__).parent.parent / "events.json").read_text())
failures = []


def client():
    if sdk.startswith("rudder-python"):
        from rudderstack.analytics.client import Client
    else:
        from segment.analytics.client import Client
    return Client(
        write_key, host=url, gzip=sdk.endswith("gzip"), on_error=lambda e, _: failures.append(e)
    )


analytics = client()
for n, call in enumerate(calls):
    fields = dict(call["fields"], marker=f"{marker}-{n}")
    if "repeat" in call:
        repeat = call["repeat"]
        fields[repeat["field"]] = repeat["text"] * repeat["times"]
    user = f"{marker}-{n}"
    match call["call"]:
        case "track":
            analytics.track(user, call["name"], fields)
        case "identify":
            analytics.identify(user, fields)
        case "page":
            analytics.page(user, None, call["name"], fields)
        case "screen":
            analytics.screen(user, None, call["name"], fields)
        case "group":
            analytics.group(user, call["id"], fields)
        case "alias":
            analytics.alias(call["id"], user)
analytics.flush()
analytics.join()
if failures:
    sys.exit(f"{sdk}: {type(failures[0]).__name__}")
