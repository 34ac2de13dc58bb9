"""Looks up each sent event in the Parquet files with DuckDB, values and all."""

import datetime
import re

import duckdb

TABLES = {"identify": "identifies", "page": "pages", "screen": "screens", "group": "groups"}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Clocks are the machine's own, so times of a run lie within it.
CLOCK_S = datetime.timedelta(minutes=10)


def connect():
    db = duckdb.connect()
    db.execute("set timezone = 'UTC'")
    db.execute("set threads = 2")
    return db


def as_stored(value):
    # Warehouses refuse NUL, so the gateway takes it out; nothing else may change.
    return value.replace("\0", "") if isinstance(value, str) else value


class Schema:
    """The tables of one source, each read once."""

    def __init__(self, db, lake, name):
        self.db, self.lake, self.name, self.tables = db, lake, name, {}

    def rows(self, table):
        if table not in self.tables:
            files = f"{self.lake}/rudder-datalake/{self.name}/{table}/**/*.parquet"
            try:
                found = self.db.execute("select * from read_parquet(?, union_by_name = true)", [files])
                names = [d[0] for d in found.description]
                self.tables[table] = [dict(zip(names, row)) for row in found.fetchall()]
            except duckdb.IOException:
                self.tables[table] = []
        return self.tables[table]

    def all_ids(self):
        """The ids of each table's rows, which must all differ."""
        return {table: [row["id"] for row in rows] for table, rows in self.tables.items()}


def table_of(call):
    return TABLES.get(call["call"]) or call.get("name", "aliases").lower().replace(" ", "_")


def faults(schema, sdk, call, sent_ids):
    """What is wrong with the rows of one call; `sent_ids` maps marker to the messageIds seen on the wire."""
    table, marker = table_of(call), call["marker"]
    prefix = "context_traits_" if sdk.context_traits and call["call"] == "identify" else ""
    if call["call"] == "alias":
        rows = [row for row in schema.rows(table) if row["previous_id"] == call["id"]]
    else:
        rows = [row for row in schema.rows(table) if row.get(f"{prefix}marker") == marker]
    if not rows or (len(rows) > 1 and sdk.message_id):
        return [f"{table}: {len(rows)} rows"]
    wrong = []
    for row in rows:
        wrong += [f"{table}.{name}" for name in wrong_cells(row, sdk, call, prefix)]
        if marker in sent_ids and row["id"] not in sent_ids[marker]:
            wrong.append(f"{table}.id is not the messageId that was sent")
    return wrong


def wrong_cells(row, sdk, call, prefix):
    for name, value in call["fields"].items():
        if row.get(prefix + name) != as_stored(value):
            yield name
    if call["call"] == "alias" and not sdk.alias_is_current and row["user_id"] != call["user"]:
        yield "user_id"
    if call["call"] == "identify" and row["user_id"] != call["user"]:
        yield "user_id"
    if call["call"] == "group" and row["group_id"] != call["id"]:
        yield "group_id"
    if call["call"] in ("page", "screen") and row["name"] != call["name"]:
        yield "name"
    if call["call"] == "track" and row["event_text"] != call["name"]:
        yield "event_text"
    if not row["id"] or (not sdk.message_id and not UUID.fullmatch(row["id"])):
        yield "id"
    if (row.get("context_library_name") or "") != sdk.library:
        yield f"context_library_name ({row.get('context_library_name')})"
    now = datetime.datetime.now(datetime.UTC)
    for name in ("received_at", "_timestamp", "original_timestamp", "sent_at"):
        if row.get(name) is None or abs(now - row[name].replace(tzinfo=datetime.UTC)) > CLOCK_S:
            yield name
    if sdk.runner in ("browser",) and not row.get("anonymous_id"):
        yield "anonymous_id"


def platforms(db, lake, environment):
    """The platform of each source's rows in the unified table."""
    files = f"{lake}/unified/{environment}/user_events/**/*.parquet"
    query = "select source_name, list(distinct platform) from read_parquet(?, union_by_name = true) group by 1"
    try:
        return dict(db.execute(query, [files]).fetchall())
    except duckdb.IOException:
        return {}
