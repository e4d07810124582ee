"""Azure Resource Manager and Resource Graph, as far as inventory asks them: lists of what a tenant has.

The data are plain mutable records in plain lists; change them between two collections, and the next answer differs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.azure.server import Answer, Call, Server, error

SUBSCRIPTION = "00000000-1111-2222-3333-444444444444"
CREATED = "2026-01-05T08:30:00.1234567Z"


@dataclass(kw_only=True)
class Workspace:
    """A workspace of Azure Machine Learning; `kind` is Default, Hub, Project or FeatureStore."""

    name: str
    group: str = "rg-ml"
    subscription: str = SUBSCRIPTION
    region: str = "eastus2"
    kind: str = "Default"

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )


@dataclass(kw_only=True)
class Offer:
    """A marketplace subscription of a workspace; `status` is Subscribed, Suspended or Unsubscribed."""

    workspace: Workspace
    name: str
    model: str
    offer: str
    plan: str
    status: str = "Subscribed"

    @property
    def id(self) -> str:
        return f"{self.workspace.id}/marketplaceSubscriptions/{self.name}"


@dataclass(kw_only=True)
class Endpoint:
    """A serverless endpoint; `model` as the registry has it, `offer` the marketplace subscription it draws on."""

    workspace: Workspace
    name: str
    model: str
    offer: Offer | None = None
    state: str = "Online"
    created: str = CREATED

    @property
    def id(self) -> str:
        return f"{self.workspace.id}/serverlessEndpoints/{self.name}"

    @property
    def host(self) -> str:
        return f"{self.name.lower()}.{self.workspace.region}.models.ai.azure.com"


@dataclass(kw_only=True)
class Account:
    """An account of Foundry (kind AIServices) or of another of Azure's AI services."""

    name: str
    group: str = "rg-ai"
    subscription: str = SUBSCRIPTION
    region: str = "swedencentral"
    kind: str = "AIServices"
    internal_id: str = ""

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{self.name}"
        )


@dataclass(kw_only=True)
class Deployment:
    """A deployment on an account, with its limits by the minute."""

    account: Account
    name: str
    model: str
    version: str = "1"
    format: str = "Mistral AI"
    tokens: int | None = 400_000
    requests: int | None = 1_000
    state: str = "Succeeded"
    created: str = CREATED

    @property
    def id(self) -> str:
        return f"{self.account.id}/deployments/{self.name}"


@dataclass(kw_only=True)
class Saas:
    """A SaaS resource of the Marketplace: what is billed. `type` is that of another resource, for a decoy."""

    name: str
    group: str = "rg-ml"
    subscription: str = SUBSCRIPTION

    @property
    def id(self) -> str:
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
        return f"{group}/providers/Microsoft.SaaS/resources/{self.name}"


