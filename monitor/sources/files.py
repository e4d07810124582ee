"""Source kind `files`: response logs in local files, however they grow, rotate or are compressed.

Collecting a file: 1 find the files; 2 for each, find its cursor; 3 prove that it is the same object
(monitor.sources.objects); 4 read whole records from there in bounded pieces, leaving a half-written last line; 5 decode
them, in worker processes where that pays; 6 hand on every piece with the cursor behind it, to be committed together; 7
repeat. Memory stays flat whatever the size.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from typing import Any, Protocol

from msgspec import DecodeError, Raw, Struct, json, structs

from monitor.domain.stretch import Cursor, Misread, Parsed, Piece
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.formats import detect, named
from monitor.sources.objects import Damage, Decompressed, Found, Known, beginning, find, skip, unreadable
from monitor.sources.parse import (
    FINGERPRINT_BYTES,
    MAX_RECORD_BYTES,
    PIECE_BYTES,
    TOO_LONG,
    ChangedError,
    Oversize,
    Task,
    fingerprint,
    parse_bytes,
    parse_document,
    parse_range,
    pieces,
)
from monitor.sources.reading import Reading
from monitor.sources.request import Cursors, Request
from monitor.sources.session import Session

KIND = "files"
YIELDS = "events"

RANGE_BYTES = 16 * 1024 * 1024
STRETCH_RECORDS = 100_000
SAMPLE_BYTES = 64 * 1024
NO_FORMAT = "not in any known log format"
WORTH_WORKERS_BYTES = 48 * 1024 * 1024
"""Below this starting worker processes costs more than it saves."""


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


class Pool(Protocol):
    """Runs the pure parsing functions, at once or in other processes."""

    def submit(self, function: Callable[..., Parsed], /, *arguments: Any) -> Future[Parsed]:
        """Start one call."""


class Here:
    """The pool of one: runs each call at once, in this process."""

    def submit(self, function: Callable[..., Parsed], /, *arguments: Any) -> Future[Parsed]:
        """Run the call and return its finished future."""
        future: Future[Parsed] = Future()
        try:
            future.set_result(function(*arguments))
        except ChangedError as error:
            future.set_exception(error)
        return future


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
            yield from _in_order(_started(settings, fresh, request, pool))
    except BrokenExecutor:
        yield UnreachableError(settings.name, "the system ended a worker process", "is there enough memory?")


def _storable(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _labelled(found: Found, request: Request) -> Found:
    return structs.replace(found, labels={**found.labels, **request.labels}) if request.labels else found


def _pool(size: int) -> AbstractContextManager[Pool]:
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if size < WORTH_WORKERS_BYTES or processors == 1:
        return nullcontext(Here())
    from monitor.sources.workers import workers

    return workers(min(processors, 8))


Started = tuple[Cursor, Future[Parsed], str]
"""The cursor of the object as found, the running call, and, of the object's last call, what the object looked like."""


def _in_order(started: Iterator[Started | MonitorError]) -> Iterator[Piece | MonitorError]:
    """Keep a few calls running ahead.

    Chain their results into pieces, dropping what an object's change made meaningless.
    """
    ahead: deque[Started | MonitorError] = deque()
    at: dict[str, Cursor] = {}
    for one in started:
        ahead.append(one)
        if len(ahead) > 6:
            yield from _piece(ahead.popleft(), at)
    while ahead:
        yield from _piece(ahead.popleft(), at)


def _piece(started: Started | MonitorError, at: dict[str, Cursor]) -> Iterator[Piece | MonitorError]:
    if isinstance(started, MonitorError):
        yield started
        return
    first, future, seen = started
    try:
        parsed = future.result()
    except (ChangedError, OSError) as error:
        if isinstance(error, OSError):
            yield unreadable(first.name, error)
        return
    before = at.get(first.name, first)
    if parsed.begin is None and not seen and not parsed.rejected:
        return
    moved = parsed.begin not in (None, before.position)
    if moved or (parsed.before and before.position and parsed.before != before.tail):
        # The object changed under its readers; the next collection goes on from the cursor.
        return
    after = structs.replace(
        before,
        position=before.position if parsed.begin is None else parsed.end,
        head=parsed.head or before.head,
        tail=parsed.tail or before.tail,
        format=first.format,
        seen=seen,
    )
    at[first.name] = after
    yield Piece(before=before, after=after, parsed=parsed)


def _started(
    settings: Settings, fresh: list[tuple[Found, Cursor | MonitorError]], request: Request, pool: Pool
) -> Iterator[Started | MonitorError]:
    for found, cursor in fresh:
        if isinstance(cursor, MonitorError):
            yield cursor
            continue
        try:
            yield from _object(settings, found, cursor, request, pool)
        except OSError as error:
            yield unreadable(found.path, error)


