#!/usr/bin/env python3
"""The loader for one table beside DuckDB's JSON to Parquet: CPU and bytes of file for an event.

    python3 -m venv venv && venv/bin/pip install duckdb==2.0.1
    venv/bin/python loadtest/duckdb_compare.py --keelrow target/release/keelrow

Track events of one name are sent to a keelrow that writes the event's table and no other. Its figure
is the CPU of the process less that of the threads that are not the loader's: reading the journal,
leaving repeats out, mapping, encoding, syncing, committing. DuckDB reads the rows of that very table
as JSON lines, only the members that are not null, and writes the same columns with the same types,
in row groups of the same size, compressed by zstd, on one thread; its figure is the CPU of that one
statement. Both take turns. The figures are the median and the least and most of the rounds.
"""

import argparse
import base64
import http.client
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb

KEY = "one-table"
PORT, ADMIN_PORT = 18080, 18081
NAME = "board_card_moved"
CONFIG = f"""
[node]
name = "compare"
[[source]]
name = "webapp"
write_key = "{KEY}"
environment = "prod"
platform = "web"
schema = "webapp_prod"
layout = {{ skip_tracks_table = true }}
[[unified]]
name = "user_events"
exclude_tables = ["*"]
"""


def events(count, seed):
    """Batches of 50 events of some 1.2 KB, as a browser's SDK sends them; large bodies have threads of their own."""
    draw = random.Random(seed)
    users = [f"{draw.getrandbits(104):026x}" for _ in range(10_000)]
    agents = [f"Mozilla/5.0 (X11; Linux x86_64) Chrome/12{n}.0.0.0 Safari/537.36" for n in range(6)]
    batch = []
    for number in range(count):
        user = draw.choice(users)
        batch.append({
            "type": "track", "event": NAME, "channel": "web", "userId": user, "anonymousId": user[::-1],
            "messageId": f"{draw.getrandbits(128):032x}",
            "originalTimestamp": f"2026-06-15T00:{number // 60 % 60:02}:{number % 60:02}.{draw.randrange(1000):03}Z",
            "context": {
                "app": {"build": "1.0.0", "name": "RudderLabs JavaScript SDK",
                        "namespace": "com.rudderlabs.javascript", "version": "2.48.5"},
                "library": {"name": "RudderLabs JavaScript SDK", "version": "2.48.5"},
                "userAgent": draw.choice(agents), "locale": draw.choice(["en-US", "de-DE", "fr", "ja"]),
                "screen": {"density": 2, "width": draw.choice([1440, 1920, 2560]),
                           "height": draw.choice([900, 1080, 1440]),
                           "innerWidth": draw.randrange(900, 1900), "innerHeight": draw.randrange(600, 1100)},
                "sessionId": draw.randrange(1_700_000_000_000, 1_700_000_900_000),
                "page": {"path": draw.choice(["/core", "/admin", "/boards"]), "title": "Boards",
                         "url": f"https://app.example.com/boards/{draw.randrange(500)}",
                         "initial_referrer": "$direct"},
                "timezone": draw.choice(["GMT+0200", "GMT-0700", "GMT+0900"]),
            },
            "properties": {
                "category": "boards", "board_id": f"{draw.getrandbits(104):026x}",
                "card_id": f"{draw.getrandbits(104):026x}", "position": draw.randrange(40),
                "duration": draw.randrange(100, 90_000) / 100, "dragged": draw.random() < 0.7,
                "user_actual_id": user, "from_column": draw.choice(["todo", "doing", "done"]),
                "to_column": draw.choice(["todo", "doing", "done"]), "version": draw.choice(["9.5.5", "9.9.0"]),
            },
        })
        if len(batch) == 50:
            yield json.dumps({"batch": batch})
            batch = []


def loader_seconds(pid):
    """CPU of the process less the threads of others; the process counts in steps of 10 ms."""
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    total = (int(stat[11]) + int(stat[12])) / 100
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if not (task / "comm").read_text().startswith("loader"):
            total -= int((task / "schedstat").read_text().split()[0]) / 1e9
    return total


