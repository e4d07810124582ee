"""A million damaged lines: each is stored, a duplicate, ignored or in quarantine, and none is an exception."""

import os
import random
from pathlib import Path

import pytest

from monitor.collect import collect
from monitor.store.engine import open_engine, reading
from monitor.store.quarantine import count_quarantined
from tests.samples import NOW, record, settings, totals

LINES = 1_000_000 if os.environ.get("MONITOR_THOROUGH") == "1" else 30_000
BREAKING = [
    b"{",
    b"}",
    b'"',
    b"\\",
    b"-1",
    b"1e999",
    b"\xff",
    b"\x00",
    b"null",
    b"NaN",
    b"[[[[",
    b",",
    b":",
    b"99999999999999999999",
]


def mutated(rng: random.Random, line: bytes) -> bytes:
    """The same line with one to three bytes or words changed, cut or doubled; still one line."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(line) or 1)
        kind = rng.random()
        if kind < 0.3:
            line = line[:at] + rng.choice(BREAKING) + line[at + 1 :]
        elif kind < 0.5:
            line = line[:at] + bytes([rng.randrange(256)]) + line[at + 1 :]
        elif kind < 0.7:
            line = line[:at]
        elif kind < 0.85:
            line = line[:at] + line[at : at + rng.randint(1, 30)] + line[at:]
        else:
            line = line[:at] + line[at + rng.randint(1, 30) :]
    return line.replace(b"\n", b" ")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_every_damaged_line_is_accounted_for(store_url: str, tmp_path: Path) -> None:
    rng = random.Random(10)
    path = tmp_path / "damaged.jsonl"
    whole = [record(number).rstrip(b"\n") for number in range(1, 501)]
    blank = 0
    with path.open("wb") as file:
        for _ in range(LINES):
            line = mutated(rng, rng.choice(whole))
            blank += not line.strip()
            file.write(line + b"\n")
    engine = open_engine(store_url)
    (result,) = collect(engine, settings(path, format="response-log"), now=NOW)
    assert not result.errors
    assert result.read == LINES - blank
    assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
    with reading(engine) as connection:
        assert count_quarantined(connection) == result.quarantined > LINES // 4
    assert totals(engine)[0] == result.stored > 0
    engine.dispose()
