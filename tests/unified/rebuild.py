"""`keelrow unified rebuild`: a table of a new generation is filled beside live traffic, is killed
again and again, and has in the end the rows and columns of the table that was live all along."""

import json
import re
import subprocess
import sys
import tempfile
import threading
import time

import lake as lakes
from corpus_in import ENVIRONMENTS
from harness import EXAMPLE, Gateway, corpus
from lake import check

TABLE = "user_events"
# At which of its objects a run is killed. Together they are fewer than a rebuild makes.
KILLS = (1, 3, 2, 5, 4, 1, 6, 2, 7, 3)
# A table that is declared with the change.
PHONES = """
[[unified]]
name = "phones"
sources = ["mob*"]
environments = ["prod"]
exclude_events = ["api_channel*"]
"""


def with_generation(folder, generation):
    text = EXAMPLE.read_text()
    marked = re.sub(r'(name = "user_events"\n)', rf"\1generation = {generation}\n", text)
    assert marked != text
    marked += PHONES
    path = f"{folder}/generation-{generation}.toml"
    with open(path, "w") as file:
        file.write(marked)
    return path


def commit(gateway, requests):
    with gateway.running():
        for path, key, body in requests:
            gateway.post(path, key, body)


def rebuild(gateway, kill_at=None, table=TABLE):
    """Runs the command, or kills it as it gives so many objects their names; what it reports at its end."""
    command = [gateway.program, "unified", "rebuild", table, "--config", gateway.config, "--json"]
    if kill_at is not None:
        # The kernel counts: where it dies does not depend on who is faster, it or we.
        kill = f"inject=link,linkat:signal=KILL:when={kill_at}"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=link,linkat", "-e", kill, *command]
    done = subprocess.run(
        command, env=gateway.environment, capture_output=True, text=True, timeout=300
    )
    if kill_at is not None:
        assert done.returncode == -9, (kill_at, done.returncode, done.stderr)
        return None
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout)


def run(program, folder):
    gateway = Gateway(program, folder)
    requests = corpus()
    parts = 8
    for part in range(parts):
        commit(gateway, requests[part * 100 : part * 100 + 100])
    with check("a table that was always there is refused, with what to do"):
        command = [program, "unified", "rebuild", TABLE, "--config", str(EXAMPLE)]
        done = subprocess.run(command, env=gateway.environment, capture_output=True, text=True)
        assert done.returncode == 2 and "generation = 2" in done.stderr, done

    # From here on the gateway knows the new generation, and traffic goes on.
    live_from = max(manifest["number"] for manifest in gateway.manifests()) + 1
    gateway.config = with_generation(folder, 2)
    gateway.environment["KEELROW__LOAD__MAX_AGE"] = "1s"
    with gateway.running():
        live = threading.Thread(target=send, args=(gateway, requests[parts * 100 :]))
        live.start()
        for kill_at in KILLS:
            rebuild(gateway, kill_at)
        report = rebuild(gateway)
        live.join()
        rebuild(gateway, table="phones")
    again = rebuild(gateway)
    assert again["batches"] == 0, again
    assert {chain.get("first_live") for chain in report["chains"]} <= {live_from, None}, report
    db = lakes.connect()
    rows = 0
    for environment in ENVIRONMENTS:
        rows += compare(db, gateway, environment)
    declared_later(db, gateway)
    with check(f"{rows} rows, {len(KILLS)} kills, beside live traffic"):
        assert rows > 1_000, rows


def declared_later(db, gateway):
    with check("a table that is declared later has what its block wants, of all time"):
        whole = lakes.unified(gateway.lake, "prod", generation=2)
        phones = lakes.unified(gateway.lake, "prod", "phones")
        wanted = (
            f"select id from {whole} where source_name = 'mobile'"
            " and not (_source_table like 'api_channel%')"
        )
        got = f"select id from {phones}"
        differ = db.execute(
            f"(({wanted}) except all ({got})) union all (({got}) except all ({wanted}))"
        ).fetchall()
        assert differ == [], differ[:5]
        count = db.execute(f"select count(*) from {phones}").fetchone()[0]
        assert count > 200, count
        assert [path.name for path in gateway.lake.glob("unified/*/phones")] == ["phones"]


def send(gateway, requests):
    for path, key, body in requests:
        gateway.post(path, key, body)
        time.sleep(0.01)


def compare(db, gateway, environment):
    """The rebuilt batches against those of generation 1, which was live then.

    The new generation's types were born from the traffic that came after the change, so that a
    value may stand in another variant of its column; it is the same value.
    """
    old = lakes.unified(gateway.lake, environment)
    folder = gateway.lake / "unified" / environment / TABLE / "v2"
    rebuilt = [str(path) for path in folder.glob("**/rebuild-*.parquet")]
    new = f"read_parquet({rebuilt}, union_by_name = true)"
    with check(f"{environment}: the rebuilt rows are those that were live"):
        left, right = folded(db, old), folded(db, new)
        assert left == right, differences(left, right)
    with check(f"{environment}: no row twice, live or rebuilt"):
        whole = lakes.unified(gateway.lake, environment, generation=2)
        twice = db.execute(
            f"select count(*) - count(distinct (_source_schema, id)) from {whole}"
        ).fetchone()
        assert twice == (0,), twice
    return len(right)


def folded(db, relation):
    """Rows by schema and id: the values of each column and its variants, as text."""
    names = [name for name, _ in lakes.columns(db, relation)]
    found = {}
    for row in db.execute(f"select * from {relation}").fetchall():
        cells = {}
        for name, value in zip(names, row):
            if value is not None:
                base = re.sub(r"(?<=[a-z0-9])__(int|float|boolean|datetime|string)$", "", name)
                text = value if isinstance(value, str) else json.dumps(lakes.cell(value))
                cells.setdefault(base, []).append(text)
        key = (cells["_source_schema"][0], cells["id"][0])
        assert key not in found, key
        found[key] = {name: sorted(of) for name, of in cells.items()}
    return found


def differences(left, right):
    if left.keys() != right.keys():
        return sorted(left.keys() ^ right.keys())[:5]
    differ = {}
    for key, row in left.items():
        for name in row.keys() | right[key].keys():
            if row.get(name) != right[key].get(name):
                differ.setdefault(name, (key, row.get(name), right[key].get(name)))
    return differ


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="keelrow-rebuild-") as folder:
        run(sys.argv[1], folder)
