"""What Azure Resource Manager lists, as resources: workspaces, accounts, what is deployed in them, and what is billed.

Versions of the lists and their shapes: azure.md, 4. A page may be empty and have a next one. Whatever a list does not
say is '' here; models of other makers are ignored, and one that does not say whose it is is kept.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol
from urllib.parse import quote

from monitor.domain.catalogue import is_mistral
from monitor.domain.endpoints import endpoint
from monitor.domain.inventory import Kind, Listing, Resource, subscription_of
from monitor.errors import MonitorError, UnreachableError
from monitor.sources.azure.arm import Arm, refuse_endless
from monitor.sources.azure.refusals import MissingRoleError, Need

WORKSPACES = {"api-version": "2024-04-01"}
ACCOUNTS = {"api-version": "2024-10-01"}
SUBSCRIPTIONS = {"api-version": "2022-12-01"}
GRAPH = {"api-version": "2021-03-01"}
RESOURCES = {"api-version": "2021-04-01"}

READER = "Reader"
SAAS = "microsoft.saas/resources"
FEATURE_STORE = "featurestore"
DEPLOYING = ("aiservices", "openai", "")
"""The kinds of accounts that models are deployed on; the others (speech, vision, ...) serve one model of their own."""

AT_ONCE = 500
"""Subscriptions in one query of Resource Graph, which takes at most 1,000."""

MINUTE = 60

OTHER_MAKER, NOT_DEPLOYING, FEATURES = "a model of another maker", "an account without deployments", "a feature store"

logger = logging.getLogger(__name__)

Answer = Listing | MonitorError
Read = Callable[[Any, str], "Resource | str"]
"""Turns a member of a list, whose home is given, into a resource, or into the reason why it is ignored."""


class Lists(Protocol):
    """Whatever has the lists of Azure Resource Manager: `Arm`, or somebody who takes only the beginning of each."""

    def pages(self, path: str, parameters: Mapping[str, str], *, subject: str, need: Need) -> Iterator[Any]:
        """Yield the members of a list."""


def subscriptions(arm: Arm, subject: str) -> list[str]:
    """Return the ids of the subscriptions that the identity sees and that are not disabled."""
    need = Need(role=READER, scope="the subscriptions to look into")
    listed = arm.pages("/subscriptions", SUBSCRIPTIONS, subject=subject, need=need)
    numbers = {_text(one, "subscriptionId").lower() for one in listed if _text(one, "state").lower() != "disabled"}
    return [f"/subscriptions/{number}" for number in sorted(numbers - {""})]


def scopes(asked: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the ids of the groups of these names in each subscription; of the subscriptions, without any."""
    return [f"{one}/resourcegroups/{group.lower()}" for one in asked for group in groups] or list(asked)


def workspaces(arm: Lists, scope: str) -> Iterator[Answer]:
    """Yield the workspaces below a subscription or group, then what each of them has."""
    homes: list[Resource] = []
    path = f"{scope}/providers/Microsoft.MachineLearningServices/workspaces"
    for answer in _listed(arm, path, WORKSPACES, scope, _workspace, kind=Kind.WORKSPACE):
        yield answer
        homes += answer.resources if isinstance(answer, Listing) else ()
    for home in homes:
        for name, kind, read in (
            ("serverlessEndpoints", Kind.ENDPOINT, _endpoint),
            ("marketplaceSubscriptions", Kind.SUBSCRIPTION, _offer),
        ):
            yield from _listed(arm, f"{home.resource_id}/{name}", WORKSPACES, home.resource_id, read, kind=kind)


def accounts(arm: Lists, scope: str) -> Iterator[Answer]:
    """Yield the accounts below a subscription or group, then the deployments of each."""
    homes: list[Resource] = []
    path = f"{scope}/providers/Microsoft.CognitiveServices/accounts"
    for answer in _listed(arm, path, ACCOUNTS, scope, _account, kind=Kind.ACCOUNT):
        yield answer
        homes += answer.resources if isinstance(answer, Listing) else ()
    for home in homes:
        path, read = f"{home.resource_id}/deployments", partial(_deployment, home=home)
        yield from _listed(arm, path, ACCOUNTS, home.resource_id, read, kind=Kind.DEPLOYMENT)


