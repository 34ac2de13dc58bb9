"""`keelrow schema diff`: what a change of configuration or data does to columns, and exit 2 if it
breaks readers."""

import json
import re
import subprocess

from harness import EXAMPLE
from lake import check


def diff(gateway, old, new):
    command = [gateway.program, "schema", "diff", str(old), str(new), "--json"]
    # The lake of the corpus, whatever the configuration says.
    done = subprocess.run(command, env=gateway.environment, capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    return done.returncode, {
        (one["table"], one.get("column"), one["change"]): one for one in json.loads(done.stdout)
    }


def changed(gateway, name, pattern, replacement):
    text = EXAMPLE.read_text()
    new = re.sub(pattern, replacement, text, count=1)
    assert new != text, pattern
    path = gateway.folder / f"{name}.toml"
    path.write_text(new)
    return path


def run(gateway):
    lake = gateway.lake
    block = r'name = "user_events"\n'
    with check("the same configuration, the same lake: no difference"):
        assert diff(gateway, EXAMPLE, EXAMPLE) == (0, {})
        assert diff(gateway, lake, lake) == (0, {})
    with check("columns that are left out break readers"):
        new = changed(gateway, "left-out", block, r'\g<0>exclude_columns = ["plugin_*"]\n')
        code, found = diff(gateway, EXAMPLE, new)
        wanted = ("unified_prod.user_events", "plugin_id", "ended")
        assert code == 2 and found[wanted]["breaks"], found.keys()
        assert {key[2] for key in found} == {"ended"}, found.keys()
    with check("what an alias brings is told, and missed by nobody once it is left out again"):
        new = changed(gateway, "alias", r'\["catggory"\]', r'\g<0>, plugin = ["plugin_id"]')
        code, found = diff(gateway, EXAMPLE, new)
        wanted = {(f"unified_{e}.user_events", "plugin", "added") for e in ("prod", "rc", "qa")}
        assert code == 0 and found.keys() and found.keys() <= wanted, found.keys()
        assert diff(gateway, new, EXAMPLE) == (0, {})
    with check("a new generation is another folder"):
        code, found = diff(gateway, EXAMPLE, changed(gateway, "next", block, r"\g<0>generation = 2\n"))
        assert code == 2, found
        assert {change for _, _, change in found} >= {"generation"}, found.keys()
    with check("one more table breaks nothing"):
        more = '[[unified]]\nname = "phones"\nsources = ["mobile"]\n'
        new = changed(gateway, "more", r"\Z", more)
        code, found = diff(gateway, EXAMPLE, new)
        assert code == 0, found
        assert {key[0] for key in found} == {f"unified_{e}.phones" for e in ("prod", "rc", "qa")}
    with check("a source that is off ends its tables"):
        new = changed(gateway, "off", r'schema = "portal_prod"\n', r"\g<0>enabled = false\n")
        code, found = diff(gateway, EXAMPLE, new)
        assert code == 2 and any(key[2] == "table_ended" for key in found), found.keys()
    with check("saved tables against the lake: new columns, longer texts, by warehouse"):
        saved = json.loads(gateway.run("tables", "--json"))
        for table in saved:
            if (table["schema"], table["table"]) == ("unified_prod", "user_events"):
                assert table["columns"].pop()
                note = next(c for c in table["columns"] if c["name"] == "note")
                note["max_bytes"] = 256
        path = gateway.folder / "before.json"
        path.write_text(json.dumps(saved))
        code, found = diff(gateway, path, lake)
        kinds = sorted(key[2] for key in found)
        assert code == 0 and kinds == ["added", "widened"], (code, found)
        widened = next(one for key, one in found.items() if key[2] == "widened")
        assert set(widened["warehouses"]) == {"redshift"}, widened
        code, found = diff(gateway, lake, path)
        assert code == 2 and any(key[2] == "gone" for key in found), found
