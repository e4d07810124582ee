"""A way to Azurite that can fail: it hands every request on, remembers it, and does what a test says before or instead.

`instead` is asked before each request and may answer it itself, or change the storage meanwhile and return None: so a
blob grows between two ranges. `cut` answers are cut after so many bytes. What is asked of HEAD has no body and tells no
length.
"""

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode, urlsplit

from tests.azure.server import Answer, Call, Server, serving

KEPT_BACK = {"host", "connection", "content-length", "transfer-encoding", "keep-alive"}


class StorageProxy:
    """`address` is that of the account, as Azurite's is; `calls` are the requests so far."""

    def __init__(self, account: str, server: Server) -> None:
        parts = urlsplit(account)
        self._target, self.address = parts.netloc, f"{server.address}{parts.path}"
        self.instead: Callable[[Call], Answer | None] = lambda _call: None
        self.calls = server.calls
        for method in ("GET", "HEAD", "PUT"):
            server.route(method, "/.*", self._hand_on)

    def listings(self) -> list[Call]:
        """The requests that list blobs."""
        return [call for call in self.calls if call.query.get("comp") == "list"]

    def ranges(self) -> list[Call]:
        """The requests that read blobs."""
        return [call for call in self.calls if call.method == "GET" and "comp" not in call.query]

    def _hand_on(self, call: Call) -> Answer:
        said = self.instead(call)
        answer = self._answer(call) if said is None or said.cut is not None else said
        return Answer(**{**answer.__dict__, "cut": said.cut}) if said and said.cut is not None else answer

    def _answer(self, call: Call) -> Answer:
        query = f"?{urlencode(call.query)}" if call.query else ""
        headers = {name: value for name, value in call.headers.items() if name not in KEPT_BACK}
        connection = http.client.HTTPConnection(self._target, timeout=60)
        try:
            connection.request(call.method, f"{call.path}{query}", call.body or None, headers)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in KEPT_BACK}
            return Answer(status=response.status, body=response.read(), headers=kept)
        finally:
            connection.close()


def of_blob(call: Call) -> bool:
    """Whether a request reads a blob's bytes."""
    return call.method == "GET" and "comp" not in call.query


@contextmanager
def storage_proxy(account: str) -> Iterator[StorageProxy]:
    """Serve the account of that address until the end of the block."""
    with serving() as server:
        yield StorageProxy(account, server)
