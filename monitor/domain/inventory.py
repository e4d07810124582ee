"""What Azure has: resources as its lists tell of them, what they are called here, and what is wrong with them.

Ids are in lower case: Azure writes them one way in lists, another in bills and a third in logs (azure.md, pitfall 20).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from monitor.domain.catalogue import Catalogue

SOON = timedelta(days=30)
"""Within so long a retirement is told of beforehand."""

ONLINE, SUBSCRIBED = "online", "subscribed"


class Kind(StrEnum):
    """What a resource is; workspaces and accounts are homes of deployments."""

    WORKSPACE = "workspace"
    ENDPOINT = "serverless endpoint"
    SUBSCRIPTION = "marketplace subscription"
    ACCOUNT = "account"
    DEPLOYMENT = "account deployment"
    SAAS = "saas resource"


DEPLOYED = (Kind.ENDPOINT, Kind.DEPLOYMENT)
"""What answers requests."""


class Resource(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One state of one resource; what does not apply or is not known is '' or None.

    `name` and `model` are as Azure writes them, `endpoint` is a host. `subscription`: the marketplace subscription that
    an endpoint draws on. `created_at`: seconds since 1970, 0: not known. `mark`: how an account signs the names of what
    is bought for it. `parent` is the home, or the Azure subscription of a home.
    """

    resource_id: str
    kind: Kind
    name: str
    region: str = ""
    parent: str = ""
    variant: str = ""
    state: str = ""
    model: str = ""
    endpoint: str = ""
    subscription: str = ""
    offer: str = ""
    plan: str = ""
    mark: str = ""
    created_at: int = 0
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class Listing(Struct, frozen=True, kw_only=True):
    """The resources of a kind below a scope, which is the id of a home, a resource group or a subscription.

    `whole`: these are all, so that what was there before and is not among them has disappeared.
    """

    scope: str
    kind: Kind
    resources: Sequence[Resource]
    ignored: Mapping[str, int] = field(default_factory=dict)
    whole: bool = True


class State(NamedTuple):
    """What a resource was from when to when (None: it still is)."""

    resource: Resource
    seen_from: datetime
    seen_until: datetime | None


class Finding(NamedTuple):
    """Something is wrong with a resource, in words."""

    resource_id: str
    what: str


def subscription_of(resource_id: str) -> str:
    """Return the id of the Azure subscription that a resource lies in, '' if its id does not say."""
    return _upto(resource_id, "subscriptions")


def group_of(resource_id: str) -> str:
    """Return the id of the resource group that a resource lies in, '' if its id does not say."""
    return _upto(resource_id, "resourcegroups")


def _upto(resource_id: str, segment: str) -> str:
    parts = resource_id.lower().split("/")
    if segment not in parts or parts.index(segment) + 2 > len(parts):
        return ""
    return "/".join(parts[: parts.index(segment) + 2])


def last_segment(resource_id: str) -> str:
    """Return the last segment of an id: a resource's own name."""
    return resource_id.rpartition("/")[2]


def same_model(one: str, other: str) -> bool:
    """Whether Azure means one model by two of its ids, with or without a version."""
    return _model_name(one) == _model_name(other)


def _model_name(model: str) -> str:
    return model.lower().partition("/versions/")[0].rstrip("/").rpartition("/")[2]


def home_names(states: Iterable[State]) -> dict[str, str]:
    """Return what the homes of deployments are called here, by their ids: their names, told apart where needed.

    Of two that bear one name at a time, the one whose deployments were seen first keeps it; the other's resource group
    is added, or its whole id where even that is the same. A name given once is never taken back by what comes later.
    """
    listed = list(states)
    lives = _lives(listed)
    first: dict[str, datetime] = {}
    for one in listed:
        if one.resource.kind in DEPLOYED:
            home = one.resource.parent
            first[home] = min(first.get(home, one.seen_from), one.seen_from)
    written = {one.resource.resource_id: one.resource.name for one in listed}
    names: dict[str, str] = {}
    for home in sorted(first, key=lambda home: (first[home], home)):
        plain = written.get(home) or last_segment(home)
        rivals = {names[other].lower() for other in names if _overlap(lives.get(home), lives.get(other))}
        choices = (plain, f"{plain} ({last_segment(group_of(home))})", f"{plain} ({home})")
        names[home] = next(name for name in choices if name.lower() not in rivals)
    return names


