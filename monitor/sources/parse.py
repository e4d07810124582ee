"""From a stretch of bytes to columns of events: the pure, parallel half of collecting.

`parse_range` and `parse_bytes` run in worker processes: they get small tasks and hand back columns as bytes, never objects.
Positions are byte offsets in the decompressed object. A range owns the lines that start in it; its last line may end beyond it.
"""

import os
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256

from msgspec import Struct
from xxhash import xxh3_64_intdigest

from monitor.domain.records import Ignored, Outcome, Place, Rejected, UsageEvent
from monitor.domain.stretch import Misread, Parsed
from monitor.sources.formats import Format, named
from monitor.sources.reading import Reading

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A longer line is no response of a chat model; it is refused without being held in memory."""

BLOCK_BYTES = 4 * 1024 * 1024
FINGERPRINT_BYTES = 1024

TOO_LONG = f"longer than {MAX_RECORD_BYTES // (1024 * 1024)} MiB"
UNFINISHED = "half-written: the object ends inside this record"


class Task(Struct, frozen=True, kw_only=True):
    """What to parse: bytes [start, end) of an object (end None: up to its end), and how.

    `identity_scope` separates the requests of one source from those of another; `object_key` names one life of the object, for
    records that carry no identity of their own. `aligned`: a record starts at `start`. `final`: nothing will be appended.
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
    with open(task.path, "rb", buffering=0) as file:  # noqa: PTH123 - a worker's hot path
        if task.inode and os.fstat(file.fileno()).st_ino != task.inode:
            raise ChangedError
        begin: int | None = task.start
        if not task.aligned:
            begin = _next_line(file.read, file.seek(task.start - 1))
        if begin is None or (task.end is not None and begin >= task.end):
            return Parsed(end=task.start)
        file.seek(begin)
        parsed = _parse(task, begin, line_blocks(file.read, begin, task.end))
        descriptor = file.fileno()
        start = max(0, parsed.end - FINGERPRINT_BYTES)
        parsed.tail = fingerprint(os.pread(descriptor, parsed.end - start, start))
        parsed.head = fingerprint(os.pread(descriptor, min(FINGERPRINT_BYTES, parsed.end), 0))
        return parsed


def parse_bytes(task: Task, data: bytes, before: bytes = b"") -> Parsed:
    """Parse whole records given as bytes that start at `task.start` of their object; `before` is the 1 KiB ahead of them."""
    remaining = [data]
    blocks = line_blocks(lambda _size: remaining.pop() if remaining else b"", task.start, None)
    parsed = _parse(task, task.start, blocks)
    _mark(parsed, before, data[: parsed.end - task.start])
    return parsed


def parse_document(task: Task, data: bytes) -> Parsed:
    """Parse an object that is one record as a whole: a JSON body over many lines, or an SSE transcript."""
    rows = _Rows(task)
    outcome = rows.decode(data, task.reading)
    if isinstance(outcome, Rejected) and not task.final and not data.endswith((b"}", b"}\n", b"\n\n")):
        return Parsed(begin=task.start, end=task.start)
    rows.take(outcome, task.start, len(data))
    parsed = rows.parsed(task.start, task.start + len(data))
    _mark(parsed, b"", data)
    return parsed


def _mark(parsed: Parsed, before: bytes, taken: bytes) -> None:
    upto = before + taken
    parsed.tail = fingerprint(upto[-FINGERPRINT_BYTES:])
    if len(upto) == parsed.end:
        parsed.head = fingerprint(upto[:FINGERPRINT_BYTES])


def fingerprint(data: bytes) -> str:
    """The hash by which a stretch of an object is recognised."""
    return sha256(data).hexdigest()[:32]


class Oversize(Struct, frozen=True):
    """Stands for a line too long to hold: its length with the line feed, and its last bytes."""

    length: int
    last: bytes


LineBlock = tuple[int, bytes | Oversize, bool]
"""Position of the first line, the lines with their line feeds, and whether the last of them has one."""


