"""Logs that grow, rotate, are truncated, copied and renamed: every line is counted once, whatever the schedule."""

import gzip
import itertools
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from monitor.domain.stretch import Cursor, Piece
from monitor.sources import files
from monitor.sources.request import Request
from tests.azure.sessions import Listed
from tests.samples import record

THOROUGH = os.environ.get("MONITOR_THOROUGH") == "1"


class Collector:
    """Reads a source again and again, keeping cursors like the store does, and counts what it saw."""

    def __init__(self, path: str) -> None:
        self.settings = files.Settings(name="log", kind="files", path=path, format="response-log")
        self.cursors: dict[tuple[str, int], Cursor] = {}
        self.seen: Counter[int] = Counter()
        self.rejected = 0

    def collect(self) -> None:
        for piece in files.read(self.settings, Listed(self.cursors.values()), Request()):
            assert isinstance(piece, Piece)
            after = piece.after
            self.cursors[after.object, after.generation] = after
            self.rejected += len(piece.parsed.rejected)
            identities = memoryview(piece.parsed.columns.get("identity", b"")).cast("q")
            self.seen.update(identities)


class Log:
    """A log as its writer and its rotation treat it; knows which lines a reader could have seen."""

    def __init__(self, folder: Path, rng: random.Random, *, named: bool, header: bool) -> None:
        self.path, self.rng, self.named, self.header = folder / "app.jsonl", rng, named, header
        self.numbers = itertools.count(1)
        self.written = 0
        self.half = b""
        self.turns = 0
        self._start()

    def _start(self) -> None:
        if self.header:
            self._write(b'{"comment":"' + b"the same first line in every file " * 40 + b'"}\n')

    def _write(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def append(self) -> None:
        self._write(self.half)
        self.half = b""
        for _ in range(self.rng.randint(1, 12)):
            self._write(self._line())

    def append_half(self) -> None:
        self._write(self.half)
        line = self._line()
        cut = self.rng.randint(1, len(line) - 1)
        self._write(line[:cut])
        self.half = line[cut:]

    def _line(self) -> bytes:
        self.written += 1
        return record(next(self.numbers), named=self.named)

    def rename(self) -> None:
        self._finish()
        for number in range(60, 0, -1):
            older = self.path.with_name(f"app.jsonl.{number}")
            if older.exists():
                older.rename(self.path.with_name(f"app.jsonl.{number + 1}"))
        self.path.rename(self.path.with_name("app.jsonl.1"))
        self._start()

    def copy_and_truncate(self) -> None:
        self._finish()
        self.turns += 1
        shutil.copyfile(self.path, self.path.with_name(f"app.jsonl.copy{self.turns}"))
        os.truncate(self.path, 0)
        self._start()

    def compress(self) -> None:
        oldest = self.path.with_name("app.jsonl.1")
        if oldest.exists():
            self.turns += 1
            oldest.with_name(f"app.jsonl.old{self.turns}.gz").write_bytes(gzip.compress(oldest.read_bytes(), 1))
            oldest.unlink()

    def _finish(self) -> None:
        self._write(self.half)
        self.half = b""
        if not self.path.exists():
            self._start()
            self.path.touch()


@pytest.mark.parametrize("named", [True, False], ids=["with an id", "without an id"])
@pytest.mark.parametrize("header", [True, False], ids=["all files begin alike", "files begin as they may"])
def test_every_line_is_counted_once_in_random_schedules(tmp_path: Path, *, named: bool, header: bool) -> None:
    for seed in range(250 if THOROUGH else 25):
        folder = tmp_path / str(seed)
        folder.mkdir()
        rng = random.Random(seed)
        log = Log(folder, rng, named=named, header=header)
        collector = Collector(f"{folder}/app.jsonl*")
        steps = [
            log.append,
            log.append,
            log.append_half,
            log.rename,
            log.copy_and_truncate,
            log.compress,
            collector.collect,
        ]
        for _ in range(rng.randint(10, 40)):
            rng.choice(steps)()
        log.append()
        collector.collect()
        collector.collect()
        # The same bytes under two names may be read twice; their identities tell the store that they are one.
        assert len(collector.seen) == log.written, f"seed {seed}"


def test_lines_truncated_away_before_anybody_read_them_are_gone_and_the_new_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "app.jsonl"
    collector = Collector(str(path))
    path.write_bytes(record(1) + record(2))
    collector.collect()
    path.write_bytes(record(3))
    collector.collect()
    assert sum(collector.seen.values()) == 3


def test_a_rotation_while_a_collector_is_away_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "app.jsonl"
    collector = Collector(f"{path}*")
    path.write_bytes(b"".join(record(number, named=False) for number in range(20)))
    collector.collect()
    with path.open("ab") as file:
        file.write(record(20, named=False))
    path.rename(tmp_path / "app.jsonl.1")
    path.write_bytes(record(21, named=False))
    collector.collect()
    assert len(collector.seen) == sum(collector.seen.values()) == 22
