"""A source of blobs read again and again, as tests need it: cursors like the store keeps them, and what was seen."""

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitor.domain.stretch import Cursor, Parsed, Piece
from monitor.errors import MonitorError
from monitor.sources import blobs
from monitor.sources.request import Request
from tests.azure.parts import KEY
from tests.azure.sessions import NOW, Listed, SetClock, session

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

KEY_IN = "LOGS_KEY"
HOURS = "{year}/{month}/{day}/{hour}"


def address(container: "ContainerClient", account: str = "") -> str:
    """The address of a container, or the one it has by another way to its account."""
    return f"{account or container.url.rpartition('/')[0]}/{container.container_name}"


def filed(hour: datetime) -> str:
    """How the names of these tests write an hour."""
    return f"{hour:%Y/%m/%d/%H}"


class Reader:
    """Reads a source, keeping its cursors from one collection to the next; `now` is when the next one begins."""

    def __init__(self, path: str, **fields: Any) -> None:
        said = {"format": "response-log", "credential_env": KEY_IN, **fields}
        self.settings = blobs.Settings(name="log", kind="blobs", path=path, **said)
        self.cursors: dict[str, Cursor] = {}
        self.errors: list[MonitorError] = []
        self.pieces: list[Piece] = []
        self.seen: Counter[int] = Counter()
        self.now = NOW

    def read(self, request: Request = Request()) -> list[Parsed]:  # noqa: B008 - frozen
        self.pieces = []
        environ = {KEY_IN: KEY}
        with session(now=self.now, clock=SetClock(self.now), environ=environ) as here:
            for piece in blobs.read(self.settings, Listed(self.cursors.values()), request, here):
                if isinstance(piece, MonitorError):
                    self.errors.append(piece)
                    continue
                self._take(piece, request)
        return [piece.parsed for piece in self.pieces]

    def _take(self, piece: Piece, request: Request) -> None:
        """Do with a piece what the store does."""
        self.pieces.append(piece)
        if request.period is None:
            stands = self.cursors.get(piece.after.key)
            assert stands is None or stands.position == piece.before.position
            self.cursors[piece.after.key] = piece.after
        self.seen.update(column(piece.parsed, "identity"))

    def prompts(self) -> list[int]:
        """Prompt tokens of the records read now; `samples.record` numbers its records by them."""
        return [number for parsed in self.read() for number in column(parsed, "prompt_tokens")]

    def reasons(self) -> list[tuple[int, str]]:
        return [(one.position, one.reason) for piece in self.pieces for one in piece.parsed.rejected]


def column(parsed: Parsed, name: str) -> list[int]:
    return memoryview(parsed.columns.get(name, b"")).cast("q").tolist()
