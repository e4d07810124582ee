"""What Azure's own meters say of a deployment's minutes: sums that are said anew while late ones arrive, never added.

What an answer does not say (None) is not known, and leaves what was known before as it was; 0 is said. Metrics do not
say which request used which tokens, and may count both a minute apart. So the answered requests of a minute count as
unmeasured where neither it nor the minutes beside it have any tokens.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from msgspec import Struct, field

from monitor.domain.records import Place
from monitor.domain.stretch import Cursor


class Said(NamedTuple):
    """What one answer says of one minute. Requests come with how many of them failed and how many were throttled."""

    requests: tuple[int, int, int] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def plus(self, other: "Said") -> "Said":
        """Add what is said of the same minute under another name of the deployment or another status."""
        return Said(
            _three(self.requests, other.requests),
            _sum(self.prompt_tokens, other.prompt_tokens),
            _sum(self.completion_tokens, other.completion_tokens),
        )

    @property
    def happened(self) -> bool:
        """Whether there was a request or a token."""
        return bool((self.requests and self.requests[0]) or self.prompt_tokens or self.completion_tokens)


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other


def _three(one: tuple[int, int, int] | None, other: tuple[int, int, int] | None) -> tuple[int, int, int] | None:
    if one is None or other is None:
        return one or other
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


class MeteredMinute(NamedTuple):
    """One minute of one deployment, as the store keeps it (columns of monitor.store.tables.SUMMED)."""

    requests: int = 0
    failed_requests: int = 0
    throttled_requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    unmeasured_requests: int = 0

    @property
    def answered(self) -> int:
        """Requests that were neither refused nor failed."""
        return self.requests - self.failed_requests - self.throttled_requests

    @property
    def has_tokens(self) -> bool:
        """Whether any token was counted."""
        return bool(self.prompt_tokens or self.completion_tokens)


class Metered(Struct, frozen=True, kw_only=True):
    """What an answer says of one deployment, by minute since 1970."""

    place: Place
    minutes: dict[int, Said]


class Unusable(Struct, frozen=True, kw_only=True):
    """A value for the quarantine: the series it is in, its minute, and why it cannot be meant."""

    object: str
    minute: int
    reason: str


class MeteredStretch(Struct, frozen=True, kw_only=True):
    """What one account's meters said of some minutes, and the cursors before and behind them (positions: minutes).

    `ignored` counts minutes in which something happened and that are deliberately left out, by reason.
    """

    before: Cursor
    after: Cursor
    deployments: list[Metered] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    rejected: list[Unusable] = field(default_factory=list)


Minutes = dict[int, MeteredMinute]


def together(some: Iterable[Mapping[int, Said]]) -> dict[int, Said]:
    """Add up what is said of one deployment under several names, such as with and without its model."""
    sums: dict[int, Said] = {}
    for minutes in some:
        for minute, said in minutes.items():
            sums[minute] = sums[minute].plus(said) if minute in sums else said
    return sums


def said_anew(known: Minutes, said: Mapping[int, Said]) -> Minutes:
    """Return the minutes as they are after an answer; one in which nothing happened is none.

    `known` reaches two minutes further than `said` on both sides: the minutes beside those that change are judged anew.
    """
    after = dict(known)
    for minute, one in said.items():
        after[minute] = _over(after.get(minute, MeteredMinute()), one)
    for minute in {near for at in said for near in (at - 1, at, at + 1)} & after.keys():
        lacking = not any(after[near].has_tokens for near in (minute - 1, minute, minute + 1) if near in after)
        after[minute] = after[minute]._replace(unmeasured_requests=after[minute].answered if lacking else 0)
    return {minute: one for minute, one in after.items() if any(one)}


def _over(before: MeteredMinute, said: Said) -> MeteredMinute:
    requests, failed, throttled = said.requests if said.requests is not None else before[:3]
    return MeteredMinute(
        requests,
        failed,
        throttled,
        before.prompt_tokens if said.prompt_tokens is None else said.prompt_tokens,
        before.completion_tokens if said.completion_tokens is None else said.completion_tokens,
    )