def saas_resources(arm: Arm, asked: Sequence[str], groups: Sequence[str]) -> Iterator[Answer]:
    """Yield what is billed through the Marketplace: from Resource Graph, where that refuses from Resource Manager."""
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        try:
            found = list(_graph(arm, some))
        except MonitorError as refused:
            logger.info("%s; resources are listed one by one instead", refused)
            yield from (answer for one in some for answer in _saas_of(arm, one, groups))
            continue
        for one in some:
            own = [item for item in found if subscription_of(_text(item, "id")) == one]
            yield from _below(own, one, groups)


def _graph(arm: Arm, asked: Sequence[str]) -> Iterator[Any]:
    """Yield what Resource Graph knows; an answer that is cut without a way on is none, and raises."""
    query = f"resources | where type =~ '{SAAS}' | project id, name, type, location"
    need, subject = Need(role=READER, scope="the subscriptions"), "Resource Graph"
    numbers = [one.rpartition("/")[2] for one in asked]
    options: dict[str, Any] = {"resultFormat": "objectArray"}
    seen: set[str] = set()
    while True:
        body = {"subscriptions": numbers, "query": query, "options": options}
        path = "/providers/Microsoft.ResourceGraph/resources"
        page = arm.post(path, GRAPH, body, subject=subject, need=need)
        yield from page.get("data") or ()
        token = page.get("$skipToken")
        if not token:
            if str(page.get("resultTruncated", "")).lower() == "true":
                raise UnreachableError(subject, "its answer is cut", "try again later")
            return
        refuse_endless(str(token), seen, subject)
        options = {**options, "$skipToken": token}


def _saas_of(arm: Arm, subscription: str, groups: Sequence[str]) -> Iterator[Answer]:
    parameters = {**RESOURCES, "$filter": "resourceType eq 'Microsoft.SaaS/resources'"}
    for scope in scopes([subscription], groups):
        yield from _listed(arm, f"{scope}/resources", parameters, scope, _saas, kind=Kind.SAAS)


def _below(items: Sequence[Any], subscription: str, groups: Sequence[str]) -> Iterator[Listing]:
    for scope in scopes([subscription], groups):
        own = [item for item in items if _text(item, "id").lower().startswith(f"{scope}/")]
        yield _listing(own, scope, _saas, Kind.SAAS, whole=True)


def _listed(
    arm: Lists, path: str, parameters: dict[str, str], scope: str, read: Read, *, kind: Kind
) -> Iterator[Answer]:
    """Yield one list; where it breaks off, what it held until then and why it broke off."""
    items: list[Any] = []
    failed: MonitorError | None = None
    subject = f"{kind}s of {scope.rpartition('/')[2]}"
    try:
        # One by one, so that what came before a failure is not lost with it.
        items.extend(arm.pages(quote(path), parameters, subject=subject, need=Need(role=READER, scope=scope)))
    except MissingRoleError as error:
        failed = _given_at(error, path, scope)
    except MonitorError as error:
        failed = error
    if items or not failed:
        yield _listing(items, scope, read, kind, whole=failed is None)
    if failed:
        yield failed


def _given_at(error: MissingRoleError, path: str, scope: str) -> MissingRoleError:
    """Name the resource instead of the list in it, where Azure names that: no role can be given at a list."""
    if error.scope.lower().rstrip("/") != path.lower():
        return error
    action = error.what.partition("(")[2].rstrip(")")
    return MissingRoleError(error.subject, Need(role=error.role, scope=error.scope[: len(scope)]), action)


def _listing(items: Iterable[Any], scope: str, read: Read, kind: Kind, *, whole: bool) -> Listing:
    found: dict[str, Resource] = {}
    ignored: Counter[str] = Counter()
    for item in items:
        outcome = read(item, scope)
        if isinstance(outcome, str):
            ignored[outcome] += 1
        elif outcome.resource_id in found:
            # A list that changes while it is read may name a resource on two pages.
            ignored["named twice"] += 1
        else:
            found[outcome.resource_id] = outcome
    return Listing(scope=scope, kind=kind, resources=list(found.values()), ignored=dict(ignored), whole=whole)


