"""What a source may use while it is read: the time, the request budget, and Azure as whoever runs us."""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from monitor.clock import Clock
from monitor.domain.catalogue import Catalogue
from monitor.sources.azure.budget import Budget
from monitor.sources.azure.cloud import Azure

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

    from monitor.sources.azure.arm import Arm


class Session:
    """One collection's way to the outside; what it opens lazily it closes at the end of its `with`.

    `now` is when the collection began, and what "until now" means throughout; `clock` is for waiting.
    """

    def __init__(
        self,
        *,
        now: datetime,
        clock: Clock,
        azure: Azure,
        environ: Mapping[str, str],
        budget: Budget,
        catalogue: Catalogue,
    ) -> None:
        self.now, self.clock, self.azure, self.environ = now, clock, azure, environ
        self.budget, self.catalogue = budget, catalogue

    @cached_property
    def credential(self) -> "TokenCredential":
        """Who we are to Azure."""
        from monitor.sources.azure.credentials import credential

        return credential(self.azure, self.environ)

    @cached_property
    def arm(self) -> "Arm":
        """Azure Resource Manager."""
        from monitor.sources.azure.arm import Arm

        return Arm(self.azure, self.credential, self.clock.sleep)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_error: object) -> None:
        if "arm" in self.__dict__:
            self.arm.close()
        close = getattr(self.__dict__.get("credential"), "close", None)
        if close:
            close()
