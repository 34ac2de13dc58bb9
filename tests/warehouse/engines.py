"""The warehouses that a machine can have for itself: DuckDB, ClickHouse (chdb) and PostgreSQL.

Each runs a script of `keelrow sql` and answers queries with rows of texts, None for null.
"""

import csv
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

import chdb.session
import duckdb

POSTGRES = pathlib.Path("/usr/lib/postgresql/15/bin")


class Engine:
    def columns(self, table):
        """The names of a table's columns in their order."""
        schema, name = table.split(".")
        query = f"""select column_name from information_schema.columns
            where table_schema = '{schema}' and table_name = '{name}' order by ordinal_position"""
        return [name for [name] in self.rows(query)]


class Duck(Engine):
    dialect = "duckdb"
    final = ""

    def __init__(self, folder):
        self.db = duckdb.connect(str(folder / "warehouse.duckdb"))

    def run(self, script):
        self.db.execute(script)

    def rows(self, query):
        rows = self.db.execute(query).fetchall()
        return [tuple(None if value in (None, "") else str(value) for value in row) for row in rows]

    def close(self):
        self.db.close()


class Click(Engine):
    dialect = "clickhouse"
    # Rows that replace others are one only where that is asked for.
    final = " final"

    def __init__(self, folder):
        self.db = chdb.session.Session(str(folder / "clickhouse"))

    def run(self, script):
        for statement in re.split(r";\n", script):
            lines = [line for line in statement.split("\n") if not line.startswith("--")]
            if text := "\n".join(lines).strip():
                self.db.query(text)

    def rows(self, query):
        return read_csv(self.db.query(query, "CSV").bytes().decode(), null=r"\N")

    def close(self):
        self.db.close()


class Postgres(Engine):
    dialect = "postgres"
    final = ""

    def __init__(self, folder):
        self.folder = folder / "postgres"
        self.folder.mkdir()
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        # The program that the scripts call, by the library that is here anyway.
        program = self.bin / "duckdb"
        program.write_text(f"#!{sys.executable}\nimport sys, duckdb\nduckdb.execute(sys.argv[2])\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.server = []
        if os.getuid() == 0:
            # PostgreSQL refuses to run as root.
            shutil.chown(self.folder, "postgres")
            pathlib.Path(folder).chmod(0o755)
            self.server = ["runuser", "-u", "postgres", "--"]
        data = str(self.folder / "data")
        self.call([POSTGRES / "initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C", "-U", "keelrow"])
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        log = str(self.folder / "log")
        self.control = [POSTGRES / "pg_ctl", "-D", data, "-w"]
        self.call([*self.control, "-o", options, "-l", log, "start"])

    def call(self, command):
        command = [*self.server, *map(str, command)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{command}: {done.stdout}{done.stderr}")

    def psql(self, *arguments, text=None):
        command = ["psql", "-h", self.folder, "-U", "keelrow", "-d", "postgres", "-X", "-q"]
        command += ["-v", "ON_ERROR_STOP=1", *arguments]
        environment = dict(os.environ, PATH=f"{self.bin}:{os.environ['PATH']}")
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise SystemExit(f"psql: {done.stderr[-2000:]}")
        return done.stdout

    def run(self, script):
        # The server's account may not read the lake of this test: the client's copy can.
        self.psql(text=re.sub(r"^copy ", r"\\copy ", script, flags=re.M))

    def rows(self, query):
        return read_csv(self.psql("--csv", "-t", "-c", query), null="")

    def close(self):
        self.call([*self.control, "-m", "immediate", "stop"])


def read_csv(text, null):
    return [
        tuple(None if value in (null, "") else value for value in row)
        for row in csv.reader(text.splitlines(keepends=True))
    ]
