"""Clients that take their time or never end, many at once, and request forms that two programs
could read in two ways. One selector loop: no client here waits for another."""

import contextlib
import selectors
import socket
import time

from program import basic
from wire import Reader, answers, connect, exchange, request

KEY = ("Authorization", basic("wk-enabled"))
GOOD = b'{"userId":"u","event":"e"}'


class Drip:
    """A connection that sends `pieces` with a pause between, and notes answer and end."""

    def __init__(self, port, first, pieces=()):
        self.socket, self.pieces = connect(port), iter(pieces)
        self.began, self.ended, self.answer = time.monotonic(), None, b""
        self.socket.setblocking(False)
        self.send(first)

    def send(self, data):
        try:
            self.socket.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.end()

    def step(self):
        if self.ended is None and (piece := next(self.pieces, None)) is not None:
            self.send(piece)

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.answer += data
        if not data:
            self.end()

    def end(self):
        if self.ended is None:
            self.ended = time.monotonic() - self.began
            self.socket.close()


def drip(clients, seconds, pause):
    """Lets all clients send a piece every `pause` until each has ended or `seconds` are over; how much
    later than it should this loop once looked."""
    waiting = selectors.DefaultSelector()
    for client in clients:
        if client.ended is None:
            waiting.register(client.socket, selectors.EVENT_READ, client)
    until, next_step, looked, late = time.monotonic() + seconds, 0, time.monotonic(), 0
    while time.monotonic() < until and waiting.get_map():
        late, looked = max(late, time.monotonic() - looked - pause), time.monotonic()
        for key, _ in waiting.select(pause / 2):
            key.data.receive()
            if key.data.ended is not None:
                waiting.unregister(key.fileobj)
        if time.monotonic() >= next_step:
            next_step = time.monotonic() + pause
            for client in clients:
                was = client.ended
                client.step()
                if was is None and client.ended is not None:
                    with contextlib.suppress(KeyError, ValueError):
                        waiting.unregister(client.socket)
    waiting.close()
    return late


def forever(piece):
    while True:
        yield piece


