"""The account of requests to Cost Management, which any number of processes draw on and none overdraws.

Drawing is one writing transaction: 1 whoever Azure has asked to wait waits; 2 of every limit, the units drawn in its
window are counted, and where this request would pass it, the time until enough of them fall out of the window is the
answer; 3 else the request is written down. Transactions that write are one after another on every engine, so that two
processes cannot both draw the last unit. What is older than the longest window is forgotten.

Nobody knows when a request arrives at Azure: not before it is drawn, and not after it is answered. So it counts from
the answer on, and until then as if it were made at this moment, but for no longer than `HELD_S` after it was drawn:
its process may have died. Clocks of several machines differ: every window is `MARGIN_S` longer than Azure's, and what
is dated further ahead than any clock can be is nothing that was drawn.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from monitor.store.engine import writing
from monitor.store.tables import request_made, request_pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

Drawn = tuple[datetime, int, str]
"""When a request was made, how many units it took, and of which scope."""

WHOLE_TENANT = ""
HELD_S = 60
MARGIN_S = 1
CLOCKS_APART = timedelta(minutes=10)
LONGEST_PAUSE = timedelta(days=1)


class Limit(Struct, frozen=True, kw_only=True):
    """At most `units` in any `seconds`, of one scope, or of the whole tenant ('')."""

    units: int
    seconds: int
    scope: str = WHOLE_TENANT


class RequestBudget:
    """The account in a store, as one process sees it; `now` tells the time.

    `held_s`: how long a request that was drawn and not answered counts as being made.
    """

    def __init__(
        self,
        engine: "Engine",
        now: "Callable[[], datetime]",
        tenant_limits: Sequence[Limit],
        *,
        held_s: int = HELD_S,
    ) -> None:
        self._engine, self._now, self._tenant_limits = engine, now, tenant_limits
        self._held = timedelta(seconds=held_s)
        self._open: dict[tuple[str, str], list[int]] = defaultdict(list)

    def take(self, tenant: str, scope: str, *, units: int, requests_per_minute: int) -> float:
        """Draw one request of so many units; return 0 when it may go now, else the seconds after which to ask again."""
        limits = [*self._tenant_limits, Limit(units=requests_per_minute, seconds=60, scope=scope)]
        with writing(self._engine) as connection:
            now = self._now()
            wait = max(
                _paused(connection, tenant, scope, now) - now,
                _full_for(limits, self._drawn(connection, tenant, now, limits), units, now),
            )
            if wait > timedelta():
                return wait.total_seconds()
            row = {"tenant": tenant, "scope": scope, "made_at": now + self._held, "units": units}
            number: int = connection.execute(
                request_made.insert().returning(request_made.c.id).values(row)
            ).scalar_one()
        self._open[tenant, scope].append(number)
        return 0.0

    def done(self, tenant: str, scope: str) -> None:
        """Say that the request drawn last for this scope has been answered: it counts from now."""
        if not self._open[tenant, scope]:
            return
        number = self._open[tenant, scope].pop()
        with writing(self._engine) as connection:
            answered = request_made.update().where(request_made.c.id == number)
            connection.execute(answered.values(made_at=self._now()))

    def pause(self, tenant: str, scope: str, seconds: float) -> None:
        """Let nobody ask for so long; a longer pause that is on already stays."""
        with writing(self._engine) as connection:
            now = self._now()
            until = now + min(timedelta(seconds=seconds), LONGEST_PAUSE)
            here = (request_pause.c.tenant == tenant, request_pause.c.scope == scope)
            before = connection.scalar(sa.select(request_pause.c.until).where(*here))
            if before is None:
                connection.execute(request_pause.insert().values(tenant=tenant, scope=scope, until=until))
            elif before < until or before > now + LONGEST_PAUSE:
                connection.execute(request_pause.update().where(*here).values(until=until))

    def _drawn(self, connection: "Connection", tenant: str, now: datetime, limits: Iterable[Limit]) -> list[Drawn]:
        """Return what was drawn in the longest window, oldest first, and forget what is older.

        What was drawn by a clock that is far ahead, or was put back since, counts as drawn now.
        """
        since = now - _window(max(limit.seconds for limit in limits))
        ahead = now + self._held + CLOCKS_APART
        made = request_made.c
        connection.execute(request_made.delete().where(made.tenant == tenant, made.made_at <= since))
        connection.execute(request_made.update().where(made.tenant == tenant, made.made_at > ahead).values(made_at=now))
        asked = sa.select(made.made_at, made.units, made.scope).where(made.tenant == tenant).order_by(made.made_at)
        return [(row[0], row[1], row[2]) for row in connection.execute(asked)]


def _paused(connection: "Connection", tenant: str, scope: str, now: datetime) -> datetime:
    """Return until when whoever asks has to wait; a pause that no header can have asked for is none."""
    asked = sa.select(request_pause.c.until).where(
        request_pause.c.tenant == tenant,
        request_pause.c.scope.in_((scope, WHOLE_TENANT)),
        request_pause.c.until <= now + LONGEST_PAUSE + CLOCKS_APART,
    )
    return max(connection.scalars(asked), default=now)


def _window(seconds: int) -> timedelta:
    return timedelta(seconds=seconds + MARGIN_S)


def _full_for(limits: Iterable[Limit], drawn: Sequence[Drawn], units: int, now: datetime) -> timedelta:
    """Return how long a request of so many units must wait until no limit is passed."""
    return max((_full(limit, drawn, units, now) for limit in limits), default=timedelta())


def _full(limit: Limit, drawn: Sequence[Drawn], units: int, now: datetime) -> timedelta:
    # A scope's limit counts requests, the tenant's counts units; a request larger than a limit goes when all is free.
    of_scope = limit.scope != WHOLE_TENANT
    window = _window(limit.seconds)
    within = [
        (at, 1 if of_scope else size)
        for at, size, scope in drawn
        if at > now - window and (not of_scope or scope == limit.scope)
    ]
    excess = sum(size for _, size in within) + min(1 if of_scope else units, limit.units) - limit.units
    for at, size in within:
        if excess <= 0:
            break
        excess -= size
        if excess <= 0:
            # What has not been answered yet may be at this moment, and leaves the window no sooner than after it.
            return min(at, now) + window - now
    return timedelta()
