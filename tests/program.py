"""One running keelrow for the checks that look at it from outside: started on a folder of its own
with free ports, watched, stopped by its process id."""

import base64
import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

# How long is waited before something is called broken: on a busy machine a start takes half a minute.
START_LIMIT_S = 180
STOP_LIMIT_S = 180

_given = set()


def free_port():
    """A port that nobody listens on, below those that the system gives to connections: none of these
    can take it before the program does, or while the program is down."""
    lowest = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = range(10_000, max(lowest, 20_000))
    for port in random.SystemRandom().sample(ports, len(ports)):
        with contextlib.suppress(OSError), socket.socket() as s:
            if port not in _given:
                s.bind(("127.0.0.1", port))
                _given.add(port)
                return port
    raise SystemExit("no port is free")


@contextlib.contextmanager
def lake_away(lake):
    """Something else stands where the lake was, so that nothing is loaded."""
    away = lake.with_name("away")
    lake.rename(away)
    lake.write_text("no folder")
    try:
        yield
    finally:
        lake.unlink()
        away.rename(lake)


class Program:
    """`keelrow serve` in `folder`. `more` is appended to the configuration; `http`, `journal` and
    `load` go into those sections; `wrapper` is a command put before it, such as strace."""

    def __init__(self, program, folder, *, http="", journal="", load="", storage=None, more="",
                 wrapper=(), environment=None):
        self.program = str(pathlib.Path(program).resolve())
        self.folder = pathlib.Path(folder)
        self.port, self.admin_port = free_port(), free_port()
        self.journal = self.folder / "journal"
        self.lake = pathlib.Path(storage) if storage else self.folder / "lake"
        if "path" not in journal:
            journal = f'path = "{self.journal}"\n{journal}'
        self.config = self.folder / "keelrow.toml"
        self.config.write_text(
            f'[node]\nname = "test"\n'
            f'[http]\nlisten = "127.0.0.1:{self.port}"\nadmin_listen = "127.0.0.1:{self.admin_port}"\n{http}\n'
            f"[journal]\n{journal}\n"
            f'[storage]\nurl = "{self.lake}"\n'
            f"[load]\n{load}\n{more}\n"
        )
        self.wrapper, self.environment = list(wrapper), environment
        self.log = self.folder / "output.log"
        self.child = None

    def start(self, ready=True):
        """Starts it; with `ready`, waits until events are taken."""
        output = self.log.open("ab")
        command = [*self.wrapper, self.program, "serve", "--config", str(self.config)]
        self.child = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder,
                                      env=self.environment)
        if ready:
            self.wait(lambda: self.get("/health")[0] == 200, START_LIMIT_S, "it takes events")
        return self

    @property
    def pid(self):
        """The process id of keelrow itself, also below a wrapper."""
        if not self.wrapper:
            return self.child.pid
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return int(children.read_text().split()[0])

    def wait(self, condition, limit_s, what):
        """Waits for a condition, looking again every 10 ms; the program must live meanwhile."""
        until = time.monotonic() + limit_s
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            if self.child.poll() is not None:
                raise SystemExit(f"keelrow ended with {self.child.returncode} before {what}\n{self.output()}")
            if time.monotonic() > until:
                raise SystemExit(f"not within {limit_s} s: {what}\n{self.output()}")
            time.sleep(0.01)

    def get(self, path, admin=False):
        """Status and text of a GET; answers of every status are answers."""
        url = f"http://127.0.0.1:{self.admin_port if admin else self.port}{path}"
        return fetch(urllib.request.Request(url))[:2]

    def post(self, path, body, key, timeout=10):
        """Status, text and headers of a POST with a write key."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        request.add_header("Authorization", basic(key))
        return fetch(request, timeout)

    def metric(self, start):
        """The sum of the metrics whose lines start so."""
        lines = self.get("/metrics", admin=True)[1].replace("{}", "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))

    def memory(self):
        """Resident bytes now."""
        return self._status("VmRSS")

    def peak_memory(self):
        """The most resident bytes since the start, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self):
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) << 10
        raise SystemExit(f"no {name}")

    def open_files(self):
        return len(list(pathlib.Path(f"/proc/{self.pid}/fd").iterdir()))

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self):
        """SIGTERM; answers the exit code."""

        os.kill(self.pid, signal.SIGTERM)
        return self.child.wait(timeout=STOP_LIMIT_S)

    def kill(self):

        with contextlib.suppress(ProcessLookupError, IndexError, FileNotFoundError):
            os.kill(self.pid, signal.SIGKILL)
        return self.child.wait(timeout=STOP_LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child and self.child.poll() is None:
            self.kill()


def basic(key):

    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def fetch(request, timeout=10):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode(), {k.lower(): v for k, v in answer.headers.items()}


def source(name, key, more=""):
    return f'[[source]]\nname = "{name}"\nenvironment = "prod"\nwrite_key = "{key}"\n{more}\n'
