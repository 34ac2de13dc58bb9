"""Sends a job's calls as the SDKs of phones do, request for request.

usage: send.py < job.json, as jobs.py writes it

No phone is here, so this is no real SDK: paths, headers, the shape of bodies and what is done with
an answer are written after the SDKs' sources; phones.json holds what differs. They ask for their
configuration first, send nothing where the source is not enabled, keep every event until a 200,
and send the same batch again on anything else.
"""

import base64
import datetime
import gzip
import http.client
import json
import pathlib
import sys
import time
import urllib.parse
import uuid

PAUSE_S = 0.5
job = json.load(sys.stdin)
phone = json.loads((pathlib.Path(__file__).parent / "phones.json").read_text())[job["sdk"]]
address = urllib.parse.urlsplit(job["url"])
anonymous_id = str(uuid.uuid4())


def headers(given):
    secrets = {
        "basic": "Basic " + base64.b64encode(f"{job['writeKey']}:".encode()).decode(),
        "anonymous": base64.b64encode(anonymous_id.encode()).decode(),
    }
    return {name: secrets.get(value, value) for name, value in given.items()}


def request(method, path, given, body=None):
    """The answer, or nothing where the connection broke."""
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request(method, address.path + path, body, headers(given))
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None, b""
    finally:
        connection.close()


def until_200(*asked):
    while True:
        status, answer = request(*asked)
        if status == 200:
            return answer
        time.sleep(PAUSE_S)


def now():
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def event(call):
    made = {**phone["event"], "type": call["call"], "messageId": str(uuid.uuid4()),
            "anonymousId": anonymous_id, "userId": call["user"]}
    segment = job["sdk"].startswith("segment")
    made["timestamp" if segment else "originalTimestamp"] = now()
    match call["call"]:
        case "track":
            made |= {"event": call["name"], "properties": call["fields"]}
        case "page" | "screen":
            made |= {"name": call["name"], "properties": call["fields"]}
            made |= {} if segment else {"event": call["name"]}
        case "identify" if segment:
            made |= {"traits": call["fields"]}
        case "identify":
            made["context"] = {**made["context"], "traits": {**call["fields"], "userId": call["user"]}}
        case "group":
            made |= {"groupId": call["id"], "traits": call["fields"]}
        case "alias":
            made |= {"previousId": call["id"]}
    return made


def batches(events):
    size = phone["send"]["events"]
    return [events[n:n + size] for n in range(0, len(events), size)]


def send(events):
    """One batch until it is answered 200; the sending time is that of each try."""
    while events:
        content = {"sentAt": now(), "batch": events}
        if "Authorization" not in phone["send"]["headers"]:
            content["writeKey"] = job["writeKey"]
        body = json.dumps(content, ensure_ascii=False).encode()
        given = dict(phone["send"]["headers"])
        if phone["send"]["gzip"]:
            body, given["Content-Encoding"] = gzip.compress(body), "gzip"
        status, _ = request("POST", phone["send"]["path"], given, body)
        if status == 200:
            return
        time.sleep(PAUSE_S)


ask = phone["ask"]
config = json.loads(until_200("GET", ask["path"].replace("{key}", job["writeKey"]), ask["headers"]))
source = config.get("source")
if source and not (source["enabled"] and source["config"]["statsCollection"]["errors"] and "destinations" in source):
    sys.exit("the source is not enabled")
if not source and config["integrations"]["Segment.io"]["apiKey"] != job["writeKey"]:
    sys.exit("the settings are those of another source")
waiting = []
for call in job["calls"]:
    waiting.append(event(call))
    if job["interval_ms"]:
        # An app in use: each flush takes what has gathered.
        time.sleep(job["interval_ms"] / 1000)
        if len(waiting) >= 4:
            send(waiting)
            waiting = []
for batch in batches(waiting):
    send(batch)
