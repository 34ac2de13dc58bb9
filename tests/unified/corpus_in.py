"""The reference corpus through the real program: every accepted event once in its environment's
table, in the order of columns that stays; likely typos are found."""

import json
import pathlib
import tempfile

import lake as lakes
from harness import CORPUS, Gateway, load_corpus
from lake import check

ENVIRONMENTS = ("prod", "rc", "qa")
# The columns of the corpus that are other ones misspelled, as they are named in the tables.
TYPOS = {
    "catggory": "category",
    "useractualid": "user_actual_id",
    "context_scregn_density": "context_screen_density",
    "uype": "type",
}


def schemas():
    found = {}
    for source in json.loads((CORPUS / "sources.json").read_text()):
        found.setdefault(source["env"], []).append(source["schema"])
    return found


def run(program, folder):
    gateway = Gateway(program, folder)
    load_corpus(gateway, batches=3)
    db = lakes.connect()
    for environment in ENVIRONMENTS:
        rows_once(db, gateway.lake, environment)
    columns_only_widen(db, gateway.lake)
    typos(gateway)
    return gateway


def rows_once(db, lake, environment):
    table = lakes.unified(lake, environment)
    own = schemas()[environment]
    with check(f"{environment}: every event of an event table, page or screen once"):
        members = " union all ".join(
            f"select '{schema}' as schema, '{name}' as name, id from {lakes.member(lake, schema, name)}"
            for schema in own
            for name in lakes.event_tables(lake, schema)
        )
        query = f"select _source_schema, _source_table, id from {table}"
        left = db.execute(f"({members}) except all ({query})").fetchall()
        right = db.execute(f"({query}) except all ({members})").fetchall()
        assert (left, right) == ([], []), (left[:5], right[:5])
        twice = db.execute(
            f"select count(*) - count(distinct (_source_schema, id)) from {table}"
        ).fetchone()
        assert twice == (0,), twice
    with check(f"{environment}: nothing of another environment"):
        found = db.execute(f"select distinct environment, _source_schema from {table}").fetchall()
        assert {row[0] for row in found} == {environment}, found
        assert {row[1] for row in found} <= set(own), found
    with check(f"{environment}: no row in the future, the day is the day of arrival"):
        wrong = db.execute(
            f"select count(*) from {table} where received_at > now()"
            " or event_date <> cast(received_at as date)"
            " or timestamp > received_at + interval 24 hour"
        ).fetchone()
        assert wrong == (0,), wrong


def columns_only_widen(db, lake):
    with check("the columns of every file are the first of its table's, in that order"):
        newest = lakes.registry(lake)
        seen = 0
        for path in pathlib.Path(lake).glob("**/*.parquet"):
            folder = str(path.relative_to(lake).parents[4])
            found = db.execute(f"select name from parquet_schema('{path}')").fetchall()
            # The first is the root.
            names = [row[0] for row in found[1:]]
            of_table = [column["name"] for column in newest[folder]["columns"]]
            assert names == of_table[: len(names)], path
            seen += 1
        assert seen > 300, seen


def typos(gateway):
    report = json.loads(gateway.run("columns", "suggest", "--json"))
    found = {
        one["column"]: one["canonical"] for table in report for one in table["suggestions"]
    }
    with check(f"the report of typos has all {len(TYPOS)} and {len(found)} in all"):
        assert TYPOS.items() <= found.items(), found
        assert len(found) - len(TYPOS) <= 0.2 * len(found), found
        # Those of the configuration are known, the others are in the line to paste.
        line = report[0]["aliases"]
        assert all(typo in line for typo in TYPOS), line


if __name__ == "__main__":
    import sys

    with tempfile.TemporaryDirectory(prefix="keelrow-unified-") as folder:
        run(sys.argv[1], folder)
