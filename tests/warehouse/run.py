"""What `keelrow sql` prints, run for real.

usage: run.py PATH_TO_KEELROW

Makes a lake in two rounds of traffic. After each round DuckDB, ClickHouse and PostgreSQL run their
scripts twice: every table must have the rows and values of the files that the manifests name, once.
The users, the people behind the ids and the union of the tables are worked out again here, by other
means. The scripts of all seven dialects must be understood by sqlglot.
"""

import base64
import collections
import contextlib
import json
import logging
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import duckdb
import sqlglot

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import engines  # noqa: E402
import traffic  # noqa: E402
from program import START_LIMIT_S, STOP_LIMIT_S, free_port  # noqa: E402

DIALECTS = ["snowflake", "bigquery", "redshift", "postgres", "clickhouse", "duckdb", "databricks"]
# What sqlglot knows no grammar for and passes on as it is.
PASSED_ON = {"bigquery": ("if not exists",), "redshift": ("call", "create or replace procedure"), "postgres": ("create unique index",)}
EVENTS_A_REQUEST = 50


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="keelrow-sql-") as name:
        folder = pathlib.Path(name)
        (folder / "keelrow.toml").write_text(configuration(folder))
        with contextlib.ExitStack() as stack:
            warehouses = [make(folder) for make in (engines.Duck, engines.Click, engines.Postgres)]
            for warehouse in warehouses:
                stack.callback(warehouse.close)
            people = {}
            for number, events in enumerate(traffic.rounds(), 1):
                send(program, folder, events)
                for warehouse in warehouses:
                    check_round(program, folder, warehouse, people)
                print(f"round {number}: {len(warehouses)} warehouses have what the manifests say")
            check_repeats_without_notes(program, folder, warehouses[1])
        check_scripts(program, folder)
        check_narrowing(program, folder)


def configuration(folder):
    return f"""
[http]
listen = "127.0.0.1:{free_port()}"
admin_listen = "127.0.0.1:{free_port()}"
[journal]
path = "{folder}/journal"
max_bytes = "1GiB"
[shutdown]
deadline = "{STOP_LIMIT_S}s"
[storage]
url = "{folder}/lake"
{traffic.SOURCES}"""


def send(program, folder, events):
    """One run of the gateway, whose end commits what it was sent."""
    config = folder / "keelrow.toml"
    port = int(config.read_text().split("127.0.0.1:")[1].split('"')[0])
    with open(folder / "serve.log", "a") as log:
        child = subprocess.Popen([program, "serve", "--config", config], stderr=log)
    try:
        wait_for(port)
        for key in ["wk-web", "wk-phone", "wk-server", "wk-qa"]:
            # Rules and merges are told of one source alone.
            own = [event for event in events if key == "wk-web" or event["type"] != "merge"]
            for at in range(0, len(own), EVENTS_A_REQUEST):
                post(port, key, own[at : at + EVENTS_A_REQUEST])
    finally:
        child.send_signal(signal.SIGTERM)
        code = child.wait(timeout=STOP_LIMIT_S + 10)
    if code != 0:
        raise SystemExit(f"keelrow ended with {code}: {(folder / 'serve.log').read_text()[-2000:]}")


def wait_for(port):
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit("keelrow does not listen")


