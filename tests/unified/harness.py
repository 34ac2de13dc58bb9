"""The real program on a folder of its own, fed with the reference corpus over HTTP."""

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import duckdb

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from program import START_LIMIT_S, STOP_LIMIT_S, free_port  # noqa: E402

EXAMPLE = ROOT / "examples" / "mattermost.toml"
CORPUS = ROOT / "tests" / "golden" / "corpus"


def corpus():
    """The requests, as (path, write key, body)."""
    rows = duckdb.sql(
        f"select json from read_ndjson_objects('{CORPUS}/requests.jsonl.zst', compression = 'zstd')"
    ).fetchall()
    requests = [json.loads(row[0]) for row in rows]
    return [(r["path"], r["writeKey"], r["body"]) for r in requests]


class Gateway:
    """`keelrow serve` with the configuration in `config`, below `folder`."""

    def __init__(self, program, folder, config=EXAMPLE, max_age="1h"):
        self.program, self.folder, self.config = program, pathlib.Path(folder), config
        self.port = free_port()
        self.environment = {
            **os.environ,
            "KEELROW__HTTP__LISTEN": f"127.0.0.1:{self.port}",
            "KEELROW__HTTP__ADMIN_LISTEN": f"127.0.0.1:{free_port()}",
            "KEELROW__JOURNAL__PATH": str(self.folder / "journal"),
            "KEELROW__JOURNAL__MAX_BYTES": "1GiB",
            "KEELROW__STORAGE__URL": str(self.lake),
            "KEELROW__LOAD__MAX_AGE": max_age,
            # Each run commits what it took, however slow the machine is.
            "KEELROW__SHUTDOWN__DEADLINE": f"{STOP_LIMIT_S}s",
        }
        self.child = None

    @property
    def lake(self):
        return self.folder / "lake"

    def start(self):
        command = [self.program, "serve", "--config", str(self.config)]
        log = (self.folder / "serve.log").open("ab")
        self.child = subprocess.Popen(command, env=self.environment, stderr=log)
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and self.child.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            time.sleep(0.02)
        raise SystemExit("keelrow did not start:\n" + (self.folder / "serve.log").read_text())

    def stop(self):
        """Stops; what was acknowledged is committed then."""
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(timeout=STOP_LIMIT_S + 10)
        assert code == 0, f"keelrow serve ended with {code}"

    @contextlib.contextmanager
    def running(self):
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def post(self, path, key, body):
        """Posts a request; the status of the answer."""
        token = base64.b64encode(f"{key}:".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as refused:
            return refused.code

    def run(self, *arguments, code=0):
        """Runs another command on the same configuration; what it printed."""
        command = [self.program, *arguments, "--config", str(self.config)]
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def files(self, pattern):
        return [str(path) for path in sorted(self.lake.glob(pattern))]

    def manifests(self):
        paths = self.files("_keelrow/batches/*/*.json")
        return [json.loads(pathlib.Path(path).read_text()) for path in paths]


def load_corpus(gateway, batches=1):
    """Posts the corpus in as many runs of the program, each of which commits what it took."""
    requests = corpus()
    share = -(-len(requests) // batches)
    for start in range(0, len(requests), share):
        with gateway.running():
            for path, key, body in requests[start : start + share]:
                status = gateway.post(path, key, body)
                assert status in (200, 400), f"{path}: {status}"
