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
from monitor.sources.formats import Format, named
from monitor.sources.reading import Reading

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""A longer line is no response of a chat model; it is refused without being held in memory."""

BLOCK_BYTES = 4 * 1024 * 1024
FINGERPRINT_BYTES = 1024

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
    document: bool = False
    reading: Reading = Reading()
    minutes: tuple[int, int] | None = None


class Misread(Struct, frozen=True):
    """A record that could not be read: where it starts, how long it is, and why."""

    position: int
    length: int
    reason: str


class Parsed(Struct, kw_only=True):
    """What a stretch of an object held. `begin`: where its first own record starts (None: none does); `end`: where the next one starts."""

    begin: int | None = None
    end: int = 0
    read: int = 0
    bytes: int = 0
    places: list[Place] = []
    columns: dict[str, bytes] = {}
    ignored: dict[str, int] = {}
    rejected: list[Misread] = []
    head: str = ""
    tail: str = ""


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
        parsed.tail = digest_before(os.pread, file.fileno(), parsed.end)
        return parsed


def parse_bytes(task: Task, data: bytes) -> Parsed:
    """Parse whole records given as bytes that start at `task.start` of their object."""
    remaining = [data]
    blocks = line_blocks(lambda _size: remaining.pop() if remaining else b"", task.start, None)
    parsed = _parse(task, task.start, blocks)
    upto = parsed.end - task.start
    parsed.tail = fingerprint(data[max(0, upto - FINGERPRINT_BYTES) : upto])
    return parsed


def parse_document(task: Task, data: bytes) -> Parsed:
    """Parse an object that is one record as a whole: a JSON body over many lines, or an SSE transcript."""
    rows = _Rows(task)
    outcome = rows.decode(data, task.reading)
    if isinstance(outcome, Rejected) and not task.final and not data.endswith((b"}", b"}\n", b"\n\n")):
        return Parsed(begin=task.start, end=task.start)
    rows.take(outcome, task.start, len(data))
    return rows.parsed(task.start, task.start + len(data))


def fingerprint(data: bytes) -> str:
    """The hash by which a stretch of an object is recognised."""
    return sha256(data).hexdigest()[:32]


def digest_before(pread: Callable[[int, int, int], bytes], descriptor: int, position: int) -> str:
    """Fingerprint of the last 1 KiB before a position of an open plain file."""
    start = max(0, position - FINGERPRINT_BYTES)
    return fingerprint(pread(descriptor, position - start, start))


class Oversize(Struct, frozen=True):
    """Stands for a line too long to hold."""

    length: int


LineBlock = tuple[int, list[bytes] | Oversize, bool]
"""Position of the first line, the lines without their line feeds, and whether the last of them had one."""


def line_blocks(read: Callable[[int], bytes], position: int, end: int | None) -> Iterator[LineBlock]:
    """Yield the lines that start in [position, end) in blocks, holding no more than a block and one record."""
    pending: list[bytes] = []
    held = 0
    at = position
    while True:
        wanted = BLOCK_BYTES if end is None or at < end else BLOCK_BYTES // 64
        block = read(wanted if end is None or at >= end else min(wanted, end - at))
        if not block:
            break
        at += len(block)
        # Once past the end of the range only the line that began before it is still ours.
        cut = block.rfind(b"\n") if end is None or at <= end else block.find(b"\n")
        if cut >= 0:
            pending.append(block[:cut])
            yield position, b"".join(pending).split(b"\n"), True
            position = at - len(block) + cut + 1
            pending, held = [block[cut + 1 :]], len(block) - cut - 1
        else:
            pending.append(block)
            held += len(block)
        if end is not None and position >= end:
            return
        if held > MAX_RECORD_BYTES:
            length, rest = _skip_line(read, held)
            yield position, Oversize(length), True
            position += length
            at = position + len(rest)
            pending, held = [rest], len(rest)
            if end is not None and position >= end:
                return
    if held:
        yield position, [b"".join(pending)], False


def _skip_line(read: Callable[[int], bytes], length: int) -> tuple[int, bytes]:
    """Read to the end of a line without keeping it; return its length with the line feed, and what was read beyond it."""
    while block := read(BLOCK_BYTES):
        cut = block.find(b"\n")
        if cut >= 0:
            return length + cut + 1, block[cut + 1 :]
        length += len(block)
    return length, b""


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
    for start, lines, complete in blocks:
        if isinstance(lines, Oversize):
            rows.take(Rejected(TOO_LONG), start, lines.length)
            position = start + lines.length
            continue
        if not complete:
            return rows.parsed(begin, _last_line(task, rows, start, lines[0]))
        position = rows.take_lines(lines, start)
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
        self.scope = f"{task.identity_scope}\0"
        self.object_key = f"{task.object_key}\0"
        self.events: list[UsageEvent] = []
        self.identities: list[int] = []
        self.ignored: Counter[str] = Counter()
        self.rejected: list[Misread] = []
        self.read = 0

    def take_lines(self, lines: list[bytes], position: int) -> int:
        """Decode every line; return the position after the last one. The hot loop of the whole service."""
        decode, reading, scope = self.decode, self.task.reading, self.scope
        events, identities, hash_ = self.events.append, self.identities.append, xxh3_64_intdigest
        bounds = self.task.minutes
        for line in lines:
            size = len(line)
            if size > 1 or line.strip():
                outcome = decode(line, reading)
                if outcome.__class__ is UsageEvent and bounds is None and outcome.identity:  # type: ignore[union-attr]
                    events(outcome)  # type: ignore[arg-type]
                    identities(hash_(scope + outcome.identity) >> 1)  # type: ignore[union-attr]
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
                self._keep(one, f"{self.object_key}{position}\0{index}")

    def _keep(self, event: UsageEvent, position: str) -> None:
        self.events.append(event)
        self.identities.append(xxh3_64_intdigest(self.scope + (event.identity or position)) >> 1)

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
            bytes=end - begin,
            places=[Place(*place) for place in places],
            columns={name: array("q", column).tobytes() for name, column in columns.items()},
            ignored=dict(self.ignored),
            rejected=self.rejected,
        )
