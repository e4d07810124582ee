"""How long to wait when Cost Management refuses or fails, who else has to, and when to give up."""

import os
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from monitor.sources.azure.budget import HOUR, MINUTE

MOST_REFUSALS, MOST_FAILURES = 6, 4
LONGEST_WAIT = HOUR + MINUTE
"""No limit of Azure's has a longer window than an hour; whoever is asked to wait longer leaves it to the next time."""

ENTITY = "entity"
"""What Azure calls the scope in the header about it; tenant, qpu, client and clienttype are shared by all scopes."""
RETRY_AFTER = "retry-after"


def asked_to_wait(headers: Mapping[str, str], now: datetime) -> dict[bool, float]:
    """Return the seconds that an answer asks to wait: of the scope (True), of the whole tenant (False), or of neither.

    Any header that ends in retry-after counts, in seconds or as a date, and the longest of them (azure.md, 1.4).
    """
    waits: dict[bool, float] = {}
    for name, value in headers.items():
        if name.lower().endswith(RETRY_AFTER):
            of_scope = ENTITY in name.lower()
            seconds = _seconds(value, now)
            if seconds is not None:
                waits[of_scope] = max(seconds, waits.get(of_scope, 0.0))
    return waits


def _seconds(text: str, now: datetime) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None


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
        return {whom: seconds + apart for whom, seconds in (asked_to_wait(headers, now) or {True: MINUTE}).items()}

    def failed(self, headers: Mapping[str, str], now: datetime) -> float:
        """Count a failure; return how long to wait."""
        self.failures += 1
        return max([2.0**self.failures, *asked_to_wait(headers, now).values()])

    def ends(self, seconds: float) -> bool:
        """Whether it is not worth waiting for so long once more."""
        return self.refusals >= MOST_REFUSALS or self.failures >= MOST_FAILURES or seconds > LONGEST_WAIT
