"""At what pace Azure may be asked for costs: limits that every process with the same store keeps together.

Limits of Cost Management, in query processing units of one month of data each: 12 in 10 s, 60 a minute and 600 an hour
per tenant, 4 requests a minute and scope (azure.md, 1.4). Whoever looks at Cost Analysis in the portal draws on the
same account, so a refusal still happens, and then everybody waits as long as Azure says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from msgspec import Struct

MINUTE, HOUR = 60, 3600


class Pace(Struct, frozen=True):
    """At most so many units in so many seconds."""

    units: int
    seconds: int


TENANT = (Pace(12, 10), Pace(60, MINUTE), Pace(600, HOUR))


class Budget(Protocol):
    """The account of requests, shared by all processes with one store."""

    def take(self, tenant: str, scope: str, *, units: int, requests_per_minute: int) -> float:
        """Draw one request of so many units; return 0 when it may go now, else the seconds after which to ask again."""

    def done(self, tenant: str, scope: str) -> None:
        """Say that the request drawn last for this scope has been answered, so that Azure has counted it by now.

        Until then, or for a minute, it counts as being made: nobody knows when it arrives.
        """

    def pause(self, tenant: str, scope: str, seconds: float) -> None:
        """Let nobody ask for so long: '' as the scope stands for the whole tenant."""


@contextmanager
def drawn(budget: Budget, tenant: str, scope: str) -> Iterator[None]:
    """One request that has been drawn: it is made within the block, and has arrived at the end of it."""
    try:
        yield
    finally:
        budget.done(tenant, scope)