def post(port, key, batch):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/batch", json.dumps({"batch": batch}).encode())
    request.add_header("Authorization", "Basic " + base64.b64encode(f"{key}:".encode()).decode())
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def sql(program, folder, dialect, *arguments):
    command = [program, "sql", "--dialect", dialect, "--config", folder / "keelrow.toml", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def manifests(folder):
    paths = sorted((folder / "lake/_keelrow/batches").glob("*/*.json"))
    return [json.loads(path.read_text()) for path in paths]


def check_round(program, folder, warehouse, people):
    # The first script has what is new since the last round, the second has all.
    last = max(manifest["number"] for manifest in manifests(folder))
    new = ["--from", str(last)] if warehouse.dialect in people else []
    warehouse.run(sql(program, folder, warehouse.dialect, *new))
    once = counted(folder, warehouse)
    warehouse.run(sql(program, folder, warehouse.dialect))
    assert counted(folder, warehouse) == once, f"{warehouse.dialect}: the second run changed something"
    assert once == in_files(folder), f"{warehouse.dialect}: {difference(once, in_files(folder))}"
    check_users(folder, warehouse)
    check_people(folder, warehouse, people)
    check_union(warehouse)
    check_theirs(folder, warehouse)
    check_views(folder, warehouse)
    if warehouse.dialect == "duckdb":
        check_macros(warehouse)


def check_macros(warehouse):
    for macro, table in [
        ("keelrow_events('prod')", "unified_prod.user_events"),
        ("keelrow_unified('qa', 'user_events', 1)", "unified_qa.user_events"),
        ("keelrow_table('app_prod', 'tracks')", "app_prod.tracks"),
        ("keelrow_users('app_prod')", "app_prod.users"),
    ]:
        query = f"select (select count(*) from {macro}), (select count(*) from {table})"
        [[lake, loaded]] = warehouse.rows(query)
        assert lake == loaded, f"{macro}: {lake} rows instead of {loaded}"


def tables(folder):
    """Every table's files and columns; a column is known here by what all names have in common."""
    found = collections.defaultdict(list)
    for manifest in manifests(folder):
        for file in manifest["files"]:
            found[file["schema"], file["table"]].append(str(folder / "lake" / file["path"]))
    return found


def columns(files):
    query = f"describe select * from read_parquet({files}, union_by_name = true)"
    return {row[0]: row[1] for row in duckdb.execute(query).fetchall()}


def in_files(folder):
    """Rows, and values that are not null in each column, of every table but users."""
    counts = {}
    for (schema, table), files in tables(folder).items():
        if table != "users":
            names = [name for name in columns(files) if len(name) <= 63]
            each = "".join(f', count("{name}")' for name in names)
            query = f"select count(*){each} from read_parquet({files}, union_by_name = true)"
            row = [str(value) for value in duckdb.execute(query).fetchall()[0]]
            counts[schema, table] = dict(zip(["*", *names], row))
    return counts


def counted(folder, warehouse):
    counts = {}
    for (schema, table), files in tables(folder).items():
        if table != "users":
            names = [name for name in columns(files) if len(name) <= 63]
            each = "".join(f', count("{label(warehouse, name)}")' for name in names)
            [row] = warehouse.rows(f'select count(*){each} from "{schema}"."{label(warehouse, table)}"')
            counts[schema, table] = dict(zip(["*", *names], row))
    return counts


# What the warehouse or the scripts keep for themselves has another name.
LABELS = {
    "_keelrow_loads": "_keelrow_loads_2",
    ("postgres", "xmin"): "xmin_2",
    ("postgres", "ctid"): "ctid_2",
    ("clickhouse", "_row_exists"): "_row_exists_2",
}


def label(warehouse, name):
    return LABELS.get((warehouse.dialect, name), LABELS.get(name, name))


def difference(found, wanted):
    return {
        table: {name: (found[table].get(name), count) for name, count in want.items() if found[table].get(name) != count}
        for table, want in wanted.items()
        if found[table] != want
    }


def check_users(folder, warehouse):
    """Reads the identifies in their order and lets each value overwrite the one before."""
    for schema in ["app_prod", "server_prod", "web_qa"]:
        files = tables(folder)[schema, "identifies"]
        texts = [
            name
            for name, kind in columns(files).items()
            if kind == "VARCHAR" and name not in ("id", "anonymous_id", "user_id", "channel")
        ]
        names = ", ".join(f'"{name}"' for name in texts)
        query = f"select user_id, {names} from read_parquet({files}, union_by_name = true) where user_id is not null"
        wanted = {}
        for user, *values in duckdb.execute(f"{query} order by received_at, _timestamp, id").fetchall():
            kept = wanted.setdefault(user, dict.fromkeys(texts))
            kept.update({name: value for name, value in zip(texts, values) if value not in (None, "")})
        query = f'select id, {names} from "{schema}".users{warehouse.final}'
        found = {user: dict(zip(texts, values)) for user, *values in warehouse.rows(query)}
        assert found == wanted, f"{warehouse.dialect}: users of {schema}: {found} instead of {wanted}"
        [[rows]] = warehouse.rows(f'select count(*) from "{schema}".users{warehouse.final}')
        assert int(rows) == len(wanted) == 7, f"{warehouse.dialect}: {rows} users"


def check_people(folder, warehouse, people):
    """Joins the rules one by one; whoever was known keeps the id that the first round gave."""
    files = tables(folder)["app_prod", "rudder_identity_merge_rules"]
    query = f"""select merge_property_1_type, merge_property_1_value, merge_property_2_type, merge_property_2_value
        from read_parquet({files}, union_by_name = true)"""
    leader = {}

    def find(node):
        while leader.setdefault(node, node) != node:
            node = leader[node]
        return node

    for kind_1, id_1, kind_2, id_2 in duckdb.execute(query).fetchall():
        find((kind_1, id_1))
        if kind_2 is not None:
            leader[find((kind_1, id_1))] = find((kind_2, id_2))
    wanted = collections.defaultdict(set)
    for node in list(leader):
        wanted[find(node)].add(node)
    query = f"""select merge_property_type, merge_property_value, rudder_id
        from app_prod.rudder_identity_mappings{warehouse.final}"""
    mapped = warehouse.rows(query)
    found = collections.defaultdict(set)
    for kind, value, person in mapped:
        found[person].add((kind, value))
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, wanted.values())), warehouse.dialect
    known = people.setdefault(warehouse.dialect, {})
    for person, nodes in found.items():
        before = {known[node] for node in nodes if node in known}
        assert not before or person in before, f"{warehouse.dialect}: {nodes} were {before}, are {person}"
    known.update({node: person for person, nodes in found.items() for node in nodes})


