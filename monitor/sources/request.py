"""What to read of a source: everything new, or a past range again."""

from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from monitor.domain.period import Period, minute_number
from monitor.domain.stretch import Cursor


class Request(Struct, frozen=True, kw_only=True):
    """One reading of a source.

    `period`: read this range again, whatever was read before, and nothing else; None: everything new. `final`: nobody
    will append to what is half-written. `labels`: said of every object, beside those in its path.
    """

    period: Period | None = None
    final: bool = False
    labels: dict[str, str] = {}

    @property
    def minutes(self) -> tuple[int, int] | None:
        """The first minute of the period and the one after its last, since 1970."""
        return (minute_number(self.period.start), minute_number(self.period.end)) if self.period else None


class Cursors(Protocol):
    """How far the objects of a source have been read."""

    def all(self) -> list[Cursor]:
        """Return the cursors of every object."""

    def of(self, names: Iterable[str]) -> list[Cursor]:
        """Return the cursors of the objects of these names; there may be millions of others."""
