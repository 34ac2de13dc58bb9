"""The statements of docs/examples/product-analytics.md, run on the corpus: each answers."""

import re

import duckdb

import lake as lakes
from harness import ROOT
from lake import check

def statements():
    text = (ROOT / "docs" / "examples" / "product-analytics.md").read_text()
    found = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    assert len(found) >= 9, len(found)
    return found


def run(lake):
    db = lakes.connect()
    answers = {}
    for number, sql in enumerate(statements()):
        name = sql.splitlines()[0].removeprefix("-- ")
        with check(f"statement {number + 1}: {name}"):
            try:
                rows = db.execute(sql.replace("keelrow-data/lake", str(lake))).fetchall()
            except duckdb.Error as error:
                raise AssertionError(f"{sql}\n{error}") from error
            answers[name] = rows
            assert rows or sql.startswith("create"), sql
    events = lakes.unified(lake, "prod")
    with check("weekly active users are those of the table"):
        platforms = {row[1] for row in answers["wau"]}
        assert platforms == {"web", "desktop", "mobile", "server"}, platforms
        users = sum(row[2] for row in answers["wau"] if row[1] == "mobile")
        expected = db.execute(
            f"select count(distinct user_id) from {events} where platform = 'mobile'"
        ).fetchone()[0]
        assert users == expected, (users, expected)
    with check("the drill-down ends where it began"):
        down = sum(row[2] for row in answers["downloads from phones"])
        table = lakes.member(lake, "mm_mobile_prod", "api_install_marketplace_plugin")
        own = db.execute(f"select count(*) from {table}").fetchone()[0]
        assert down == own > 0, (down, own)
    with check("the spike is taken apart whole"):
        assert answers["spike"][0][2] > 0, answers["spike"][0]
