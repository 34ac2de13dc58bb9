"""Requests and answers as bytes on a socket: nothing is tidied up on the way, as a client library
would."""

import contextlib
import socket

LIMIT_S = 120


class Answer:
    """One answer of HTTP/1.1: status, headers (names in lower case, in order), body."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self):
        return f"{self.status} {self.body[:80]!r}"

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)

    def headers_of(self, name):
        return [value for key, value in self.headers if key == name]


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), LIMIT_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def request(method, path, headers=(), body=b"", length=True):
    """A request's bytes; with `length`, a body announces itself."""
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test"]
    lines += [f"{name}: {value}" for name, value in headers]
    if length and (body or method in ("POST", "PUT", "PATCH")):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Reader:
    """Reads answers one after the other from a connection."""

    def __init__(self, s):
        self.socket, self.buffer = s, b""

    def _more(self):
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def answer(self, head_only=False):
        """The next answer; None if the connection ended before one began."""
        while b"\r\n\r\n" not in self.buffer:
            try:
                if not self._more():
                    return None
            except ConnectionError:
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers = [(n.lower(), v.strip()) for n, v in (line.split(":", 1) for line in lines)]
        bodiless = head_only or status < 200 or status in (204, 304)
        length = 0 if bodiless else int(dict(headers).get("content-length", 0))
        while len(self.buffer) < length and self._more():
            pass
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Answer(status, headers, body)

    def closed(self):
        """Whether the other side closes now, having said nothing more."""
        with contextlib.suppress(ConnectionError):
            return not self.buffer and not self.socket.recv(1)
        return not self.buffer


def exchange(port, data, head_only=False):
    """Sends bytes on a fresh connection and reads one answer."""
    with connect(port) as s:
        # The server may answer and close before it has read everything.
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        return Reader(s).answer(head_only)


def answers(port, data):
    """Sends bytes, ends the sending side, and reads all answers until the other side closes."""
    out = []
    with connect(port) as s:
        with contextlib.suppress(OSError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        reader = Reader(s)
        while (answer := reader.answer()) is not None:
            if answer.status >= 200:
                out.append(answer)
    return out
