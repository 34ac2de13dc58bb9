"""Real SDKs against the real program: every event must be found in the Parquet files, once.

usage: run.py PATH_TO_KEELROW

Starts the program on a folder of its own, lets each SDK send the calls of events.json, waits until
the loader has committed them, and looks each one up with DuckDB, values and all.
"""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import duckdb

HERE = pathlib.Path(__file__).parent
CALLS = json.loads((HERE / "events.json").read_text())
NODE = ["rudder-node-gzip", "rudder-node-plain", "segment-node", "segment-node-legacy"]
PYTHON = ["rudder-python-gzip", "rudder-python-plain", "segment-python-gzip", "segment-python-plain"]
SDKS = NODE + PYTHON
COMMIT_LIMIT_S = 60
TABLES = {"identify": "identifies", "page": "pages", "screen": "screens", "group": "groups"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def configuration(folder, port, admin):
    sources = "\n".join(
        f'[[source]]\nname = "{sdk}"\nwrite_key = "key-{sdk}"\nenvironment = "prod"\n'
        f'platform = "server"\nschema = "{schema(sdk)}"\n'
        for sdk in SDKS
    )
    return f"""
[http]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin}"
[journal]
path = "{folder}/journal"
max_bytes = "1GiB"
[storage]
url = "{folder}/lake"
[load]
max_age = "1s"
{sources}
"""


def schema(sdk):
    return sdk.replace("-", "_")


@contextlib.contextmanager
def gateway(program):
    with tempfile.TemporaryDirectory(prefix="keelrow-sdk-") as folder:
        port, admin = free_port(), free_port()
        config = pathlib.Path(folder, "keelrow.toml")
        config.write_text(configuration(folder, port, admin))
        child = subprocess.Popen([program, "serve", "--config", str(config)])
        try:
            wait_for_port(port, child)
            yield f"http://127.0.0.1:{port}", pathlib.Path(folder, "lake")
        finally:
            child.send_signal(signal.SIGTERM)
            code = child.wait(timeout=30)
        if code != 0:
            raise SystemExit(f"keelrow ended with {code}")


def wait_for_port(port, child):
    until = time.monotonic() + 30
    while time.monotonic() < until and child.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit("keelrow did not start")


def send(sdk, url):
    if sdk in NODE:
        command = ["node", str(HERE / "node" / "send.mjs")]
    else:
        command = [sys.executable, str(HERE / "python" / "send.py")]
    return subprocess.run([*command, sdk, url, f"key-{sdk}", sdk], timeout=120).returncode == 0


def loaded(lake):
    total = 0
    for manifest in lake.glob("_keelrow/batches/*/*.json"):
        total += json.loads(manifest.read_text())["events"]["loaded"]
    return total


def wait_until_loaded(lake, expected):
    until = time.monotonic() + COMMIT_LIMIT_S
    while time.monotonic() < until:
        if loaded(lake) >= expected:
            return
        time.sleep(0.1)
    print(f"loaded {loaded(lake)} of {expected} events within {COMMIT_LIMIT_S} s")


def expected_fields(call):
    fields = dict(call["fields"])
    if "repeat" in call:
        repeat = call["repeat"]
        fields[repeat["field"]] = repeat["text"] * repeat["times"]
    # Warehouses refuse NUL, so the gateway takes it out; nothing else may change.
    return {k: v.replace("\0", "") if isinstance(v, str) else v for k, v in fields.items()}


def faults(db, lake, sdk, number, call):
    marker = f"{sdk}-{number}"
    table = TABLES.get(call["call"]) or call.get("name", "aliases").lower().replace(" ", "_")
    # This SDK sends the traits of a user in the context only.
    traits = sdk.startswith("rudder-python") and call["call"] == "identify"
    prefix = "context_traits_" if traits else ""
    column = "user_id" if call["call"] == "alias" else f"{prefix}marker"
    files = f"{lake}/rudder-datalake/{schema(sdk)}/{table}/**/*.parquet"
    try:
        found = db.execute(
            "select * from read_parquet(?, union_by_name = true) where " + column + " = ?",
            [files, marker],
        )
    except duckdb.Error as error:
        return [f"{table}: {type(error).__name__}"]
    names = [d[0] for d in found.description]
    rows = found.fetchall()
    if len(rows) != 1:
        return [f"{table}: {len(rows)} rows"]
    row = dict(zip(names, rows[0]))
    wrong = [k for k, v in expected_fields(call).items() if row.get(prefix + k) != v]
    wrong += [k for k in ("id", "received_at", "timestamp", "_timestamp") if k in row and row[k] is None]
    if call["call"] == "alias" and row["previous_id"] != call["id"]:
        wrong.append("previous_id")
    return [f"{table}.{name} differs" for name in wrong]


def main():
    with gateway(sys.argv[1]) as (url, lake):
        sent = {sdk: send(sdk, url) for sdk in SDKS}
        wait_until_loaded(lake, len(CALLS) * sum(sent.values()))
        db = duckdb.connect()
        db.execute("set timezone = 'UTC'")
        passed = failed = 0
        for sdk in SDKS:
            wrong = [] if sent[sdk] else ["the SDK failed to send"]
            for number, call in enumerate(CALLS):
                wrong += faults(db, lake, sdk, number, call) if sent[sdk] else []
            print(f"{sdk}: {'; '.join(wrong) if wrong else 'all events found, once'}")
            passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"SDKs: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
