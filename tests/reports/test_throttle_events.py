"""Throttle events as the store's minutes tell them."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.store.filled import MARCH, Filled, at, only, rows

NOON = at("2026-03-10T12:00Z")


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


def refusing(*minutes: int, **more: int) -> list[dict[str, int]]:
    return [{"minute": NOON + minute, "requests": 10, "throttled_requests": 2, **more} for minute in minutes]


def test_the_quiet_minute_inside_an_event_counts_towards_its_load(filled: Filled) -> None:
    quiet = {"minute": NOON + 1, "requests": 100, "prompt_tokens": 900}
    after = {"minute": NOON + 3, "requests": 1_000}
    minutes = [*refusing(0, 2, longest_retry_after_ms=1_500), quiet, after]
    filled.minutes(filled.source("gateway"), filled.deployment("large"), minutes)
    found = only(filled.ask("throttle-events"))
    assert found["started_at"] == datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
    assert found["ended_at"] == datetime(2026, 3, 10, 12, 3, tzinfo=UTC)
    assert (found["minutes"], found["throttled_requests"], found["requests"]) == (2, 4, 120)
    assert (found["peak_tokens_per_minute"], found["peak_requests_per_minute"]) == (900, 100)
    assert found["longest_retry_after_s"] == 1.5


def test_two_quiet_minutes_end_an_event(filled: Filled) -> None:
    filled.minutes(filled.source("gateway"), filled.deployment("large"), refusing(0, 3))
    assert rows(filled.ask("throttle-events"), "minutes") == [(1,), (1,)]


def test_events_of_two_deployments_stay_apart(filled: Filled) -> None:
    source = filled.source("gateway")
    for name in ("one", "two"):
        filled.minutes(source, filled.deployment(name), refusing(0, 1))
    assert rows(filled.ask("throttle-events"), "deployment", "minutes") == [("one", 2), ("two", 2)]


def test_what_another_source_saw_is_not_counted_again(filled: Filled) -> None:
    large = filled.deployment("large")
    filled.minutes(filled.source("gateway", authority=10), large, refusing(0))
    filled.minutes(filled.source("diagnostics", authority=50), large, refusing(0, 1, 2))
    assert only(filled.ask("throttle-events"))["throttled_requests"] == 2


def test_an_event_over_midnight_is_one_event(filled: Filled) -> None:
    midnight = at("2026-03-11T00:00Z") - NOON
    filled.minutes(filled.source("gateway"), filled.deployment("large"), refusing(midnight - 1, midnight + 1))
    assert only(filled.ask("throttle-events", MARCH, date(2026, 3, 11)))["minutes"] == 2


def test_without_a_word_on_waiting_the_wait_is_unknown(filled: Filled) -> None:
    filled.minutes(filled.source("gateway"), filled.deployment("large"), refusing(0))
    assert only(filled.ask("throttle-events"))["longest_retry_after_s"] is None
