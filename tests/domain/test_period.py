"""Periods: the days of any zone tile them, and what is asked day by day adds up to what is asked at once."""

import random
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from monitor.domain.period import MINUTES_A_DAY, Period, minute_number, zone_named
from monitor.store.rollups import pieces
from tests.store.filled import Filled, at

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    # Until 2019 its summer began at midnight: that day had no 00:00.
    "America/Sao_Paulo",
    "Pacific/Chatham",
    "America/St_Johns",
]

CHANGES = [
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("America/New_York", date(2026, 3, 8), 23),
    ("America/New_York", date(2026, 11, 1), 25),
    ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("America/Sao_Paulo", date(2018, 11, 4), 23),
    ("America/Sao_Paulo", date(2018, 2, 17), 25),
    ("Asia/Kolkata", date(2026, 3, 29), 24),
]

zones = st.sampled_from(ZONES)
near_changes = st.builds(
    lambda change, offset: change[1] + timedelta(days=offset), st.sampled_from(CHANGES), st.integers(-3, 1)
)
firsts = st.one_of(near_changes, st.dates(date(2015, 1, 1), date(2035, 12, 31)))
lengths = st.integers(1, 40)


def period(zone: str, first: date, days: int) -> Period:
    return Period(first=first, last=first + timedelta(days=days - 1), zone=zone_named(zone))


@pytest.mark.parametrize(("zone", "day", "hours"), CHANGES)
def test_a_day_is_as_long_as_the_clocks_of_its_zone_say(zone: str, day: date, hours: float) -> None:
    found = period(zone, day, 1)
    assert found.end - found.start == timedelta(hours=hours)


@given(zones, firsts, lengths)
@example("America/Sao_Paulo", date(2018, 11, 3), 3)
@example("Australia/Lord_Howe", date(2026, 4, 4), 3)
def test_the_days_of_a_period_tile_it(zone: str, first: date, days: int) -> None:
    whole = period(zone, first, days)
    single = [Period(first=day, last=day, zone=whole.zone) for day in whole.days()]
    assert len(single) == days
    assert (single[0].start, single[-1].end) == (whole.start, whole.end)
    for one, following in pairwise(single):
        assert one.end == following.start
    assert all(timedelta(hours=22) < one.end - one.start < timedelta(hours=26) for one in single)


@given(zones, firsts, lengths)
def test_every_minute_of_a_period_is_in_one_piece_of_its_own_day(zone: str, first: date, days: int) -> None:
    whole = period(zone, first, days)
    cut = [piece for some in pieces(whole).values() for piece in some]
    assert all(one.end == following.first for one, following in pairwise(cut))
    assert all(piece.first < piece.end for piece in cut)
    inside = [piece for piece in cut if piece.day is not None]
    assert (inside[0].first, inside[-1].end) == (minute_number(whole.start), minute_number(whole.end))
    minutes = sum(piece.end - piece.first for piece in inside)
    assert timedelta(minutes=minutes) == whole.end - whole.start


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    """A store with events at random minutes around three changes of the clocks."""
    made, picked = Filled(engine, tmp_path), random.Random(2026)
    made.prices()
    source = made.source("gateway")
    for name in ("large", "small"):
        number = made.deployment(name)
        for start in ("2026-03-26T00:00Z", "2026-10-02T00:00Z", "2026-10-23T00:00Z"):
            minutes = sorted(picked.sample(range(6 * MINUTES_A_DAY), 90))
            events = [
                {"minute": at(start) + minute, "prompt_tokens": picked.randrange(10**6), "requests": 1 + minute % 3}
                for minute in minutes
            ]
            made.minutes(source, number, events)
    return made


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zones,
    st.sampled_from([date(2026, 3, 26), date(2026, 10, 2), date(2026, 10, 23)]),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_single_days_of_daily_spend_add_up_to_the_range(
    filled: Filled, zone: str, start: date, offset: int, days: int
) -> None:
    first = start + timedelta(days=offset)
    whole = filled.ask("daily-spend", first, first + timedelta(days=days - 1), zone)
    single = [filled.ask("daily-spend", first + timedelta(days=number), zone=zone) for number in range(days)]
    assert whole.rows == [row for answer in single for row in answer.rows]
    requests = [answer.totals.counts["requests"] for answer in single]
    assert whole.totals.counts["requests"] == (sum(filter(None, requests)) if any(requests) else None)
