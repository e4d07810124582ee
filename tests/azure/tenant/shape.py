"""What the tenant has: subscriptions, workspaces, deployments, and what changes about them from day to day."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

Log = Literal["blobs", "apim", "metrics"]
"""Where a deployment's requests show: response logs in storage, a gateway's log, or Azure's own metrics."""

FOUNDRY = 5
"""Every so many workspaces one is a Foundry account, whose models Azure sells itself."""

FOUR_TIMES = (time(0, 40), time(6, 40), time(12, 40), time(18, 40))
THREE_TIMES = (time(0, 40), time(8, 40), time(16, 40))
"""When the sources are collected, every day; whatever changes in the tenant changes well before or after."""

PRICES = {
    "mistral-large-2411": ("2", "6"),
    "codestral-2501": ("0.3", "0.9"),
    "mistral-small-2503": ("0.1", "0.3"),
    "mistral-medium-2505": ("0.4", "2"),
    "ministral-3b": ("0.04", "0.04"),
    "mistral-large-3": ("0.5", "1.5"),
    "mistral-medium-3-5": ("1.5", "7.5"),
    "mistral-ocr-2505": ("1", "3"),
}
"""US dollars per million tokens read and written (azure.md, 5)."""

REGISTERED = {
    "mistral-large-2411": "Mistral-Large-2411",
    "codestral-2501": "Codestral-2501",
    "mistral-small-2503": "mistral-small-2503",
    "mistral-medium-2505": "mistral-medium-2505",
    "ministral-3b": "Ministral-3B",
    "mistral-large-3": "Mistral-Large-3",
    "mistral-medium-3-5": "mistral-medium-3-5",
    "mistral-ocr-2505": "mistral-ocr-2505",
}
"""What Azure's model registry calls them."""

