"""Headroom: how near the minutes of a deployment came to its limits.

A minute is a calendar minute in UTC. Percentiles are nearest-rank over all minutes of the asked period, idle ones
included as 0: the p99 of M minutes is the value that ceil(0.99 * M) of them do not exceed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.quota import EffectiveLimits, Limits, Numbers, Ranking

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


def rank_from_top(minutes: int) -> int:
    """Return which largest minute is the nearest-rank p99 of so many minutes: 1 is the largest."""
    return minutes - -(-99 * minutes // 100) + 1


def days_to_read(days: Mapping[int, Ranking], limits: EffectiveLimits, minutes: int) -> list[int]:
    """Return the UTC days whose busiest minutes alone do not settle the answer.

    A day's ranking hides minutes that are at most as large as its last entry. It settles the p99 unless that entry is
    above the p99 of what is shown, and the minutes near a limit unless that entry itself is near.
    """
    shown = _ranked(ranking.tokens for ranking in days.values())
    least = _rank(shown, rank_from_top(minutes))
    return [day for day, ranking in days.items() if ranking.hides and _hides_much(ranking, limits.on(day), least)]


def headroom(days: Mapping[int, Ranking], limits: EffectiveLimits, minutes: int, *, measured: bool) -> Headroom:
    """Sum up one deployment's days; exact when `days_to_read` names none of them.

    `minutes` is the length of the period. `measured` is False if no response of the period reported tokens.
    """
    token_day, token_minute, peak_tokens = _peak(
        {day: (ranking.token_minutes, ranking.tokens) for day, ranking in days.items()}
    )
    request_day, _, peak_requests = _peak(
        {day: (ranking.request_minutes, ranking.requests) for day, ranking in days.items()}
    )
    shown = _ranked(ranking.tokens for ranking in days.values())
    return Headroom(
        peak_tokens=peak_tokens if measured else None,
        peak_minute=token_minute if measured and peak_tokens else None,
        p99_tokens=_rank(shown, rank_from_top(minutes)) if measured else None,
        token_limit=limits.on(token_day).tokens,
        peak_requests=peak_requests,
        request_limit=limits.on(request_day).requests,
        minutes_near=_minutes_from(days, limits, *NEAR),
        minutes_at_limit=_minutes_from(days, limits, 1, 1),
    )


def _hides_much(ranking: Ranking, limits: Limits, least: int) -> bool:
    tokens, requests = int(ranking.tokens[-1]), int(ranking.requests[-1])
    part, whole = NEAR
    return tokens > least or tokens * whole >= limits.tokens * part or requests * whole >= limits.requests * part


def _ranked(amounts: Iterable[Numbers]) -> Numbers:
    arrays = list(amounts)
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _rank(amounts: Numbers, rank: int) -> int:
    """Return the rank-th largest amount; idle minutes, which are not listed, are 0."""
    if len(amounts) < rank:
        return 0
    return int(np.partition(amounts, len(amounts) - rank)[len(amounts) - rank])


def _peak(days: Mapping[int, tuple[Numbers, Numbers]]) -> tuple[int, int, int]:
    """Return UTC day, minute and amount of the largest minute; every ranking starts with its day's largest."""
    largest = max(days, key=lambda day: (int(days[day][1][0]), -day))
    minutes, amounts = days[largest]
    return largest, largest * MINUTES_A_DAY + int(minutes[0]), int(amounts[0])


def _minutes_from(days: Mapping[int, Ranking], limits: EffectiveLimits, part: int, whole: int) -> int:
    return sum(_minutes_of_day_from(ranking, limits.on(day), part, whole) for day, ranking in days.items())


def _minutes_of_day_from(ranking: Ranking, limits: Limits, part: int, whole: int) -> int:
    """Count the minutes in which tokens or requests reach part/whole of their limit."""
    if (
        int(ranking.tokens[0]) * whole < limits.tokens * part
        and int(ranking.requests[0]) * whole < limits.requests * part
    ):
        return 0
    by_tokens = ranking.token_minutes[ranking.tokens * whole >= limits.tokens * part]
    by_requests = ranking.request_minutes[ranking.requests * whole >= limits.requests * part]
    return len(np.union1d(by_tokens, by_requests))
