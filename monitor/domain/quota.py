"""Quota: the limits of a deployment, and the busiest minutes of its days, which say how near it came to them.

A day keeps its KEPT largest minutes by tokens and, ranked on their own, by requests; more where more of them reach
half of a default limit. That answers exactly how many minutes came near that limit or a higher one, and the p99 of any
period unless one day holds more than KEPT of its largest 1 % of minutes (monitor.domain.headroom finds what is left
to read).

Packed, little-endian, n entries of each ranking: minutes of the day by tokens (u16), tokens, minutes by requests (u16),
requests. Amounts are u32 and u16; a day with a larger one takes u64 for both and one leading byte, which makes the
length odd.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.domain.catalogue import DEFAULT, Limits
from monitor.domain.period import MINUTES_A_DAY
from monitor.domain.records import Quota

Numbers = NDArray[np.int64]
Amounts = NDArray[np.integer]

KEPT = 96
"""Packed they stay below the 1,000 bytes that SQLite keeps inside a page of the table."""

_WIDE = b"w"


HALF = Limits(DEFAULT.tokens // 2, DEFAULT.requests // 2)


class EffectiveLimits:
    """The limits of one deployment, as they changed over UTC days; before the first known change, the default."""

    def __init__(self, quotas: Iterable[Quota] = (), default: Limits = DEFAULT) -> None:
        known = sorted(quotas, key=lambda quota: quota.effective_from)
        self._from = [quota.effective_from for quota in known]
        self._limits = [default, *(Limits(quota.tokens_per_minute, quota.requests_per_minute) for quota in known)]

    def on(self, day: int) -> Limits:
        """Return the limits in force on a UTC day (days since 1970-01-01)."""
        return self._limits[bisect_right(self._from, day)]


class Ranking(NamedTuple):
    """One deployment's minutes of one UTC day, largest first: minute of the day and amount, by tokens and by requests.

    `hides` is False when every minute with a request is listed. Minutes that are hidden hold at most the last amounts.
    A day has at least one minute.
    """

    token_minutes: Amounts
    tokens: Amounts
    request_minutes: Amounts
    requests: Amounts
    hides: bool


class Busiest:
    """The packed form of a ranking, as `usage_day.busiest` keeps it."""

    @staticmethod
    def encode(minutes: NDArray[np.integer], tokens: NDArray[np.integer], requests: NDArray[np.integer]) -> bytes:
        """Pack one day: its minutes (0 to 1439, or since 1970; at least one), their tokens and requests."""
        whole = rank(np.asarray(minutes) % 1440, tokens, requests)
        kept = max(KEPT, int((whole.tokens >= HALF.tokens).sum()), int((whole.requests >= HALF.requests).sum()))
        wide = bool(whole.tokens[0] >= 2**32 or whole.requests[0] >= 2**16)
        columns = (whole.token_minutes, whole.tokens, whole.request_minutes, whole.requests)
        packed = [column[:kept].astype(kind).tobytes() for column, kind in zip(columns, _kinds(wide), strict=True)]
        return (_WIDE if wide else b"") + b"".join(packed)

    @staticmethod
    def decode(packed: bytes) -> Ranking:
        """Unpack one day; ValueError if the bytes are no whole ranking."""
        return Busiest.decode_all([packed])[0]

    @staticmethod
    def decode_all(days: Sequence[bytes]) -> list[Ranking]:
        """Unpack many days at once; those of equal length share their numpy calls."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for position, packed in enumerate(days):
            by_length[len(packed)].append(position)
        unpacked: dict[int, Ranking] = {}
        for length, positions in by_length.items():
            unpacked.update(
                zip(positions, _unpack(b"".join(days[position] for position in positions), length), strict=True)
            )
        return [unpacked[position] for position in range(len(days))]


def rank(minutes: NDArray[np.integer], tokens: NDArray[np.integer], requests: NDArray[np.integer]) -> Ranking:
    """Rank all minutes of a day, the earlier one first where amounts are equal; nothing is hidden."""
    minutes, tokens, requests = (column.astype(np.int64) for column in (minutes, tokens, requests))
    by_tokens, by_requests = np.lexsort((minutes, -tokens)), np.lexsort((minutes, -requests))
    return Ranking(minutes[by_tokens], tokens[by_tokens], minutes[by_requests], requests[by_requests], hides=False)


def _kinds(wide: bool) -> tuple[str, str, str, str]:
    # Signed where they are wide: numpy makes floats of unsigned and signed 64-bit numbers together.
    return ("<u2", "<i8", "<u2", "<i8") if wide else ("<u2", "<u4", "<u2", "<u2")


def _unpack(joined: bytes, length: int) -> list[Ranking]:
    wide = length % 2 == 1
    entries, rest = divmod(length - wide, 20 if wide else 10)
    if rest or not 0 < entries <= MINUTES_A_DAY:
        raise ValueError(f"{length} bytes are not the busiest minutes of a day")
    fields = [(f"column_{number}", kind, (entries,)) for number, kind in enumerate(_kinds(wide))]
    rows = np.frombuffer(joined, dtype=[("wide", "u1"), *fields] if wide else fields)
    columns = [rows[name] for name, _, _ in fields]
    return [
        Ranking(at, tokens, asked_at, requests, hides=KEPT <= entries < MINUTES_A_DAY)
        for at, tokens, asked_at, requests in zip(*columns, strict=True)
    ]
