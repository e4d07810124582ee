"""The account of requests to Cost Management, which any number of processes draw on and none overdraws.

Drawing is one writing transaction: 1 whoever Azure has asked to wait waits; 2 of every limit, the units drawn in its
window are counted, and where this request would pass it, the time until enough of them fall out of the window is the
answer; 3 else the request is written down, at the time it is made. Transactions that write are one after another on
every engine, so that two processes cannot both draw the last unit. What is older than the longest window is forgotten.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from msgspec import Struct

from monitor.store.engine import reading, writing
from monitor.store.tables import request_made, request_pause

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection, Engine

Drawn = tuple[datetime, int, str]
"""When a request was made, how many units it took, and of which scope."""

WHOLE_TENANT = ""


class Limit(Struct, frozen=True, kw_only=True):
    """At most `units` in any `seconds`, of one scope, or of the whole tenant ('')."""

    units: int
    seconds: int
    scope: str = WHOLE_TENANT


class RequestBudget:
    """The account in a store, as one process sees it; `now` tells the time."""

    def __init__(self, engine: "Engine", now: "Callable[[], datetime]", tenant_limits: Sequence[Limit]) -> None:
        self._engine, self._now, self._tenant_limits = engine, now, tenant_limits

    def take(self, tenant: str, scope: str, *, units: int, requests_per_minute: int) -> float:
        """Draw one request of so many units; return 0 when it may go now, else the seconds after which to ask again."""
        limits = [*self._tenant_limits, Limit(units=requests_per_minute, seconds=60, scope=scope)]
        with writing(self._engine) as connection:
            now = self._now()
            wait = max(
                (_paused(connection, tenant, scope) or now) - now,
                _full_for(limits, _drawn(connection, tenant, now, limits), units, now),
            )
            if wait > timedelta():
                return wait.total_seconds()
            row = {"tenant": tenant, "scope": scope, "made_at": now, "units": units}
            connection.execute(request_made.insert().values(row))
        return 0.0

    def pause(self, tenant: str, scope: str, seconds: float) -> None:
        """Let nobody ask for so long; a longer pause that is on already stays."""
        with writing(self._engine) as connection:
            until = self._now() + timedelta(seconds=seconds)
            here = (request_pause.c.tenant == tenant, request_pause.c.scope == scope)
            before = connection.scalar(sa.select(request_pause.c.until).where(*here))
            if before is None:
                connection.execute(request_pause.insert().values(tenant=tenant, scope=scope, until=until))
            elif before < until:
                connection.execute(request_pause.update().where(*here).values(until=until))


def requests_since(engine: "Engine", since: datetime) -> int:
    """Count the requests drawn since an instant, of those not forgotten yet."""
    with reading(engine) as connection:
        asked = sa.select(sa.func.count()).select_from(request_made).where(request_made.c.made_at >= since)
        return int(connection.scalar(asked) or 0)


def _paused(connection: "Connection", tenant: str, scope: str) -> datetime | None:
    asked = sa.select(request_pause.c.until).where(
        request_pause.c.tenant == tenant, request_pause.c.scope.in_((scope, WHOLE_TENANT))
    )
    return max(connection.scalars(asked), default=None)


def _drawn(connection: "Connection", tenant: str, now: datetime, limits: Iterable[Limit]) -> list[Drawn]:
    """Return what was drawn in the longest window, oldest first, and forget what is older."""
    since = now - timedelta(seconds=max(limit.seconds for limit in limits))
    made = request_made.c
    connection.execute(request_made.delete().where(made.tenant == tenant, made.made_at <= since))
    asked = sa.select(made.made_at, made.units, made.scope).where(made.tenant == tenant).order_by(made.made_at)
    return [(row[0], row[1], row[2]) for row in connection.execute(asked)]


def _full_for(limits: Iterable[Limit], drawn: Sequence[Drawn], units: int, now: datetime) -> timedelta:
    """Return how long a request of so many units must wait until no limit is passed."""
    return max((_full(limit, drawn, units, now) for limit in limits), default=timedelta())


def _full(limit: Limit, drawn: Sequence[Drawn], units: int, now: datetime) -> timedelta:
    # A scope's limit counts requests, the tenant's counts units; a request larger than a limit goes when all is free.
    of_scope = limit.scope != WHOLE_TENANT
    window = timedelta(seconds=limit.seconds)
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
            return at + window - now
    return timedelta()
