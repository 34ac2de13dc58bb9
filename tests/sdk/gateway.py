"""The real program on a folder of its own: start, stop, kill, and what its lake says.

Knows the program's command line, configuration and manifests, nothing of SDKs.
"""

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from program import START_LIMIT_S, STOP_LIMIT_S, free_port  # noqa: E402


class Gateway:
    """`sources` is a list of dicts, each one `[[source]]`; the rest are lines of their sections."""

    def __init__(self, program, sources, http="", journal='max_bytes = "1GiB"', load='max_age = "1s"'):
        self.program, self.port, self.child = program, free_port(), None
        self.folder = tempfile.TemporaryDirectory(prefix="keelrow-sdk-")
        self.lake = pathlib.Path(self.folder.name, "lake")
        self.config = pathlib.Path(self.folder.name, "keelrow.toml")
        self.config.write_text(self._configuration(sources, http, journal, load))
        # Manifests are only ever added, so each is read once.
        self.books, self.seen = {}, set()

    def _configuration(self, sources, http, journal, load):
        blocks = []
        for source in sources:
            lines = [f"{key} = {json.dumps(value)}" for key, value in source.items() if value != ""]
            blocks.append("\n".join(["[[source]]", *lines]))
        return f"""
[http]
listen = "127.0.0.1:{self.port}"
admin_listen = "127.0.0.1:{free_port()}"
{http}
[journal]
path = "{self.folder.name}/journal"
{journal}
[storage]
url = "{self.lake}"
[load]
{load}
[shutdown]
deadline = "{STOP_LIMIT_S}s"
""" + "\n".join(blocks)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.folder.cleanup()

    def start(self):
        log = open(pathlib.Path(self.folder.name, "log"), "ab")
        command = [self.program, "serve", "--log-json", "--config", str(self.config)]
        self.child = subprocess.Popen(command, stderr=log)
        until = time.monotonic() + START_LIMIT_S
        while time.monotonic() < until and self.child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise SystemExit(f"keelrow did not start: {self.log()}")

    def stop(self):
        """SIGTERM, and waits for the ordered end."""
        self.child.send_signal(signal.SIGTERM)
        code = self.child.wait(timeout=STOP_LIMIT_S + 10)
        if code != 0:
            raise SystemExit(f"keelrow ended with {code}: {self.log()}")

    def kill(self):
        self.child.kill()
        self.child.wait()

    def log(self):
        return pathlib.Path(self.folder.name, "log").read_text()[-2000:]

    def settled(self, source):
        """How many events of a source have met their end: loaded, duplicate or rejected."""
        for path in self.lake.glob("_keelrow/batches/*/*.json"):
            if path in self.seen:
                continue
            manifest = json.loads(path.read_text())
            self.seen.add(path)
            for name, counts in manifest["sources"].items():
                books = self.books.setdefault(name, {})
                for outcome, count in counts.items():
                    books[outcome] = books.get(outcome, 0) + count
        return self.books.get(source, {})
