"""A small reverse proxy that does to requests what networks and busy gateways do.

One proxy stands before the gateway for one job. Each POST takes the next fault from its list until
the list is empty; all else passes. It keeps what it saw, so that the messageIds on the wire can be
compared with the rows.
"""

import gzip
import http.client
import http.server
import json
import socket
import struct
import threading
import time
import urllib.parse

# 429 and 503 as the gateway says them.
BUSY = {429: b"max requests limit reached\n", 503: b"Service Unavailable\n"}
HOP = {"connection", "keep-alive", "transfer-encoding", "host"}


def status(code, retry_after=1):
    """Refuses without the gateway having seen the request."""
    return ("status", code, retry_after)


# The connection is reset before the gateway has seen the request, or once it has answered: the
# client cannot tell these apart.
RESET = ("reset",)
ANSWER_LOST = ("answer lost",)


def slow(seconds):
    """The answer comes late."""
    return ("slow", seconds)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        """A client that resets its connection is none of ours; the looking up finds what is lost."""


class Proxy:
    """`patience_s` is how long a gateway that is not there is waited for, as load balancers do."""

    def __init__(self, upstream_port, faults=(), prefix="", patience_s=0):
        self.upstream_port, self.prefix, self.patience_s = upstream_port, prefix, patience_s
        self.faults, self.lock = list(faults), threading.Lock()
        self.events, self.met, self.statuses = [], [], []
        self.server = Server(("127.0.0.1", 0), handler(self))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}{self.prefix}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def next_fault(self):
        with self.lock:
            fault = self.faults.pop(0) if self.faults else None
            if fault:
                self.met.append(fault)
            return fault

    def record(self, headers, body):
        try:
            text = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            content = json.loads(text)
        except (OSError, ValueError):
            return
        with self.lock:
            self.events += content["batch"] if "batch" in content else [content]


def handler(proxy):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not self.path.startswith(proxy.prefix):
                return self.answer(404, [], b"outside the prefix")
            path = self.path[len(proxy.prefix):]
            fault = proxy.next_fault() if self.command == "POST" else None
            if self.command == "POST":
                proxy.record(self.headers, body)
            if fault == RESET:
                return self.reset()
            if fault and fault[0] == "status":
                return self.refuse(*fault[1:])
            code, headers, answer = self.forward(path, body)
            proxy.statuses.append(code)
            if fault == ANSWER_LOST or code is None:
                return self.reset()
            if fault and fault[0] == "slow":
                time.sleep(fault[1])
            self.answer(code, headers, answer)

        do_GET = do_POST = do_OPTIONS = do_HEAD = handle_one

        def forward(self, path, body):
            connection = http.client.HTTPConnection("127.0.0.1", proxy.upstream_port, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
            headers["X-Forwarded-For"] = self.client_address[0]
            headers["X-Forwarded-Host"] = self.headers["host"]
            headers["X-Forwarded-Prefix"] = proxy.prefix
            try:
                self.reach(connection)
                connection.request(self.command, path, body or None, headers)
                response = connection.getresponse()
                return response.status, response.getheaders(), response.read()
            except (OSError, http.client.HTTPException):
                return None, [], b""
            finally:
                connection.close()

        def reach(self, connection):
            until = time.monotonic() + proxy.patience_s
            while True:
                try:
                    return connection.connect()
                except ConnectionRefusedError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

        def refuse(self, code, retry_after):
            headers = [("Retry-After", str(retry_after)), ("Content-Type", "text/plain; charset=utf-8")]
            if self.headers["origin"]:
                headers += [
                    ("Access-Control-Allow-Origin", self.headers["origin"]),
                    ("Access-Control-Allow-Credentials", "true"),
                    ("Access-Control-Expose-Headers", "Retry-After"),
                ]
            self.answer(code, headers, BUSY[code])

        def answer(self, code, headers, body):
            try:
                self.send_response_only(code)
                for name, value in headers:
                    if name.lower() not in HOP | {"content-length"}:
                        self.send_header(name, value)
                if code != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
            except OSError:
                self.close_connection = True

        def reset(self):
            """Closes with RST instead of FIN."""
            self.close_connection = True
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            # The base class would flush what is no longer open.
            self.wfile = self.rfile = None

        def finish(self):
            if self.wfile is not None:
                super().finish()

        def log_message(self, *_):
            pass

    return Handler


# What Chromium itself asks for at its start, flags or not: its time, its updates, its accounts.
CHROMIUM = (".google.com", ".googleapis.com", ".gvt1.com")


class Sink:
    """Stands for the rest of the internet: notes which hosts are asked for, answers none."""

    def __init__(self):
        self.hosts, self.listener = set(), socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._note, args=(connection,), daemon=True).start()

    def _note(self, connection):
        with connection:
            connection.settimeout(5)
            try:
                line = connection.recv(4096).split(b"\r\n")[0].decode("latin-1")
            except OSError:
                return
            if line:
                method, target = line.split(" ")[:2]
                address = urllib.parse.urlsplit(f"//{target}" if method == "CONNECT" else target)
                self.hosts.add(address.hostname or "")

    def asked(self):
        return sorted(host for host in self.hosts if not f".{host}".endswith(CHROMIUM))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
