"""What docs/api.md promises, asked over raw sockets: status, exact body and headers of each answer.

Each check yields faults as texts; none means that it holds."""

import json

from program import basic
from wire import Reader, connect, exchange, request

TEXT = "text/plain; charset=utf-8"
KEY = [("Authorization", basic("wk-enabled"))]
EVENT = b'{"userId":"u","event":"e"}'
BATCH = b'{"batch":[{"userId":"u","type":"track","event":"e"}]}'
ORIGIN = "https://shop.example.com"

SINGLE = ["identify", "track", "page", "screen", "group", "alias", "merge", "i", "t", "p", "s", "g", "a"]
BATCHES = ["batch", "b", "import"]
POSTS = [f"/v1/{name}" for name in SINGLE + BATCHES + ["m"]] + ["/beacon/v1/batch", "/rsaMetrics"]
GETS = ["/", "/health", "/version", "/docs", "/openapi.json", "/robots.txt", "/sourceConfig?writeKey=wk-enabled",
        "/sourceConfig/?writeKey=wk-enabled", "/v1/projects/wk-enabled/settings", "/projects/wk-enabled/settings",
        "/pixel/v1/page?writeKey=wk-enabled&anonymousId=a", "/pixel/v1/track?writeKey=wk-enabled&anonymousId=a&event=e"]

NO_KEY = b"failed to read writekey from header\n"
NO_KEY_QUERY = b"failed to read writekey from query params\n"
BAD_KEY = b"invalid write key\n"
DISABLED = b"source is disabled\n"
NOT_JSON = b"invalid json\n"
NOT_EVENT = b"event is not a valid rudder event\n"
NO_IDS = b"request neither has anonymousId nor userId\n"
EMPTY = b"empty batch payload\n"
TOO_LARGE = b"request size exceeds max limit\n"
UNREADABLE = b"failed to read body from request\n"
NOT_FOUND = b"404 page not found\n"
NOT_HOOK = b"source does not accept webhook events\n"


def all_checks():
    return [successes, refusals, bodies, keys, methods, unknown_paths, head_is_get_without_body, cross_origin,
            preflights, setup, rate_limit, forms_of_requests, connections_live_on]


def want(name, answer, status, body, kind=TEXT):
    if answer is None:
        yield f"{name}: no answer"
        return
    if (answer.status, answer.body) != (status, body):
        yield f"{name}: {answer.status} {answer.body[:200]!r} instead of {status} {body!r}"
    if answer.headers_of("x-content-type-options") != ["nosniff"]:
        yield f"{name}: nosniff is missing"
    if kind and answer.headers_of("content-type") != [kind]:
        yield f"{name}: content type {answer.headers_of('content-type')}"
    if answer.headers_of("content-length") != [str(len(body))] or answer.header("transfer-encoding"):
        yield f"{name}: length {answer.headers_of('content-length')}"
    if (answer.header("retry-after") is not None) != (status in (429, 503)):
        yield f"{name}: retry-after {answer.header('retry-after')}"


def successes(port):
    for name in SINGLE:
        for variant in ("", "?x=1", "?"):
            path = f"/v1/{name}{variant}"
            yield from want(path, exchange(port, request("POST", path, KEY, EVENT)), 200, b"ok")
    for name in BATCHES:
        yield from want(name, exchange(port, request("POST", f"/v1/{name}", KEY, BATCH)), 200, b"ok")
    for path in ("/v1/m", "/rsaMetrics"):
        for body in (b"", b"{", b"\xff" * 1000):
            yield from want(path, exchange(port, request("POST", path, [], body)), 200, b"ok")
    beacon = "/beacon/v1/batch?writeKey=wk-enabled"
    for headers in ([], [("Content-Type", "text/plain")], [("Authorization", basic("nope"))]):
        yield from want("beacon", exchange(port, request("POST", beacon, headers, BATCH)), 200, b"ok")
    hook = "/v1/webhook?writeKey=wk-hook"
    yield from want("hook", exchange(port, request("POST", hook, [], b'{"a":1}')), 200, b"ok")
    yield from want("hook get", exchange(port, request("GET", hook + "&a=1")), 200, b"ok")
    by_header = [("Authorization", basic("wk-hook"))]
    yield from want("hook header", exchange(port, request("POST", "/v1/webhook", by_header, b"a=1")), 200, b"ok")