def _workspace(item: Any, _scope: str) -> Resource | str:
    if _text(item, "kind").lower() == FEATURE_STORE:
        return FEATURES
    return _resource(item, Kind.WORKSPACE, parent=subscription_of(_text(item, "id")), variant=_text(item, "kind"))


def _endpoint(item: Any, home: str) -> Resource | str:
    model = _text(item, "properties", "modelSettings", "modelId")
    offer = _text(item, "properties", "offer", "offerName")
    if not _ours(model or offer):
        return OTHER_MAKER
    return _resource(
        item,
        Kind.ENDPOINT,
        parent=home,
        model=model or offer,
        offer=offer,
        state=_text(item, "properties", "endpointState") or _text(item, "properties", "provisioningState"),
        endpoint=endpoint(_text(item, "properties", "inferenceEndpoint", "uri")).host,
        subscription=_text(item, "properties", "marketplaceSubscriptionId").lower(),
    )


def _offer(item: Any, home: str) -> Resource | str:
    model = _text(item, "properties", "modelId")
    plan = {name: _text(item, "properties", "marketplacePlan", f"{name}Id") for name in ("offer", "plan")}
    if not _ours(model or plan["offer"]):
        return OTHER_MAKER
    status = _text(item, "properties", "marketplaceSubscriptionStatus")
    return _resource(item, Kind.SUBSCRIPTION, parent=home, model=model, state=status, **plan)


def _account(item: Any, _scope: str) -> Resource | str:
    kind = _text(item, "kind")
    if kind.lower() not in DEPLOYING:
        return NOT_DEPLOYING
    return _resource(
        item,
        Kind.ACCOUNT,
        parent=subscription_of(_text(item, "id")),
        variant=kind,
        endpoint=endpoint(_text(item, "properties", "endpoint")).host,
        mark=_text(item, "properties", "internalId").lower(),
    )


def _deployment(item: Any, parent: str, home: Resource) -> Resource | str:
    maker, model = _text(item, "properties", "model", "format"), _text(item, "properties", "model", "name")
    if not (is_mistral(maker) or (_ours(model) and not maker)):
        return OTHER_MAKER
    limits = {_text(one, "key").lower(): _a_minute(one) for one in _members(item, "properties", "rateLimits")}
    return _resource(
        item,
        Kind.DEPLOYMENT,
        parent=parent,
        region=home.region,
        variant=_text(item, "sku", "name"),
        state=_text(item, "properties", "provisioningState"),
        model=model,
        endpoint=home.endpoint,
        tokens_per_minute=limits.get("token"),
        requests_per_minute=limits.get("request"),
    )


def _saas(item: Any, _scope: str) -> Resource | str:
    if not is_mistral(_text(item, "name")):
        return OTHER_MAKER
    return _resource(item, Kind.SAAS, parent=subscription_of(_text(item, "id")))


def _resource(item: Any, kind: Kind, **known: Any) -> Resource:
    said = {"region": _text(item, "location").replace(" ", "").lower(), **known}
    number = _text(item, "id").lower().rstrip("/")
    name = _text(item, "name").rpartition("/")[2] or number.rpartition("/")[2]
    return Resource(resource_id=number, kind=kind, name=name, created_at=_created(item), **said)


def _ours(model: str) -> bool:
    """Whether a model is Mistral's, or does not say whose it is."""
    return not model or is_mistral(model)


def _created(item: Any) -> int:
    try:
        return int(datetime.fromisoformat(_text(item, "systemData", "createdAt")).timestamp())
    except (ValueError, OverflowError):
        return 0


def _a_minute(limit: Any) -> int | None:
    """Return a rate limit as what it allows in a minute, None where it does not say or allows nothing."""
    try:
        seconds = int(limit.get("renewalPeriod") or MINUTE)
        return int(limit["count"]) * MINUTE // seconds or None
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None


def _members(item: Any, *path: str) -> list[Any]:
    found = _at(item, path)
    return found if isinstance(found, list) else []


def _text(item: Any, *path: str) -> str:
    found = _at(item, path)
    return found.strip() if isinstance(found, str) else ""


def _at(item: Any, path: Iterable[str]) -> Any:
    for name in path:
        item = item.get(name) if isinstance(item, dict) else None
    return item
