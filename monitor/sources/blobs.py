"""Source kind `blobs`: response logs in Azure Storage: what gateways write there, and what diagnostic settings append.

A pass: 1 list the blobs that the path names; where it has {year} {month} {day} {hour}, only those of the hours not yet
left behind; 2 look up the cursors of those listed, and pass over the ones that look as they did; 3 prove of the others
that they still hold what was read of them: one that does not is another object under the old name, read from its start
as a new generation; 4 read on from the cursor, and decode (monitor.sources.chain); 5 leave behind the hours that ended
more than `late_hours` ago and in which nothing was found to read: all of it was committed by then, by whomever.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from msgspec import Struct, structs

from monitor.domain.stretch import Cursor, Parsed, Piece
from monitor.errors import MonitorError, SettingsError, UnreachableError, counted
from monitor.sources.azure.storage import Container, blob_path, container_client, reached, variable_name
from monitor.sources.blob_paths import Name, Names, Span
from monitor.sources.blob_reading import Blob, GoneError
from monitor.sources.chain import (
    WORTH_WORKERS_BYTES,
    Here,
    Pool,
    Started,
    calls,
    done,
    in_order,
    processors,
    streamed,
)
from monitor.sources.formats import named
from monitor.sources.objects import label_text
from monitor.sources.opening import holds
from monitor.sources.parse import FINGERPRINT_BYTES, ChangedError
from monitor.sources.request import Cursors, Request
from monitor.sources.session import Session

KIND = "blobs"
YIELDS = "events"

LOOKED_UP = 500
"""Cursors are looked up for so many blobs at once."""
FETCHED_AHEAD = 8
"""Blobs whose first range is asked for while others are decoded: at most so many ranges are held."""
MOST_FAILURES = 10
"""After so many it is not the blobs' fault, and the rest is left to the next collection."""
LISTING = -1
"""The generation of the cursor that says which hours are left behind; it is no life of a blob."""
HOUR = timedelta(hours=1)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "blobs".

    `path`: "https://<account>.blob.core.windows.net/<container>/<names>"; the names with wildcards (`*`, `**`), labels
    `{workspace}`, `{deployment}`, `{model}`, `{region}`, and `{year}`, `{month}`, `{day}`, `{hour}` where they say when
    blobs were written (UTC). `late_hours`: blobs of so many last hours are looked at every time; older ones are left
    behind once they are read. `format`: a log format, or "auto" to decide per blob.
    `priority`: among sources that saw the same deployment on the same day the lowest is believed; default: by format.
    `count_without_response_id`: count OTLP spans that carry no `gen_ai.response.id`.
    `credential_env`: the environment variable that holds an account key or a SAS token; default: as [azure] says.
    """

    name: str
    kind: str
    path: str
    format: str = "auto"
    priority: int | None = None
    count_without_response_id: bool = False
    late_hours: int = 48
    credential_env: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no blob can be found or read by."""
        if self.format != "auto":
            named(self.format)
        place = f"source {self.name!r}"
        Names(blob_path(self.path, f"{place}: path").pattern, f"{place}: path")
        if self.credential_env is not None:
            variable_name(self.credential_env, f"{place}: credential_env")
        if self.late_hours < 1:
            raise SettingsError(place, f"late_hours is {self.late_hours}", "write a number of hours from 1 on")


def read(settings: Settings, cursors: Cursors, request: Request, session: Session) -> Iterator[Piece | MonitorError]:
    """Yield everything new in the source's blobs, piece by piece, in order within each blob; errors among them."""
    try:
        with container_client(session, settings.path, settings.credential_env, settings.name) as container:
            yield from _Pass(settings, cursors, request, session.now, container).pieces()
    except BrokenExecutor:
        yield UnreachableError(settings.name, "the system ended a worker process", "is there enough memory?")
    except MonitorError as error:
        yield error


