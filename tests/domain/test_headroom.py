"""Headroom from packed days equals headroom from every minute."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain.headroom import Doubt, Headroom, doubts, headroom, p99, rank_from_top
from monitor.domain.quota import KEPT, Busiest, EffectiveLimits, Ranking, rank
from monitor.domain.records import Quota

Minutes = dict[int, tuple[int, int]]


def ranked(minutes: Minutes) -> Ranking:
    return rank(*columns(minutes))


def packed(minutes: Minutes) -> Ranking:
    return Busiest.decode(Busiest.encode(*columns(minutes)))


def columns(minutes: Minutes) -> list[np.ndarray]:
    return [
        np.array(column) for column in ([*minutes], [t for t, _ in minutes.values()], [r for _, r in minutes.values()])
    ]


def answered(days: dict[int, Minutes], limits: EffectiveLimits, length: int) -> Headroom:
    """What a report does: packed days first, the minutes of those that do not settle it afterwards."""
    known = {day: packed(minutes) for day, minutes in days.items()}
    for day, tokens, requests in doubts([*known], [*known.values()], limits, p99([*known.values()], length)):
        known[day] = ranked(
            {minute: both for minute, both in days[day].items() if both[0] >= tokens or both[1] >= requests}
        )
    return headroom([*known], [*known.values()], limits, p99([*known.values()], length), measured=True)


def counted(days: dict[int, Minutes], limits: EffectiveLimits, length: int) -> Headroom:
    """The definitions, minute by minute."""
    every = [
        (day, day * 1440 + minute, tokens, requests)
        for day, minutes in days.items()
        for minute, (tokens, requests) in minutes.items()
    ]
    tokens = sorted([amount for _, _, amount, _ in every] + [0] * (length - len(every)))
    busiest = min(every, key=lambda minute: (-minute[2], minute[1]))
    asked = min(every, key=lambda minute: (-minute[3], minute[1]))
    used = [max(t / limits.on(day).tokens, r / limits.on(day).requests) for day, _, t, r in every]
    return Headroom(
        peak_tokens=busiest[2],
        peak_minute=busiest[1] if busiest[2] else None,
        p99_tokens=tokens[math.ceil(length * 99 / 100) - 1],
        token_limit=limits.on(busiest[0]).tokens,
        peak_requests=asked[3],
        request_limit=limits.on(asked[0]).requests,
        minutes_near=sum(part >= 0.8 for part in used),
        minutes_at_limit=sum(part >= 1 for part in used),
    )


@st.composite
def months(draw: st.DrawFn) -> dict[int, Minutes]:
    """A few days of very different shape, most of them longer than what is packed."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    days = {}
    for day in range(draw(st.integers(1, 5))):
        minutes = random.choice(
            1440, size=draw(st.sampled_from([1, KEPT - 1, KEPT, KEPT + 1, 400, 1440])), replace=False
        )
        loudest = draw(st.sampled_from([1, 3, 1_000]))
        tokens, requests = random.integers(0, 2 * loudest, len(minutes)), random.integers(1, loudest + 2, len(minutes))
        days[day] = dict(zip(minutes.tolist(), zip(tokens.tolist(), requests.tolist(), strict=True), strict=True))
    return days


limits = st.builds(
    lambda first, second, day: EffectiveLimits(
        [
            Quota(tokens_per_minute=t, requests_per_minute=r, effective_from=d, source="")
            for d, (t, r) in ((0, first), (day, second))
        ]
    ),
    *[st.tuples(st.integers(1, 2_500), st.integers(1, 1_200))] * 2,
    st.integers(1, 4),
)


@settings(deadline=None, max_examples=300)
@given(months(), limits)
def test_packed_days_answer_as_every_minute_does(days: dict[int, Minutes], limits: EffectiveLimits) -> None:
    length = (max(days) + 1) * 1440
    assert answered(days, limits, length) == counted(days, limits, length)


@given(st.integers(1, 50_000))
def test_the_p99_is_the_nearest_rank(length: int) -> None:
    assert rank_from_top(length) == length - math.ceil(length * 99 / 100) + 1


def test_a_day_that_holds_most_of_the_largest_minutes_is_read_again_down_to_the_p99() -> None:
    loud = {minute: (1_000 + minute, 1) for minute in range(200)}
    quiet = {day: {minute: (minute, 1) for minute in range(200)} for day in range(1, 10)}
    days = [packed(loud), *(packed(minutes) for minutes in quiet.values())]
    assert doubts(range(10), days, EffectiveLimits(), p99(days, 14_400)) == [Doubt(0, 195, 1)]


def test_minutes_at_exactly_four_fifths_are_near_and_just_below_are_not() -> None:
    days = {0: {0: (160_000, 1), 1: (159_999, 799), 2: (0, 800), 3: (200_000, 1_000)}}
    found = answered(days, EffectiveLimits(), 1440)
    assert (found.minutes_near, found.minutes_at_limit) == (3, 1)


def test_headroom_is_negative_above_the_limit() -> None:
    found = answered({0: {0: (300_000, 1)}}, EffectiveLimits(), 1440)
    assert found.token_headroom == -0.5


def test_without_a_reported_token_count_tokens_are_unknown_not_zero() -> None:
    found = headroom([0], [ranked({0: (0, 5)})], EffectiveLimits(), 0, measured=False)
    assert (found.peak_tokens, found.p99_tokens, found.token_headroom, found.peak_requests) == (None, None, None, 5)
