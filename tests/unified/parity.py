"""On clean data the unified table is what dbt's union makes of the tables of the events, row for row
and column for column, after the core columns' renames.

Clean is the corpus without the lines that were made to hurt, and without the properties that have
values of two types somewhere: those are in faults.py.
"""

import json
import pathlib
import sys
import tempfile

import duckdb

import lake as lakes
from corpus_in import ENVIRONMENTS, schemas
from harness import CORPUS, Gateway, corpus
from lake import check
from union_relations import union_relations

# What the unified table has and no table of an event: filled by the gateway.
OURS = [
    "event_date", "environment", "source_name", "platform", "type", "session_id", "time_adjusted",
    "_source_schema", "_source_table",
]
# Columns of the tables that are called otherwise in the unified one: what the lake's dialect
# escapes, and properties that are called like a core column.
RENAMES = {"_timestamp": "timestamp", "type": "type__string"}


def tags():
    query = f"select json from read_ndjson_objects('{CORPUS}/labels.jsonl.zst', compression = 'zstd')"
    return [json.loads(row[0])["tags"] for row in duckdb.sql(query).fetchall()]


def unclean(lake):
    """Names that are columns of two types: in one table a variant, or in two tables."""
    types = {}
    for folder, schema in lakes.registry(lake).items():
        for column in schema["columns"]:
            if folder.startswith("rudder-datalake/"):
                types.setdefault(column["name"].split("__")[0], set()).add(column["type"])
    return {name for name, of in types.items() if len(of) > 1}


def is_clean(event, names):
    """Without properties or context of an unclean name, spelled in whatever way."""

    def keys(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield key
                yield from keys(inner)

    bare = {name.replace("_", "") for name in names}
    found = {key.replace("_", "").lower() for key in keys(event.get("properties"))}
    return not found & bare


def clean_requests(names):
    for (path, key, body), of in zip(corpus(), tags(), strict=True):
        if of or not isinstance(body, dict):
            continue
        if "batch" in body:
            batch = [event for event in body["batch"] if is_clean(event, names)]
            if batch:
                yield path, key, {**body, "batch": batch}
        elif is_clean(body, names):
            yield path, key, body


def run(program, folder, full_lake):
    gateway = Gateway(program, folder)
    sent = 0
    with gateway.running():
        for path, key, body in clean_requests(unclean(full_lake)):
            assert gateway.post(path, key, body) == 200
            sent += 1
    assert sent > 300, sent
    for environment in ENVIRONMENTS:
        compare(gateway.lake, environment)


def compare(lake, environment):
    db = lakes.connect()
    relations = []
    for schema in schemas()[environment]:
        db.execute(f'create schema "{schema}"')
        for table in lakes.event_tables(lake, schema):
            source = lakes.member(lake, schema, table)
            db.execute(f'create table "{schema}"."{table}" as select * from {source}')
            relations.append((schema, table))
    db.execute(f"create view theirs as {union_relations(db, relations)}")
    ours = lakes.unified(lake, environment)
    theirs = lakes.columns(db, "theirs")
    renamed = {RENAMES.get(name, name): kind for name, kind in theirs}
    mine = dict(lakes.columns(db, ours))
    with check(f"{environment}: the columns of dbt's union of {len(relations)} tables, and their types"):
        # The core is always there, whether or not a table has it.
        core = set(list(mine)[:19])
        extra = set(mine) - set(renamed)
        assert extra <= core, extra - core
        assert set(renamed) <= set(mine), set(renamed) - set(mine)
        differ = {name: (kind, mine[name]) for name, kind in renamed.items() if mine[name] != kind}
        assert not differ, differ
    names = [name for name, _ in theirs]
    with check(f"{environment}: its rows"):
        left = lakes.rows(db, "theirs", names)
        right = lakes.rows(db, ours, [RENAMES.get(name, name) for name in names])
        assert len(left) > 50, len(left)
        assert left == right, first_difference(left, right, names)


def first_difference(left, right, names):
    for a, b in zip(left, right):
        if a != b:
            pairs = zip(names, json.loads(a), json.loads(b))
            return [(name, x, y) for name, x, y in pairs if x != y]
    return len(left), len(right)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keelrow-parity-") as folder:
        run(sys.argv[1], folder, pathlib.Path(sys.argv[2]))