def check_union(warehouse):
    for table, least in [
        ("unified_prod.user_events", 80),
        ("unified_qa.user_events", 80),
        ("unified_prod._keelrow_loads_2", 80),
    ]:
        word = "except" if warehouse.dialect == "clickhouse" else "except all"
        # A text of the event's own table may have been a number, which the gateway still knew.
        names = [name for name in warehouse.columns(table) if not name.startswith("depth")]
        names = ", ".join(f'"{name}"' for name in names)
        for one, other in [(table, f"{table}_union"), (f"{table}_union", table)]:
            rows = warehouse.rows(f"select {names} from {one} {word} select {names} from {other}")
            assert not rows, f"{warehouse.dialect}: {len(rows)} rows of {one} alone: {rows[:2]}"
        [[rows]] = warehouse.rows(f"select count(*) from {table}")
        [[again]] = warehouse.rows(f"select count(*) from {table}_union")
        assert rows == again and int(rows) > least, f"{warehouse.dialect}: {rows} and {again} rows"


AND_APP = " and _source_schema = 'app_prod'"


def check_theirs(folder, warehouse):
    """Properties that are called like what a warehouse has of its own are what the event said."""
    files = tables(folder)["app_prod", "theirs"]
    names = ", ".join(f'"{name}"' for name in traffic.THEIRS)
    query = f"select {names} from read_parquet({files}, union_by_name = true) order by _time"
    wanted = [tuple(map(str, row)) for row in duckdb.execute(query).fetchall()]
    assert wanted[0][0] == "1000", wanted[0]
    labels = ", ".join(f'"{label(warehouse, name)}"' for name in traffic.THEIRS)
    for table in ["app_prod.theirs", "unified_prod.user_events", "unified_prod.user_events_union"]:
        query = f"""select {labels} from {table} where "_time" is not null order by "_time" """
        found = warehouse.rows(query if table.startswith("app") else query.replace(" order", AND_APP + " order"))
        assert found == wanted, f"{warehouse.dialect}: {found[:2]} in {table} instead of {wanted[:2]}"


UNSHOWN = {"tracks", "identifies", "users", "groups", "aliases", "left_out", "rejected"}
UNSHOWN |= {"rudder_discards", "rudder_identity_merge_rules"}