def keelrow_round(program, folder, count, seed):
    """Loads one batch; answers CPU microseconds an event and the table's file."""
    folder.mkdir()
    config = folder / "keelrow.toml"
    config.write_text(CONFIG)
    environment = {
        "KEELROW__HTTP__LISTEN": f"127.0.0.1:{PORT}", "KEELROW__HTTP__ADMIN_LISTEN": f"127.0.0.1:{ADMIN_PORT}",
        "KEELROW__JOURNAL__PATH": str(folder / "journal"), "KEELROW__STORAGE__URL": str(folder / "lake"),
        "KEELROW__LOAD__MAX_AGE": "20s", "KEELROW__LOAD__COMPRESSION": "zstd",
    }
    bodies = list(events(count, seed))
    with open(folder / "log", "w") as log:
        server = subprocess.Popen([program, "serve", "--config", config], env=environment, stdout=log, stderr=log)
    try:
        send(bodies)
        deadline = time.monotonic() + 120
        lake = folder / "lake"
        while not list(lake.glob("_keelrow/batches/*/*.json")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no batch; see {folder / 'log'}")
            time.sleep(0.1)
        time.sleep(0.5)
        spent = loader_seconds(server.pid)
    finally:
        server.terminate()
        server.wait(60)
    files = list(lake.rglob("*.parquet"))
    if len(files) != 1:
        raise RuntimeError(f"one file was expected, not {[str(file) for file in files]}")
    return spent / count * 1e6, files[0]


def send(bodies):
    """Sends all bodies once the server listens."""
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", PORT)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().read() is not None:
                break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    token = base64.b64encode(f"{KEY}:".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    for body in bodies:
        connection.request("POST", "/v1/batch", body, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"a batch was answered {answer.status}")


def duckdb_round(file, folder, count):
    """Writes the same rows from JSON; answers CPU microseconds an event and the file."""
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.execute("SET TimeZone = 'UTC'")
    source = connection.sql(f"SELECT * FROM read_parquet('{file}')")
    names, types = source.columns, [str(kind) for kind in source.types]
    lines = folder / "rows.json"
    # Times as text, since Python would want another package for them.
    spelled = [
        f"strftime(\"{name}\" AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%fZ')" if "TIME ZONE" in kind else f'"{name}"'
        for name, kind in zip(names, types)
    ]
    cursor = connection.execute(f"SELECT {', '.join(spelled)} FROM read_parquet('{file}')")
    with open(lines, "w") as out:
        while rows := cursor.fetchmany(10_000):
            for row in rows:
                members = {name: value for name, value in zip(names, row) if value is not None}
                out.write(json.dumps(members) + "\n")
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in zip(names, types))
    written = folder / "duckdb.parquet"
    statement = (
        f"COPY (SELECT * FROM read_json('{lines}', format = 'newline_delimited', columns = {{{columns}}})) "
        f"TO '{written}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {max(count, 2048)})"
    )
    before = time.process_time()
    connection.execute(statement)
    return (time.process_time() - before) / count * 1e6, written


def spread(values, digits):
    """Median, least and most."""
    return f"{statistics.median(values):.{digits}f} [{min(values):.{digits}f}-{max(values):.{digits}f}]"


def main():
    """Runs the rounds and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keelrow", required=True)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    ours, theirs, faster, sizes, smaller = [], [], [], [], []
    for number in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            one, file = keelrow_round(args.keelrow, folder / "keelrow", args.events, number)
            other, written = duckdb_round(file, folder, args.events)
            ours.append(one)
            theirs.append(other)
            faster.append(other / one)
            sizes.append(file.stat().st_size / args.events)
            smaller.append(file.stat().st_size / written.stat().st_size)
            print(f"round {number + 1}: {one:.2f} us, DuckDB {other:.2f} us", file=sys.stderr)
    print(f"loader for one table, CPU us/event: {spread(ours, 2)}")
    print(f"DuckDB {duckdb.__version__}, CPU us/event: {spread(theirs, 2)}")
    print(f"as fast as DuckDB: {spread(faster, 2)}")
    print(f"file bytes/event: {spread(sizes, 0)}, of DuckDB's {spread(smaller, 2)}")


if __name__ == "__main__":
    main()
