"""What a collection counts while it runs, and what it tells in the end."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from msgspec import structs

from monitor.domain.records import Yield
from monitor.errors import MonitorError
from monitor.store.progress import Counts

logger = logging.getLogger(__name__)


Progress = Callable[[str, int], None]
"""Told the source and how many bytes of it were just read. If it has a method `waits`, that is told the source and for
how many seconds it is about to wait for others; 0: it works again, or begins."""


class Waiting:
    """Tells that a source waits: in the log, and to whoever watches the progress."""

    def __init__(self, progress: Progress | None) -> None:
        self.source = ""
        self._watcher: Callable[[str, float], None] | None = getattr(progress, "waits", None)

    def begin(self, source: str) -> None:
        """From now on it is this source that waits."""
        self.source = source
        if self._watcher:
            self._watcher(source, 0.0)

    def __call__(self, seconds: float) -> None:
        """Tell that it waits for so long, or, by 0, no longer."""
        if seconds:
            said = {"source": self.source, "seconds": round(seconds, 1)}
            logger.info("%s: waits %.0f s for Azure", self.source, seconds, extra=said)
        if self._watcher:
            self._watcher(self.source, seconds)


@dataclass(frozen=True, kw_only=True)
class SourceResult:
    """What one collection of one source did; read = stored + duplicates + ignored + quarantined."""

    source: str
    kind: str
    read: int = 0
    stored: int = 0
    duplicates: int = 0
    ignored: int = 0
    quarantined: int = 0
    bytes: int = 0
    seconds: float = 0.0
    ignored_reasons: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    errors: tuple[MonitorError, ...] = ()


class Tally:
    """The running counts of one collection of one source, which began at `now`."""

    def __init__(
        self, *, source: str, kind: str, now: datetime, yields: Yield = "events", progress: Progress | None = None
    ) -> None:
        self.source, self.kind, self.yields, self.now, self._progress = source, kind, yields, now, progress
        self.counts = Counts()
        self.ignored: Counter[str] = Counter()
        self.formats: Counter[str] = Counter()
        self.errors: list[MonitorError] = []

    def add(self, counts: Counts, ignored: Mapping[str, int]) -> None:
        """Add what a transaction has just committed."""
        self.counts.add(counts)
        self.ignored.update(ignored)
        # A source of costs is committed answer by answer, of which there are few; logs come in any number of batches.
        whole, level = ("batch", logging.DEBUG) if self.yields == "events" else ("answer", logging.INFO)
        said = {"source": self.source, **structs.asdict(counts)}
        logger.log(level, "%s: %s of %d read, %d stored", self.source, whole, counts.read, counts.stored, extra=said)
        if self._progress:
            self._progress(self.source, counts.bytes)

    def result(self, seconds: float) -> SourceResult:
        """Return what the collection did in so many seconds."""
        return SourceResult(
            source=self.source,
            kind=self.kind,
            seconds=round(seconds, 3),
            ignored_reasons=dict(self.ignored),
            formats=dict(self.formats),
            errors=tuple(self.errors),
            **structs.asdict(self.counts),
        )