def refusals(port):
    for name in SINGLE + BATCHES:
        path = f"/v1/{name}"
        body = BATCH if name in BATCHES else EVENT
        for what, key, status, text in [
            ("no key", None, 401, NO_KEY),
            ("no user", "Basic Og==", 401, NO_KEY),
            ("bearer", "Bearer wk-enabled", 401, NO_KEY),
            ("digest", "Digest username=wk-enabled", 401, NO_KEY),
            ("not base64", "Basic ???", 401, NO_KEY),
            ("no value", "Basic", 401, NO_KEY),
            ("unknown", basic("nope"), 401, BAD_KEY),
            ("case counts", basic("WK-ENABLED"), 401, BAD_KEY),
            ("longer", basic("wk-enabled2"), 401, BAD_KEY),
            ("disabled", basic("wk-disabled"), 404, DISABLED),
        ]:
            headers = [("Authorization", key)] if key else []
            yield from want(f"{path} {what}", exchange(port, request("POST", path, headers, body)), status, text)
    for path, status, text in [
        ("/beacon/v1/batch", 401, NO_KEY_QUERY),
        ("/beacon/v1/batch?writeKey=", 401, NO_KEY_QUERY),
        ("/beacon/v1/batch?writekey=wk-enabled", 401, NO_KEY_QUERY),
        ("/beacon/v1/batch?writeKey=nope", 401, BAD_KEY),
        ("/beacon/v1/batch?writeKey=wk-disabled", 404, DISABLED),
        ("/v1/webhook", 401, NO_KEY_QUERY),
        ("/v1/webhook?writeKey=nope", 401, BAD_KEY),
        ("/v1/webhook?writeKey=wk-enabled", 404, NOT_HOOK),
        ("/v1/webhook?writeKey=wk-disabled", 404, DISABLED),
    ]:
        yield from want(path, exchange(port, request("POST", path, [], BATCH)), status, text)


def bodies(port):
    deep = lambda n: b'{"userId":"u","x":' + b"[" * n + b"]" * n + b"}"  # noqa: E731
    for path, body, status, text in [
        ("/v1/track", b"", 400, NOT_JSON),
        ("/v1/track", b" ", 400, NOT_JSON),
        ("/v1/track", b"{", 400, NOT_JSON),
        ("/v1/track", EVENT + b"x", 400, NOT_JSON),
        ("/v1/track", EVENT + EVENT, 400, NOT_JSON),
        ("/v1/track", b'{"userId":"u",}', 400, NOT_JSON),
        ("/v1/track", b"{'userId':'u'}", 400, NOT_JSON),
        ("/v1/track", b'{"userId":"\xff"}', 400, NOT_JSON),
        ("/v1/track", b'\xef\xbb\xbf{"userId":"u"}', 400, NOT_JSON),
        ("/v1/track", b'{"userId":NaN}', 400, NOT_JSON),
        ("/v1/track", b'{"userId":01}', 400, NOT_JSON),
        ("/v1/track", deep(127), 200, b"ok"),
        ("/v1/track", deep(128), 400, NOT_JSON),
        ("/v1/track", b"[]", 400, NOT_EVENT),
        ("/v1/track", b"[" + EVENT + b"]", 400, NOT_EVENT),
        ("/v1/track", b'"u"', 400, NOT_EVENT),
        ("/v1/track", b"null", 400, NOT_EVENT),
        ("/v1/track", b"7", 400, NOT_EVENT),
        ("/v1/track", b"{}", 400, NO_IDS),
        ("/v1/track", b'{"userId":null,"anonymousId":""}', 400, NO_IDS),
        ("/v1/track", '{"userId":" \u200b\u00a0\u2060","anonymousId":"\ufeff"}'.encode(), 400, NO_IDS),
        ("/v1/track", b'{"userId":0}', 200, b"ok"),
        ("/v1/track", b'{"userId":false}', 200, b"ok"),
        ("/v1/track", b'{"anonymousId":[]}', 200, b"ok"),
        ("/v1/track", b'{"userId":"u","type":"nonsense"}', 200, b"ok"),
        ("/v1/track", b'{"userId":"","userId":"u"}', 400, NO_IDS),
        ("/v1/batch", b"{}", 400, EMPTY),
        ("/v1/batch", b'{"batch":null}', 400, EMPTY),
        ("/v1/batch", b'{"batch":[]}', 400, EMPTY),
        ("/v1/b", b'{"batch":[]}', 400, EMPTY),
        ("/v1/batch", b'{"Batch":[' + EVENT + b"]}", 400, EMPTY),
        ("/v1/import", b'{"batch":[]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":[null]}', 400, NOT_EVENT),
        ("/v1/batch", b'{"batch":[[],{}]}', 400, NOT_EVENT),
        ("/v1/batch", b'{"batch":[{},[]]}', 400, NO_IDS),
        ("/v1/batch", b'{"batch":[{},{"userId":"u"}]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":[{"type":"track"},{"userId":"u","type":"track"}]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":[{"userId":"u","type":7}]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":[{"type":"record"}]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":[{"type":"extract"}]}', 200, b"ok"),
        ("/v1/batch", b'{"batch":{"userId":"u"}}', 200, b"ok"),
        ("/v1/batch", b'{"batch":"x"}', 400, NOT_EVENT),
        ("/v1/batch", EVENT[:-1], 400, NOT_JSON),
    ]:
        answer = exchange(port, request("POST", path, KEY, body))
        yield from want(f"{path} {body[:60]!r}", answer, status, text)
    for encoding, body, status, text in [
        ("gzip", EVENT, 400, UNREADABLE),
        ("snappy", EVENT, 400, UNREADABLE),
        ("identity", EVENT, 200, b"ok"),
        ("", EVENT, 200, b"ok"),
    ]:
        headers = [*KEY, ("Content-Encoding", encoding)]
        yield from want(f"encoding {encoding}", exchange(port, request("POST", "/v1/track", headers, body)), status, text)


