"""From objects to pieces, whatever the objects are: which framing, calls that decode ahead, and their results in order.

An object is read in bounded stretches of whole records; a half-written last line is left. Each stretch becomes a piece
with the cursor before and behind it, to be committed together. Memory stays flat whatever the size.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol

from msgspec import DecodeError, Raw, Struct, json, structs

from monitor.domain.stretch import Cursor, Misread, Parsed, Piece
from monitor.errors import MonitorError
from monitor.sources.formats import detect, named
from monitor.sources.objects import unreadable
from monitor.sources.opening import Damage, Object, first_bytes, stream_from
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
    pieces,
)
from monitor.sources.reading import Reading
from monitor.sources.request import Request

STRETCH_RECORDS = 100_000
SAMPLE_BYTES = 64 * 1024
CALLS_AHEAD = 6
WORTH_WORKERS_BYTES = 48 * 1024 * 1024
"""Below this starting worker processes costs more than it saves."""

NO_FORMAT = "not in any known log format"


class LogSettings(Protocol):
    """What the settings of every source of logs say."""

    @property
    def name(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def count_without_response_id(self) -> bool: ...


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


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


Started = tuple[Cursor, Future[Parsed], str]
"""The cursor of the object as found, the running call, and, of the object's last call, what the object looked like."""


class Opened(Struct, frozen=True, kw_only=True):
    """An object whose cursor and format are known: what its calls are made of."""

    found: Object
    cursor: Cursor
    task: Task
    sample: bytes
    damage: str

    @property
    def stretch(self) -> int:
        """How many bytes hold as many records as one stretch may."""
        return (len(self.sample) // (self.sample.count(b"\n") + 1) + 1) * STRETCH_RECORDS


def in_order(started: Iterator[Started | MonitorError]) -> Iterator[Piece | MonitorError]:
    """Keep a few calls running ahead.

    Chain their results into pieces, dropping what an object's change made meaningless.
    """
    ahead: deque[Started | MonitorError] = deque()
    at: dict[str, Cursor] = {}
    for one in started:
        ahead.append(one)
        if len(ahead) > CALLS_AHEAD:
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
    if seen:
        at.pop(first.name)
    yield Piece(before=before, after=after, parsed=parsed)


def calls(
    settings: LogSettings,
    found: Object,
    cursor: Cursor,
    request: Request,
    pool: Pool,
    lines: Callable[[Opened, Pool], Iterator[Started]],
) -> Iterator[Started]:
    """Start the calls that read an object from its cursor; `lines` starts those of a plain object of lines.

    None where nothing can be said of it yet. OSError if it cannot be read.
    """
    opened = _open(settings, found, cursor, request)
    if opened is None:
        return
    format_ = opened.cursor.format
    if not format_:
        yield opened.cursor, refused(opened, opened.damage or NO_FORMAT), found.seen
    elif named(format_).FRAMING == "document" and _is_document(opened.sample):
        yield from _document(opened, pool)
    elif found.compressed:
        yield from streamed(opened, pool)
    else:
        yield from lines(opened, pool)


def _open(settings: LogSettings, found: Object, cursor: Cursor, request: Request) -> Opened | None:
    format_ = settings.format if settings.format != "auto" else cursor.format if cursor.position else ""
    of_lines = bool(format_) and named(format_).FRAMING == "lines" and not found.compressed
    # Where nothing has to be recognised the sample only shows how long lines are: those to be read show it as well.
    sample, broken = first_bytes(found, SAMPLE_BYTES, cursor.position if of_lines else 0)
    damage = broken.reason if broken and not sample and not broken.unfinished else ""
    if not format_:
        detected = detect(sample)
        format_ = detected.NAME if detected else ""
    if not format_ and not damage and (not request.final or not sample) and b"\n" not in sample:
        return None
    cursor = structs.replace(cursor, format=format_)
    task = _task(settings, found, cursor, request)
    return Opened(found=found, cursor=cursor, task=task, sample=sample, damage=damage)


def _task(settings: LogSettings, found: Object, cursor: Cursor, request: Request) -> Task:
    return Task(
        format=cursor.format,
        identity_scope=settings.name,
        object_key=cursor.key,
        start=cursor.position,
        path=found.path,
        final=request.final,
        reading=Reading(
            modified_ms=found.modified_ns // 1_000_000, count_without_response_id=settings.count_without_response_id
        ),
        minutes=request.minutes,
    )


def _is_document(sample: bytes) -> bool:
    """Whether no line of it is a JSON object of its own."""
    return not any(_is_object(line) for line in sample.split(b"\n"))


def _is_object(line: bytes) -> bool:
    try:
        return bool(json.decode(line, type=dict[str, Raw]))
    except (DecodeError, UnicodeDecodeError):
        return False


def done(parsed: Parsed) -> Future[Parsed]:
    """Return a call that has ended."""
    future: Future[Parsed] = Future()
    future.set_result(parsed)
    return future


def refused(opened: Opened, reason: str) -> Future[Parsed]:
    """The object as one record that could not be read; nothing of it is decoded."""
    start = opened.task.start
    misread = Misread(start, max(0, opened.found.size - start), reason)
    return done(Parsed(begin=start, end=start, read=1, rejected=[misread]))


def _document(opened: Opened, pool: Pool) -> Iterator[Started]:
    data, _ = first_bytes(opened.found, MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        yield opened.cursor, refused(opened, TOO_LONG), opened.found.seen
    elif len(data) > opened.task.start:
        yield opened.cursor, pool.submit(parse_document, opened.task, data), opened.found.seen


def streamed(opened: Opened, pool: Pool) -> Iterator[Started]:
    """Start the calls that read lines from a stream: read, and decompress, here; decode wherever the pool does."""
    found, cursor, task = opened.found, opened.cursor, opened.task
    stream, buffered, before = stream_from(found, task.start, min(PIECE_BYTES, max(found.size, SAMPLE_BYTES)))
    position = task.start
    with buffered:
        for position, data in pieces(buffered, task.start, min(PIECE_BYTES, opened.stretch)):
            if isinstance(data, Oversize):
                yield cursor, done(_too_long(position, data)), ""
                before = data.last
            else:
                yield cursor, pool.submit(parse_bytes, structs.replace(task, start=position), data, before), ""
                before = (before + data)[-FINGERPRINT_BYTES:]
    yield cursor, done(_end(position, stream.broken, final=task.final)), found.seen


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
