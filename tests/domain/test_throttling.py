"""Refusing minutes joined to events, and what they ran into."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.catalogue import DEFAULT
from monitor.domain.quota import EffectiveLimits
from monitor.domain.records import Quota
from monitor.domain.throttling import LoadedMinutes, ThrottleEvent, events

LIMITS = {number: EffectiveLimits() for number in (1, 2, 3)}


def minute(at: int, deployment: int = 1, **more: int) -> list[int]:
    """deployment, source, minute, requests, tokens, throttled, by tokens, by requests, by capacity, retry after."""
    load = {"requests": 1, "tokens": 0, "throttled": 1, "by_tokens": 0, "by_requests": 0, "by_capacity": 0, "wait": 0}
    return [deployment, 1, at, *(load | more).values()]


def joined(*minutes: list[int], limits: dict[int, EffectiveLimits] = LIMITS) -> list[ThrottleEvent]:
    return events(LoadedMinutes.of(np.array(minutes, dtype=np.int64).reshape(-1, 10).T), limits)


def test_nothing_refused_is_no_event() -> None:
    assert joined() == []


def test_one_quiet_minute_does_not_end_an_event_and_two_do() -> None:
    assert [(event.start, event.end, event.minutes) for event in joined(minute(0), minute(2), minute(5))] == [
        (0, 3, 2),
        (5, 6, 1),
    ]


def test_the_quiet_minute_between_is_asked_of_the_source_of_its_day() -> None:
    rows = np.array([[1, 7, 1_438, *[0] * 7], [1, 8, 1_440, *[0] * 7], [1, 8, 1_442, *[0] * 7]], dtype=np.int64)
    assert LoadedMinutes.of(rows.T).gaps() == [(1, 7, 1_439), (1, 8, 1_441)]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60)), unique=True, max_size=80))
def test_events_hold_every_refusal_once_and_lie_apart(refused: list[tuple[int, int]]) -> None:
    found = joined(*(minute(at, deployment, throttled=at + 1) for deployment, at in refused))
    assert sum(event.throttled_requests for event in found) == sum(at + 1 for _, at in refused)
    assert sum(event.minutes for event in found) == len(refused)
    for one, following in pairwise(found):
        assert one.deployment != following.deployment or following.start - one.end > 1


@pytest.mark.parametrize(
    ("load", "cause"),
    [
        ({"by_tokens": 2, "by_requests": 1}, "tokens"),
        ({"by_requests": 1}, "requests"),
        ({"by_capacity": 3, "by_tokens": 2}, "capacity"),
        ({"by_capacity": 1, "tokens": 200_000}, "capacity"),
        ({"tokens": 160_000}, "tokens"),
        ({"tokens": 159_999}, "unknown"),
        ({"requests": 800}, "requests"),
        ({"requests": 799}, "unknown"),
        ({"requests": 900, "tokens": 170_000}, "requests"),
        ({"requests": 900, "tokens": 190_000}, "tokens"),
    ],
)
def test_pitfall_21_the_cause_is_what_responses_say_else_what_the_load_implies(
    load: dict[str, int], cause: str
) -> None:
    assert [event.cause for event in joined(minute(0, **load))] == [cause]


def test_the_limit_in_force_decides_what_a_load_implies() -> None:
    small = Quota(tokens_per_minute=1_000, requests_per_minute=1_000, effective_from=1, source="")
    limits = {1: EffectiveLimits([small], DEFAULT)}
    minutes = [minute(0, tokens=900), minute(1_440, tokens=900)]
    assert [event.cause for event in joined(*minutes, limits=limits)] == ["unknown", "tokens"]