def keys(port):
    import base64

    bare = base64.b64encode(b"wk-enabled").decode()
    unpadded = base64.b64encode(b"wk-enabled:").decode().rstrip("=")
    for value in (f"Basic {bare}", f"basic {bare}", f"BASIC {unpadded}", basic("wk-enabled:password"),
                  f"Basic   {bare}  "):
        yield from want(value, exchange(port, request("POST", "/v1/track", [("Authorization", value)], EVENT)), 200, b"ok")
    inside = b'{"userId":"u","writeKey":"wk-enabled"}'
    for body, headers, status, text in [
        (inside, [], 200, b"ok"),
        (inside, [("Authorization", "Bearer x")], 200, b"ok"),
        (inside, [("Authorization", basic("nope"))], 401, BAD_KEY),
        (b'{"userId":"u","writeKey":"nope"}', [], 401, BAD_KEY),
        (b'{"userId":"u","writeKey":"nope"}', KEY, 200, b"ok"),
        (b'{"userId":"u","writeKey":""}', [], 401, NO_KEY),
        (b'{"userId":"u","writeKey":"wk-disabled"}', [], 404, DISABLED),
    ]:
        yield from want(f"{body!r} {headers}", exchange(port, request("POST", "/v1/track", headers, body)), status, text)
    body = BATCH[:-1] + b',"writeKey":"wk-enabled"}'
    yield from want("batch key", exchange(port, request("POST", "/v1/b", [], body)), 200, b"ok")
    # Refused by header, whatever the body is and whether it ever comes.
    head = request("POST", "/v1/batch", [("Authorization", basic("nope")), ("Content-Length", "9999999")], length=False)
    yield from want("early", exchange(port, head), 401, BAD_KEY)


def methods(port):
    for path in POSTS:
        for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE", "OPTIONS", "PROPFIND"):
            answer = exchange(port, request(method, path, KEY), method == "HEAD")
            if (answer.status, answer.body, answer.header("allow")) != (405, b"", "POST"):
                yield f"{method} {path}: {answer.status} {answer.body!r} allow {answer.header('allow')}"
            yield from want(f"{method} {path}", answer, 405, b"", None)
    for path in GETS + ["/cluster-info"]:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = exchange(port, request(method, path, KEY))
            allow = {word.strip() for word in (answer.header("allow") or "").split(",")}
            if (answer.status, answer.body, allow) != (405, b"", {"GET", "HEAD"}):
                yield f"{method} {path}: {answer.status} {answer.body!r} allow {answer.header('allow')}"
            yield from want(f"{method} {path}", answer, 405, b"", None)
    answer = exchange(port, request("PUT", "/v1/webhook"))
    allow = {word.strip() for word in (answer.header("allow") or "").split(",")}
    if (answer.status, answer.body, allow) != (405, b"", {"GET", "HEAD", "POST"}):
        yield f"PUT /v1/webhook: {answer.status} {answer.header('allow')}"


def unknown_paths(port):
    for path in ["/v1/track/", "/v1/Track", "/V1/track", "/v1", "/v1/", "//v1/track", "/v1//track", "/v1/track/x",
                 "/v2/track", "/beacon/v1/batch/", "/pixel/v1/track/", "/pixel/v1/identify", "/health/", "/metrics",
                 "/health/live", "/health/ready", "/sourceConfig//", "/docs/", "/index.html",
                 "/v1/../v1/track", "/%2e%2e/etc/passwd", "/v1/track%00", "/v1/webhook/"]:
        for method in ("POST", "GET"):
            answer = exchange(port, request(method, path, KEY, EVENT if method == "POST" else b""))
            yield from want(f"{method} {path}", answer, 404, NOT_FOUND)