@dataclass(kw_only=True)
class ResourceManager:
    """What a tenant has, and how its lists behave.

    `page`: members on a page; `empty_first`: lists begin with an empty page that has a next one, as those of workspaces
    sometimes do; `shouting`: ids are written in upper case where Azure feels like it; `refused`: regular expressions of
    paths that are answered with 403 (Resource Graph: "ResourceGraph"); `broken`: the same, answered with something that
    is no JSON from the second page on, or at once if there is but one; `graph_cut`: Resource Graph says that its answer
    is truncated, and gives no token.

    Behaviour after azure.md, 4: `nextLink` whole addresses with `$skip` (workspaces: `$skipToken`); Resource Graph is
    asked by POST, pages by `$skipToken` in `options`, and knows only what is there now.
    """

    subscriptions: list[str] = field(default_factory=lambda: [SUBSCRIPTION])
    workspaces: list[Workspace] = field(default_factory=list)
    endpoints: list[Endpoint] = field(default_factory=list)
    offers: list[Offer] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    deployments: list[Deployment] = field(default_factory=list)
    saas: list[Saas] = field(default_factory=list)
    page: int = 50
    empty_first: bool = False
    shouting: bool = False
    refused: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    graph_cut: bool = False

    def register(self, server: Server) -> Server:
        """Answer on a server; what else it answers stays."""
        scope = r"/subscriptions/(?P<sub>[^/]+)(?:/resourceGroups/(?P<group>[^/]+))?"
        ml = rf"{scope}/providers/Microsoft.MachineLearningServices/workspaces"
        ai = rf"{scope}/providers/Microsoft.CognitiveServices/accounts"
        routes = (
            (r"/subscriptions", self._subscriptions),
            (ml, self._workspaces),
            (rf"{ml}/(?P<home>[^/]+)/serverlessEndpoints", self._endpoints),
            (rf"{ml}/(?P<home>[^/]+)/marketplaceSubscriptions", self._offers),
            (ai, self._accounts),
            (rf"{ai}/(?P<home>[^/]+)/deployments", self._deployments),
            (rf"{scope}/resources", self._resources),
        )
        for path, members in routes:

            def listed(call: Call, members: Any = members) -> Answer:
                return self._troubled(call) or self._page(server, call, members(call))

            server.route("GET", path, listed)
        server.route("POST", "/providers/Microsoft.ResourceGraph/resources", self._graph)
        return server

    def _troubled(self, call: Call) -> Answer | None:
        if any(re.search(path, call.path, re.IGNORECASE) for path in self.refused):
            action = "Microsoft.MachineLearningServices/workspaces/read"
            message = (
                f"The client 'monitor' with object id '00000000-0000-0000-0000-00000000000a' does not have "
                f"authorization to perform action '{action}' over scope '{call.path}' or the scope is invalid."
            )
            return error(403, "AuthorizationFailed", message)
        return None

    def _page(self, server: Server, call: Call, members: Sequence[Any]) -> Answer:
        start = int(call.query.get("$skip") or call.query.get("$skipToken") or (-1 if self.empty_first else 0))
        size = 0 if start < 0 else self.page
        end = max(start, 0) + size
        last = end >= len(members) and start >= 0
        if any(re.search(path, call.path, re.IGNORECASE) for path in self.broken) and last:
            return Answer(body=b"<html>it is a bad day</html>")
        body: dict[str, Any] = {"value": members[max(start, 0) : end]}
        if not last:
            key = "$skipToken" if call.path.lower().endswith("/workspaces") else "$skip"
            version = call.query.get("api-version", "")
            body["nextLink"] = f"{server.address}{call.path}?api-version={version}&{key}={end}"
        return Answer(body=body)

    def _subscriptions(self, _call: Call) -> list[Any]:
        return [
            {"id": f"/subscriptions/{one}", "subscriptionId": one, "state": "Enabled"} for one in self.subscriptions
        ]

    def _workspaces(self, call: Call) -> list[Any]:
        return [
            self._item(one, "Microsoft.MachineLearningServices/workspaces", location=one.region, kind=one.kind)
            for one in self.workspaces
            if _within(call, one)
        ]

    def _endpoints(self, call: Call) -> list[Any]:
        return [
            self._item(
                one,
                "Microsoft.MachineLearningServices/workspaces/serverlessEndpoints",
                location=one.workspace.region,
                sku={"name": "Consumption"},
                systemData={"createdAt": one.created},
                properties={
                    "authMode": "Key",
                    "endpointState": one.state,
                    "inferenceEndpoint": {"uri": f"https://{one.host}", "headers": {}},
                    "marketplaceSubscriptionId": self._cased(one.offer.id) if one.offer else None,
                    "modelSettings": {"modelId": one.model},
                    "provisioningState": "Succeeded",
                },
            )
            for one in self.endpoints
            if _home(call, one.workspace)
        ]

    def _offers(self, call: Call) -> list[Any]:
        return [
            self._item(
                one,
                "Microsoft.MachineLearningServices/workspaces/marketplaceSubscriptions",
                properties={
                    "modelId": one.model,
                    "marketplacePlan": {"publisherId": "000-000", "offerId": one.offer, "planId": one.plan},
                    "marketplaceSubscriptionStatus": one.status,
                    "provisioningState": "Succeeded",
                },
            )
            for one in self.offers
            if _home(call, one.workspace)
        ]

    def _accounts(self, call: Call) -> list[Any]:
        return [
            self._item(
                one,
                "Microsoft.CognitiveServices/accounts",
                location=one.region,
                kind=one.kind,
                properties={
                    "endpoint": f"https://{one.name.lower()}.cognitiveservices.azure.com/",
                    "internalId": one.internal_id,
                    "provisioningState": "Succeeded",
                },
            )
            for one in self.accounts
            if _within(call, one)
        ]

    def _deployments(self, call: Call) -> list[Any]:
        return [
            self._item(
                one,
                "Microsoft.CognitiveServices/accounts/deployments",
                sku={"name": "GlobalStandard", "capacity": 1},
                systemData={"createdAt": one.created},
                properties={
                    "model": {"format": one.format, "name": one.model, "version": one.version},
                    "provisioningState": one.state,
                    "rateLimits": [
                        {"key": key, "renewalPeriod": 60, "count": count}
                        for key, count in (("request", one.requests), ("token", one.tokens))
                        if count is not None
                    ],
                },
            )
            for one in self.deployments
            if _home(call, one.account)
        ]

    def _resources(self, call: Call) -> list[Any]:
        wanted = re.fullmatch(r"resourceType eq '([^']+)'", call.query.get("$filter", ""))
        saas = wanted is not None and wanted[1].lower() == "microsoft.saas/resources"
        return [self._billed(one) for one in self.saas if saas and _within(call, one)]

    def _graph(self, call: Call) -> Answer:
        trouble = self._troubled(call)
        if trouble:
            return trouble
        asked = call.json()
        own = [one for one in self.saas if one.subscription.lower() in [sub.lower() for sub in asked["subscriptions"]]]
        start = int(asked.get("options", {}).get("$skipToken") or 0)
        some = own[start : start + self.page]
        body = {"totalRecords": len(own), "count": len(some), "resultTruncated": "false", "facets": []}
        if start + self.page < len(own):
            body["$skipToken"] = str(start + self.page)
        if self.graph_cut:
            body["resultTruncated"] = "true"
        return Answer(body={**body, "data": [self._billed(one) for one in some]})

    def _billed(self, one: Saas) -> Any:
        return self._item(one, "Microsoft.SaaS/resources", location="global")

    def _item(self, one: Any, type_: str, **more: Any) -> dict[str, Any]:
        return {"id": self._cased(one.id), "name": one.name, "type": type_, **more}

    def _cased(self, number: str) -> str:
        return number.replace("/resourceGroups/", "/RESOURCEGROUPS/").upper() if self.shouting else number


def _within(call: Call, one: Any) -> bool:
    assert call.match is not None
    sub, group = call.match["sub"].lower(), call.match["group"]
    return sub == one.subscription.lower() and (group is None or group.lower() == one.group.lower())


def _home(call: Call, one: Any) -> bool:
    assert call.match is not None
    return _within(call, one) and call.match["home"].lower() == one.name.lower()
