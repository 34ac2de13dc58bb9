"""The faults at which dbt's union was measured to lose: each value is kept in the unified table, and
the union written by dbt's rules is shown to lose it on the very same tables."""

import datetime
import sys
import tempfile

import duckdb

import lake as lakes
from harness import Gateway
from lake import check
from union_relations import union_relations

CONFIG = """
[[source]]
name = "web"
environment = "prod"
platform = "web"
write_key = "wk"
schema = "web_prod"
[[source]]
name = "app"
environment = "prod"
platform = "mobile"
write_key = "ak"
schema = "app_prod"
"""


def stamp(hours=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def track(message_id, event, properties, **more):
    return {
        "type": "track", "messageId": message_id, "userId": "u", "event": event,
        "properties": properties, "originalTimestamp": stamp(), "sentAt": stamp(), **more,
    }


def send(gateway, requests):
    """Each list of events is a batch of its own in the lake."""
    for key, events in requests:
        with gateway.running():
            assert gateway.post("/v1/batch", key, {"batch": events, "sentAt": stamp()}) == 200


def union(lake, first=("web_prod", "ping")):
    """The tables as they are in a database, and their names in the order of the union."""
    db = lakes.connect()
    relations = []
    for schema in ("web_prod", "app_prod"):
        db.execute(f'create schema "{schema}"')
        for table in lakes.event_tables(lake, schema):
            source = lakes.member(lake, schema, table)
            db.execute(f'create table "{schema}"."{table}" as select * from {source}')
            relations.append((schema, table))
    relations.sort(key=lambda relation: relation != first)
    return db, relations


def run(program, folder):
    config = f"{folder}/faults.toml"
    with open(config, "w") as file:
        file.write(CONFIG)
    gateway = Gateway(program, folder, config)
    long, wide = "x" * 300, "y" * 1_000
    again = track("m-1", "ping", {"ms": 7, "load": 1, "note": long})
    send(gateway, [
        ("wk", [again, again]),
        ("ak", [track("m-2", "pong", {"ms": "45 ms", "load": 1.5, "note": wide, "fresh": "new"})]),
        ("wk", [
            track("m-3", "ping", {"ms": 8, "load": 2.5}),
            track("late", "ping", {"ms": 9}, originalTimestamp=stamp(-24 * 400)),
            track("ahead", "ping", {"ms": 10}, timestamp=stamp(24 * 365 * 20), sentAt=stamp(24 * 365 * 20)),
            again,
        ]),
    ])
    db = lakes.connect()
    table = lakes.unified(gateway.lake, "prod")

    def one(query):
        return db.execute(query.format(table=table)).fetchone()[0]

    theirs, relations = union(gateway.lake)
    with check("1.5 in a column of integers is 1.5; in dbt's union it is 2"):
        assert one("select load__float from {table} where id = 'm-2'") == 1.5
        assert one("select load from {table} where id = 'm-1'") == 1
        without = union_relations(theirs, relations, exclude=["ms"])
        rounded = theirs.execute(f"select load from ({without}) where id = 'm-2'").fetchone()[0]
        assert rounded == 2, rounded
    with check("'45 ms' in a column of numbers is kept; dbt's union fails as a whole"):
        assert one("select ms__string from {table} where id = 'm-2'") == "45 ms"
        assert one("select sum(ms) from {table}") == 7 + 8 + 9 + 10
        try:
            theirs.execute(union_relations(theirs, relations)).fetchall()
            raise AssertionError("the union did not fail")
        except duckdb.ConversionException:
            pass
    with check("a text longer than the first is whole, and the registry knows how long"):
        assert one("select note from {table} where id = 'm-2'") == wide
        schema = lakes.registry(gateway.lake)["unified/prod/user_events/v1"]
        note = next(column for column in schema["columns"] if column["name"] == "note")
        assert note["max_bytes"] == 1_024, note
    with check("a new column is there at once, at the end"):
        assert one("select fresh from {table} where id = 'm-2'") == "new"
        names = [column["name"] for column in schema["columns"]]
        assert names.index("fresh") > names.index("note"), names
    with check("a late row is a row of the day it came"):
        assert one("select event_date = cast(received_at as date) from {table} where id = 'late'")
        assert one("select timestamp < now() - interval 1 year from {table} where id = 'late'")
    with check("a repeat in a batch, and of a batch before, is one row"):
        assert one("select count(*) from {table} where id = 'm-1'") == 1
    with check("a clock 20 years ahead moves nothing"):
        assert one("select count(*) from {table}") == 5
        assert one("select max(timestamp) < now() + interval 1 day from {table}")
        assert one("select time_adjusted from {table} where id = 'ahead'")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keelrow-faults-") as folder:
        run(sys.argv[1], folder)
