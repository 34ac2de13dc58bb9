"""`keelrow dbt`: dbt builds the project on DuckDB, and its unified model is the gateway's table; a
second increment after a late row, a new column and a clock 20 years ahead is too."""

import os
import pathlib
import subprocess
import sys

import lake as lakes
from corpus_in import ENVIRONMENTS
from faults import stamp, track
from lake import check

SOURCES = {"prod": "1xraliejumyj3y3zpmceprumkiw"}


def dbt(project, *arguments):
    program = pathlib.Path(sys.executable).with_name("dbt")
    command = [program, "--no-send-anonymous-usage-stats", *arguments, "--profiles-dir", "."]
    environment = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    return done.stdout


def run(gateway):
    """On the lake of the corpus; more events go into it."""
    project = gateway.folder / "dbt"
    with check("keelrow dbt writes a project, and again over its own"):
        gateway.run("dbt", "--out", str(project))
        gateway.run("dbt", "--out", str(project))
    with check("every column of every table is in the sources, with type and words"):
        every_column(gateway.lake, project)
    with check("dbt build passes: models, tests of columns, tests between models"):
        out = dbt(project, "build")
        assert "ERROR=0" in out and "PASS=" in out, out[-2_000:]
    for environment in ENVIRONMENTS:
        same(gateway.lake, project, environment)
    more(gateway)
    with check("an increment passes too"):
        dbt(project, "build", "--select", "unified")
    same(gateway.lake, project, "prod")
    with check("dbt source freshness finds the tables fresh"):
        dbt(project, "source", "freshness", "--select", "source:unified_prod")


def every_column(lake, project):
    text = {path.stem: path.read_text() for path in (project / "models" / "sources").glob("*.yml")}
    for folder, schema in lakes.registry(lake).items():
        parts = folder.split("/")
        of = parts[1] if parts[0] == "rudder-datalake" else f"unified_{parts[1]}"
        table = parts[2]
        section = text[of].split(f'- name: "{table}"\n', 1)[1].split("\n      - name:", 1)[0]
        for column in schema["columns"]:
            start = section.index(f'          - name: "{column["name"]}"\n')
            lines = section[start:].split("\n")[:3]
            assert "description:" in lines[1] and "data_type:" in lines[2], lines


def more(gateway):
    with gateway.running():
        events = [
            track("dbt-late", "dbt probe", {"n": 1}, originalTimestamp=stamp(-24 * 300)),
            track("dbt-ahead", "dbt probe", {"n": 2, "brand_new": "x"},
                  timestamp=stamp(24 * 365 * 20), sentAt=stamp(24 * 365 * 20)),
        ]
        assert gateway.post("/v1/batch", SOURCES["prod"], {"batch": events}) == 200


def same(lake, project, environment):
    with check(f"{environment}: dbt's unified model is the unified table"):
        db = lakes.connect()
        db.execute(f"attach '{project}/keelrow.duckdb' as built (read_only)")
        ours = lakes.unified(lake, environment)
        theirs = f"built.main.user_events_{environment}"
        mine, built = lakes.columns(db, ours), lakes.columns(db, theirs)
        assert dict(mine) == dict(built), set(mine) ^ set(built)
        names = [name for name, _ in mine]
        assert lakes.rows(db, ours, names) == lakes.rows(db, theirs, names)
