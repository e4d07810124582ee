"""Throttling: minutes with refused requests (status 429), joined to events, and what they ran into.

Two minutes belong to one event while at most one minute without a refusal lies between them. An event starts with its
first and ends with its last refusing minute; both, and a quiet minute in between, count towards its load.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.quota import EffectiveLimits

CauseName = Literal["tokens", "requests", "capacity", "unknown"]

LARGEST_GAP = 1
"""How many minutes without a refusal may lie inside an event."""

PRESSURE = (4, 5)
"""Below 80 % of a limit a refusal is not explained by that limit: peak-load refusals are seen far below the quota."""


class LoadedMinute(NamedTuple):
    """What one deployment did in one minute (since 1970); `by_` are the refusals whose body says why."""

    minute: int
    requests: int
    tokens: int
    throttled: int
    by_tokens: int
    by_requests: int
    by_capacity: int
    longest_retry_after_ms: int


@dataclass(frozen=True, kw_only=True)
class ThrottleEvent:
    """Refusing minutes that belong together; `end` is exclusive, both are minutes since 1970."""

    start: int
    end: int
    minutes: int
    throttled_requests: int
    requests: int
    peak_tokens: int
    peak_requests: int
    cause: CauseName
    longest_retry_after_ms: int


def gaps(minutes: Sequence[int]) -> list[int]:
    """Return the quiet minutes inside events, given the refusing minutes of one deployment in order."""
    return [minute + 1 for minute, following in pairwise(minutes) if following - minute == LARGEST_GAP + 1]


def events(
    refusing: Sequence[LoadedMinute], quiet: Mapping[int, LoadedMinute], limits: EffectiveLimits
) -> Iterator[ThrottleEvent]:
    """Join one deployment's refusing minutes, in order; `quiet` holds what is known of the minutes in the gaps."""
    for joined in _joined(refusing):
        yield _event(
            joined, [quiet[minute] for minute in gaps([one.minute for one in joined]) if minute in quiet], limits
        )


def _joined(refusing: Sequence[LoadedMinute]) -> Iterator[list[LoadedMinute]]:
    run: list[LoadedMinute] = []
    for minute in refusing:
        if run and minute.minute - run[-1].minute > LARGEST_GAP + 1:
            yield run
            run = []
        run.append(minute)
    if run:
        yield run


def _event(refusing: list[LoadedMinute], quiet: list[LoadedMinute], limits: EffectiveLimits) -> ThrottleEvent:
    whole = refusing + quiet
    return ThrottleEvent(
        start=refusing[0].minute,
        end=refusing[-1].minute + 1,
        minutes=len(refusing),
        throttled_requests=sum(minute.throttled for minute in refusing),
        requests=sum(minute.requests for minute in whole),
        peak_tokens=max(minute.tokens for minute in whole),
        peak_requests=max(minute.requests for minute in whole),
        cause=_said(refusing) or _implied(whole, limits),
        longest_retry_after_ms=max(minute.longest_retry_after_ms for minute in refusing),
    )


def _said(refusing: Sequence[LoadedMinute]) -> CauseName | None:
    """Return the cause that most of the answers name, None if none does."""
    counts: dict[CauseName, int] = {
        "tokens": sum(minute.by_tokens for minute in refusing),
        "requests": sum(minute.by_requests for minute in refusing),
        "capacity": sum(minute.by_capacity for minute in refusing),
    }
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else None


def _implied(whole: Sequence[LoadedMinute], limits: EffectiveLimits) -> CauseName:
    """Return the limit that the event's minutes came nearest to, `unknown` if they stayed away from both."""
    tokens = max(minute.tokens / limits.on(minute.minute // MINUTES_A_DAY).tokens for minute in whole)
    requests = max(minute.requests / limits.on(minute.minute // MINUTES_A_DAY).requests for minute in whole)
    part, of = PRESSURE
    if max(tokens, requests) * of < part:
        return "unknown"
    return "tokens" if tokens >= requests else "requests"
