"""Metered minutes: said anew and never added, days equal to their minutes, nothing unknown taken for zero."""

from collections.abc import Iterator, Mapping

import pytest
import sqlalchemy as sa

from monitor.domain.metered import MeteredMinute, Said, said_anew, together
from monitor.domain.period import MINUTES_A_DAY
from monitor.store.engine import reading, writing
from monitor.store.metered import record_minutes
from monitor.store.progress import Counts
from monitor.store.tables import usage_day, usage_minute
from monitor.store.usage import settle_days
from monitor.store.verify import verify
from tests.store.filled import Filled, at

NOON = at("2026-03-10T12:00Z")
BUSY = Said((5, 1, 2), 100, 20)


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: object) -> Filled:
    return Filled(engine, tmp_path)


@pytest.fixture
def metrics(filled: Filled) -> int:
    return filled.source("foundry", kind="azure-metrics", yields="minutes")


@pytest.fixture
def large(filled: Filled) -> int:
    return filled.deployment("large")


@pytest.fixture(autouse=True)
def proven(filled: Filled) -> Iterator[None]:
    """Whatever a test does, the days equal their minutes."""
    yield
    with writing(filled.engine) as connection:
        settle_days(connection)
        assert list(verify(connection)) == []


def record(filled: Filled, source: int, deployment: int, said: Mapping[int, Said]) -> Counts:
    with writing(filled.engine) as connection:
        return record_minutes(connection, source, {deployment: said})


def stored(filled: Filled) -> dict[int, tuple[int, ...]]:
    columns = [usage_minute.c[name] for name in MeteredMinute._fields]
    with reading(filled.engine) as connection:
        rows = connection.execute(sa.select(usage_minute.c.minute, *columns).order_by(usage_minute.c.minute))
        return {minute: tuple(row) for minute, *row in rows}


def days(filled: Filled) -> dict[int, tuple[int, int]]:
    on = usage_day.c
    with reading(filled.engine) as connection:
        rows = connection.execute(sa.select(on.day, on.requests, on.prompt_tokens + on.completion_tokens))
        return {day: (requests, tokens) for day, requests, tokens in rows}


