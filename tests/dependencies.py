"""Dependencies: licences, sources and duplicates, by the rules of deny.toml.

usage: dependencies.py      (in the repository)

Needs nothing but cargo, so that it is among the quick checks; `./test` runs `cargo deny check` as well, by
the same rules. Exit code 1 names every crate that breaks one.
"""

import json
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, licences):
    """Whether an SPDX expression can be met with the allowed licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def either():
        nonlocal at
        value = both()
        while at < len(tokens) and tokens[at] == "OR":
            at += 1
            value = both() or value
        return value

    def both():
        nonlocal at
        value = one()
        while at < len(tokens) and tokens[at] == "AND":
            at += 1
            value = one() and value
        return value

    def one():
        nonlocal at
        token = tokens[at]
        at += 1
        if token == "(":
            value = either()
            at += 1
            return value
        if at + 1 < len(tokens) and tokens[at] == "WITH":
            token = f"{token} WITH {tokens[at + 1]}"
            at += 2
        return token in licences

    return either() and at == len(tokens)


def packages(rules):
    """The packages of all targets that deny.toml names, without those that only test or build."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    for target in rules["graph"]["targets"]:
        command += ["--filter-platform", target]
    whole = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return whole["packages"], set(whole["workspace_members"])


def self_check():
    """The reading of expressions, on cases with known answers."""
    for expression, licences, expected in [
        ("MIT", {"MIT"}, True),
        ("MIT OR GPL-3.0", {"MIT"}, True),
        ("MIT AND GPL-3.0", {"MIT"}, False),
        ("(MIT OR GPL-3.0) AND ISC", {"MIT", "ISC"}, True),
        ("MIT/Apache-2.0", {"Apache-2.0"}, True),
        ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", {"Apache-2.0 WITH LLVM-exception"}, True),
        ("Apache-2.0 WITH LLVM-exception", {"Apache-2.0"}, False),
    ]:
        assert allowed(expression, licences) == expected, expression


def main():
    self_check()
    rules = tomllib.loads(Path("deny.toml").read_text())
    listed, own = packages(rules)
    licences = set(rules["licenses"]["allow"])
    faults, versions = [], defaultdict(set)
    for package in listed:
        name = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        if not allowed(package["license"] or "none", licences):
            faults.append(f"{name}: licence {package['license']} is not allowed")
        if package["id"] not in own and package["source"] != CRATES_IO:
            faults.append(f"{name}: comes from {package['source']}")
        if package["id"] in own:
            faults += [f"{name}: {need['name']} has no version" for need in package["dependencies"]
                       if need["req"] == "*" and need["source"] is not None]
    known = {entry["crate"] for entry in rules["bans"].get("skip", [])}
    for name, found in sorted(versions.items()):
        if len(found) > 1 and name not in known:
            faults.append(f"{name}: {len(found)} versions, {', '.join(sorted(found))}")
    for name in sorted(known):
        if len(versions.get(name, ())) < 2:
            faults.append(f"deny.toml skips {name}, which is there once")
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{len(listed)} packages: licences, sources and versions are as deny.toml says")


main()
