"""How far reading has come: cursors, and what the stretches between them held."""

from msgspec import Struct

from monitor.domain.records import Place

COLUMNS = (
    "minute",
    "identity",
    "place",
    "millisecond",
    "status",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "max_tokens",
    "retry_after_ms",
    "cause",
)
"""The columns of `Parsed`, each 64-bit; -1 stands for "not reported"; `place` is an index into `Parsed.places`."""


class Cursor(Struct, frozen=True, kw_only=True):
    """How far one life of one object has been read. `seen`: its size and modification time then."""

    name: str
    object: str
    generation: int
    labels: str = ""
    format: str = ""
    position: int = 0
    head: str = ""
    tail: str = ""
    seen: str = ""

    @property
    def key(self) -> str:
        """What stands for this life of the object wherever a record has no identity of its own."""
        return f"{self.object}\0{self.generation}"


class Misread(Struct, frozen=True):
    """A record that could not be read: where it starts, how long it is, and why."""

    position: int
    length: int
    reason: str


class Parsed(Struct, kw_only=True):
    """What a stretch of an object held.

    `begin`: where its first own record starts (None: none does); `end`: where the next one starts. Fingerprints, ''
    where they are not known: `before` and `tail` of the last 1 KiB before `begin` and before `end`, `head` of the
    object's first 1 KiB as far as `end`.
    """

    begin: int | None = None
    end: int = 0
    read: int = 0
    size: int = 0
    places: list[Place] = []
    columns: dict[str, bytes] = {}
    ignored: dict[str, int] = {}
    rejected: list[Misread] = []
    before: str = ""
    head: str = ""
    tail: str = ""


class Piece(Struct, kw_only=True):
    """What one stretch of an object held, and the cursors before and behind it."""

    before: Cursor
    after: Cursor
    parsed: Parsed