def test_minutes_and_their_days_are_stored(filled: Filled, metrics: int, large: int) -> None:
    midnight = at("2026-03-11T00:00Z")
    counts = record(filled, metrics, large, {NOON: BUSY, midnight - 1: BUSY, midnight: BUSY})
    assert (counts.read, counts.stored, counts.duplicates) == (3, 3, 0)
    assert stored(filled)[NOON] == (5, 1, 2, 100, 20, 0)
    assert days(filled) == {NOON // MINUTES_A_DAY: (10, 240), midnight // MINUTES_A_DAY: (5, 120)}


def test_what_is_said_again_is_a_duplicate(filled: Filled, metrics: int, large: int) -> None:
    record(filled, metrics, large, {NOON: BUSY})
    counts = record(filled, metrics, large, {NOON: BUSY})
    assert (counts.read, counts.stored, counts.duplicates) == (1, 0, 1)
    assert days(filled) == {NOON // MINUTES_A_DAY: (5, 120)}


def test_a_late_bucket_is_said_anew_and_not_added(filled: Filled, metrics: int, large: int) -> None:
    record(filled, metrics, large, {NOON: BUSY, NOON + 1: BUSY})
    counts = record(filled, metrics, large, {NOON: BUSY, NOON + 1: Said((7, 1, 2), 140, 30)})
    assert (counts.read, counts.stored, counts.duplicates) == (2, 1, 1)
    assert days(filled) == {NOON // MINUTES_A_DAY: (12, 290)}


def test_what_an_answer_does_not_say_stays(filled: Filled, metrics: int, large: int) -> None:
    record(filled, metrics, large, {NOON: BUSY, NOON + 1: BUSY})
    record(filled, metrics, large, {NOON: Said(), NOON + 1: Said(prompt_tokens=200)})
    assert stored(filled) == {NOON: (5, 1, 2, 100, 20, 0), NOON + 1: (5, 1, 2, 200, 20, 0)}


def test_an_empty_answer_wipes_nothing(filled: Filled, metrics: int, large: int) -> None:
    """Pitfall 14, for metrics."""
    record(filled, metrics, large, {NOON: BUSY})
    assert record(filled, metrics, large, {}) == Counts()
    assert stored(filled) == {NOON: (5, 1, 2, 100, 20, 0)}


def test_a_minute_corrected_to_nothing_is_gone_with_its_day(filled: Filled, metrics: int, large: int) -> None:
    record(filled, metrics, large, {NOON: BUSY})
    counts = record(filled, metrics, large, {NOON: Said((0, 0, 0), 0, 0)})
    assert (counts.read, counts.stored) == (1, 1)
    assert (stored(filled), days(filled)) == ({}, {})


def test_quiet_minutes_are_no_records(filled: Filled, metrics: int, large: int) -> None:
    assert record(filled, metrics, large, {NOON: Said((0, 0, 0), 0, 0), NOON + 1: Said()}) == Counts()
    assert stored(filled) == {}


def test_answered_requests_without_tokens_near_them_are_unmeasured(filled: Filled, metrics: int, large: int) -> None:
    record(filled, metrics, large, {NOON: Said((5, 1, 2), None, None)})
    assert stored(filled)[NOON] == (5, 1, 2, 0, 0, 2)


def test_tokens_counted_a_minute_later_measure_the_requests_before_them(
    filled: Filled, metrics: int, large: int
) -> None:
    record(filled, metrics, large, {NOON: Said((2, 0, 0), 0, 0)})
    record(filled, metrics, large, {NOON + 1: Said((0, 0, 0), 100, 20)})
    assert stored(filled) == {NOON: (2, 0, 0, 0, 0, 0), NOON + 1: (0, 0, 0, 100, 20, 0)}
    record(filled, metrics, large, {NOON + 1: Said((0, 0, 0), 0, 0)})
    assert stored(filled) == {NOON: (2, 0, 0, 0, 0, 2)}


@pytest.mark.parametrize("step", [-1, 1])
def test_minutes_beside_those_that_are_said_are_judged_by_all_their_neighbours(
    filled: Filled, metrics: int, large: int, step: int
) -> None:
    record(filled, metrics, large, {NOON + step: Said((2, 0, 0), 0, 0), NOON + 2 * step: Said((0, 0, 0), 9, 9)})
    record(filled, metrics, large, {NOON: Said((1, 0, 0), 0, 0)})
    assert stored(filled)[NOON + step] == (2, 0, 0, 0, 0, 0)
    assert stored(filled)[NOON] == (1, 0, 0, 0, 0, 1)


def test_other_sources_and_deployments_are_left_alone(filled: Filled, metrics: int, large: int) -> None:
    gateway, small = filled.source("gateway"), filled.deployment("small")
    record(filled, metrics, small, {NOON: BUSY})
    record(filled, gateway, large, {NOON: BUSY})
    record(filled, metrics, large, {NOON: Said((1, 0, 0), 1, 1)})
    record(filled, metrics, large, {NOON: Said((0, 0, 0), 0, 0)})
    with reading(filled.engine) as connection:
        rows = set(connection.execute(sa.select(usage_minute.c.deployment_id, usage_minute.c.source_id)).all())
        # Those of the gateway have no events, for this test wrote its minutes.
        connection.rollback()
    assert rows == {(small, metrics), (large, gateway)}
    with writing(filled.engine) as connection:
        for table in (usage_minute, usage_day):
            connection.execute(table.delete().where(table.c.source_id == gateway))


def test_the_result_does_not_depend_on_how_answers_are_cut(filled: Filled, metrics: int, large: int) -> None:
    said = {NOON + step: Said((step % 3, 0, 0), 10 * (step % 5 == 0), 0) for step in range(40)}
    small = filled.deployment("small")
    record(filled, metrics, large, said)
    for first in (20, 0, 10, 30, 15):
        record(filled, metrics, small, {NOON + step: said[NOON + step] for step in range(first, first + 10)})
    with reading(filled.engine) as connection:
        asked = sa.select(usage_minute).where(usage_minute.c.deployment_id == sa.bindparam("of"))
        one, other = ([tuple(row)[1:] for row in connection.execute(asked, {"of": of})] for of in (large, small))
    assert sorted(one) == sorted(other)


def test_one_deployment_under_two_names_is_added_up() -> None:
    assert together([{1: Said((1, 0, 0), 5, None)}, {1: Said((2, 1, 0), None, None), 2: Said()}]) == {
        1: Said((3, 1, 0), 5, None),
        2: Said(),
    }


def test_saying_anew_is_pure() -> None:
    known = {1: MeteredMinute(1, 0, 0, 5, 5, 0)}
    assert said_anew(known, {1: Said((0, 0, 0), 0, 0)}) == {}
    assert known == {1: MeteredMinute(1, 0, 0, 5, 5, 0)}
