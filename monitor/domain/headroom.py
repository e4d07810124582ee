"""Headroom: how near the minutes of a deployment came to its limits.

A minute is a calendar minute in UTC. Percentiles are nearest-rank over all minutes of the asked period, idle ones
included as 0: the p99 of M minutes is the value that ceil(0.99 * M) of them do not exceed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from monitor.domain.catalogue import Limits
from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.quota import EffectiveLimits, Ranking

NEAR = (4, 5)
"""A minute is near its limit from 80 % of it on; written as a fraction, so that whole numbers decide."""


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """How near one deployment came to its limits; None where no response reported tokens.

    A peak is the largest minute, the first of several; its limit is the one in force in that minute.
    """

    peak_tokens: int | None
    peak_minute: int | None
    p99_tokens: int | None
    token_limit: int
    peak_requests: int
    request_limit: int
    minutes_near: int
    minutes_at_limit: int

    @property
    def token_headroom(self) -> float | None:
        """The part of the token limit that the busiest minute left free; negative above the limit."""
        return None if self.peak_tokens is None else 1 - self.peak_tokens / self.token_limit

    @property
    def request_headroom(self) -> float:
        """The part of the request limit that the busiest minute left free; negative above the limit."""
        return 1 - self.peak_requests / self.request_limit


class Doubt(NamedTuple):
    """A UTC day to be read again: all its minutes with at least so many tokens or requests."""

    day: int
    tokens: int
    requests: int


def rank_from_top(minutes: int) -> int:
    """Return which largest minute is the nearest-rank p99 of so many minutes: 1 is the largest."""
    return minutes - -(-99 * minutes // 100) + 1


def doubts(days: Sequence[int], rankings: Sequence[Ranking], limits: EffectiveLimits, least: int) -> list[Doubt]:
    """Return the UTC days whose busiest minutes alone do not settle the answer, and what is missing of them.

    A ranking hides minutes that are at most as large as its last entry. It settles the p99 unless that entry is above
    `least`, the p99 of what is shown, and the minutes near a limit unless that entry itself is near.
    """
    found = []
    for day, ranking in zip(days, rankings, strict=True):
        if ranking.hides:
            near = _near(limits.on(day))
            tokens, requests = int(ranking.tokens[-1]), int(ranking.requests[-1])
            if tokens > least or tokens >= near.tokens or requests >= near.requests:
                found.append(Doubt(day, min(tokens, least + 1, near.tokens), min(requests, near.requests)))
    return found


def headroom(
    days: Sequence[int], rankings: Sequence[Ranking], limits: EffectiveLimits, p99_tokens: int, *, measured: bool
) -> Headroom:
    """Sum up one deployment's days, in order; exact when `doubts` are resolved.

    `measured` is False if no response of the period reported tokens.
    """
    tokens = np.array([ranking.tokens[0] for ranking in rankings])
    requests = np.array([ranking.requests[0] for ranking in rankings])
    most_tokens, most_requests = int(tokens.argmax()), int(requests.argmax())
    peak = int(tokens[most_tokens])
    peak_minute = days[most_tokens] * MINUTES_A_DAY + int(rankings[most_tokens].token_minutes[0])
    near = _near_days(days, rankings, limits)
    return Headroom(
        peak_tokens=peak if measured else None,
        peak_minute=peak_minute if measured and peak else None,
        p99_tokens=p99_tokens if measured else None,
        token_limit=limits.on(days[most_tokens]).tokens,
        peak_requests=int(requests[most_requests]),
        request_limit=limits.on(days[most_requests]).requests,
        minutes_near=sum(_reaching(ranking, _near(allowed)) for allowed, ranking in near),
        minutes_at_limit=sum(_reaching(ranking, allowed) for allowed, ranking in near),
    )


def p99(rankings: Sequence[Ranking], minutes: int) -> int:
    """Return the p99 of so many minutes, of which the rankings list those that were not idle."""
    amounts = np.concatenate([ranking.tokens for ranking in rankings])
    rank = rank_from_top(minutes)
    if len(amounts) < rank:
        return 0
    return int(np.partition(amounts, len(amounts) - rank)[len(amounts) - rank])


@cache
def _near(limits: Limits) -> Limits:
    """Return the least amounts that are near the limits."""
    part, whole = NEAR
    return Limits(-(-limits.tokens * part // whole), -(-limits.requests * part // whole))


def _near_days(
    days: Sequence[int], rankings: Sequence[Ranking], limits: EffectiveLimits
) -> list[tuple[Limits, Ranking]]:
    """Return the days with a minute near a limit, each with its limits."""
    found = []
    for day, ranking in zip(days, rankings, strict=True):
        allowed = limits.on(day)
        near = _near(allowed)
        if ranking.tokens[0] >= near.tokens or ranking.requests[0] >= near.requests:
            found.append((allowed, ranking))
    return found


def _reaching(ranking: Ranking, least: Limits) -> int:
    """Count the minutes in which tokens or requests reach the least amounts."""
    by_tokens = ranking.token_minutes[ranking.tokens >= least.tokens]
    by_requests = ranking.request_minutes[ranking.requests >= least.requests]
    return len(np.union1d(by_tokens, by_requests))
