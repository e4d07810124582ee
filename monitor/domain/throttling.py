"""Throttling: minutes with refused requests (status 429), joined to events, and what they ran into.

Two minutes belong to one event while at most one minute without a refusal lies between them. An event starts with its
first and ends with its last refusing minute; both, and a quiet minute in between, count towards its load.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.quota import EffectiveLimits, Numbers

CauseName = Literal["tokens", "requests", "capacity", "unknown"]

LARGEST_GAP = 1
"""How many minutes without a refusal may lie inside an event."""

PRESSURE = 0.8
"""Below this part of a limit a refusal is not explained by that limit: peak-load refusals are seen far below quotas."""


class LoadedMinutes(NamedTuple):
    """What deployments did in some minutes (since 1970), as columns; `by_` are the refusals whose body says why."""

    deployment: Numbers
    source: Numbers
    minute: Numbers
    requests: Numbers
    tokens: Numbers
    throttled: Numbers
    by_tokens: Numbers
    by_requests: Numbers
    by_capacity: Numbers
    longest_retry_after_ms: Numbers

    @classmethod
    def of(cls, columns: Numbers) -> "LoadedMinutes":
        """Order columns by deployment and minute."""
        order = np.lexsort((columns[2], columns[0]))
        return cls(*(column[order] for column in columns))

    def gaps(self) -> list[tuple[int, int, int]]:
        """Return the quiet minutes inside events (deployment, source, minute), if only refusing minutes are here."""
        inside = (np.diff(self.minute) == LARGEST_GAP + 1) & (np.diff(self.deployment) == 0)
        before = np.flatnonzero(inside)
        # The quiet minute may be the first of the next UTC day, which another source may answer for.
        same_day = (self.minute[before] + 1) // MINUTES_A_DAY == self.minute[before] // MINUTES_A_DAY
        source = np.where(same_day, self.source[before], self.source[before + 1])
        columns = (self.deployment[before], source, self.minute[before] + 1)
        return list(zip(*(column.tolist() for column in columns), strict=True))


@dataclass(frozen=True, kw_only=True)
class ThrottleEvent:
    """Refusing minutes of one deployment that belong together; `end` is exclusive, both are minutes since 1970."""

    deployment: int
    start: int
    end: int
    minutes: int
    throttled_requests: int
    requests: int
    peak_tokens: int
    peak_requests: int
    cause: CauseName
    longest_retry_after_ms: int


def events(loaded: LoadedMinutes, limits: Mapping[int, EffectiveLimits]) -> list[ThrottleEvent]:
    """Join refusing minutes and the quiet ones between them, ordered by deployment and minute, to events."""
    if not len(loaded.minute):
        return []
    apart = (np.diff(loaded.minute) > LARGEST_GAP + 1) | (np.diff(loaded.deployment) != 0)
    starts = np.concatenate(([0], np.flatnonzero(apart) + 1))
    ends = np.concatenate((starts[1:], [len(loaded.minute)])) - 1
    columns = (
        loaded.deployment[starts],
        loaded.minute[starts],
        loaded.minute[ends] + 1,
        np.add.reduceat((loaded.throttled > 0).astype(np.int64), starts),
        np.add.reduceat(loaded.throttled, starts),
        np.add.reduceat(loaded.requests, starts),
        np.maximum.reduceat(loaded.tokens, starts),
        np.maximum.reduceat(loaded.requests, starts),
        np.maximum.reduceat(loaded.longest_retry_after_ms, starts),
    )
    rows = zip(*(column.tolist() for column in columns), _causes(loaded, starts, limits), strict=True)
    return [_event(*row) for row in rows]


def _event(  # noqa: PLR0913 - one argument for each column.
    deployment: int,
    start: int,
    end: int,
    minutes: int,
    throttled: int,
    requests: int,
    peak_tokens: int,
    peak_requests: int,
    longest: int,
    cause: CauseName,
) -> ThrottleEvent:
    return ThrottleEvent(
        deployment=deployment,
        start=start,
        end=end,
        minutes=minutes,
        throttled_requests=throttled,
        requests=requests,
        peak_tokens=peak_tokens,
        peak_requests=peak_requests,
        cause=cause,
        longest_retry_after_ms=longest,
    )


def _causes(loaded: LoadedMinutes, starts: Numbers, limits: Mapping[int, EffectiveLimits]) -> list[CauseName]:
    """Return what most refusals of each event say, else what its load implies."""
    named = (loaded.by_tokens, loaded.by_requests, loaded.by_capacity)
    said = zip(*(np.add.reduceat(column, starts).tolist() for column in named), strict=True)
    token_limits, request_limits = _limits(loaded, limits)
    tokens = np.maximum.reduceat(loaded.tokens / token_limits, starts).tolist()
    requests = np.maximum.reduceat(loaded.requests / request_limits, starts).tolist()
    return [_said(*counts) or _implied(*used) for counts, *used in zip(said, tokens, requests, strict=True)]


def _limits(loaded: LoadedMinutes, limits: Mapping[int, EffectiveLimits]) -> tuple[Numbers, Numbers]:
    """Return the limits in force in every minute."""
    day = loaded.minute // MINUTES_A_DAY
    # One number for both: days since 1970 stay below a million until the year 4707.
    keys, place = np.unique(loaded.deployment * 1_000_000 + day, return_inverse=True)
    allowed = np.array([limits[key // 1_000_000].on(key % 1_000_000) for key in keys.tolist()])[place]
    return allowed[:, 0], allowed[:, 1]


def _said(by_tokens: int, by_requests: int, by_capacity: int) -> CauseName | None:
    counts: dict[CauseName, int] = {"tokens": by_tokens, "requests": by_requests, "capacity": by_capacity}
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else None


def _implied(tokens: float, requests: float) -> CauseName:
    """Return the limit that the event's minutes came nearest to, `unknown` if they stayed away from both."""
    if max(tokens, requests) < PRESSURE:
        return "unknown"
    return "tokens" if tokens >= requests else "requests"
