"""When Cost Management may be asked, how long to wait when it refuses or fails, who else has to, when to give up."""

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from monitor.sources.azure.budget import HOUR, MINUTE, drawn
from monitor.sources.azure.cost_scope import Scope
from monitor.sources.azure.retry_after import asked_to_wait

if TYPE_CHECKING:
    from monitor.sources.session import Session

BROKEN, OK, ACCEPTED, NO_CONTENT = 0, 200, 202, 204
BAD_REQUEST, THROTTLED, SERVER_ERROR = 400, 429, 500
"""What comes of one request; BROKEN: no whole answer came."""

ONE_MONTH = 1
"""What a request costs in units: each is about days of one calendar month."""
WHOLE_TENANT = ""

MOST_REFUSALS, MOST_FAILURES = 6, 4
LONGEST_WAIT = HOUR + MINUTE
"""No limit of Azure's has a longer window than an hour; whoever is asked to wait longer leaves it to the next time."""

ENTITY = "entity"
"""What Azure calls the scope in the header about it; tenant, qpu, client and clienttype are shared by all scopes."""


class Patience:
    """How often one request was refused and failed, and how long that took."""

    def __init__(self) -> None:
        self.refusals = self.failures = 0
        self.waited = 0.0

    def refused(self, headers: Mapping[str, str], now: datetime) -> dict[bool, float]:
        """Count a refusal; return what to wait, of the scope (True) and of the tenant (False)."""
        self.refusals += 1
        # Processes that were refused at once must not come back at once.
        apart = os.getpid() % 1000 / 1000
        waits: dict[bool, float] = {}
        for name, seconds in (asked_to_wait(headers, now) or {ENTITY: MINUTE}).items():
            waits[ENTITY in name] = max(seconds + apart, waits.get(ENTITY in name, 0.0))
        return waits

    def failed(self, headers: Mapping[str, str], now: datetime) -> float:
        """Count a failure; return how long to wait."""
        self.failures += 1
        return max([2.0**self.failures, *asked_to_wait(headers, now).values()])

    def ends(self, seconds: float) -> bool:
        """Whether it is not worth waiting for so long once more."""
        return self.refusals >= MOST_REFUSALS or self.failures >= MOST_FAILURES or seconds > LONGEST_WAIT


class Turns:
    """The turns of one scope to ask, in the account that all processes share (monitor.sources.azure.budget)."""

    def __init__(self, session: "Session", scope: Scope, requests_per_minute: int) -> None:
        self._clock, self._budget, self._tenant = session.clock, session.budget, session.azure.tenant
        self._scope, self._per_minute = scope.key, requests_per_minute

    def draw(self) -> float:
        """Wait until a request may go, and return 0; the seconds to wait, where these are too many."""
        while seconds := self._budget.take(
            self._tenant, self._scope, units=ONE_MONTH, requests_per_minute=self._per_minute
        ):
            if seconds > LONGEST_WAIT:
                return seconds
            self._clock.sleep(seconds)
        return 0.0

    def taken(self) -> AbstractContextManager[None]:
        """Return the block within which the request that was drawn is made."""
        return drawn(self._budget, self._tenant, self._scope)

    def wait_after(self, status: int, headers: Mapping[str, str], patience: Patience) -> float | None:
        """Return after how long to ask again, None if that is of no use; whom a refusal is about waits with us."""
        now = self._clock.now()
        if status == THROTTLED:
            waits = patience.refused(headers, now)
            for of_scope, seconds in waits.items():
                self._budget.pause(self._tenant, self._scope if of_scope else WHOLE_TENANT, seconds)
            return max(waits.values())
        return patience.failed(headers, now) if status == BROKEN or status >= SERVER_ERROR else None