def probe(settings: Settings, session: Session) -> Iterator[str]:
    """Ask for the first blobs."""
    yield from reached(session, settings.path, settings.credential_env, settings.name)


@contextmanager
def lying(settings: Settings, session: Session) -> Iterator[Callable[[str], Blob]]:
    """Give the way to the source's blobs by the names of their cursors; GoneError where none can be read."""
    with container_client(session, settings.path, settings.credential_env, settings.name) as container:

        def found(name: str) -> Blob:
            listed = container.find(name.removeprefix(f"{container.path.container}/"))
            if listed is None or listed.unreadable:
                raise GoneError(name)
            return Blob(container, listed)

        yield found


Fresh = tuple[Blob, Cursor, str]
"""A blob that does not look as it did, its cursor, and why it cannot be read now ('' if it can)."""


class _Pass:
    """One collection's way through the blobs of a source."""

    def __init__(
        self, settings: Settings, cursors: Cursors, request: Request, now: datetime, container: Container
    ) -> None:
        self.settings, self.cursors, self.request, self.container = settings, cursors, request, container
        self.names = Names(container.path.pattern, settings.name)
        self.limit = _hour(now - timedelta(hours=settings.late_hours))
        self.behind = self._behind()
        self.window = self._window(now)
        self.earliest = self.limit
        self.failures: Counter[str] = Counter()
        self.complete = True

    def pieces(self) -> Iterator[Piece | MonitorError]:
        """Yield what is new in all blobs, and at last the hours that are left behind."""
        with ExitStack() as stack:
            pool = _Growing(stack)
            threads = ThreadPoolExecutor(FETCHED_AHEAD)
            stack.callback(threads.shutdown, cancel_futures=True)
            yield from in_order(self._started(pool, threads))
        if more := self.failures.total() - len(self.failures):
            yield UnreachableError(self.settings.name, f"{counted(more, 'more blob')} could not be read", "as above")
        upto = min(self.limit, self.earliest)
        if self.names.timed and self.request.period is None and self.complete and _number(upto) > self.behind.position:
            yield Piece(before=self.behind, after=structs.replace(self.behind, position=_number(upto)), parsed=Parsed())

    def _behind(self) -> Cursor:
        """How far the hours are left behind: -1 before the first pass, else the first hour that is not."""
        name = f"hours of {self.settings.path}"
        known = [one for one in self.cursors.of([name]) if one.generation == LISTING]
        return known[0] if known else Cursor(name=name, object=name, generation=LISTING, position=-1)

    def _window(self, now: datetime) -> Span | None:
        """What to list, by the time that names say: a record may be filed as late as blobs may come late."""
        period = self.request.period
        if period is not None:
            return Span(period.start - HOUR, period.end + timedelta(hours=self.settings.late_hours))
        if self.behind.position < 0:
            return None
        return Span(min(_instant(self.behind.position), self.limit), _hour(now) + 2 * HOUR)

    def _started(self, pool: Pool, threads: ThreadPoolExecutor) -> Iterator[Started | MonitorError]:
        for one, begun in _ahead(self._fresh(), threads):
            if isinstance(one, MonitorError):
                self.complete = False
                yield one
                continue
            try:
                begun.result()
                yield from self._calls(*one, pool)
            except (GoneError, ChangedError):
                # Nothing is there any more, or another object is: the next collection finds out.
                continue
            except MonitorError as error:
                if str(error) not in self.failures:
                    yield error
                self.failures[str(error)] += 1
                if self.failures.total() >= MOST_FAILURES:
                    self.complete = False
                    return

    def _calls(self, blob: Blob, cursor: Cursor, reason: str, pool: Pool) -> Iterator[Started]:
        if reason:
            yield cursor, done(Parsed(read=1, ignored={reason: 1})), f"{blob.seen} {reason}"
            return
        if cursor.position and not holds(blob, cursor):
            cursor = _next_life(cursor, cursor.labels)
        if self.request.period is not None:
            cursor = structs.replace(cursor, position=0)
        started = calls(self.settings, blob, cursor, self.request, pool, streamed)
        # Where nothing can be said of a blob yet, it is not opened again before it changes.
        yield next(started, (cursor, done(Parsed()), blob.seen))
        yield from started

    def _fresh(self) -> Iterator[Fresh | MonitorError]:
        """Yield the blobs that do not look as they did; an error ends the listing."""
        listing = self._listing()
        try:
            while several := list(islice(listing, LOOKED_UP)):
                known = self._latest(blob for blob, _, _ in several)
                for blob, name, reason in several:
                    fresh = self._cursor(blob, name, reason, known.get(blob.path))
                    if fresh is None:
                        continue
                    if name.filed:
                        self.earliest = min(self.earliest, name.filed.start)
                    yield fresh
        except MonitorError as error:
            yield error

    def _listing(self) -> Iterator[tuple[Blob, Name, str]]:
        for prefix in self.names.prefixes(self.window, self.container.folders):
            for listed in self.container.list(prefix):
                name = self.names.matched(listed.name)
                if name and listed.size and not (self.window and name.filed and not name.filed.meets(self.window)):
                    yield Blob(self.container, listed), name, listed.unreadable

    def _latest(self, blobs: Iterable[Blob]) -> dict[str, Cursor]:
        """The cursors of the last lives that blobs have had."""
        found = sorted(self.cursors.of(blob.path for blob in blobs), key=lambda one: one.generation)
        return {one.name: one for one in found}

    def _cursor(self, blob: Blob, name: Name, reason: str, cursor: Cursor | None) -> Fresh | None:
        labels = label_text({**name.labels, **self.request.labels})
        if cursor is None:
            cursor = Cursor(name=blob.path, object=blob.path, generation=0, labels=labels)
        elif cursor.labels != labels:
            cursor = _next_life(cursor, labels)
        elif self.request.period is None and cursor.seen in (blob.seen, f"{blob.seen} {reason}"):
            return None
        return blob, cursor, reason


