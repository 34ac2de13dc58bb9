"""A lake for every `load.dialect`, read back with DuckDB.

usage: dialects.py PATH_TO_KEELROW

The same events go into a lake of each dialect. Of every file: physical and logical types are those
that all bulk loaders read, names are in lower case, short enough and never a reserved word as it
is, standard columns have their types, only `id` and `received_at` are required, `loaded_at` is
BigQuery's alone. Every table has the columns that `keelrow map` shows for the same events, and the
values are those that were sent.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

import duckdb

import run

# Longest name, whether JSON paths are read, and how the word `timestamp` is spelled.
DIALECTS = {
    "postgres": (63, True, "timestamp"),
    "snowflake": (127, True, "timestamp"),
    "bigquery": (127, True, "timestamp"),
    "redshift": (127, True, "timestamp"),
    "clickhouse": (127, False, "timestamp"),
    "databricks": (127, False, "timestamp"),
    "datalake": (255, False, "_timestamp"),
}
KINDS = {
    ("INT64", None): "BIGINT",
    ("DOUBLE", None): "DOUBLE",
    ("BOOLEAN", None): "BOOLEAN",
    ("BYTE_ARRAY", "UTF8"): "VARCHAR",
    ("INT32", "DATE"): "DATE",
    ("INT64", "TIMESTAMP_MICROS"): "TIMESTAMP WITH TIME ZONE",
}
TEXTS = ["id", "anonymous_id", "user_id", "event", "event_text", "channel", "name", "group_id", "previous_id", "context_ip"]
TIMES = ["received_at", "sent_at", "original_timestamp", "uuid_ts", "loaded_at"]
LONG = "a very long name of a property " * 12
WORDS = ["select", "order", "group", "user", "table", "timestamp", "default", "from", "left", "end"]


def events():
    """One of each kind, with all types, long names and reserved words."""
    values = {
        "whole": 9007199254740993,
        "fraction": 0.25,
        "yes": True,
        "day": "2024-02-29",
        "moment": "2024-02-29T23:59:59.123456+05:30",
        "no_day": "2023-02-29",
        "text": "45 ms",
        "list": [1, "two", {"three": 3}],
        "huge": 10**30 + 1,
        "nested": {"a": {"b": 1}, "kept": {"as": "json"}},
        LONG: 1,
    } | {word: "w" for word in WORDS if word != "timestamp"}
    who = {"userId": "u-1", "anonymousId": "a-1", "channel": "web", "context": {"ip": "192.0.2.7", "app": {"build": 7}}}
    return [
        {"type": "track", "event": "Order Completed", "properties": values},
        {"type": "track", "event": "Select", "properties": {"a": 1}},
        {"type": "page", "name": "Home", "properties": values},
        {"type": "screen", "name": "Main", "properties": values},
        {"type": "identify", "traits": values},
        {"type": "group", "groupId": "g-1", "traits": values},
        {"type": "alias", "previousId": "u-0", "traits": values},
    ], who


def main():
    program = sys.argv[1]
    for dialect in DIALECTS:
        with tempfile.TemporaryDirectory(prefix="keelrow-dialect-") as name:
            folder = pathlib.Path(name)
            check(program, folder, dialect)
        print(f"{dialect}: files, types and names are as documented")


def check(program, folder, dialect):
    config = folder / "keelrow.toml"
    source = """
