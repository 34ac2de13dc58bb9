"""The API document against the running program: what it promises happens, nothing else does.

usage: api.py PATH_TO_KEELROW

Each status that /openapi.json lists for a path and method is provoked, with its content type, its
texts and its headers; each answer that was got is listed there. A status that cannot be provoked
fails as well, so the document can promise nothing that this does not see.
"""

import base64
import http.client
import json
import sys

from gateway import Gateway
from program import lake_away

METHODS = ["get", "post", "put", "delete", "patch"]
SMALL = 'max_body = "4KiB"\nmax_event = "2KiB"\nmax_in_flight = "64KiB"'
SOURCES = [
    {"name": "plain", "write_key": "plain", "environment": "prod"},
    {"name": "hook", "write_key": "hook", "environment": "prod", "kind": "webhook"},
    {"name": "limited", "write_key": "limited", "environment": "prod", "rate_limit": "1/h"},
    {"name": "limited-hook", "write_key": "limited-hook", "environment": "prod", "kind": "webhook",
     "rate_limit": "1/h"},
    {"name": "off", "write_key": "off", "environment": "prod", "enabled": False},
    {"name": "listed", "write_key": "listed", "environment": "prod", "origins": ["https://app.example"]},
    {"name": "listed-hook", "write_key": "listed-hook", "environment": "prod", "kind": "webhook",
     "origins": ["https://app.example"]},
]
GOOD = json.dumps({"userId": "u", "batch": [{"type": "track", "userId": "u"}]})
BODIES = ["", GOOD, "{}", "[1]", '{"batch":[]}', '{"batch":[{"type":"track"}]}', GOOD + " " * 5_000]


class Document:
    def __init__(self, text):
        self.api = json.loads(text)
        self.seen = set()
        self.faults = []

    def operations(self):
        for path, operations in self.api["paths"].items():
            for method in METHODS:
                yield path, method, operations.get(method)

    def resolved(self, value):
        for part in value.get("$ref", "#").split("/")[1:]:
            value = self.api if part == "components" else value
            value = value[part]
        return value

    def judge(self, path, method, answer):
        """Notes the answer, and what the document does not say of it."""
        status, headers, text = answer
        operation = self.api["paths"][path].get(method)
        where = f"{method.upper()} {path} {status}"
        if operation is None:
            if status != 405 or text or "allow" not in headers:
                self.faults.append(f"{where}: no such method, but no 405 with Allow")
            return
        said = operation["responses"].get(str(status))
        if said is None:
            self.faults.append(f"{where}: not in the document ({text[:60]!r})")
            return
        said = self.resolved(said)
        self.seen.add((path, method, str(status)))
        kind = headers.get("content-type", "").split(";")[0]
        content = said.get("content", {})
        if kind not in content and (content or kind or text):
            self.faults.append(f"{where}: {kind or 'no content type'} instead of {list(content)}")
        texts = content.get(kind, {}).get("schema", {}).get("enum")
        if texts and text not in texts:
            self.faults.append(f"{where}: says {text!r}")
        for name, header in said.get("headers", {}).items():
            if header.get("required") and not headers.get(name.lower(), "").isdigit():
                self.faults.append(f"{where}: no {name}")

    def unseen(self):
        for path, method, operation in self.operations():
            for status in (operation or {}).get("responses", {}):
                # A fault of the program cannot be asked for.
                if status != "500" and (path, method, status) not in self.seen:
                    yield f"{method.upper()} {path}: {status} was promised and never seen"


def ask(port, method, path, key="", body="", headers=(), query=""):
    target = path.replace("{key}", key or "none")
    if "/settings" not in path and key:
        target += f"?writeKey={key}{query}"
    sent = dict(headers)
    if key:
        sent["Authorization"] = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method.upper(), target, body or None, sent)
        answer = connection.getresponse()
        text = answer.read().decode("latin-1")
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, text
    finally:
        connection.close()


def everything(document, port):
    """Keys, bodies, origins and headers, right and wrong, at every path with every method."""
    for path, method, operation in document.operations():
        tries = [dict(key=key, body=body) for key in ("plain", "hook") for body in BODIES]
        tries += [dict(key=key, body=GOOD) for key in ("", "nobody", "off")]
        tries += [dict(key=key, body=GOOD) for key in ("limited", "limited-hook") for _ in range(2)]
        foreign = {"Origin": "https://other.example"}
        tries += [dict(key=key, body=GOOD, headers=foreign) for key in ("listed", "listed-hook")]
        tries += [dict(key="hook", query="&text=" + "x" * 3_000)]
        tries += [dict(key="plain", body=GOOD, headers={"Content-Encoding": "gzip"})]
        tries += [dict(key="hook", body=GOOD, headers={"Content-Encoding": "gzip"})]
        tries += [dict(key="plain", headers={"X-Large": "x" * 70_000})]
        for given in tries if operation else tries[:1]:
            document.judge(path, method, ask(port, method, path, **given))
        if method == "get" and operation:
            status, _, text = ask(port, "head", path, key="plain")
            if status not in (200, 404) or text:
                document.faults.append(f"HEAD {path}: {status}")


def events(document):
    return [(path, method) for path, method, operation in document.operations()
            if operation and operation["tags"] == ["events"]]


def late(document, port):
    """The log does not confirm in time, but for a request that comes just before it does."""
    for path, method in events(document):
        for key in ("plain", "hook"):
            for _ in range(10):
                answer = ask(port, method, path, key, GOOD)
                document.judge(path, method, answer)
                if answer[0] != 200:
                    break


def full(document, port):
    """The log is full, to the last event."""
    for size in (2_000_000, 10_000, 1):
        filler = json.dumps({"userId": "u", "event": "filler", "properties": {"x": "x" * size}})
        # Of the largest some thirty find room, of the others what a larger one leaves.
        taken = (ask(port, "post", "/v1/track", "plain", filler)[0] == 200 for _ in range(100_000))
        if all(taken):
            raise SystemExit("the log is never full")
    for path, method in [*events(document), ("/", "get"), ("/health", "get")]:
        for key in ("plain", "hook"):
            document.judge(path, method, ask(port, method, path, key, GOOD))


def main():
    program = sys.argv[1]
    with Gateway(program, SOURCES, SMALL) as gateway:
        document = Document(ask(gateway.port, "get", "/openapi.json")[2])
        everything(document, gateway.port)
    with Gateway(program, SOURCES, 'ack_timeout = "10ms"', journal='commit_delay = "500ms"') as gateway:
        late(document, gateway.port)
    with Gateway(program, SOURCES, journal='max_bytes = "64MiB"') as gateway:
        # The port is there first; what answers has opened the lake.
        ask(gateway.port, "get", "/health")
        with lake_away(gateway.lake):
            full(document, gateway.port)
    faults = sorted({*document.faults, *document.unseen()})
    for fault in faults:
        print(f"  {fault}")
    print(f"API: {len(document.seen)} passed, {len(faults)} failed")
    return 1 if faults or not document.seen else 0


if __name__ == "__main__":
    sys.exit(main())
