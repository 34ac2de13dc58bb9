"""The labelled sets through keelrow and its peers, scored alike: the table of docs/privacy.md.

usage: peers.py PATH_TO_KEELROW     (needs requirements.txt beside this file)

Peers: Sentry Relay's engine with all its patterns and its scrubbing by default, and Microsoft
Presidio's recognizers of patterns, without a language model, so without names and places. Both see
texts alone; Relay's engine also takes whole events, which Presidio has no notion of.
"""

import difflib
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import tldextract
import zstandard
from presidio_analyzer import predefined_recognizers
from sentry_relay.processing import pii_strip_event

ROOT = pathlib.Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden"

# Relay's own patterns, as its documentation lists them, on every value of an event.
RELAY_RULES = [
    "@bearer", "@creditcard", "@email", "@iban", "@imei", "@ip", "@mac",
    "@password", "@pemkey", "@urlauth", "@userpath", "@usssn",
]
PRESIDIO = [
    "CreditCardRecognizer", "CryptoRecognizer", "DateRecognizer", "EmailRecognizer",
    "IbanRecognizer", "IpRecognizer", "MacAddressRecognizer", "PhoneRecognizer",
    "UsSsnRecognizer", "UrlRecognizer",
]


def rows(name):
    raw = (GOLDEN / name).read_bytes()
    text = zstandard.ZstdDecompressor().stream_reader(raw).read().decode()
    return [json.loads(line) for line in text.splitlines()]


def score_texts(texts, cleaned):
    """Shares of labelled values gone, of hard negatives untouched, of other characters kept."""
    gone = spans = intact = negatives = kept = other = 0
    for row, out in zip(texts, cleaned):
        text, plain = row["text"], list(row["text"])
        for span in row["spans"]:
            plain[span["start"] : span["end"]] = [""] * (span["end"] - span["start"])
            if span["class"] == "pattern":
                quoted = json.dumps(span["value"], ensure_ascii=False)[1:-1]
                spans += 1
                gone += span["value"] not in out and quoted not in out
        if row["source"] == "negative":
            negatives += 1
            intact += out == text
        plain = "".join(plain)
        other += len(plain)
        kept += len(plain) if out == text else min(len(plain), survived(plain, out))
    return gone / spans, intact / negatives, kept / other


def survived(before, after):
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, f"{path}/{number}")
    else:
        yield path, value


def score_events(labels, bodies, cleaned):
    """Shares of labelled values gone and of other leaves unchanged, type and all."""
    gone = values = same = others = 0
    for label, body, out in zip(labels, bodies, cleaned):
        text = json.dumps(out, ensure_ascii=False)
        for value in label["pii"]:
            values += 1
            gone += json.dumps(value["value"], ensure_ascii=False)[1:-1] not in text
        labelled, after = {value["ptr"] for value in label["pii"]}, dict(leaves(out))
        for path, value in leaves(body):
            if path not in labelled:
                others += 1
                found = after.get(path)
                same += path in after and found == value and type(found) is type(value)
    return gone / values, same / others


def keelrow(program, events):
    """What `keelrow transform` makes of events, with the default pack."""
    lines = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    with tempfile.TemporaryDirectory() as empty:
        command = [str(pathlib.Path(program).resolve()), "transform"]
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True, cwd=empty)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Relay:
    """Relay's engine over one event at a time, by its C interface."""

    def __init__(self):
        self.config = {"applications": {"$string": RELAY_RULES, "$object": ["@password"]}}

    def extra(self, value):
        event = {"extra": {"value": value}}
        return pii_strip_event(self.config, event)["extra"]["value"]

    def text(self, text):
        out = self.extra(text)
        return out if isinstance(out, str) else ""


class Presidio:
    """Presidio's recognizers one by one, without the analyzer that would want a model."""

    def __init__(self):
        # The list of public suffixes that comes with the package; nothing is fetched.
        offline = tldextract.TLDExtract(suffix_list_urls=())
        tldextract.tldextract.TLD_EXTRACTOR = tldextract.extract = offline
        self.recognizers = [getattr(predefined_recognizers, name)() for name in PRESIDIO]

    def text(self, text):
        found = []
        for one in self.recognizers:
            found += one.analyze(text, one.supported_entities, None) or []
        taken = []
        for one in sorted(found, key=lambda one: (-one.score, one.start)):
            if one.score > 0 and all(one.end <= a or one.start >= b for a, b, _ in taken):
                taken.append((one.start, one.end, one.entity_type))
        for start, end, kind in sorted(taken, reverse=True):
            text = f"{text[:start]}<{kind}>{text[end:]}"
        return text


def timed(clean, items):
    start = time.process_time()
    out = [clean(item) for item in items]
    return out, len(items) / (time.process_time() - start)


def main(program):
    texts = rows("privacy/texts.jsonl.zst")
    labels = rows("privacy/labels.jsonl.zst")
    bodies = [request["body"] for request in rows("corpus/requests.jsonl.zst")]
    relay, presidio = Relay(), Presidio()
    plain = [row["text"] for row in texts]

    wrapped = [{"type": "track", "properties": {"text": text}} for text in plain]
    ours = [event["properties"]["text"] for event in keelrow(program, wrapped)]
    relays, _ = timed(relay.text, plain)
    presidios, texts_a_second = timed(presidio.text, plain)
    by_text = [score_texts(texts, out) for out in (relays, presidios, ours)]

    ours = keelrow(program, [event for body in bodies for event in body.get("batch", [body])])
    merged = []
    for body in bodies:
        if "batch" in body:
            some, ours = ours[: len(body["batch"])], ours[len(body["batch"]) :]
            merged.append({**body, "batch": some})
        else:
            merged.append(ours.pop(0))
    relays, events_a_second = timed(relay.extra, bodies)
    by_event = [score_events(labels, bodies, out) for out in (relays, merged)]

    print("| set | figure | Relay | Presidio | keelrow |")
    print("|---|---|---|---|---|")
    names = ["values that are gone", "hard negatives untouched", "other characters kept"]
    for number, name in enumerate(names):
        cells = " | ".join(f"{score[number]:.3f}" for score in by_text)
        print(f"| {'texts' if number == 0 else ''} | {name} | {cells} |")
    for number, name in enumerate(["labelled values that are gone", "other leaves unchanged"]):
        cells = f"{by_event[0][number]:.3f} | - | {by_event[1][number]:.3f}"
        print(f"| {'events' if number == 0 else ''} | {name} | {cells} |")
    print(f"\nRelay {events_a_second:.0f} requests and Presidio {texts_a_second:.0f} texts a CPU second")
    held = by_text[2][0] >= 0.99 and by_text[2][1] >= 0.99 and by_text[2][2] >= 0.998
    held = held and by_event[1][0] >= 0.995 and by_event[1][1] >= 0.999
    sys.exit(0 if held else "keelrow is below its marks")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
