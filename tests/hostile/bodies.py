"""Bodies that are meant to hurt: bombs, damage, depth, breadth. Each has the answers it may get;
`replay` sends them all, and mutations of them by a seeded generator."""

import gzip
import json
import pathlib
import random
import zlib

import brotli
import zstandard

from program import basic
from wire import exchange, request

MIB = 1 << 20
OK, JSON, EVENT, IDS = (200, b"ok"), (400, b"invalid json\n"), (400, b"event is not a valid rudder event\n"), (
    400, b"request neither has anonymousId nor userId\n")
LATE = (504, b"gateway timeout\n")
LARGE, UNREADABLE = (413, b"request size exceeds max limit\n"), (400, b"failed to read body from request\n")
EMPTY = (400, b"empty batch payload\n")
BUSY = (503, b"Service Unavailable\n")
DOCUMENTED = {OK, JSON, EVENT, IDS, LARGE, UNREADABLE, EMPTY, BUSY, LATE,
              (401, b"failed to read writekey from header\n"), (401, b"invalid write key\n")}
CORPUS = pathlib.Path(__file__).with_name("corpus.jsonl")
GOOD = b'{"userId":"u","event":"e"}'


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACK = {
    "gzip": lambda data: gzip.compress(data, 9),
    "deflate": lambda data: zlib.compress(data, 9),
    "Deflate": raw_deflate,
    "br": lambda data: brotli.compress(data, quality=5),
    "zstd": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
}


