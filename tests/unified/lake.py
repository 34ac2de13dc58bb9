"""What is in a lake, read with DuckDB as an analyst would."""

import contextlib
import datetime
import json
import pathlib

import duckdb

STANDARD = {
    "tracks", "users", "identifies", "groups", "aliases",
    "rudder_discards", "rudder_identity_merge_rules", "rejected",
}


def connect():
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    return db


def parquet(pattern):
    return f"read_parquet('{pattern}', union_by_name = true)"


def unified(lake, environment, name="user_events", generation=1):
    return parquet(f"{lake}/unified/{environment}/{name}/v{generation}/**/*.parquet")


def event_tables(lake, schema):
    """The tables of a schema whose rows are in the unified table."""
    folder = pathlib.Path(lake, "rudder-datalake", schema)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if name not in STANDARD]


def member(lake, schema, table):
    return parquet(f"{lake}/rudder-datalake/{schema}/{table}/**/*.parquet")


def columns(db, relation):
    """Names and types, in order."""
    return [(row[0], row[1]) for row in db.execute(f"describe select * from {relation}").fetchall()]


def rows(db, relation, names):
    """The rows as a sorted list of comparable texts, times to the microsecond."""
    quoted = ", ".join(f'"{name}"' for name in names)
    found = db.execute(f"select {quoted} from {relation}").fetchall()
    return sorted(json.dumps([cell(value) for value in row]) for row in found)


def cell(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat(timespec="microseconds")
    if isinstance(value, datetime.date):
        return value.isoformat()
    # A number is the same number whether it stands in a column of integers or of floats.
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def registry(lake):
    """The newest columns of each table, by folder."""
    newest = {}
    root = pathlib.Path(lake, "_keelrow", "schemas")
    for path in root.rglob("*.json"):
        folder = str(path.parent.relative_to(root))
        schema = json.loads(path.read_text())
        if schema["version"] > newest.get(folder, {"version": 0})["version"]:
            newest[folder] = schema
    return newest


@contextlib.contextmanager
def check(what):
    """Says what holds; a fault tells which check it was."""
    try:
        yield
    except AssertionError:
        print(f"FAILED: {what}")
        raise
    print(f"  {what}")
