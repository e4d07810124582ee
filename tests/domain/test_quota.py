"""Limits by day, and the busiest minutes of a day packed and unpacked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.catalogue import DEFAULT, Limits
from monitor.domain.quota import HALF, KEPT, Busiest, EffectiveLimits, rank
from monitor.domain.records import Quota


def quota(day: int, tokens: int, requests: int) -> Quota:
    return Quota(tokens_per_minute=tokens, requests_per_minute=requests, effective_from=day, source="settings")


def test_before_the_first_known_quota_the_default_is_in_force() -> None:
    limits = EffectiveLimits([quota(100, 50_000, 300)])
    assert limits.on(99) == DEFAULT
    assert limits.on(100) == Limits(50_000, 300)


def test_a_limit_holds_until_the_day_of_the_next_one() -> None:
    limits = EffectiveLimits([quota(200, 400_000, 1_000), quota(100, 50_000, 300)])
    assert [limits.on(day).tokens for day in (199, 200)] == [50_000, 400_000]


amounts = st.one_of(st.integers(0, 50), st.integers(0, 2**16 + 2), st.integers(2**32 - 2, 2**53))
days = st.dictionaries(st.integers(0, 1439), st.tuples(amounts, amounts), min_size=1, max_size=200)


@given(days)
def test_a_packed_day_holds_its_largest_minutes_in_order(day: dict[int, tuple[int, int]]) -> None:
    minutes, tokens, requests = (
        np.array(column) for column in ([*day], [t for t, _ in day.values()], [r for _, r in day.values()])
    )
    unpacked = Busiest.decode(Busiest.encode(minutes, tokens, requests))
    kept = max(KEPT, sum(t >= HALF.tokens for t in tokens), sum(r >= HALF.requests for r in requests))
    by_tokens = sorted((-day[minute][0], minute) for minute in day)[:kept]
    by_requests = sorted((-day[minute][1], minute) for minute in day)[:kept]
    assert [
        (-amount, minute)
        for minute, amount in zip(unpacked.token_minutes.tolist(), unpacked.tokens.tolist(), strict=True)
    ] == by_tokens
    assert [
        (-amount, minute)
        for minute, amount in zip(unpacked.request_minutes.tolist(), unpacked.requests.tolist(), strict=True)
    ] == by_requests
    assert unpacked.hides == (len(day) >= KEPT)


def test_minutes_since_1970_are_packed_as_minutes_of_their_day() -> None:
    packed = Busiest.encode(np.array([20_000 * 1440 + 7]), np.array([10]), np.array([1]))
    assert Busiest.decode(packed).token_minutes.tolist() == [7]


def test_a_usual_day_stays_within_a_page_of_the_table() -> None:
    minutes = np.arange(1440)
    assert len(Busiest.encode(minutes, minutes, minutes // 3)) == KEPT * 10 < 1_000


def test_days_of_different_lengths_are_unpacked_in_the_given_order() -> None:
    packed = [
        Busiest.encode(np.arange(n), np.arange(n) + base, np.arange(n) + 1)
        for n, base in ((3, 10), (5, 20), (3, 2**40))
    ]
    assert [day.tokens[0] for day in Busiest.decode_all(packed)] == [12, 24, 2**40 + 2]


@pytest.mark.parametrize("packed", [b"", b"x", bytes(12), bytes(10 * 1441)])
def test_bytes_that_are_no_day_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match="not the busiest minutes"):
        Busiest.decode(packed)


def test_ranking_hides_nothing() -> None:
    assert not rank(np.arange(1440), np.arange(1440), np.arange(1440)).hides