def check_views(folder, warehouse):
    """A view has the event's rows; together they have all; none shows what the event never had."""
    total = 0
    sources = [key for key in tables(folder) if key[0] == "app_prod" or key[0] == "server_prod"]
    shown = {table for _, table in sources} - UNSHOWN
    for event in shown:
        [[rows]] = warehouse.rows(f'select count(*) from unified_prod."user_events__{event}"')
        total += int(rows)
    [[rows]] = warehouse.rows("select count(*) from unified_prod.user_events")
    assert total == int(rows), f"{warehouse.dialect}: {total} of {rows} rows are in views"
    names = set(warehouse.columns("unified_prod.user_events__post_created"))
    assert {"price", "_order", "note", "_source_table"} <= names and "category" not in names, names
    # The event's own table has texts; the unified one has told numbers from them.
    names = set(warehouse.columns("unified_prod.user_events__worded"))
    assert {"depth", "depth__string"} <= names and "cost" not in names, names
    names = set(warehouse.columns("unified_prod.user_events__priced"))
    assert {"cost", "cost__string", "session_id"} <= names, names


def check_repeats_without_notes(program, folder, warehouse):
    """ClickHouse has no transactions: a load whose note was lost must not double its rows."""
    once = counted(folder, warehouse)
    warehouse.run("truncate table app_prod._keelrow_loads;\n")
    warehouse.run(sql(program, folder, warehouse.dialect, "--only", "load"))
    assert counted(folder, warehouse) == once, "the tokens did not keep repeats out"


def check_scripts(program, folder):
    logging.disable(logging.CRITICAL)
    batches = {f"{m['writer']}-{m['number']:020}" for m in manifests(folder)}
    for dialect in DIALECTS:
        sqlglot.parse(sql(program, folder, dialect), dialect=dialect)
        lines = [json.loads(line) for line in sql(program, folder, dialect, "--json").splitlines()]
        for line in lines:
            first = sqlglot.parse(line["sql"], dialect=dialect)[0]
            if isinstance(first, sqlglot.exp.Command):
                assert line["sql"].startswith(PASSED_ON.get(dialect, ())), f"{dialect}: {line['sql'][:80]}"
        parts = {line["part"] for line in lines}
        assert {"ddl", "load", "users", "identity", "views", "union"} <= parts, f"{dialect}: {parts}"
        named = " ".join(line["sql"] for line in lines if line["part"] == "load")
        for manifest in manifests(folder):
            for file in manifest["files"]:
                name = file["path"].rsplit("/", 1)[1]
                wanted = file["table"] != "users" and dialect != "redshift"
                assert not wanted or name in named, f"{dialect}: {file['path']} is not loaded"
        assert {line["batch"] for line in lines if line["batch"]} <= batches
    check_redshift(program, folder)
    print(f"{len(DIALECTS)} scripts are read by sqlglot")


def check_redshift(program, folder):
    """Its manifests name every file with its size."""
    out = folder / "manifests"
    place = "s3://bucket/lake"
    sql(program, folder, "redshift", "--location", place, "--manifests", str(out))
    script = sql(program, folder, "redshift", "--location", place)
    found = {}
    for path in out.glob("*/*.json"):
        assert f"{place}/_keelrow/redshift/{path.relative_to(out)}" in script
        for entry in json.loads(path.read_text())["entries"]:
            found[entry["url"]] = entry["meta"]["content_length"]
            assert entry["mandatory"] is True
    files = [file for manifest in manifests(folder) for file in manifest["files"] if file["table"] != "users"]
    assert found == {f"{place}/{file['path']}": file["bytes"] for file in files}


def check_narrowing(program, folder):
    def lines(*arguments):
        return [json.loads(line) for line in sql(program, folder, "duckdb", "--json", *arguments).splitlines()]

    one = lines("--schema", "app_prod", "--table", "tracks", "--only", "load")
    assert {(line["schema"], line["table"]) for line in one} == {("app_prod", "tracks")}
    last = max(manifest["number"] for manifest in manifests(folder))
    late = lines("--from", str(last), "--only", "load")
    assert {int(line["batch"].rsplit("-", 1)[1]) for line in late} == {last}
    assert lines("--since", "2100-01-01T00:00:00Z", "--only", "load") == []
    done = subprocess.run([program, "sql", "--dialect", "oracle"], capture_output=True)
    assert done.returncode == 2


if __name__ == "__main__":
    main()
