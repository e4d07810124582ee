"""Source kind `files`: response logs in local files, however they grow, rotate or are compressed.

Collecting a file: 1 find the files; 2 for each, find its cursor; 3 prove that it is the same object
(monitor.sources.objects); 4 read whole records from there in bounded pieces, leaving a half-written last line; 5 decode
them, in worker processes where that pays; 6 hand on every piece with the cursor behind it, to be committed together
(monitor.sources.chain); 7 repeat. Memory stays flat whatever the size.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

from msgspec import Struct, structs

from monitor.domain.stretch import Cursor, Piece
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.chain import WORTH_WORKERS_BYTES, Here, Opened, Pool, Started, calls, in_order, processors
from monitor.sources.formats import named
from monitor.sources.objects import Found, Known, find, found_at, unreadable
from monitor.sources.parse import parse_range
from monitor.sources.request import Cursors, Request
from monitor.sources.session import Session

KIND = "files"
YIELDS = "events"

RANGE_BYTES = 16 * 1024 * 1024


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "files".

    `path`: files to read, with wildcards (`*`, `**`) and `{workspace}`, `{deployment}`, `{model}`, `{region}`.
    `format`: a log format, or "auto" to decide per file.
    `priority`: among sources that saw the same deployment on the same day the lowest is believed; default: by format.
    `count_without_response_id`: count OTLP spans that carry no `gen_ai.response.id`.
    """

    name: str
    kind: str
    path: str
    format: str = "auto"
    priority: int | None = None
    count_without_response_id: bool = False

    def __post_init__(self) -> None:
        """Refuse a format that nothing reads; UnknownNameError names the nearest."""
        if self.format != "auto":
            named(self.format)


def read(
    settings: Settings, cursors: Cursors, request: Request, _session: Session | None = None
) -> Iterator[Piece | MonitorError]:
    """Yield everything new in the source's files, piece by piece, in order within each file; errors among them."""
    found = []
    for one in find(settings.path, settings.name):
        if _storable(one.path):
            found.append(_labelled(one, request))
        else:
            yield SettingsError(repr(one.path), "has a name that is not UTF-8", "rename it")
    again = request.period is not None
    fresh = [
        (one, structs.replace(cursor, position=0) if again and isinstance(cursor, Cursor) else cursor)
        for one, cursor in Known(cursors.all()).continued(found)
        if again or isinstance(cursor, MonitorError) or cursor.seen != one.seen
    ]
    size = sum(one.size * (5 if one.compressed else 1) for one, _ in fresh)
    try:
        with _pool(size) as pool:
            yield from in_order(_started(settings, fresh, request, pool))
    except BrokenExecutor:
        yield UnreachableError(settings.name, "the system ended a worker process", "is there enough memory?")


@contextmanager
def lying(_settings: Settings, _session: Session) -> Iterator[Callable[[str], Found]]:
    """Give the way to the source's files by their names; OSError where none lies."""
    yield found_at


def _storable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _labelled(found: Found, request: Request) -> Found:
    return structs.replace(found, labels={**found.labels, **request.labels}) if request.labels else found


def _pool(size: int) -> AbstractContextManager[Pool]:
    if size < WORTH_WORKERS_BYTES or processors() == 1:
        return nullcontext(Here())
    from monitor.sources.workers import workers

    return workers(min(processors(), 8))


def _started(
    settings: Settings, fresh: list[tuple[Found, Cursor | MonitorError]], request: Request, pool: Pool
) -> Iterator[Started | MonitorError]:
    for found, cursor in fresh:
        if isinstance(cursor, MonitorError):
            yield cursor
            continue
        try:
            yield from calls(settings, found, cursor, request, pool, partial(_ranges, found))
        except OSError as error:
            yield unreadable(found.path, error)


def _ranges(found: Found, opened: Opened, pool: Pool) -> Iterator[Started]:
    """Start the calls that read a plain file, each opening it by itself."""
    task, size = structs.replace(opened.task, inode=found.inode), min(RANGE_BYTES, opened.stretch)
    starts = range(task.start, max(found.size, task.start + 1), size)
    for start in starts:
        end = min(start + size, found.size)
        part = structs.replace(task, start=start, end=end, aligned=start == task.start)
        yield opened.cursor, pool.submit(parse_range, part), found.seen if start == starts[-1] else ""