def _object(settings: Settings, found: Found, cursor: Cursor, request: Request, pool: Pool) -> Iterator[Started]:
    sample, damage = _sample(found)
    format_ = _format(settings, cursor, sample)
    if not format_ and not damage and (not request.final or not sample) and b"\n" not in sample:
        return
    cursor = structs.replace(cursor, format=format_)
    task = _task(settings, found, cursor, request)
    if not format_:
        yield cursor, _refused(task, found, damage or NO_FORMAT), found.seen
    elif named(format_).FRAMING == "document" and _is_document(sample):
        yield from _document(task, found, cursor, pool)
    elif found.compressed:
        yield from _compressed(task, found, cursor, pool, _stretch(sample, PIECE_BYTES))
    else:
        yield from _ranges(task, found, cursor, pool, _stretch(sample, RANGE_BYTES))


def _sample(found: Found) -> tuple[bytes, str]:
    """The beginning of an object, and why there is none if its compression is damaged from the start."""
    sample, broken = beginning(found.path, SAMPLE_BYTES)
    return sample, broken.reason if broken and not sample and not broken.unfinished else ""


def _task(settings: Settings, found: Found, cursor: Cursor, request: Request) -> Task:
    return Task(
        format=cursor.format,
        identity_scope=settings.name,
        object_key=cursor.key,
        start=cursor.position,
        path=found.path,
        inode=found.inode,
        final=request.final,
        reading=Reading(
            modified_ms=found.modified_ns // 1_000_000, count_without_response_id=settings.count_without_response_id
        ),
        minutes=request.minutes,
    )


def _format(settings: Settings, cursor: Cursor, sample: bytes) -> str:
    """The format of an object.

    As set, else as found before, else as its first records show; '' when nothing is recognised.
    """
    if settings.format != "auto":
        return settings.format
    if cursor.format and cursor.position:
        return cursor.format
    detected = detect(sample)
    return detected.NAME if detected else ""


def _is_document(sample: bytes) -> bool:
    """Whether no line of it is a JSON object of its own."""
    return not any(_is_object(line) for line in sample.split(b"\n"))


def _is_object(line: bytes) -> bool:
    try:
        return bool(json.decode(line, type=dict[str, Raw]))
    except (DecodeError, UnicodeDecodeError):
        return False


def _done(parsed: Parsed) -> Future[Parsed]:
    future: Future[Parsed] = Future()
    future.set_result(parsed)
    return future


def _refused(task: Task, found: Found, reason: str) -> Future[Parsed]:
    """The object as one record that could not be read; nothing of it is decoded."""
    misread = Misread(task.start, max(0, found.size - task.start), reason)
    return _done(Parsed(begin=task.start, end=task.start, read=1, rejected=[misread]))


def _document(task: Task, found: Found, cursor: Cursor, pool: Pool) -> Iterator[Started]:
    data, _ = beginning(found.path, MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        yield cursor, _refused(task, found, TOO_LONG), found.seen
    elif len(data) > task.start:
        yield cursor, pool.submit(parse_document, task, data), found.seen


def _stretch(sample: bytes, size: int) -> int:
    """How many bytes to parse at once: fewer where the lines are short, so that no stretch holds too many records."""
    length = len(sample) // (sample.count(b"\n") + 1) + 1
    return min(size, length * STRETCH_RECORDS)


def _ranges(task: Task, found: Found, cursor: Cursor, pool: Pool, size: int) -> Iterator[Started]:
    starts = range(task.start, max(found.size, task.start + 1), size)
    for start in starts:
        end = min(start + size, found.size)
        part = structs.replace(task, start=start, end=end, aligned=start == task.start)
        yield cursor, pool.submit(parse_range, part), found.seen if start == starts[-1] else ""


def _compressed(task: Task, found: Found, cursor: Cursor, pool: Pool, size: int) -> Iterator[Started]:
    """Decompress here, parse wherever the pool does."""
    stream = Decompressed(found.path)
    with BufferedReader(stream, PIECE_BYTES) as buffered:
        before, position = skip(buffered, task.start), task.start
        for position, data in pieces(buffered, task.start, size):
            if isinstance(data, Oversize):
                yield cursor, _done(_too_long(position, data)), ""
                before = data.last
            else:
                yield cursor, pool.submit(parse_bytes, structs.replace(task, start=position), data, before), ""
                before = (before + data)[-FINGERPRINT_BYTES:]
    yield cursor, _done(_end(position, stream.broken, final=task.final)), found.seen


def _too_long(position: int, line: Oversize) -> Parsed:
    misread = Misread(position, line.length, TOO_LONG)
    return Parsed(
        begin=position,
        end=position + line.length,
        read=1,
        size=line.length,
        rejected=[misread],
        tail=fingerprint(line.last),
    )


def _end(position: int, broken: Damage | None, *, final: bool) -> Parsed:
    """The end of a compressed object, with what broke it; one that merely ends early may still be written to."""
    if broken and (final or not broken.unfinished):
        return Parsed(read=1, rejected=[Misread(position, 0, broken.reason)])
    return Parsed()