Life = tuple[datetime, datetime | None]


def _lives(states: Iterable[State]) -> dict[str, Life]:
    """Return by id when each resource was first seen and when it disappeared for the last time."""
    lives: dict[str, Life] = {}
    for one in states:
        number = one.resource.resource_id
        start, end = lives.get(number, (one.seen_from, one.seen_until))
        ended = None if end is None or one.seen_until is None else max(end, one.seen_until)
        lives[number] = (min(start, one.seen_from), ended)
    return lives


def _overlap(one: Life | None, other: Life | None) -> bool:
    if one is None or other is None:
        return True
    return (one[1] is None or other[0] < one[1]) and (other[1] is None or one[0] < other[1])


def findings(resources: Sequence[Resource], catalogue: Catalogue, today: date) -> list[Finding]:
    """Return what is wrong with the deployments that there are, by id. Regions are held against what is known of them.

    Silent where nothing is known: a model that the catalogue lacks, a region list that it does not have.
    """
    subscriptions = [one for one in resources if one.kind is Kind.SUBSCRIPTION]
    twins = _twins(resources, catalogue)
    found = []
    for one in sorted((one for one in resources if one.kind in DEPLOYED), key=lambda one: one.resource_id):
        whats = [*_of_state(one), *_of_model(one, catalogue, today), *_of_offer(one, subscriptions)]
        if others := twins.get(one.resource_id):
            whats.append(f"{others} deploys the same model: their charges cannot be told apart")
        found += [Finding(one.resource_id, what) for what in whats]
    return found


def _of_state(one: Resource) -> Iterator[str]:
    healthy = (ONLINE, "") if one.kind is Kind.ENDPOINT else ("succeeded", "")
    if one.state.lower() not in healthy:
        yield f"it is {one.state}"


def _of_model(one: Resource, catalogue: Catalogue, today: date) -> Iterator[str]:
    model = catalogue.models.get(catalogue.canonical(one.model) or "")
    if model is None:
        return
    if model.retired and model.retired <= today:
        yield f"{model.name} was retired on {model.retired}"
    elif model.retired and model.retired - today <= SOON:
        yield f"{model.name} retires on {model.retired}"
    # Regions are those of serverless endpoints in workspaces: accounts deploy to many more, and globally.
    if one.kind is Kind.ENDPOINT and one.region and model.regions and one.region not in model.regions:
        yield f"{model.name} is not offered in {one.region}"


def _of_offer(one: Resource, subscriptions: Sequence[Resource]) -> Iterator[str]:
    """Say what is wrong with the marketplace subscription of an endpoint; accounts have none that could be listed."""
    if one.kind is not Kind.ENDPOINT or not one.subscription:
        return
    drawn_on = subscription_drawn_on(one, subscriptions)
    if drawn_on is None:
        yield "its marketplace subscription is gone"
    elif drawn_on.state and drawn_on.state.lower() != SUBSCRIBED:
        yield f"its marketplace subscription is {drawn_on.state}"


def subscription_drawn_on(one: Resource, subscriptions: Iterable[Resource]) -> Resource | None:
    """Return the marketplace subscription of an endpoint; Azure names it by its id or by its name alone."""
    named = one.subscription.lower()
    own = [
        other
        for other in subscriptions
        if other.parent == one.parent and named in (other.resource_id, last_segment(other.resource_id))
    ]
    return own[0] if own else None


def _twins(resources: Sequence[Resource], catalogue: Catalogue) -> dict[str, str]:
    """Return by id the names of the other deployments of the same model in the same home."""
    alike: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for one in resources:
        if one.kind in DEPLOYED and one.model:
            alike[one.parent, catalogue.canonical(one.model) or _model_name(one.model)].append(one)
    return {
        one.resource_id: ", ".join(sorted(other.name for other in together if other is not one))
        for together in alike.values()
        for one in together
        if len(together) > 1
    }
