"""HTTP/2 as frames: what a client may do to a server that its specification does not forbid."""

import contextlib
import struct

from program import basic
from wire import LIMIT_S, connect

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that enters no table; lengths below 127 only."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def head(method=b"POST", path=b"/v1/track", more=b""):
    return (literal(b":method", method) + literal(b":path", path) + literal(b":scheme", b"http")
            + literal(b":authority", b"gateway.test") + literal(b"authorization", basic("wk-enabled").encode()) + more)


def opened(port):
    s = connect(port)
    s.settimeout(LIMIT_S)
    s.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return s


def frames(s):
    """The frames that the server sends until it closes."""
    buffer = b""
    while True:
        while len(buffer) >= 9:
            length = int.from_bytes(buffer[:3], "big")
            if len(buffer) < 9 + length:
                break
            yield buffer[3], buffer[4], int.from_bytes(buffer[5:9], "big"), buffer[9:9 + length]
            buffer = buffer[9 + length:]
        try:
            data = s.recv(65536)
        except ConnectionError:
            return
        if not data:
            return
        buffer += data


def ends(s):
    """Reads until the server closes; the error code of its GOAWAY, if it said one."""
    code = None
    with contextlib.suppress(TimeoutError):
        for kind, _, _, payload in frames(s):
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return True, code
    return False, code


def send(s, data):
    with contextlib.suppress(OSError):
        s.sendall(data)


def works(port):
    """An ordinary request over HTTP/2, to know that the frames here are right."""
    with opened(port) as s:
        body = b'{"userId":"u","event":"e"}'
        s.sendall(frame(HEADERS, END_HEADERS, 1, head()) + frame(DATA, END_STREAM, 1, body))
        for kind, flags, stream, payload in frames(s):
            if kind == DATA and stream == 1:
                if payload != b"ok":
                    yield f"HTTP/2: {payload!r}"
                return
    yield "HTTP/2: no answer"


def rapid_reset(port, streams):
    """Streams opened and reset at once (CVE-2023-44487): the connection is ended, not served."""
    with opened(port) as s:
        block = head()
        for start in range(0, streams, 500):
            piece = b"".join(
                frame(HEADERS, END_HEADERS, 2 * n + 1, block) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08")
                for n in range(start, start + 500))
            send(s, piece)
        closed, code = ends(s)
        if not closed:
            yield "rapid reset: the connection goes on"


def endless_continuation(port):
    """Headers that never end (CVE-2024-27316)."""
    with opened(port) as s:
        send(s, frame(HEADERS, 0, 1, head()))
        for _ in range(2_000):
            send(s, frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 100) * 100))
        closed, code = ends(s)
        if not closed:
            yield f"endless continuation: closed {closed}, code {code}"


def empty_continuation(port):
    with opened(port) as s:
        send(s, frame(HEADERS, 0, 1, head()))
        for _ in range(20):
            send(s, frame(CONTINUATION, 0, 1) * 1_000)
        closed, code = ends(s)
        if not closed:
            yield f"empty continuation: closed {closed}, code {code}"


def header_bomb(port):
    """One large header in the table, then thousands of references to it."""
    with opened(port) as s:
        entry = b"\x40" + b"\x01x" + b"\x7f\xa1\x1e" + b"y" * 4000
        s.sendall(frame(HEADERS, END_HEADERS, 1, head(more=entry + b"\xbe" * 8_000)) + frame(DATA, END_STREAM, 1, b"{}"))
        for kind, _, stream, payload in frames(s):
            if kind in (RST_STREAM, GOAWAY):
                return
            if kind == HEADERS and stream == 1:
                # 431 is not in the static table; 200 would be 0x88.
                if payload[:1] == b"\x88":
                    yield "header bomb: taken"
                return
    # Closed without a word is an end, too.


def many_streams(port, streams):
    """More streams at once than the server allows, none of which ends."""
    with opened(port) as s:
        block = head()
        send(s, b"".join(frame(HEADERS, END_HEADERS, 2 * n + 1, block) for n in range(streams)))
        send(s, frame(PING, 0, 0, b"12345678"))
        refused = 0
        for kind, flags, _, payload in frames(s):
            if kind == RST_STREAM and payload == b"\0\0\0\x07":
                refused += 1
            if kind == GOAWAY or (kind == PING and flags == 1):
                break
        if refused < streams - 100 and kind != GOAWAY:
            yield f"many streams: {refused} of {streams} refused"


def flood(port, name, piece, count):
    """Frames that want an answer each, from a client that reads none for a while."""
    with opened(port) as s:
        s.settimeout(2)
        with contextlib.suppress(OSError):
            for _ in range(count):
                s.sendall(piece)
        # The server may have stopped reading, or closed: both bound what it must remember.
    yield from ()


def small_windows(port, streams):
    """Answers that the client gives no window for."""
    with connect(port) as s:
        s.settimeout(LIMIT_S)
        s.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\x00\x04\x00\x00\x00\x00"))
        for n in range(streams):
            send(s, frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, head(b"GET", b"/openapi.json")))
        send(s, frame(PING, 0, 0, b"12345678"))
        for kind, flags, _, _ in frames(s):
            if kind == GOAWAY or (kind == PING and flags == 1):
                return
    yield "small windows: no life left"


def against_the_rules(port):
    """What RFC 9113 calls an error must end the connection or the stream."""
    for name, data in [
        ("a frame of 16 MiB", b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"),
        ("data on stream 0", frame(DATA, 0, 0, b"x")),
        ("an even stream", frame(HEADERS, END_HEADERS, 2, head())),
        ("a window update of zero", frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0")),
        ("a window past 2^31", frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2),
        ("settings of five bytes", frame(SETTINGS, 0, 0, b"12345")),
        ("a broken header block", frame(HEADERS, END_HEADERS, 1, b"\xff\xff\xff\xff\xff\xff")),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, b"")),
        ("a stream that goes back", frame(HEADERS, END_HEADERS, 5, head()) + frame(HEADERS, END_HEADERS, 3, head())),
    ]:
        with opened(port) as s:
            send(s, data)
            closed, code = ends(s)
            if not closed:
                yield f"{name}: the connection goes on"
    for name, more in [
        ("connection header", literal(b"connection", b"close")),
        ("transfer-encoding", literal(b"transfer-encoding", b"chunked")),
        ("upper case", literal(b"X-Upper", b"x")),
        ("length that is wrong", literal(b"content-length", b"5")),
        ("line feed in a value", literal(b"x", b"a\r\nb: c")),
        ("two paths", literal(b":path", b"/v1/batch")),
    ]:
        with opened(port) as s:
            s.sendall(frame(HEADERS, END_HEADERS, 1, head(more=more))
                      + frame(DATA, END_STREAM, 1, b'{"userId":"u","event":"e"}'))
            s.settimeout(LIMIT_S)
            for kind, _, stream, payload in frames(s):
                if kind in (RST_STREAM, GOAWAY):
                    break
                if kind == HEADERS and stream == 1:
                    if payload[:1] == b"\x88":
                        yield f"HTTP/2 with {name}: taken"
                    break


def all_attacks(port):
    for attack in (works, lambda p: rapid_reset(p, 20_000), endless_continuation, empty_continuation, header_bomb,
                   lambda p: many_streams(p, 1_000), lambda p: small_windows(p, 100),
                   lambda p: flood(p, "ping", frame(PING, 0, 0, b"12345678") * 100, 2_000),
                   lambda p: flood(p, "settings", frame(SETTINGS, 0, 0) * 100, 2_000), against_the_rules, works):
        yield from attack(port)