def _ahead(
    fresh: Iterator[Fresh | MonitorError], threads: ThreadPoolExecutor
) -> Iterator[tuple[Fresh | MonitorError, Future[Any]]]:
    """Have the first ranges of a few blobs fetched while the ones before them are read."""
    waiting: deque[tuple[Fresh | MonitorError, Future[Any]]] = deque()
    for one in fresh:
        waiting.append((one, threads.submit(_begin, one)))
        if len(waiting) >= FETCHED_AHEAD:
            yield waiting.popleft()
    yield from waiting


def _begin(one: Fresh | MonitorError) -> None:
    if isinstance(one, MonitorError) or one[2]:
        return
    blob, cursor, _ = one
    blob.at(0 if blob.compressed else max(0, cursor.position - FINGERPRINT_BYTES), 1)


class _Growing:
    """Decodes here until there is so much that worker processes pay."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack, self._bytes = stack, 0
        self._pool: Pool = Here()

    def submit(self, function: Callable[..., Parsed], /, *arguments: Any) -> Future[Parsed]:
        """Start one call."""
        before, self._bytes = self._bytes, self._bytes + sum(len(one) for one in arguments if isinstance(one, bytes))
        if before < WORTH_WORKERS_BYTES <= self._bytes and processors() > 1:
            from monitor.sources.workers import workers

            self._pool = self._stack.enter_context(workers(min(processors(), 8)))
        return self._pool.submit(function, *arguments)


def _next_life(cursor: Cursor, labels: str) -> Cursor:
    return Cursor(name=cursor.name, object=cursor.object, generation=cursor.generation + 1, labels=labels)


def _hour(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _number(hour: datetime) -> int:
    """The hours since 1970."""
    return int(hour.timestamp()) // 3600


def _instant(number: int) -> datetime:
    return datetime.fromtimestamp(number * 3600, UTC)