def slow_clients(port, count, limits):
    """`limits`: the header and body timeouts that the program was started with, in seconds."""
    header, body, _ = limits
    head = request("POST", "/v1/track", [KEY, ("Content-Length", "1000000")], length=False)
    chunked = request("POST", "/v1/track", [KEY, ("Transfer-Encoding", "chunked")], length=False)
    kinds = {
        "says nothing": (lambda: Drip(port, b""), header, b""),
        "a header line at a time": (lambda: Drip(port, b"POST /v1/track HTTP/1.1\r\n", forever(b"x: y\r\n")), header, b""),
        "a byte of a header at a time": (lambda: Drip(port, b"P", forever(b"O")), header, b""),
        "stops in the headers": (lambda: Drip(port, head[:-4]), header, b""),
        "stops in the body": (lambda: Drip(port, head + b"{"), body, b"400"),
        "a byte of the body at a time": (lambda: Drip(port, head, forever(b" ")), body, b"400"),
        "a chunk of one byte at a time": (lambda: Drip(port, chunked, forever(b"1\r\n \r\n")), body, b"400"),
        "an endless chunk size": (lambda: Drip(port, chunked, forever(b"0")), body, b"400"),
        "an endless chunk extension": (lambda: Drip(port, chunked + b"1;", forever(b"x" * 4096)), body, b"400"),
        "endless trailers": (lambda: Drip(port, chunked + b"0\r\n", forever(b"x: yyyyyyyy\r\n")), body, b"400"),
        "waits for 100 Continue and goes": (
            lambda: Drip(port, request("POST", "/v1/track", [KEY, ("Expect", "100-continue"), ("Content-Length", "10")],
                                       length=False)), body, b"400"),
    }
    clients = {name: [make() for _ in range(count)] for name, (make, _, _) in kinds.items()}
    everyone = [client for group in clients.values() for client in group]
    late = drip(everyone, header + body + 30, 0.2)
    for name, group in clients.items():
        _, limit, status = kinds[name]
        for client in group:
            lines = [line for line in client.answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ") and b" 100 " not in line]
            if client.ended is None:
                yield f"{name}: still open after {header + body + 30} s"
                break
            # Below the default limits, unless this loop itself is late.
            if client.ended > limit + 4 + 2 * late:
                yield f"{name}: closed after {client.ended:.1f} s instead of {limit}"
                break
            if (lines and status not in lines[0]) or (status and not lines):
                yield f"{name}: answered {client.answer[:200]!r}"
                break
    for client in everyone:
        client.socket.close()


def endless_bodies(port, count):
    """Bodies that never end, sent as fast as they are taken: each gets 413 and is let go."""
    for what, head in [
        ("chunked", request("POST", "/v1/batch", [KEY, ("Transfer-Encoding", "chunked")], length=False)),
        ("announced", request("POST", "/v1/batch", [KEY, ("Content-Length", str(1 << 40))], length=False)),
        ("with a wrong key", request("POST", "/v1/batch", [("Authorization", basic("nope")), ("Content-Length", str(1 << 40))],
                                     length=False)),
        ("no key", request("POST", "/v1/m", [("Content-Length", str(1 << 40))], length=False)),
    ]:
        for _ in range(count):
            sent, answered = 0, None
            with connect(port) as s:
                s.sendall(head)
                s.settimeout(8)
                block = b" " * 65536
                piece = b"10000\r\n" + block + b"\r\n" if what == "chunked" else block
                with contextlib.suppress(OSError):
                    while sent < 256 << 20:
                        s.sendall(piece)
                        sent += len(piece)
                with contextlib.suppress(OSError):
                    answered = Reader(s).answer()
            if sent >= 256 << 20:
                yield f"endless body, {what}: {sent >> 20} MiB were taken"
            if answered is not None and answered.status not in (200, 401, 413):
                yield f"endless body, {what}: {answered}"


def idle_connections(port, count):
    """Opens `count` connections that were each answered once and now rest. Answers them, open."""
    ask = request("GET", "/version")
    out = []
    for start in range(0, count, 500):
        group = [connect(port) for _ in range(min(500, count - start))]
        for s in group:
            s.sendall(ask)
        for s in group:
            if Reader(s).answer().status != 200:
                raise SystemExit("an idle connection was refused")
        out += group
    return out


def floods_of_headers(port):
    """Too many headers, too long ones: 431, 414 or 400, never a hang."""
    start = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n"
    end = b"Content-Length: 26\r\n\r\n" + GOOD
    for name, data, wanted in [
        ("90 headers", start + b"".join(b"x-%d: y\r\n" % n for n in range(90)) + b"Authorization: " + KEY[1].encode() + b"\r\n" + end, {200}),
        ("200 headers", start + b"".join(b"x-%d: y\r\n" % n for n in range(200)) + end, {431}),
        ("100,000 headers", start + b"x: y\r\n" * 100_000 + end, {431}),
        ("a header of 100 KiB", start + b"x: " + b"y" * 102_400 + b"\r\n" + end, {431}),
        ("a name of 70 KiB", start + b"x" * 71_680 + b": y\r\n" + end, {431, 400}),
        ("a path of 100 KiB", b"GET /" + b"a" * 102_400 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414, 431}),
        ("a query of 60 KiB", b"GET /pixel/v1/page?writeKey=wk-enabled&anonymousId=a&x=" + b"y" * 61_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        ("60,000 parameters", b"GET /pixel/v1/page?writeKey=wk-enabled&anonymousId=a" + b"&a=" * 18_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        ("a deep path of a pixel", b"GET /pixel/v1/page?writeKey=wk-enabled&anonymousId=a&x" + b".0" * 25_000 + b"=y HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        ("a list with a far end", b"GET /pixel/v1/page?writeKey=wk-enabled&anonymousId=a&x.4000000000=y HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        ("far ends of lists in lists", b"GET /pixel/v1/page?writeKey=wk-enabled&anonymousId=a" + b"".join(b"&%x" % n + b".999" * 99 + b"=y" for n in range(158)) + b" HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        ("a cookie of 50 KiB", start + b"Cookie: " + b"c" * 51_200 + b"\r\nAuthorization: " + KEY[1].encode() + b"\r\n" + end, {200}),
        ("10,000 origins", start + b"Origin: https://a.example\r\n" * 90 + b"Authorization: " + KEY[1].encode() + b"\r\n" + end, {200}),
        ("forwarded for 5,000", start + b"X-Forwarded-For: " + b"10.0.0.1, " * 5_000 + b"x\r\nAuthorization: " + KEY[1].encode() + b"\r\n" + end, {200}),
        ("an Authorization of 50 KiB", start + b"Authorization: Basic " + b"QUFB" * 12_000 + b"\r\n" + end, {401}),
        ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, {400, None}),
        ("a method of 10 KiB", b"A" * 10_240 + b" / HTTP/1.1\r\nHost: x\r\n\r\n", {400, 405}),
        ("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", {400}),
        ("HTTP/0.9", b"GET /\r\n", {400, None}),
    ]:
        got = exchange(port, data)
        status = got and got.status
        if status not in wanted:
            yield f"{name}: {got} instead of {wanted}"


def two_readings(port, accepted):
    """Requests that a proxy in front could end elsewhere than we do. Whatever is refused, is refused
    with 400 and a closed connection; what is taken, is taken as RFC 9112 reads it, and the request
    hidden behind it is never answered. `accepted` counts the events taken so far."""
    auth = f"Authorization: {KEY[1]}\r\n"
    hidden = (f"POST /v1/track HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: 31\r\n\r\n"
              '{"userId":"hidden","event":"h"}')
    start = f"POST /v1/track HTTP/1.1\r\nHost: x\r\n{auth}"
    body = GOOD.decode()
    length = len(body)
    refused = {
        "two lengths": f"Content-Length: {length}\r\nContent-Length: {length + 5}\r\n\r\n{body}{hidden}",
        "two lengths in one line": f"Content-Length: {length}, {length + 1}\r\n\r\n{body}{hidden}",
        "a signed length": f"Content-Length: +{length}\r\n\r\n{body}{hidden}",
        "a negative length": f"Content-Length: -1\r\n\r\n{body}{hidden}",
        "a hexadecimal length": f"Content-Length: 0x1a\r\n\r\n{body}{hidden}",
        "a length with a space inside": f"Content-Length: 2 6\r\n\r\n{body}{hidden}",
        "an empty length": f"Content-Length: \r\n\r\n{body}{hidden}",
        "a length of 30 digits": f"Content-Length: {'9' * 30}\r\n\r\n{body}{hidden}",
        "a space before the colon": f"Content-Length : {length}\r\n\r\n{body}{hidden}",
        "a folded length": f"Content-Length:\r\n {length}\r\n\r\n{body}{hidden}",
        "a folded header": f"X-A: b\r\n folded\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a header without a name": f": x\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a header without a colon": f"nonsense\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a NUL in a header": f"X-A: b\0c\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a bare CR in a header": f"X-A: b\rTransfer-Encoding: chunked\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "xchunked": f"Transfer-Encoding: xchunked\r\n\r\n{body}{hidden}",
        "identity": f"Transfer-Encoding: identity\r\n\r\n{body}{hidden}",
        "chunked before identity": f"Transfer-Encoding: chunked, identity\r\n\r\n{body}{hidden}",
        "gzip only": f"Transfer-Encoding: gzip\r\n\r\n{body}{hidden}",
        "chunked in quotes": f'Transfer-Encoding: "chunked"\r\n\r\n{body}{hidden}',
        "a vertical tab before chunked": f"Transfer-Encoding: \x0bchunked\r\n\r\n{body}{hidden}",
        "chunked of HTTP/1.0": None,
        "a chunk size with a sign": f"Transfer-Encoding: chunked\r\n\r\n+1a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "a chunk size with 0x": f"Transfer-Encoding: chunked\r\n\r\n0x1a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "a chunk size past 64 bits": f"Transfer-Encoding: chunked\r\n\r\n1000000000000001a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "a chunk without its line end": f"Transfer-Encoding: chunked\r\n\r\n1a\r\n{body}xx0\r\n\r\n{hidden}",
        "a chunk size ended by LF": f"Transfer-Encoding: chunked\r\n\r\n1a\n{body}\r\n0\r\n\r\n{hidden}",
        "chunked with a length": f"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "chunked twice": f"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "gzip and chunked": f"Transfer-Encoding: gzip, chunked\r\n\r\n1a\r\n{body}\r\n0\r\n\r\n{hidden}",
        "two hosts": f"Host: y\r\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a line ended by LF": f"X-A: b\nContent-Length: {length}\r\n\r\n{body}{hidden}",
        "a trailer that is none": f"Transfer-Encoding: chunked\r\n\r\n1a\r\n{body}\r\n0\r\nnonsense\r\n\r\n{hidden}",
        "a chunk extension with LF": f"Transfer-Encoding: chunked\r\n\r\n1a;x\n{body}\r\n0\r\n\r\n{hidden}",
    }
    before = accepted()
    for name, rest in refused.items():
        data = start + rest if rest else (
            f"POST /v1/track HTTP/1.0\r\n{auth}Transfer-Encoding: chunked\r\n\r\n1a\r\n{body}\r\n0\r\n\r\n{hidden}")
        got = answers(port, data.encode("latin-1"))
        if any(answer.status != 400 for answer in got) or len(got) > 1:
            yield f"{name}: {got}"
    if (now := accepted()) != before:
        yield f"{now - before} events of refused requests were taken"
    taken = {
        "the same length twice": f"Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}",
        "Chunked": f"Transfer-Encoding: Chunked\r\n\r\n1a\r\n{body}\r\n0\r\n\r\n",
        "chunk sizes with zeros": f"Transfer-Encoding: chunked\r\n\r\n0001a\r\n{body}\r\n000\r\n\r\n",
    }
    for name, rest in taken.items():
        got = answers(port, (start + rest).encode("latin-1"))
        if [answer.status for answer in got] != [200]:
            yield f"{name}: {got}"
        before += 1
    if (now := accepted()) != before:
        yield f"{now - before} events too many were taken"


def half_closed(port):
    """A client that ends its side after the request still gets its answer."""
    got = answers(port, request("POST", "/v1/track", [KEY], GOOD))
    if [answer.status for answer in got] != [200]:
        yield f"half closed: {got}"
    with connect(port) as s:
        s.sendall(request("POST", "/v1/track", [KEY], GOOD))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
