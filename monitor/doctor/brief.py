"""How the doctor asks Azure: it waits a little and not for long, and whatever is out of reach is told at once."""

import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from monitor.clock import Clock
from monitor.errors import MonitorError
from monitor.sources.azure.arm import Arm
from monitor.sources.azure.budget import Budget
from monitor.sources.azure.cloud import Azure
from monitor.sources.azure.listing import READER, SUBSCRIPTIONS
from monitor.sources.azure.refusals import THROTTLED, Need
from monitor.sources.azure.retry_after import asked_to_wait
from monitor.sources.azure.unreached import unreached

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.rest import HttpRequest, HttpResponse

PATIENCE = 10.0
"""So many seconds the doctor waits for Azure in all, per source."""

SHORTEST = 1.0


class BusyError(Exception):
    """Azure would answer, but not soon.

    No MonitorError, which sources take for an answer about one of the many things they ask for: it ends the probe.
    """

    def __init__(self, seconds: float, *, throttled: bool) -> None:
        self.what = f"gave no answer yet, and would be asked again in {seconds:.0f} s only"
        if throttled:
            self.what = f"Azure asks to wait {seconds:.0f} s, because it is asked too often (429)"
        self.remedy = "ask the doctor again then; maas-monitor collect waits, and says what it was"
        super().__init__(self.what)


class CutOffError(Exception):
    """Azure is out of reach: `what` was in the way, and the remedy. It ends the probe, as BusyError does."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(what)


class HurriedClock(Clock):
    """A clock that does not wait for long: BusyError where somebody would, CutOffError where waiting is no use.

    `throttled`: Azure said that it is asked too often, just before somebody waits. `arm` is asked what is the matter
    where nobody says why he waits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self.left, self.throttled = clock, PATIENCE, False
        self.arm: BriefArm | None = None

    def now(self) -> datetime:
        """Return the present instant."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait, while there is patience left."""
        throttled, self.throttled = self.throttled, False
        error = sys.exception()
        if error is not None:
            _cut_off(error)
            throttled = throttled or getattr(error, "status_code", None) == THROTTLED
        elif not throttled and self.arm is not None:
            self.arm.reach()
        if seconds > self.left:
            raise BusyError(seconds, throttled=throttled)
        self.left -= seconds
        self._clock.sleep(seconds)


class BriefArm(Arm):
    """Azure Resource Manager, asked once: only where it asks to wait for a little it is asked again."""

    def __init__(self, azure: Azure, credential: "TokenCredential", clock: HurriedClock) -> None:
        super().__init__(azure, credential, clock.sleep)
        self._clock = clock

    def reach(self) -> None:
        """Return if it answers anything at all; CutOffError if not."""
        need = Need(role=READER, scope="what the sources read")
        with suppress(MonitorError):
            self.get("/subscriptions", SUBSCRIPTIONS, subject="azure", need=need)

    def _sent(self, request: "HttpRequest", **options: Any) -> "HttpResponse":
        from azure.core.exceptions import AzureError

        while True:
            try:
                response = super()._sent(request, **{**options, "retry_total": 0})
            except AzureError as error:
                _cut_off(error)
                raise
            if response.status_code != THROTTLED:
                return response
            asked = asked_to_wait(response.headers, self._clock.now()).values()
            self._clock.throttled = True
            self._clock.sleep(max([SHORTEST, *asked]))


class Throttled:
    """An account of requests that tells the clock when Azure asks to be left alone."""

    def __init__(self, budget: Budget, clock: HurriedClock) -> None:
        self._budget, self._clock = budget, clock
        self.take: Callable[..., float] = budget.take
        self.done = budget.done

    def pause(self, tenant: str, scope: str, seconds: float) -> None:
        """Pass it on."""
        self._clock.throttled = True
        self._budget.pause(tenant, scope, seconds)


class Unshared:
    """The account of requests where there is no store to keep it in yet: the doctor asks little."""

    def take(self, _tenant: str, _scope: str, *, units: int, requests_per_minute: int) -> float:
        """Let every request go."""
        del units, requests_per_minute
        return 0.0

    def done(self, _tenant: str, _scope: str) -> None:
        """Nothing was held."""

    def pause(self, _tenant: str, _scope: str, seconds: float) -> None:
        """Forget about it."""


def _cut_off(error: BaseException) -> None:
    """Raise CutOffError where an error is one of the network; that of a sign-in says for itself what it is."""
    from azure.core.exceptions import ClientAuthenticationError

    cause = None if isinstance(error, ClientAuthenticationError) else unreached(error)
    if cause:
        raise CutOffError(*cause) from None
