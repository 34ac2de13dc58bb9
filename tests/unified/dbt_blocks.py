"""`keelrow dbt` over what the corpus does not have: blocks that take a part of a schema, of `tracks` or
of the events without a table, one id from two sources, records that come again, a history that is
imported, a name of an event that is too long for a file. `dbt build` passes, twice."""

import lake as lakes
from dbt_project import dbt
from faults import track
from harness import Gateway
from lake import check

CONFIG = """
[load]
max_tables = 3
[[source]]
name = "one"
environment = "prod"
write_key = "k1"
schema = "shared"
[[source]]
name = "two"
environment = "prod"
write_key = "k2"
schema = "shared"
[[source]]
name = "history"
environment = "prod"
write_key = "k3"
keep_received_at = true
[[unified]]
name = "user_events"
exclude_events = ["order_undone", "late_?"]
[[unified]]
name = "of_one"
sources = ["one"]
[[unified]]
name = "by_tracks"
include_tables = ["tracks", "contact"]
exclude_events = ["order_undone"]
[[unified]]
name = "other_alone"
include_tables = ["other_events"]
"""
BLOCKS = ("user_events", "of_one", "by_tracks", "other_alone")


def record(number):
    return {
        "type": "extract", "event": "Contact", "recordId": "r1", "messageId": f"record-{number}",
        "userId": "u", "properties": {"number": number},
    }


def first(gateway):
    # The first three have a table, the others do not.
    events = [
        track("same", "Order Done", {"n": 1}),
        *[record(number) for number in range(2)],
        track("long", "x" * 240, {"n": 2}),
    ]
    others = ["Order Undone", "Late 1", "Other Events", "Something"]
    with gateway.running():
        assert gateway.post("/v1/batch", "k1", {"batch": events}) == 200
        assert gateway.post("/v1/batch", "k3", {"batch": [track("now", "Order Done", {"n": 3})]}) == 200
    with gateway.running():
        events = [track(f"other-{name}", name, {"n": 4}) for name in others]
        assert gateway.post("/v1/batch", "k1", {"batch": events}) == 200


def second(gateway):
    old = track("old", "Order Done", {"n": 5}, receivedAt="2020-01-05T12:00:00.000Z")
    again = [track("same", "Order Done", {"n": 6}), record(2)]
    with gateway.running():
        assert gateway.post("/v1/import", "k3", {"batch": [old]}) == 200
        assert gateway.post("/v1/batch", "k2", {"batch": again}) == 200


def run(program, folder):
    config = folder / "keelrow.toml"
    config.write_text(CONFIG)
    gateway = Gateway(program, folder, config)
    project = folder / "dbt"
    for part, send in (("what it holds", first), ("a history, an id and a record again", second)):
        send(gateway)
        gateway.run("dbt", "--out", str(project))
        with check(f"dbt build passes over {part}"):
            dbt(project, "build")
        for block in BLOCKS:
            same(gateway.lake, project, block)
    with check("the history is in the model"):
        db = built(project)
        [[count]] = db.execute("select count(*) from built.main.user_events_prod where id = 'old'").fetchall()
        assert count == 1
    with check("a long name of an event has a model whose name is short enough"):
        models = {path.stem for path in (project / "models" / "staging").rglob("*.sql")}
        assert any(name.startswith("stg_shared__xxx") and len(name) <= 200 for name in models), models


def built(project):
    db = lakes.connect()
    db.execute(f"attach '{project}/keelrow.duckdb' as built (read_only)")
    return db


def same(lake, project, block):
    with check(f"dbt's {block} is the gateway's"):
        db = built(project)
        ours = lakes.unified(lake, "prod", block)
        theirs = f"built.main.{block}_prod"
        names = [name for name, _ in lakes.columns(db, ours)]
        rows = lakes.rows(db, ours, names)
        assert rows == lakes.rows(db, theirs, names) and rows, block
