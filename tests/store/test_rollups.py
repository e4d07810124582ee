"""Reading the rollups: one source for each day, and days of any zone cut from UTC days without a loss."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.period import MINUTES_A_DAY, Period, day_number, minute_number, zone_named
from monitor.store.engine import reading
from monitor.store.rollups import pieces, usage
from tests.store.filled import MARCH, Filled, at

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "America/Los_Angeles", "Pacific/Chatham", "Pacific/Kiritimati")
days = st.dates(date(2025, 1, 1), date(2027, 12, 31))


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


def requests(filled: Filled, first: date, last: date, zone: str = "UTC") -> dict[date, int]:
    period = Period(first=first, last=last, zone=zone_named(zone))
    found: dict[date, int] = {}
    with reading(filled.engine) as connection:
        for one in usage(connection, period, {1, 2, 3}):
            day = date(1970, 1, 1) + timedelta(days=one.day)
            found[day] = found.get(day, 0) + one.requests
    return found


def test_of_two_sources_the_one_with_the_lower_authority_counts(filled: Filled) -> None:
    large = filled.deployment("large")
    for name, authority, seen in (("traces", 30, 7), ("gateway", 10, 5), ("metrics", 90, 9)):
        filled.minutes(filled.source(name, authority), large, [{"minute": at("2026-03-10T12:00Z"), "requests": seen}])
    assert requests(filled, MARCH, MARCH) == {MARCH: 5}


def test_of_two_equal_sources_the_older_one_counts(filled: Filled) -> None:
    large = filled.deployment("large")
    for name, seen in (("first", 7), ("second", 5)):
        filled.minutes(filled.source(name), large, [{"minute": at("2026-03-10T12:00Z"), "requests": seen}])
    assert requests(filled, MARCH, MARCH) == {MARCH: 7}


def test_every_day_and_deployment_has_a_source_of_its_own(filled: Filled) -> None:
    one, two = filled.deployment("one"), filled.deployment("two")
    gateway, traces = filled.source("gateway", 10), filled.source("traces", 30)
    filled.minutes(gateway, one, [{"minute": at("2026-03-10T12:00Z"), "requests": 1}])
    filled.minutes(traces, one, [{"minute": at(f"2026-03-{day}T12:00Z"), "requests": 10} for day in (10, 11)])
    filled.minutes(traces, two, [{"minute": at("2026-03-10T12:00Z"), "requests": 100}])
    assert requests(filled, MARCH, date(2026, 3, 11)) == {MARCH: 101, date(2026, 3, 11): 10}


def test_a_source_whose_requests_were_all_taken_back_does_not_count(filled: Filled) -> None:
    large = filled.deployment("large")
    filled.minutes(filled.source("gateway", 10), large, [{"minute": at("2026-03-10T12:00Z"), "requests": 0}])
    filled.minutes(filled.source("traces", 30), large, [{"minute": at("2026-03-10T12:00Z"), "requests": 4}])
    assert requests(filled, MARCH, MARCH) == {MARCH: 4}


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_any_zone_are_the_sums_of_their_minutes(filled: Filled, zone: str) -> None:
    """Five days around the change to summer time in Europe; every tenth minute has its own number of requests."""
    start = at("2026-03-27T00:00Z")
    random = np.random.default_rng(1)
    minutes = [{"minute": start + 10 * n, "requests": int(random.integers(1, 1_000))} for n in range(5 * 144)]
    filled.minutes(filled.source("gateway"), filled.deployment("large"), minutes)
    first, last = date(2026, 3, 28), date(2026, 3, 30)
    expected = {
        day: sum(row["requests"] for row in minutes if _begins(day, zone) <= row["minute"] < _begins(day, zone, 1))
        for day in Period(first=first, last=last).days()
    }
    assert requests(filled, first, last, zone) == expected
    single = [requests(filled, day, day, zone)[day] for day in expected]
    assert sum(single) == sum(expected.values())


def _begins(day: date, zone: str, later: int = 0) -> int:
    day += timedelta(days=later)
    return minute_number(Period(first=day, last=day, zone=zone_named(zone)).start)


@given(days, st.integers(0, 40), st.sampled_from(ZONES))
def test_pieces_cover_every_minute_of_every_utc_day_once(first: date, more: int, zone: str) -> None:
    period = Period(first=first, last=first + timedelta(days=more), zone=zone_named(zone))
    cut = pieces(period)
    inside = 0
    for day, of_day in cut.items():
        edges = [day * MINUTES_A_DAY, *(piece.end for piece in of_day)]
        assert [piece.first for piece in of_day] == edges[:-1]
        assert edges[-1] == (day + 1) * MINUTES_A_DAY
        inside += sum(piece.end - piece.first for piece in of_day if piece.day is not None)
    assert inside == minute_number(period.end) - minute_number(period.start)
    named = {piece.day for of_day in cut.values() for piece in of_day} - {None}
    assert named == {day_number(day) for day in period.days()}
