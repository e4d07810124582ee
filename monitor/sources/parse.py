"""From a stretch of bytes to columns of events: the pure, parallel half of collecting.

`parse_range` and `parse_bytes` run in worker processes: they get small tasks and hand back columns as bytes, never
objects. Positions are byte offsets in the decompressed object. A range owns the lines that start in it; its last line
may end beyond it.
"""

import os
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

from msgspec import Struct, structs
from xxhash import xxh3_64_intdigest

from monitor.domain.records import Ignored, Outcome, Place, Rejected, UsageEvent
from monitor.domain.stretch import Misread, Parsed
from monitor.sources.formats import Format, named
from monitor.sources.reading import Reading

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A longer line is no response of a chat model; it is refused without being held in memory."""

BUFFER_BYTES = 256 * 1024
PIECE_BYTES = 4 * 1024 * 1024
FINGERPRINT_BYTES = 1024
SHORTEST_RECORD = 8
"""Shorter lines may be blank."""
LINE_FEED = 0x0A

TOO_LONG = f"longer than {MAX_RECORD_BYTES // (1024 * 1024)} MiB"
UNFINISHED = "half-written: the object ends inside this record"


class Task(Struct, frozen=True, kw_only=True):
    """What to parse: bytes [start, end) of an object (end None: up to its end), and how.

    `identity_scope` separates the requests of one source from those of another; `object_key` names one life of the
    object, for records that carry no identity of their own. `aligned`: a record starts at `start`. `final`: nothing
    will be appended.
    """

    format: str
    identity_scope: str
    object_key: str
    start: int = 0
    end: int | None = None
    path: str = ""
    inode: int = 0
    aligned: bool = True
    final: bool = False
    reading: Reading = Reading()
    minutes: tuple[int, int] | None = None


class ChangedError(Exception):
    """The file at the path is no longer the one that the task was made for."""


def parse_range(task: Task) -> Parsed:
    """Parse the records that start in a range of a plain file."""
    with open(task.path, "rb", buffering=BUFFER_BYTES) as file:  # noqa: PTH123 - a worker's hot path
        descriptor = file.fileno()
        if task.inode and os.fstat(descriptor).st_ino != task.inode:
            raise ChangedError
        begin = file.seek(task.start)
        if not task.aligned:
            file.seek(task.start - 1)
            begin += _skip_line(file) - 1
        if task.end is not None and begin >= task.end:
            return Parsed(end=task.start)
        rows = _Rows(task)
        end = rows.take_lines(file, begin, task.end)
        return rows.parsed(
            begin,
            end,
            before=_last_before(descriptor, begin),
            head=os.pread(descriptor, min(FINGERPRINT_BYTES, end), 0),
            tail=_last_before(descriptor, end),
        )


def _last_before(descriptor: int, position: int) -> bytes:
    start = max(0, position - FINGERPRINT_BYTES)
    return os.pread(descriptor, position - start, start)


def parse_bytes(task: Task, data: bytes, before: bytes = b"") -> Parsed:
    """Parse whole records that start at `task.start` of their object; `before` is the 1 KiB ahead of them."""
    rows = _Rows(task)
    end = rows.take_lines(BytesIO(data), task.start, None)
    return rows.parsed(task.start, end, before=before, **_marks(before + data[: end - task.start], end))


def parse_document(task: Task, data: bytes) -> Parsed:
    """Parse an object that is one record as a whole: a JSON body over many lines, or an SSE transcript.

    One that has grown since `task.start` is the same record still, told from others by its place alone.
    """
    rows = _Rows(task)
    outcome = rows.decode(data, task.reading)
    if isinstance(outcome, Rejected) and not task.final and not data.endswith((b"}", b"}\n", b"\n\n")):
        return Parsed(begin=task.start, end=task.start)
    rows.take(outcome, 0, b"", len(data))
    before = data[: task.start][-FINGERPRINT_BYTES:]
    return rows.parsed(task.start, len(data), before=before, **_marks(data, len(data)))


def parse_outcomes(task: Task, outcomes: Iterable[tuple[int, Outcome]], *, end: int, size: int) -> Parsed:
    """File what the rows of an answer were decoded to, each with its position; for sources that are no bytes.

    `end` is where the next stretch starts, `size` how many bytes the answer had.
    """
    rows = _Rows(task)
    for position, outcome in outcomes:
        rows.take(outcome, position, b"")
    return structs.replace(rows.parsed(task.start, end), size=size)


def fingerprint(data: bytes) -> str:
    """The hash by which a stretch of an object is recognised."""
    return sha256(data).hexdigest()[:32]


def _marks(upto: bytes, end: int) -> dict[str, bytes]:
    """The first and the last 1 KiB of an object up to `end`, given what ends there.

    The first only if it is all there.
    """
    marks = {"tail": upto[-FINGERPRINT_BYTES:]}
    return marks | {"head": upto[:FINGERPRINT_BYTES]} if len(upto) == end else marks


class Oversize(Struct, frozen=True):
    """Stands for a line too long to hold: its length with the line feed, and its last 1 KiB."""

    length: int
    last: bytes


def pieces(stream: BinaryIO, position: int, size: int) -> Iterator[tuple[int, bytes | Oversize]]:
    """Cut a stream that stands at a position into whole lines, about `size` bytes at a time; no more is held."""
    while data := stream.read(size):
        data += stream.readline(MAX_RECORD_BYTES + 1)
        cut = data.rfind(b"\n") + 1
        if len(data) - cut <= MAX_RECORD_BYTES:
            yield position, data
            position += len(data)
            continue
        if cut:
            yield position, data[:cut]
        last = data[-FINGERPRINT_BYTES:]
        length = len(data) - cut
        while block := stream.readline(PIECE_BYTES):
            length, last = length + len(block), (last + block)[-FINGERPRINT_BYTES:]
            if block.endswith(b"\n"):
                break
        yield position + cut, Oversize(length, last)
        position += cut + length


def _skip_line(stream: BinaryIO) -> int:
    """Read to the end of a line without keeping it; return how many bytes that were."""
    length = 0
    while block := stream.readline(PIECE_BYTES):
        length += len(block)
        if block.endswith(b"\n"):
            break
    return length


class _Rows:
    """Collects outcomes into columns."""

    def __init__(self, task: Task) -> None:
        format_: Format = named(task.format)
        self.decode = format_.decode
        self.task = task
        self.scope = f"{task.identity_scope}\0".encode()
        self.object_key = f"{task.object_key}\0".encode("utf-8", "surrogatepass")
        self.events: list[UsageEvent] = []
        self.identities: list[int] = []
        self.ignored: Counter[str] = Counter()
        self.rejected: list[Misread] = []
        self.read = 0

    def take_lines(self, stream: BinaryIO, position: int, end: int | None) -> int:
        """Decode the lines that start before `end`.

        Return where the next one starts. The hot loop of the whole service.
        """
        decode, reading, scope = self.decode, self.task.reading, self.scope
        events, identities, hash_ = self.events.append, self.identities.append, xxh3_64_intdigest
        bounds = self.task.minutes
        limit = sys.maxsize if end is None else end
        while position < limit and (line := stream.readline(MAX_RECORD_BYTES + 1)):
            size = len(line)
            if line[-1] != LINE_FEED:
                if size > MAX_RECORD_BYTES:
                    size += _skip_line(stream)
                    self.take(Rejected(TOO_LONG), position, b"", size)
                elif not self._last_line(line, position):
                    break
            elif size > 1:
                outcome = decode(line, reading)
                if isinstance(outcome, UsageEvent) and bounds is None and outcome.identity:
                    events(outcome)
                    identities(hash_(scope + outcome.identity.encode("utf-8", "surrogatepass")) >> 1)
                    self.read += 1
                elif size > SHORTEST_RECORD or line.strip():
                    self.take(outcome, position, line)
            position += size
        return position

    def _last_line(self, line: bytes, position: int) -> bool:
        """Take a last line without a line feed if it is whole (JSON objects end themselves) or nothing will follow."""
        if not line.strip():
            return True
        outcome = self.decode(line, self.task.reading)
        if isinstance(outcome, Rejected):
            if not self.task.final:
                return False
            outcome = Rejected(UNFINISHED)
        self.take(outcome, position, line)
        return True

    def take(self, outcome: Outcome | list[Outcome], position: int, record: bytes, length: int = 0) -> None:
        """File one record's outcome, or those of all the requests that one record holds."""
        outcomes = outcome if isinstance(outcome, list) else [outcome]
        for index, one in enumerate(outcomes):
            self.read += 1
            if isinstance(one, Rejected):
                self.rejected.append(Misread(position + index, length or len(record.rstrip(b"\n")), one.reason))
            elif isinstance(one, Ignored):
                self.ignored[one.reason] += 1
            elif self.task.minutes and not self.task.minutes[0] <= one.minute < self.task.minutes[1]:
                self.ignored["outside the asked days"] += 1
            else:
                self.events.append(one)
                self.identities.append(
                    xxh3_64_intdigest(self.scope + self._identity(one, position, index, record)) >> 1
                )

    def _identity(self, event: UsageEvent, position: int, index: int, record: bytes) -> bytes:
        """What the request calls itself, else its place.

        Files that begin alike may be taken for one another while no more than that has been read of them; the record's
        own bytes keep the requests at equal places in them apart.
        """
        if event.identity:
            return event.identity.encode("utf-8", "surrogatepass")
        return self.object_key + b"%d\0%d\0" % (position, index) + record.strip()

    def parsed(self, begin: int, end: int, *, before: bytes = b"", head: bytes = b"", tail: bytes = b"") -> Parsed:
        """Turn what was collected into columns; the bytes given are those that the object is known by."""
        places: dict[tuple[str | None, ...], int] = {}
        index = places.setdefault
        events = self.events
        columns: dict[str, list[int]] = {
            "minute": [e.minute for e in events],
            "identity": self.identities,
            "place": [
                index((e.workspace, e.deployment, e.model, e.endpoint, e.requested_model), len(places)) for e in events
            ],
            "millisecond": [e.millisecond for e in events],
            "status": [-1 if (v := e.status) is None else v for e in events],
            "prompt_tokens": [-1 if (v := e.prompt_tokens) is None else v for e in events],
            "completion_tokens": [-1 if (v := e.completion_tokens) is None else v for e in events],
            "cached_tokens": [-1 if (v := e.cached_tokens) is None else v for e in events],
            "max_tokens": [-1 if (v := e.max_tokens) is None else v for e in events],
            "retry_after_ms": [-1 if (v := e.retry_after_ms) is None else v for e in events],
            "cause": [e.cause for e in events],
        }
        return Parsed(
            begin=begin,
            end=end,
            read=self.read,
            size=end - begin,
            places=[Place(*place) for place in places],
            columns={name: array("q", column).tobytes() for name, column in columns.items()},
            ignored=dict(self.ignored),
            rejected=self.rejected,
            before=fingerprint(before) if before else "",
            head=fingerprint(head) if head else "",
            tail=fingerprint(tail) if tail else "",
        )