[[source]]
name = "web"
write_key = "wk"
environment = "prod"
platform = "web"
transforms = []
layout = { json_paths = ["track.properties.nested.kept"] }
"""
    config.write_text(run.configuration(folder).split("[[source]]")[0] + f'[load]\ndialect = "{dialect}"\n' + source)
    bare, who = events()
    sent = [{**who, **event, "messageId": f"m-{n}"} for n, event in enumerate(bare)]
    send(program, config, sent)
    shown = mapped(program, dialect, sent)
    tables = json.loads(subprocess.run([program, "tables", "--json", "--config", config], capture_output=True, check=True).stdout)
    seen = set()
    for table in tables:
        columns = check_files(folder, dialect, table)
        seen.add(table["table"])
        if table["schema"] != "unified_prod" and table["table"] != "rudder_discards":
            wanted = shown[table["table"]]
            base = {column for column in columns if not re.search("__(int|float|boolean|datetime|string)$", column)}
            assert base == wanted, f"{dialect} {table['table']}: {sorted(base ^ wanted)}"
    assert seen - {"rudder_discards"} == set(shown) - {"rudder_discards"} | {"user_events"}, f"{dialect}: {seen}"
    check_values(folder, dialect)


def send(program, config, sent):
    port = int(config.read_text().split("127.0.0.1:")[1].split('"')[0])
    child = subprocess.Popen([program, "serve", "--config", config], stderr=subprocess.DEVNULL)
    try:
        run.wait_for(port)
        run.post(port, "wk", sent)
    finally:
        child.send_signal(signal.SIGTERM)
        assert child.wait(timeout=60) == 0


def mapped(program, dialect, sent):
    """The columns of each table by `keelrow map`, in lower case."""
    # The gateway adds these to every event.
    times = {"sentAt": "2024-03-01T00:00:00.000Z", "originalTimestamp": "2024-03-01T00:00:00.000Z", "timestamp": "2024-03-01T00:00:00.000Z", "request_ip": "127.0.0.1"}
    lines = "".join(json.dumps({**times, **event}) + "\n" for event in sent)
    options = json.dumps({"jsonPaths": "track.properties.nested.kept"})
    metadata = json.dumps({"sourceId": "web_prod", "sourceType": "web"})
    command = [program, "map", "--dialect", dialect, "--options", options, "--metadata", metadata]
    answer = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    tables = {}
    for line in answer.stdout.splitlines():
        for row in json.loads(line):
            columns = {column.lower() for column in row["metadata"]["columns"]}
            tables.setdefault(row["metadata"]["table"].lower(), set()).update(columns)
    return tables


def check_files(folder, dialect, table):
    """The columns of a table, whose files are held against its registered ones."""
    longest, _, timestamp = DIALECTS[dialect]
    registered = {column["name"]: column["type"] for column in table["columns"]}
    files = sorted((folder / "lake" / table["folder"]).rglob("*.parquet"))
    assert files, f"{dialect}: {table['folder']} has no file"
    for file in files:
        where = f"{dialect} {table['table']}"
        assert re.fullmatch(r"\d{4}/\d\d/\d\d/\d\d", str(file.parent.relative_to(folder / "lake" / table["folder"]))), file
        fields = duckdb.execute(f"select name, type, converted_type, repetition_type from parquet_schema('{file}')").fetchall()[1:]
        names = [name for name, *_ in fields]
        assert names == list(registered), f"{where}: {names} and {list(registered)}"
        assert len({name.lower() for name in names}) == len(names)
        for name, physical, converted, repetition in fields:
            assert re.fullmatch("[a-z_][a-z0-9_]*", name) and len(name) <= longest, f"{where}: {name}"
            kind = KINDS.get((physical, converted))
            assert kind, f"{where}.{name} is {physical} {converted}"
            assert (repetition == "REQUIRED") == (name in ("id", "received_at")), f"{where}.{name} is {repetition}"
            assert name not in TEXTS or kind == "VARCHAR", f"{where}.{name} is {kind}"
            assert name not in TIMES or kind.startswith("TIMESTAMP"), f"{where}.{name} is {kind}"
            types = {"int": "BIGINT", "float": "DOUBLE", "boolean": "BOOLEAN", "datetime": "TIMESTAMP WITH TIME ZONE", "string": "VARCHAR", "date": "DATE"}
            assert types[registered[name]] == kind, f"{where}.{name} is {kind} and {registered[name]}"
        read = dict(row[:2] for row in duckdb.execute(f"describe select * from read_parquet('{file}')").fetchall())
        assert all(read[name] == KINDS[(physical, converted)] for name, physical, converted, _ in fields)
        assert ("loaded_at" in names) == (dialect == "bigquery" and table["table"] != "rudder_identity_merge_rules")
        if table["schema"] == "unified_prod":
            assert "timestamp" in names and "_timestamp" not in names, where
        elif table["table"] not in ("users", "rudder_discards"):
            assert timestamp in names, f"{where}: no {timestamp}"
    return set(registered)


def check_values(folder, dialect):
    """The values of the track event, in its own table and in the unified one."""
    _, has_json, _ = DIALECTS[dialect]
    for table in ["rudder-datalake/web_prod/order_completed", "unified/prod/user_events/v1"]:
        files = f"{folder}/lake/{table}/**/*.parquet"
        one = "event = 'order_completed'"
        row = f"from read_parquet('{files}', union_by_name = true) where {one}"
        found = duckdb.execute(f"select id, whole, fraction, yes, day = '2024-02-29 00:00:00+00', moment = '2024-02-29 18:29:59.123456+00', no_day, text, list, huge, nested_a_b {row}").fetchall()
        assert len(found) == 1, f"{dialect} {table}: {found}"
        *values, listed, huge, nested = found[0]
        wanted = ["m-0", 9007199254740993, 0.25, True, True, True, "2023-02-29", "45 ms"]
        assert values == wanted, f"{dialect} {table}: {values}"
        assert json.loads(listed) == [1, "two", {"three": 3}] and huge == str(10**30 + 1) and nested == 1
        kept, wanted = ("nested_kept", '{"as":"json"}') if has_json else ("nested_kept_as", "json")
        assert duckdb.execute(f"select {kept} {row}").fetchall() == [(wanted,)], f"{dialect} {table}"


if __name__ == "__main__":
    main()