SOLD_BY_MARKETPLACE = tuple(PRICES)[:5]
SOLD_BY_AZURE = tuple(PRICES)[5:7]
UNPRICED = "mistral-ocr-2505"
"""A model that is billed, and that no list has a price of."""
RETIRED = {"ministral-3b": date(2026, 12, 9), "mistral-medium-2505": date(2026, 12, 9)}
TOKENS, REQUESTS = 200_000, 1_000
"""Limits of a deployment on the Marketplace, each minute."""
FOUNDRY_TOKENS, LOWERED_TOKENS = 400_000, 150_000


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment; days are inclusive UTC days, None: to the end."""

    number: int
    workspace_number: int
    workspace: str
    name: str
    subscription: str
    group: str
    region: str
    model: str
    log: Log
    foundry: bool
    currency: str
    exported: bool
    opens: date | None = None
    closes: date | None = None
    moved: tuple[date, str] | None = None
    unsubscribed: date | None = None
    lowered: date | None = None
    ambiguous: bool = False
    """Whether nothing in its charges tells them from those of another deployment."""

    @property
    def retired(self) -> date | None:
        """The day from which requests are answered with 404."""
        return RETIRED.get(self.model)

    @property
    def plan(self) -> str:
        return f"{self.model}-plan"

    @property
    def offer(self) -> str:
        return f"{self.model}-offer"

    @property
    def host(self) -> str:
        """The host that callers speak to."""
        if self.foundry:
            return f"{self.workspace}.services.ai.azure.com"
        return f"{self.name}.{self.region}.models.ai.azure.com"

    def resource(self, day: date) -> str:
        """The id of what is billed for a day; a move gives later days another one."""
        group = self.moved[1] if self.moved and day >= self.moved[0] else self.group
        home = f"/subscriptions/{self.subscription}/resourcegroups/{group}/providers"
        if self.foundry:
            return f"{home}/microsoft.cognitiveservices/accounts/{self.workspace}"
        return f"{home}/microsoft.saas/resources/{self.saas}"

    @property
    def saas(self) -> str:
        digest = sha256(f"{self.workspace} {self.model}".encode()).hexdigest()[:32]
        return f"{self.model}-{digest}"

    def exists(self, day: date) -> bool:
        """Whether Azure Resource Manager knows it on a day."""
        return not (self.opens and day < self.opens) and not (self.closes and day > self.closes)

    def tokens_limit(self, day: date) -> int:
        if not self.foundry:
            return TOKENS
        return LOWERED_TOKENS if self.lowered and day >= self.lowered else FOUNDRY_TOKENS


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """The whole tenant; `seed` decides everything that looks like chance."""

    workspaces: int = 20
    size: int = 60
    days: int = 40
    subscriptions: int = 5
    first: date = date(2026, 11, 1)
    requests: int = 22
    collected: tuple[time, ...] = THREE_TIMES
    seed: str = "tenant"

    def day(self, part: float) -> date:
        """The day at a part of the run, 0 to 1."""
        return self.first + timedelta(days=int(self.days * part))

    @property
    def last(self) -> date:
        return self.first + timedelta(days=self.days - 1)

    def subscription(self, number: int) -> str:
        digest = sha256(f"{self.seed} subscription {number}".encode()).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"

    @property
    def exported(self) -> str:
        """The subscription whose costs come by export, not by query: the last one."""
        return self.subscription(self.subscriptions - 1)

    @property
    def queried(self) -> list[str]:
        return [self.subscription(number) for number in range(self.subscriptions - 1)]

    @cached_property
    def collects(self) -> list[datetime]:
        """When the sources are collected, the last time just after the last day."""
        instants = [
            datetime.combine(self.first + timedelta(days=number), at, UTC)
            for number in range(self.days + 1)
            for at in self.collected
        ]
        return instants[1 : self.days * len(self.collected) + 1]

    @cached_property
    def deployments(self) -> list[Deployment]:
        counts = [2 if _is_foundry(number) else 0 for number in range(self.workspaces)]
        others = [number for number in range(self.workspaces) if not _is_foundry(number)]
        for number in range(self.size - sum(counts)):
            counts[others[-1 - number % len(others)]] += 1
        made = [self._made(ws, place) for ws in range(self.workspaces) for place in range(counts[ws])]
        return [replace(one, number=number) for number, one in enumerate(made)]

    def _made(self, ws: int, place: int) -> Deployment:
        foundry = _is_foundry(ws)
        of_subscription = ws * self.subscriptions // self.workspaces
        plain = Deployment(
            number=0,
            workspace_number=ws,
            workspace=f"foundry-{ws:02}" if foundry else f"workspace-{ws:02}",
            name=f"d{ws:02}-{place}",
            subscription=self.subscription(of_subscription),
            group="rg-shared" if ws in (2, 3) else f"rg-team-{ws:02}",
            region="swedencentral" if ws % 2 else "eastus2",
            model=SOLD_BY_AZURE[place] if foundry else _MODELS.get((ws, place)) or _usual(ws, place),
            log=_log(ws, place, foundry=foundry),
            foundry=foundry,
            currency="EUR" if of_subscription == 1 else "USD",
            exported=of_subscription == self.subscriptions - 1,
        )
        return replace(plain, **self._fate(ws, place))

    def _fate(self, ws: int, place: int) -> dict[str, Any]:
        """What happens to the deployments of the first workspaces; the others have a quiet life."""
        fates: dict[tuple[int, int], dict[str, Any]] = {
            (0, 0): {"moved": (self.day(0.4), "rg-platform")},
            (0, 1): {"closes": self.day(0.5)},
            (1, 0): {"lowered": self.day(0.5)},
            (2, 0): {"name": "assistant", "closes": self.day(0.3)},
            (3, 0): {"name": "assistant", "opens": self.day(0.4)},
            (3, 2): {"unsubscribed": self.day(0.7)},
            (2, 1): {"ambiguous": True},
            (3, 1): {"ambiguous": True},
            (6, 0): {"ambiguous": True},
            (6, 1): {"ambiguous": True, "model": SOLD_BY_AZURE[0]},
        }
        return fates.get((ws, place), {})


SMALL = Tenant(workspaces=4, size=9, days=10, subscriptions=2, first=date(2026, 11, 30), collected=FOUR_TIMES)
"""Ten days with everything in them that happens in forty: a month ends, its bill closes, models retire."""

_MODELS = {
    (0, 0): "ministral-3b",
    (0, 1): "mistral-large-2411",
    (0, 2): "mistral-small-2503",
    (2, 0): "mistral-small-2503",
    (2, 1): "codestral-2501",
    (2, 2): UNPRICED,
    (3, 0): "mistral-medium-2505",
    (3, 1): "codestral-2501",
    (3, 2): "mistral-large-2411",
}
"""Models of the workspaces whose deployments have a fate; (2, 1) and (3, 1) share model, group and subscription."""


def _is_foundry(workspace: int) -> bool:
    return workspace % FOUNDRY == 1


def _usual(workspace: int, place: int) -> str:
    return SOLD_BY_MARKETPLACE[(workspace + place) % len(SOLD_BY_MARKETPLACE)]


def _log(workspace: int, place: int, *, foundry: bool) -> Log:
    if foundry:
        return "apim" if workspace % 3 == 1 and place == 1 else "metrics"
    return "apim" if (workspace + place) % 4 == 3 else "blobs"
