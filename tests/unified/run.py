"""The unified tables from outside, on the reference corpus and the real program.

usage: run.py PATH_TO_KEELROW
"""

import pathlib
import sys
import tempfile

import corpus_in
import dbt_blocks
import dbt_project
import faults
import parity
import rebuild
import schema_diff
import walk


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="keelrow-unified-") as folder:
        parts = {name: pathlib.Path(folder, name) for name in ("corpus", "clean", "faults", "rebuild", "dbt")}
        for part in parts.values():
            part.mkdir()
        print("the corpus")
        gateway = corpus_in.run(program, parts["corpus"])
        print("the walk of the docs")
        walk.run(gateway.lake)
        print("changes of columns")
        schema_diff.run(gateway)
        print("dbt's union on clean data")
        parity.run(program, parts["clean"], gateway.lake)
        print("what dbt's union loses")
        faults.run(program, parts["faults"])
        print("a table that is filled later")
        rebuild.run(program, parts["rebuild"])
        print("a dbt project")
        dbt_project.run(gateway)
        print("a dbt project over blocks of all kinds")
        dbt_blocks.run(program, parts["dbt"])


main()
