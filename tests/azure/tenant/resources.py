"""The tenant's resources as Azure Resource Manager lists them, on each of its days."""

from datetime import date

from tests.azure import arm
from tests.azure.server import Server
from tests.azure.tenant.shape import REGISTERED, REQUESTS, Deployment, Tenant


class Resources:
    """Keeps a fake Resource Manager in line with the day."""

    def __init__(self, tenant: Tenant, server: Server) -> None:
        self.tenant = tenant
        self.manager = arm.ResourceManager(subscriptions=[*tenant.queried, tenant.exported], page=10)
        self.manager.register(server)
        self._homes: dict[str, arm.Workspace | arm.Account] = {}
        for one in tenant.deployments:
            if one.workspace not in self._homes:
                self._homes[one.workspace] = _home(one)
        self.manager.workspaces = [one for one in self._homes.values() if isinstance(one, arm.Workspace)]
        self.manager.accounts = [one for one in self._homes.values() if isinstance(one, arm.Account)]

    def at(self, day: date) -> None:
        """Let Resource Manager list what there is on a day; lists may begin with empty pages, ids shout."""
        there = [one for one in self.tenant.deployments if one.exists(day)]
        manager = self.manager
        manager.shouting, manager.empty_first = day.day % 3 == 0, day.day % 4 == 0
        manager.offers = [self._offer(one, day) for one in self._ever(day) if not one.foundry]
        offers = {one.id: one for one in manager.offers}
        manager.endpoints, manager.deployments = [], []
        for one in there:
            home = self._homes[one.workspace]
            if isinstance(home, arm.Account):
                manager.deployments.append(_deployed(one, home, day))
            else:
                offer = offers[f"{home.id}/marketplaceSubscriptions/{one.model}"]
                manager.endpoints.append(
                    arm.Endpoint(
                        workspace=home, name=one.name, model=_registry(one), offer=offer, created=_created(one)
                    )
                )
        manager.saas = [
            arm.Saas(name=one.saas, group=one.resource(day).split("/")[4], subscription=one.subscription)
            for one in self._ever(day)
            if not one.foundry
        ]

    def _ever(self, day: date) -> list[Deployment]:
        """What was ever deployed until a day: its offer and what it bills through outlive the endpoint."""
        return [one for one in self.tenant.deployments if not one.opens or one.opens <= day]

    def _offer(self, one: Deployment, day: date) -> arm.Offer:
        home = self._homes[one.workspace]
        assert isinstance(home, arm.Workspace)
        over = one.unsubscribed is not None and day >= one.unsubscribed
        status = "Unsubscribed" if over else "Subscribed"
        model = _registry(one)
        return arm.Offer(workspace=home, name=one.model, model=model, offer=one.offer, plan=one.plan, status=status)


def _home(one: Deployment) -> arm.Workspace | arm.Account:
    placed = {"name": one.workspace, "group": one.group, "subscription": one.subscription, "region": one.region}
    return arm.Account(**placed) if one.foundry else arm.Workspace(**placed)


def _deployed(one: Deployment, home: arm.Account, day: date) -> arm.Deployment:
    return arm.Deployment(
        account=home, name=one.name, model=REGISTERED[one.model], tokens=one.tokens_limit(day), requests=REQUESTS
    )


def _registry(one: Deployment) -> str:
    return f"azureml://registries/azureml-mistral/models/{REGISTERED[one.model]}"


def _created(one: Deployment) -> str:
    return f"{one.opens or date(2026, 1, 5)}T00:01:00.1234567Z"