def line_blocks(read: Callable[[int], bytes], position: int, end: int | None) -> Iterator[LineBlock]:
    """Yield the lines that start in [position, end) in blocks, holding no more than a block and one record."""
    pending: list[bytes] = []
    held = 0
    at = position
    while block := read(_wanted(at, end)):
        at += len(block)
        # Once past the end of the range only the line that began before it is still ours.
        beyond = end is not None and at > end
        cut = (block.find(b"\n") if beyond else block.rfind(b"\n")) + 1
        if cut:
            pending.append(block[:cut])
            yield position, b"".join(pending), True
            position = at - len(block) + cut
            pending, held = [block[cut:]], len(block) - cut
        else:
            pending.append(block)
            held += len(block)
        if held > MAX_RECORD_BYTES:
            line, rest = _skip_line(read, held, block)
            yield position, line, True
            position += line.length
            at = position + len(rest)
            pending, held = [rest], len(rest)
        if end is not None and position >= end:
            return
    if held:
        yield position, b"".join(pending), False


def _wanted(at: int, end: int | None) -> int:
    if end is None:
        return BLOCK_BYTES
    return min(BLOCK_BYTES, end - at) if at < end else BLOCK_BYTES // 64


def _skip_line(read: Callable[[int], bytes], length: int, last: bytes) -> tuple[Oversize, bytes]:
    """Read to the end of a line without keeping it; return what stands for it, and what was read beyond it."""
    while block := read(BLOCK_BYTES):
        cut = block.find(b"\n") + 1
        if cut:
            return Oversize(length + cut, (last + block[:cut])[-FINGERPRINT_BYTES:]), block[cut:]
        length += len(block)
        last = (last + block)[-FINGERPRINT_BYTES:]
    return Oversize(length, last[-FINGERPRINT_BYTES:]), b""


def _next_line(read: Callable[[int], bytes], position: int) -> int | None:
    while block := read(BLOCK_BYTES // 64):
        cut = block.find(b"\n")
        if cut >= 0:
            return position + cut + 1
        position += len(block)
    return None


def _parse(task: Task, begin: int, blocks: Iterator[LineBlock]) -> Parsed:
    rows = _Rows(task)
    position = begin
    for start, data, complete in blocks:
        if isinstance(data, Oversize):
            rows.take(Rejected(TOO_LONG), start, data.length)
            position = start + data.length
        elif complete:
            position = rows.take_lines(data, start)
        else:
            position = _last_line(task, rows, start, data)
    return rows.parsed(begin, position)


def _last_line(task: Task, rows: "_Rows", start: int, line: bytes) -> int:
    """Take a last line without a line feed if it is whole; JSON objects end themselves. Return where reading goes on."""
    outcome = rows.decode(line, task.reading)
    if isinstance(outcome, Rejected):
        if not task.final:
            return start
        outcome = Rejected(UNFINISHED)
    if line.strip():
        rows.take(outcome, start, len(line))
    return start + len(line)


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

    def take_lines(self, data: bytes, position: int) -> int:
        """Decode every line; return the position after the last one. The hot loop of the whole service."""
        decode, reading, scope = self.decode, self.task.reading, self.scope
        events, identities, hash_ = self.events.append, self.identities.append, xxh3_64_intdigest
        bounds = self.task.minutes
        lines = data.split(b"\n")
        lines.pop()
        for line in lines:
            size = len(line)
            if size > 1 or line.strip():
                outcome = decode(line, reading)
                if isinstance(outcome, UsageEvent) and bounds is None and outcome.identity:
                    events(outcome)
                    identities(hash_(scope + outcome.identity.encode("utf-8", "surrogatepass")) >> 1)
                    self.read += 1
                else:
                    self.take(outcome, position, size)
            position += size + 1
        return position

    def take(self, outcome: "Outcome | list[Outcome]", position: int, length: int) -> None:
        """File one record's outcome, or those of all the requests that one record holds."""
        outcomes = outcome if isinstance(outcome, list) else [outcome]
        for index, one in enumerate(outcomes):
            self.read += 1
            if isinstance(one, Rejected):
                self.rejected.append(Misread(position + index, length, one.reason))
            elif isinstance(one, Ignored):
                self.ignored[one.reason] += 1
            elif self.task.minutes and not self.task.minutes[0] <= one.minute < self.task.minutes[1]:
                self.ignored["outside the asked days"] += 1
            else:
                self.events.append(one)
                self.identities.append(xxh3_64_intdigest(self.scope + self._identity(one, position, index)) >> 1)

    def _identity(self, event: UsageEvent, position: int, index: int) -> bytes:
        if event.identity:
            return event.identity.encode("utf-8", "surrogatepass")
        return self.object_key + b"%d\0%d" % (position, index)

    def parsed(self, begin: int, end: int) -> Parsed:
        """Turn what was collected into columns."""
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
        )