def head_is_get_without_body(port):
    for path in GETS:
        got, head = exchange(port, request("GET", path)), exchange(port, request("HEAD", path), True)
        if got.status != 200 or head.status != 200 or head.body:
            yield f"{path}: GET {got.status}, HEAD {head.status} {head.body!r}"
        for name in ("content-type", "content-length", "x-content-type-options"):
            if got.header(name) != head.header(name):
                yield f"{path}: {name} is {got.header(name)} and {head.header(name)} of HEAD"


def cross_origin(port):
    origin = [("Origin", ORIGIN)]
    for what, data in [
        ("ok", request("POST", "/v1/track", KEY + origin, EVENT)),
        ("401", request("POST", "/v1/track", origin, EVENT)),
        ("401 early", request("POST", "/v1/track", [("Authorization", basic("nope")), *origin], EVENT)),
        ("404", request("GET", "/nowhere", origin)),
        ("405", request("GET", "/v1/track", origin)),
        ("413", request("POST", "/v1/track", [*KEY, *origin, ("Content-Length", "99999999")], length=False)),
        ("400", request("POST", "/v1/track", KEY + origin, b"{")),
        ("health", request("GET", "/health", origin)),
        ("pixel", request("GET", "/pixel/v1/page", origin)),
        ("setup", request("GET", "/sourceConfig", origin)),
        ("plain OPTIONS", request("OPTIONS", "/v1/track", origin)),
    ]:
        answer = exchange(port, data)
        found = [answer.headers_of(f"access-control-{name}") for name in
                 ("allow-origin", "allow-credentials", "expose-headers")]
        if found != [[ORIGIN], ["true"], ["Retry-After"]] or "Origin" not in ",".join(answer.headers_of("vary")):
            yield f"{what}: {found} vary {answer.headers_of('vary')}"
    for origin in ("null", "http://a.example:8443", "capacitor://localhost"):
        answer = exchange(port, request("POST", "/v1/track", [*KEY, ("Origin", origin)], EVENT))
        if answer.headers_of("access-control-allow-origin") != [origin]:
            yield f"origin {origin} is not reflected"
    answer = exchange(port, request("POST", "/v1/track", KEY, EVENT))
    if answer.header("access-control-allow-origin") is not None:
        yield "an origin is allowed where none was said"


def preflights(port):
    asked = "authorization,content-type,rsa-event-id,x-retry-count,anonymousid"
    for path in POSTS + GETS + ["/nowhere"]:
        for method in ("POST", "GET", "HEAD"):
            headers = [("Origin", ORIGIN), ("Access-Control-Request-Method", method),
                       ("Access-Control-Request-Headers", asked)]
            answer = exchange(port, request("OPTIONS", path, headers))
            found = {name: answer.headers_of(f"access-control-{name}") for name in
                     ("allow-origin", "allow-credentials", "allow-methods", "allow-headers", "max-age")}
            expected = {"allow-origin": [ORIGIN], "allow-credentials": ["true"], "allow-methods": [method],
                        "allow-headers": [asked], "max-age": ["900"]}
            if (answer.status, answer.body, found) != (204, b"", expected):
                yield f"preflight {path}: {answer.status} {found}"


def setup(port):
    answer = exchange(port, request("GET", "/sourceConfig?writeKey=nope"))
    yield from want("sourceConfig", answer, 400, b'{"message":"Invalid write key"}', "application/json; charset=utf-8")
    answer = exchange(port, request("GET", "/sourceConfig"))
    yield from want("sourceConfig", answer, 400, b'{"message":"Invalid write key"}', "application/json; charset=utf-8")
    answer = exchange(port, request("GET", "/cluster-info", KEY))
    yield from want("cluster-info", answer, 200, b'{"nodeCount":1}', "application/json; charset=utf-8")
    yield from want("cluster-info", exchange(port, request("GET", "/cluster-info")), 401, NO_KEY)
    answer = exchange(port, request("GET", "/robots.txt"))
    yield from want("robots", answer, 200, b"User-agent: * \nDisallow: / \n")
    gif = bytes.fromhex("4749463839610100010080000000000000000021f90401000000002c00000000010001000002024401003b")
    for query in ("", "?writeKey=nope", "?writeKey=wk-disabled&anonymousId=a", "?writeKey=wk-enabled",
                  "?writeKey=wk-enabled&anonymousId=%ff%00&a.b.0=1&a=2", "?%", "?=&&=;"):
        for kind in ("page", "track"):
            answer = exchange(port, request("GET", f"/pixel/v1/{kind}{query}"))
            yield from want(f"pixel {query}", answer, 200, gif, "image/gif")
    health = exchange(port, request("GET", "/health"))
    said = json.loads(health.body)
    if (said["server"], said["db"], said["acceptingEvents"]) != ("UP", "UP", "TRUE") or not said["lastSync"]:
        yield f"health says {said}"
    for path, what in (("/sourceConfig?writeKey=wk-enabled", "source"), ("/v1/projects/wk-enabled/settings", "integrations")):
        if what not in json.loads(exchange(port, request("GET", path)).body):
            yield f"{path} lacks {what}"


