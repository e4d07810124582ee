"""Everything delivered twice, shuffled, cut anywhere, by many at once: the totals are the same."""

import multiprocessing
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from monitor.collect import collect, usage
from monitor.domain.stretch import Piece
from monitor.sources import files
from monitor.sources.formats import response_log
from monitor.store.engine import open_engine, reading
from monitor.store.tables import source
from tests.samples import NOW, expected, record, records, settings, totals, totals_at


def test_everything_delivered_twice_and_shuffled_is_counted_once(engine: sa.Engine, tmp_path: Path) -> None:
    rng = random.Random(2)
    lines = [record(number) for number in range(1, 3001)] * 2
    rng.shuffle(lines)
    for part in range(7):
        (tmp_path / f"{part}.jsonl").write_bytes(b"".join(lines[part::7]))
        collect(engine, settings(tmp_path / "*.jsonl"), now=NOW)
    assert totals(engine) == expected(range(1, 3001))


def test_read_is_stored_and_duplicates_and_ignored_and_quarantined(engine: sa.Engine, tmp_path: Path) -> None:
    old = record(3, time="2026-11-02T08:00:00")
    (tmp_path / "a.jsonl").write_bytes(records([1, 2, 2]) + old + b"not json\n\n" + record(4))
    (result,) = collect(engine, settings(tmp_path / "*.jsonl"), now=NOW)
    assert (result.read, result.stored, result.duplicates, result.quarantined) == (6, 3, 1, 2)


def test_a_complete_record_replaces_one_that_lacked_its_tokens_in_either_order(
    engine: sa.Engine, tmp_path: Path
) -> None:
    cut = record(5, response={"id": "cmpl-5", "model": "mistral-large-2407"})
    for name, lines in (
        ("1-cut-first", cut + record(5)),
        ("2-whole-first", record(6) + cut.replace(b"cmpl-5", b"cmpl-6")),
    ):
        (tmp_path / f"{name}.jsonl").write_bytes(lines)
    collect(engine, settings(tmp_path / "*.jsonl"), now=NOW)
    (tmp_path / "3-later.jsonl").write_bytes(cut + record(5))
    collect(engine, settings(tmp_path / "*.jsonl"), now=NOW)
    assert totals(engine) == expected([5, 6])


def test_a_repetition_noted_a_minute_later_is_still_a_repetition(engine: sa.Engine, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(record(7) + record(7, time="2026-11-02T08:01:30Z"))
    collect(engine, settings(path), now=NOW)
    with path.open("ab") as file:
        file.write(record(7, time="2026-11-02T08:01:59Z"))
    collect(engine, settings(path), now=NOW)
    assert totals(engine) == expected([7])


def _collect(url: str, path: Path) -> None:
    collect(open_engine(url), settings(path), now=NOW)


def test_four_collectors_at_once_count_everything_once(store_url: str, tmp_path: Path) -> None:
    for part in range(8):
        numbers = range(1 + part * 1000, 1001 + part * 1000)
        (tmp_path / f"{part}.jsonl").write_bytes(records(numbers, named=part % 2 == 0))
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_collect, args=(store_url, tmp_path / "*.jsonl")) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert totals_at(store_url) == expected(range(1, 8001))


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=st.lists(st.integers(1, 200), min_size=1, max_size=60),
    cuts=st.lists(st.integers(1, 900), min_size=1, max_size=6),
)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_log_that_grows_by_any_pieces_is_counted_once(
    store_url: str, tmp_path_factory: pytest.TempPathFactory, numbers: list[int], cuts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("grow")
    import shutil

    copy = folder / "store.db"
    shutil.copyfile(store_url.removeprefix("sqlite:///"), copy)
    engine = open_engine(f"sqlite:///{copy}")
    data, path = records(numbers), folder / "a.jsonl"
    position = 0
    for cut in [*cuts, len(data)]:
        with path.open("ab") as file:
            file.write(data[position : position + cut])
        position += cut
        collect(engine, settings(path), now=NOW)
    assert totals(engine) == expected(set(numbers))
    engine.dispose()


def test_collectors_that_meet_on_a_backlog_leave_each_other_what_they_have_read(
    engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "BATCH_EVENTS", 50)
    monkeypatch.setattr(files, "RANGE_BYTES", 4000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(range(1, 1001), named=False))
    batches = usage._batches

    def meeting(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
        for number, batch in enumerate(batches(pieces)):
            if number == 2:
                monkeypatch.setattr(usage, "_batches", batches)
                (other,) = collect(engine, settings(path), now=NOW)
                assert not other.errors
            yield batch

    monkeypatch.setattr(usage, "_batches", meeting)
    (result,) = collect(engine, settings(path), now=NOW)
    assert not result.errors
    assert 0 < result.stored < 1000
    assert totals(engine) == expected(range(1, 1001))


def test_an_auto_source_is_believed_by_its_format_from_the_first_batch_on(engine: sa.Engine, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(record(1))
    for _ in range(2):
        collect(engine, settings(tmp_path / "*.jsonl"), now=NOW)
        with reading(engine) as connection:
            assert connection.scalar(sa.select(source.c.authority)) == response_log.AUTHORITY
        (tmp_path / "b.jsonl").write_bytes(record(2))
