"""A server on this machine that answers like a part of Azure; each test says what it knows.

A handler takes a `Call` and returns an `Answer`. Routes are tried in order, the first whose method and path match; what
no route takes is answered as Azure Resource Manager answers it: 404 with an error body. Every call is remembered.
"""

import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request as it came in; header names are in lower case, `match` is that of the route's path."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    match: re.Match[str] | None = None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What goes back: `body` is sent as JSON unless it is bytes. `cut`: so many bytes of it, then the line is dead."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None


Handler = Callable[[Call], Answer]


def error(status: int, code: str, message: str, **headers: str) -> Answer:
    """An error as Azure Resource Manager writes it; header names are given with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body={"error": {"code": code, "message": message}}, headers=named)


class Server:
    """The routes and what was asked; `address` is http://127.0.0.1:port."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self.calls: list[Call] = []
        self.address = ""
        self._lock = threading.Lock()

    def route(self, method: str, path: str, handler: Handler) -> None:
        """Answer requests whose whole path matches a regular expression, whatever the case."""
        self.routes.append((method, re.compile(path, re.IGNORECASE), handler))

    def answer(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
        for method, path, handler in self.routes:
            matched = path.fullmatch(call.path)
            if method == call.method and matched:
                return handler(Call(**{**call.__dict__, "match": matched}))
        return error(404, "ResourceNotFound", f"The resource at {call.path} was not found.")


@contextmanager
def serving(server: Server | None = None, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1 until the end of the block; with `tls`, over https."""
    served = server or Server()
    http = _Listening(("127.0.0.1", 0), _handler(served))
    if tls:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    served.address = f"{'https' if tls else 'http'}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Listening(ThreadingHTTPServer):
    """Hears of a client that hangs up, as tests have them do, without a word."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handling(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body are two writes; held back until the first is acknowledged, every answer would take 40 ms.
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length") or 0)
            call = Call(
                method=self.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(size),
            )
            self._reply(server.answer(call))

        do_GET = do_POST = do_PUT = do_HEAD = _serve  # noqa: N815 - the names that http.server calls

        def _reply(self, answer: Answer) -> None:
            body = answer.body if isinstance(answer.body, bytes) else _as_json(answer.body)
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body if answer.cut is None else body[: answer.cut])
            if answer.cut is not None:
                self.close_connection = True

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    return Handling


def _as_json(body: Any) -> bytes:
    """Write JSON in which a Decimal keeps its digits, as Azure's own numbers do."""
    if body is None:
        return b""
    numbers: list[str] = []

    def keep(value: Any) -> str:
        if not isinstance(value, Decimal):
            raise TypeError(type(value).__name__)
        numbers.append(format(value, "f"))
        return f"\0{len(numbers) - 1}\0"

    text = json.dumps(body, default=keep)
    return re.sub(r'"\\u0000(\d+)\\u0000"', lambda found: numbers[int(found[1])], text).encode()