def rate_limit(port):
    limited = [("Authorization", basic("wk-limited"))]
    answers = [exchange(port, request("POST", "/v1/track", limited, EVENT)) for _ in range(3)]
    yield from want("within the rate", answers[0], 200, b"ok")
    yield from want("past the rate", answers[-1], 429, b"max requests limit reached\n")
    seconds = answers[-1].header("retry-after") or ""
    if not (seconds.isdigit() and 1 <= int(seconds) <= 3600):
        yield f"Retry-After {seconds!r}"


def forms_of_requests(port):
    """Spellings of a request that HTTP allows."""
    key = f"Authorization: {KEY[0][1]}\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    parts = b"8;x=y\r\n" + EVENT[:8] + b"\r\n" + f"{len(EVENT) - 8:X}".encode() + b"\r\n" + EVENT[8:] + b"\r\n0\r\n\r\n"
    length = f"Content-Length: {len(EVENT)}\r\n\r\n".encode()
    for what, data in [
        ("chunked", b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + key + chunked + parts),
        ("trailer", b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + key + chunked + parts[:-2] + b"X-End: 1\r\n\r\n"),
        ("absolute", b"POST http://gateway.test/v1/track HTTP/1.1\r\nHost: x\r\n" + key + length + EVENT),
        ("HTTP/1.0", b"POST /v1/track HTTP/1.0\r\n" + key + length + EVENT),
        ("names in any case", b"POST /v1/track HTTP/1.1\r\nhOST: x\r\n" + key.upper().replace(KEY[0][1].upper().encode(), KEY[0][1].encode()) + length.lower() + EVENT),
        ("empty lines before", b"\r\n\r\nPOST /v1/track HTTP/1.1\r\nHost: x\r\n" + key + length + EVENT),
    ]:
        yield from want(what, exchange(port, data), 200, b"ok")
    with connect(port) as s:
        s.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + key + b"Expect: 100-continue\r\n" + length)
        reader = Reader(s)
        if reader.answer().status != 100:
            yield "a client that asks whether to send is not told to"
        s.sendall(EVENT)
        yield from want("after 100", reader.answer(), 200, b"ok")
    refused = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic("nope").encode() + b"\r\nExpect: 100-continue\r\n"
    yield from want("expect with a wrong key", exchange(port, refused + length), 401, BAD_KEY)


def connections_live_on(port):
    """Refusals do not end a connection, and pipelined requests are answered in order."""
    with connect(port) as s:
        reader = Reader(s)
        for n in range(3):
            for data, status in [
                (request("POST", "/v1/track", KEY, EVENT), 200),
                (request("POST", "/v1/track", KEY, b"{"), 400),
                (request("POST", "/v1/track", [("Authorization", basic("nope"))], EVENT * 1000), 401),
                (request("GET", "/nowhere"), 404),
                (request("GET", "/v1/track"), 405),
                (request("POST", "/v1/track", [*KEY, ("Content-Encoding", "gzip")], b"x" * 1000), 400),
            ]:
                s.sendall(data)
                answer = reader.answer()
                if answer is None or answer.status != status:
                    yield f"round {n}: {answer} instead of {status}"
                    return
    with connect(port) as s:
        s.sendall(b"".join(request("POST", "/v1/track", KEY, body) for body in (EVENT, b"{", b"[]", b"{}", EVENT)))
        reader = Reader(s)
        statuses = [reader.answer().body for _ in range(5)]
        if statuses != [b"ok", NOT_JSON, NOT_EVENT, NO_IDS, b"ok"]:
            yield f"pipelined: {statuses}"