def bombs():
    """Small as sent, a gigabyte or endless once inflated; name, path, encoding, body, answers."""
    gigabyte = {
        "gzip": stream(zlib.compressobj(9, zlib.DEFLATED, 31)),
        "deflate": stream(zlib.compressobj(9, zlib.DEFLATED, 15)),
        "Deflate": stream(zlib.compressobj(9, zlib.DEFLATED, -15)),
        "br": brotli.compress(b" " * (256 * MIB), quality=1),
        "zstd": zstandard.ZstdCompressor(level=1).compress(b" " * (256 * MIB)),
    }
    for coding, body in gigabyte.items():
        yield f"bomb {coding}", coding, body, {LARGE}
        if coding != "Deflate":
            yield f"bomb {coding} twice", f"{coding}, {coding}", PACK[coding](body), {LARGE}
    yield "bomb gzip in br", "gzip, br", PACK["br"](gigabyte["gzip"]), {LARGE}
    yield "three layers", "gzip, gzip, gzip", PACK["gzip"](PACK["gzip"](PACK["gzip"](GOOD))), {UNREADABLE}
    yield "members of gzip", "gzip", PACK["gzip"](b"") * (4 * MIB // 20), {JSON}
    yield "members of gzip, full", "gzip", PACK["gzip"](b" " * 65_536) * 300, {LARGE}
    yield "frames of zstd", "zstd", PACK["zstd"](b"") * (4 * MIB // 9), {JSON}
    yield "frames of zstd to skip", "zstd", b"\x50\x2a\x4d\x18\x00\x00\x00\x00" * (MIB // 8), {JSON, UNREADABLE}
    yield "stored blocks of nothing", "deflate", b"\x00\x00\x00\xff\xff" * (MIB // 5) + b"\x01\x00\x00\xff\xff", {JSON}
    yield "name in gzip without an end", "gzip", b"\x1f\x8b\x08\x08" + b"\x00" * 6 + b"n" * MIB, {UNREADABLE}
    yield "zstd of 2 GiB window", "zstd", b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00", {UNREADABLE}
    yield "zstd that claims an exabyte", "zstd", b"\x28\xb5\x2f\xfd\xc0\x58" + b"\xff" * 7 + b"\x0f\x01\x00\x00", {UNREADABLE, JSON}
    yield "gzip that claims 4 GiB", "gzip", PACK["gzip"](GOOD)[:-4] + b"\xff\xff\xff\xff", {UNREADABLE}


def stream(packer):
    """A gibibyte of spaces, packed without ever being whole."""
    block = b" " * MIB
    return b"".join(packer.compress(block) for _ in range(1024)) + packer.flush()


def damage():
    """Packed bodies cut at many places, with a bit flipped at many places, with rests behind."""
    for coding, pack in PACK.items():
        whole = pack(GOOD * 40)
        for cut in {0, 1, 2, 5, 9, len(whole) // 2, len(whole) - 9, len(whole) - 5, len(whole) - 1}:
            yield f"{coding} cut at {cut}", coding, whole[:max(cut, 0)], {UNREADABLE, JSON}
        for at in range(0, len(whole), max(1, len(whole) // 24)):
            flipped = bytearray(whole)
            flipped[at] ^= 1 << (at % 8)
            yield f"{coding} flipped at {at}", coding, bytes(flipped), {UNREADABLE, JSON, LARGE}
        yield f"{coding} and a rest", coding, whole + b"rest", {UNREADABLE, JSON}
    wrong = bytearray(PACK["gzip"](GOOD))
    wrong[-8] ^= 1
    yield "gzip with a wrong checksum", "gzip", bytes(wrong), {UNREADABLE}
    yield "gzip in two members", "gzip", PACK["gzip"](GOOD[:9]) + PACK["gzip"](GOOD[9:]), {OK}
    yield "gzip that says br", "br", PACK["gzip"](GOOD), {UNREADABLE}


def shapes():
    """JSON that is deep, broad, large, or odd, made by the program: too long to write down."""
    many = lambda piece, n: b",".join([piece] * n)  # noqa: E731
    batch = lambda events: b'{"batch":[' + events + b"]}"  # noqa: E731
    keys = lambda n, name="k": b",".join(b'"%s%d":1' % (name.encode(), i) for i in range(n))  # noqa: E731
    tracked = b'{"userId":"u","type":"track","event":"e"}'
    for name, path, body, wanted in [
        ("100,000 open brackets", "/v1/track", b"[" * 100_000, {JSON}),
        ("16 MiB of open brackets", "/v1/track", b"[" * (16 * MIB), {JSON}),
        ("a million objects deep", "/v1/batch", b'{"a":' * 1_000_000, {JSON}),
        ("100,000 keys", "/v1/track", b'{"userId":"u",' + keys(100_000) + b"}", {OK}),
        ("400,000 keys", "/v1/track", b'{"userId":"u",' + keys(400_000) + b"}", {LARGE}),
        ("100,000 times one key", "/v1/track", b'{"userId":"u",' + many(b'"k":1', 100_000) + b"}", {OK}),
        ("three million values", "/v1/batch", b"[" + many(b"0", 3_000_000) + b"]", {LARGE}),
        ("a key of 3 MiB", "/v1/track", b'{"userId":"u","' + b"k" * (3 * MIB) + b'":1}', {OK}),
        ("a key of a million words", "/v1/track", b'{"userId":"u","' + b"a_" * 1_000_000 + b'":1}', {OK}),
        ("a key of a million capitals", "/v1/track", b'{"userId":"u","' + b"aB" * 1_000_000 + b'":1}', {OK}),
        ("a number of 3 MiB", "/v1/track", b'{"userId":"u","n":' + b"9" * (3 * MIB) + b"}", {OK}),
        ("an exponent of a million digits", "/v1/track", b'{"userId":"u","n":1e' + b"9" * 1_000_000 + b"}", {OK}),
        ("a userId of 3 MiB", "/v1/track", b'{"userId":"' + b"u" * (3 * MIB) + b'"}', {OK}),
        ("a messageId of 3 MiB", "/v1/track", b'{"userId":"u","messageId":"' + b"m" * (3 * MIB) + b'"}', {OK}),
        ("an event of 4 MiB and one byte", "/v1/track", b'{"userId":"u","x":"' + b"x" * (4 * MIB - 20) + b'"}', {LARGE}),
        ("only such events", "/v1/batch", batch(b'{"userId":"u","x":"' + b"x" * (4 * MIB) + b'"}'), {OK}),
        ("16 MiB of white space", "/v1/track", GOOD + b" " * (16 * MIB - len(GOOD)), {OK}),
        ("a byte more", "/v1/track", GOOD + b" " * (16 * MIB - len(GOOD) + 1), {LARGE}),
        ("10,000 events", "/v1/batch", batch(many(tracked, 10_000)), {OK}),
        ("10,001 events", "/v1/batch", batch(many(tracked, 10_001)), {LARGE}),
        ("a context copied 10,000 times", "/v1/batch",
         b'{"context":{' + keys(20_000) + b'},"batch":[' + many(tracked, 10_000) + b"]}", {LARGE, LATE}),
        ("4 MiB copied 10,000 times", "/v1/batch",
         b'{"context":{"x":"' + b"y" * (4 * MIB) + b'"},"batch":[' + many(tracked, 10_000) + b"]}", {LARGE, LATE}),
        ("two contexts of 100,000 keys", "/v1/batch",
         b'{"context":{' + keys(100_000) + b'},"batch":[{"userId":"u","type":"track","context":{' + keys(100_000, "j")
         + b"}}]}", {OK}),
        ("300,000 addresses", "/v1/track", b'{"userId":"u","x":[' + many(b'"a@b.co"', 300_000) + b"]}", {OK}),
        ("JSON in JSON in JSON", "/v1/track", nested_text(), {OK}),
        ("a million lone surrogates", "/v1/track", b'{"userId":"u","x":"' + b"\\udc00" * 600_000 + b'"}', {OK}),
        ("a million NULs", "/v1/track", b'{"userId":"u","x":"' + b"\\u0000" * 600_000 + b'"}', {OK}),
        ("paths of a string", "/v1/track", b'{"userId":"u","x":"' + b"/a" * 1_500_000 + b'"}', {OK}),
        ("dots of a string", "/v1/track", b'{"userId":"u","x":"' + b"1." * 1_500_000 + b'"}', {OK}),
    ]:
        yield name, path, body, wanted
    hook = "/v1/webhook?writeKey=wk-hook"
    yield "a form of two million fields", hook, b"&".join(b"%d" % i for i in range(2_000_000)) + b"&a=1", {LARGE, JSON}
    yield "a form of 10,000 fields", hook, b"&".join(b"f%d=" % i for i in range(10_000)), {OK}
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n'
    yield "200,000 parts", hook, part * 200_000 + b"--x--\r\n", {LARGE}
    yield "a boundary of a megabyte", hook, b"--" + b"-" * MIB + b"\r\n" * 10, {JSON}
    yield "boundaries that nearly match", hook, b"--" + b"-" * 1000 + b"x\r\n" + b"\r\n--" * MIB, {JSON}


def nested_text():
    text = {"userId": "u"}
    for _ in range(12):
        text = {"userId": "u", "x": json.dumps(text)}
    return json.dumps(text).encode()


def corpus():
    """The written ones: one JSON line each, the body as text, hex, or pieces to repeat."""
    for line in CORPUS.read_text().splitlines():
        case = json.loads(line)
        yield case["name"], case.get("path", "/v1/track"), body_of(case), tuple(case["answer"])


def body_of(case):
    return bytes.fromhex(case["hex"]) if "hex" in case else case["text"].encode()


def post(port, path, body, encoding=None):
    headers = [("Authorization", basic("wk-enabled"))] if "webhook" not in path else []
    if encoding:
        headers.append(("Content-Encoding", encoding))
    answer = exchange(port, request("POST", path, headers, body))
    return answer and (answer.status, answer.body)


def replay(port):
    """Sends every body; yields how many were sent, and faults as texts."""
    sent = 0
    for name, coding, body, wanted in [*bombs(), *damage()]:
        sent += 1
        got = post(port, "/v1/track", body, coding)
        if got not in wanted:
            yield f"{name}: {got} instead of {wanted}"
    for name, path, body, wanted in shapes():
        sent += 1
        got = post(port, path, body)
        if got not in wanted:
            yield f"{name}: {got} instead of {wanted}"
    for name, path, body, (status, text) in corpus():
        sent += 1
        got = post(port, path, body)
        if got != (status, text.encode()):
            yield f"{name}: {got} instead of {status} {text!r}"
    yield sent


def mutate(rng, body):
    """A body with a few bytes changed, cut, doubled, or moved."""
    out = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        at, to = sorted((rng.randrange(len(out) + 1), rng.randrange(len(out) + 1)))
        match rng.randrange(6):
            case 0 if out:
                out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
            case 1:
                del out[at:to]
            case 2:
                out[at:at] = out[at:to][:2000]
            case 3:
                out[at:at] = rng.choice([b"\\u0000", b"\\ud800", b"\xc3\x28", b"\x00", b"{", b"]", b'"', b"1e999", b"\xef\xbb\xbf",
                                         b"null", b",", b'"userId":1,', b"[[[[", b"\\", b"-", b"\xf0\x9f\x98\x80"])
            case 4:
                out[at:to] = bytes(reversed(out[at:to]))
            case _:
                out[at:at] = rng.randbytes(rng.randint(1, 8))
    return bytes(out)


def fuzz(port, seed, count):
    """Sends `count` mutations of the corpus, packed and plain, on the event endpoints; every answer
    must be a documented one."""
    rng = random.Random(seed)
    seeds = [body_of(json.loads(line)) for line in CORPUS.read_text().splitlines()]
    seeds = [body for body in seeds if len(body) < 20_000]
    for number in range(count):
        body = mutate(rng, rng.choice(seeds))
        coding = rng.choice([None, None, None, *PACK])
        if coding:
            body = PACK[coding](body)
            if rng.random() < 0.5:
                body = mutate(rng, body)
        path = rng.choice(["/v1/track", "/v1/batch", "/v1/import", "/v1/identify", "/beacon/v1/batch?writeKey=wk-enabled",
                           "/v1/webhook?writeKey=wk-hook"])
        got = post(port, path, body, coding)
        if got not in DOCUMENTED - {BUSY}:
            yield f"seed {seed}, number {number}: {got} for {path} {coding} {body[:200]!r}"
    yield count
