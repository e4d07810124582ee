"""Inventory into the store, from a server that answers like Azure: what there is, what was there, and who is billed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.collect.tally import SourceResult
from monitor.config.settings import Deployment as Described
from monitor.config.settings import Settings
from monitor.domain.inventory import Kind
from monitor.sources import cost_export, files, inventory
from monitor.sources.azure.cloud import Azure
from monitor.store.engine import reading
from monitor.store.resources import current, states
from monitor.store.tables import charged_resource, deployment, quota, usage_day, workspace
from tests.azure.arm import SUBSCRIPTION, Account, Deployment, Endpoint, Offer, ResourceManager, Saas, Workspace
from tests.azure.server import Server, serving
from tests.azure.sessions import TOKEN, SetClock

LARGE = "azureml://registries/azureml-mistral/models/Mistral-large-2407"
SMALL = "azureml://registries/azureml-mistral/models/Mistral-small-2503"
OTHER = "99999999-1111-2222-3333-444444444444"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)


class Tenant:
    """A store and the Azure that is collected into it, hour after hour."""

    def __init__(self, engine: sa.Engine, server: Server, folder: Path) -> None:
        self.engine, self.folder, self.hours = engine, folder, 0
        self.azure = ResourceManager()
        self.azure.register(server)
        source = inventory.Settings(name="azure", kind="inventory", subscriptions=(SUBSCRIPTION,))
        self.settings = Settings(
            folder=folder,
            sources=(source,),
            azure=Azure(credential="token", resource_manager=server.address, log_analytics=server.address),
        )

    @property
    def now(self) -> datetime:
        return NOW + timedelta(hours=self.hours)

    def collect(self, *names: str) -> SourceResult:
        self.hours += 1
        results = collect(self.engine, self.settings, now=self.now, names=names, clock=SetClock(self.now))
        return next(one for one in results if one.kind == "inventory" or names)

    def log(self, name: str, *lines: Mapping[str, Any]) -> None:
        """Write a response log, and let it be a source."""
        import json

        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        source = files.Settings(name=name, kind="files", path=str(path))
        self.settings = Settings(
            folder=self.folder,
            sources=(*self.settings.sources, source),
            azure=self.settings.azure,
            deployments=self.settings.deployments,
        )

    def describe(self, *deployments: Described) -> None:
        self.settings = Settings(
            folder=self.folder, sources=self.settings.sources, azure=self.settings.azure, deployments=deployments
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Workspace, name, model and region of every deployment."""
        asked = sa.select(workspace.c.name, deployment.c.name, deployment.c.model, deployment.c.region)
        with reading(self.engine) as connection:
            return sorted(tuple(row) for row in connection.execute(asked.join_from(deployment, workspace)))

    def used(self) -> dict[str, int]:
        """How many requests each deployment had, by workspace and name."""
        name = workspace.c.name + "/" + deployment.c.name
        asked = (
            sa.select(name, sa.func.sum(usage_day.c.requests))
            .join_from(usage_day, deployment, deployment.c.id == usage_day.c.deployment_id)
            .join(workspace)
            .group_by(name)
        )
        with reading(self.engine) as connection:
            return {row[0]: int(row[1]) for row in connection.execute(asked)}

    def quotas(self) -> list[tuple[int, int, str]]:
        asked = sa.select(quota.c.tokens_per_minute, quota.c.requests_per_minute, quota.c.source)
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(asked.order_by(quota.c.effective_from))]

    def whose(self) -> list[tuple[str | None, str | None]]:
        """Whose each charged resource is, and why."""
        asked = sa.select(deployment.c.name, charged_resource.c.attribution).select_from(
            charged_resource.outerjoin(deployment)
        )
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(asked.order_by(charged_resource.c.described_as))]

    def names(self, kind: Kind, as_of: datetime | None = None) -> list[str]:
        with reading(self.engine) as connection:
            return [one.name for one in current(connection, as_of) if one.kind is kind]


def line(host: str, model: str = "mistral-large-2407", number: int = 1, **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": f"{host}-{number}", "model": model, "usage": usage}
    return {"time": "2026-11-23T11:00:00Z", "status": 200, "endpoint": f"https://{host}/v1", "response": body, **more}


@pytest.fixture
def tenant(engine: sa.Engine, tmp_path: Path) -> Iterator[Tenant]:
    with serving() as server:
        made = Tenant(engine, server, tmp_path)
        ml = Workspace(name="ml-prod")
        offer = Offer(workspace=ml, name="large", model=LARGE, offer="mistral-ai-large-2407-offer", plan="large-plan")
        made.azure.workspaces.append(ml)
        made.azure.offers.append(offer)
        made.azure.endpoints.append(Endpoint(workspace=ml, name="chat", model=LARGE, offer=offer))
        foundry = Account(name="foundry")
        made.azure.accounts.append(foundry)
        made.azure.deployments.append(Deployment(account=foundry, name="large-3", model="Mistral-Large-3"))
        made.azure.saas.append(Saas(name="mistral-ai-large-2407-offer-1f2e"))
        yield made


def test_deployments_become_rows_with_their_limits(tenant: Tenant) -> None:
    result = tenant.collect()
    assert (result.errors, result.read, result.stored, result.duplicates) == ((), 6, 6, 0)
    assert tenant.rows() == [
        ("foundry", "large-3", "mistral-large-3", "swedencentral"),
        ("ml-prod", "chat", "mistral-large-2407", "eastus2"),
    ]
    assert tenant.quotas() == [(400_000, 1_000, "inventory")]


def test_what_is_read_again_unchanged_is_a_duplicate_and_changes_nothing(tenant: Tenant) -> None:
    tenant.collect()
    tenant.azure.shouting = True
    again = tenant.collect()
    assert (again.read, again.stored, again.duplicates) == (6, 0, 6)
    with reading(tenant.engine) as connection:
        assert {(one.seen_from, one.seen_until) for one in states(connection)} == {(NOW + timedelta(hours=1), None)}


def test_a_resource_in_a_new_state_keeps_the_old_one_for_whoever_asks_as_of_then(tenant: Tenant) -> None:
    tenant.collect()
    tenant.azure.endpoints[0].state = "Suspended"
    assert tenant.collect().stored == 1
    with reading(tenant.engine) as connection:
        now, then = (
            {one.name: one.state for one in current(connection, as_of)}
            for as_of in (None, tenant.now - timedelta(minutes=1))
        )
    assert (now["chat"], then["chat"]) == ("Suspended", "Online")


def test_pitfall_19_a_deployment_that_disappears_keeps_its_row_and_history(tenant: Tenant) -> None:
    tenant.collect()
    before = tenant.rows()
    endpoint = tenant.azure.endpoints.pop()
    tenant.collect()
    assert tenant.names(Kind.ENDPOINT) == []
    assert tenant.names(Kind.ENDPOINT, tenant.now - timedelta(minutes=1)) == [endpoint.name]
    assert tenant.rows() == before


def test_with_a_workspace_everything_in_it_disappears(tenant: Tenant) -> None:
    tenant.collect()
    tenant.azure.workspaces.clear()
    tenant.collect()
    assert tenant.names(Kind.ENDPOINT) == tenant.names(Kind.SUBSCRIPTION) == []
    assert tenant.names(Kind.DEPLOYMENT) == ["large-3"]


@pytest.mark.parametrize("trouble", ["refused", "broken"])
def test_what_could_not_be_listed_has_not_disappeared(tenant: Tenant, trouble: str) -> None:
    tenant.collect()
    getattr(tenant.azure, trouble).append("/subscriptions")
    tenant.azure.refused.append("ResourceGraph")
    result = tenant.collect()
    assert result.errors
    assert tenant.names(Kind.ENDPOINT) == ["chat"]
    assert tenant.names(Kind.SAAS) == ["mistral-ai-large-2407-offer-1f2e"]


def test_a_failure_in_the_middle_loses_nothing_and_the_next_collection_completes(tenant: Tenant) -> None:
    tenant.azure.broken.append("serverlessEndpoints")
    first = tenant.collect()
    assert [str(one) for one in first.errors] == [
        "serverless endpoints of ml-prod: Azure's answer is not JSON: try again later"
    ]
    assert tenant.rows() == [("foundry", "large-3", "mistral-large-3", "swedencentral")]
    tenant.azure.broken.clear()
    second = tenant.collect()
    assert (second.errors, second.stored, second.duplicates) == ((), 1, 5)
    assert len(tenant.rows()) == 2


def test_records_meet_the_row_of_their_endpoint(tenant: Tenant) -> None:
    tenant.collect()
    tenant.log("app", line("chat.eastus2.models.ai.azure.com", model="azureai"))
    tenant.log("gateway", line("foundry.services.ai.azure.com", deployment="large-3", model="mistral-large-3"))
    tenant.collect()
    assert tenant.used() == {"ml-prod/chat": 1, "foundry/large-3": 1}
    assert len(tenant.rows()) == 2


def test_records_that_came_before_inventory_meet_the_row_too(tenant: Tenant) -> None:
    tenant.log("app", line("chat.eastus2.models.ai.azure.com"))
    tenant.collect("app")
    assert tenant.used() == {"/chat": 1}
    tenant.collect("azure")
    assert tenant.used() == {"ml-prod/chat": 1}
    assert len(tenant.rows()) == 2


def test_the_settings_name_a_deployment_and_inventory_finds_it_by_its_endpoint(tenant: Tenant) -> None:
    described = Described(
        workspace="search",
        name="our-large",
        model="mistral-large-2407",
        endpoint="https://chat.eastus2.models.ai.azure.com/v1",
        tokens_per_minute=50_000,
    )
    tenant.describe(described)
    tenant.log("app", line("chat.eastus2.models.ai.azure.com"))
    tenant.collect()
    assert tenant.used() == {"search/our-large": 1}
    assert ("search", "our-large", "mistral-large-2407", "eastus2") in tenant.rows()
    assert len(tenant.rows()) == 2
    assert (50_000, 1_000, "settings") in tenant.quotas()


def test_settings_written_after_inventory_rename_the_row_with_all_its_history(tenant: Tenant) -> None:
    tenant.log("app", line("chat.eastus2.models.ai.azure.com"))
    tenant.collect()
    host = "chat.eastus2.models.ai.azure.com"
    tenant.describe(Described(workspace="search", name="our-large", model="mistral-large-2407", endpoint=host))
    tenant.collect()
    assert tenant.used() == {"search/our-large": 1}
    assert [row[0] for row in tenant.rows()] == ["foundry", "search"]


def test_settings_erase_nothing_that_inventory_knows(tenant: Tenant) -> None:
    tenant.collect()
    tenant.describe(Described(workspace="ml-prod", name="chat", model="mistral-large-2407"))
    tenant.collect()
    with reading(tenant.engine) as connection:
        row = connection.execute(sa.select(deployment).where(deployment.c.name == "chat")).one()
    assert (row.region, row.endpoint) == ("eastus2", "chat.eastus2.models.ai.azure.com")
    assert row.resource_id == tenant.azure.endpoints[0].id.lower()
    assert row.recorded_from == "settings"


def test_limits_that_change_count_from_that_day_and_those_of_the_settings_beat_them(tenant: Tenant) -> None:
    tenant.collect()
    tenant.azure.deployments[0].tokens = 800_000
    tenant.collect()
    assert tenant.quotas() == [(800_000, 1_000, "inventory")]
    tenant.hours += 24
    tenant.azure.deployments[0].requests = 2_000
    tenant.collect()
    assert tenant.quotas() == [(800_000, 1_000, "inventory"), (800_000, 2_000, "inventory")]
    own = Described(workspace="foundry", name="large-3", model="mistral-large-3", tokens_per_minute=7)
    tenant.describe(own)
    tenant.collect()
    assert tenant.quotas() == [(7, 1_000, "settings")]
    tenant.describe(Described(workspace="foundry", name="large-3", model="mistral-large-3"))
    tenant.collect()
    assert tenant.quotas() == [(800_000, 1_000, "inventory"), (800_000, 2_000, "inventory")]


def test_pitfall_25_a_name_that_comes_back_with_another_model_is_another_deployment(tenant: Tenant) -> None:
    host = "chat.eastus2.models.ai.azure.com"
    tenant.log("first", line(host))
    tenant.collect()
    tenant.azure.endpoints.clear()
    tenant.collect()
    tenant.azure.endpoints.append(
        Endpoint(workspace=tenant.azure.workspaces[0], name="chat", model=SMALL, created="2026-11-23T14:30:00Z")
    )
    refused = {"status": 429, "response": {"error": {"code": "429"}}, "request_id": "r", "time": "2026-11-23T16:00:00Z"}
    tenant.log("second", line(host, "mistral-small-2503", 2), line(host, number=3), line(host, number=4) | refused)
    tenant.collect()
    models = {row[2] for row in tenant.rows() if row[1] == "chat"}
    assert models == {"mistral-large-2407", "mistral-small-2503"}
    with reading(tenant.engine) as connection:
        asked = sa.select(deployment.c.model, sa.func.sum(usage_day.c.requests)).join_from(
            usage_day, deployment, deployment.c.id == usage_day.c.deployment_id
        )
        used = {row[0]: int(row[1]) for row in connection.execute(asked.group_by(deployment.c.model))}
    assert used == {"mistral-large-2407": 2, "mistral-small-2503": 2}


def test_pitfall_25_an_endpoint_made_again_as_it_was_goes_on_as_the_same_deployment(tenant: Tenant) -> None:
    tenant.collect()
    before = tenant.rows()
    old = tenant.azure.endpoints.pop()
    tenant.collect()
    tenant.azure.endpoints.append(replace(old, created="2026-11-23T14:30:00Z"))
    tenant.collect()
    assert tenant.rows() == before
    assert tenant.names(Kind.ENDPOINT) == ["chat"]


def test_pitfall_25_a_name_in_another_region_is_another_deployment(tenant: Tenant) -> None:
    west = Workspace(name="ml-west", region="westus3")
    tenant.azure.workspaces.append(west)
    tenant.azure.endpoints.append(Endpoint(workspace=west, name="chat", model=LARGE))
    tenant.log(
        "app", line("chat.eastus2.models.ai.azure.com"), line("chat.westus3.models.ai.azure.com"), line("x", number=3)
    )
    tenant.collect()
    tenant.collect()
    assert tenant.used()["ml-prod/chat"] == 1
    assert tenant.used()["ml-west/chat"] == 1


def test_two_workspaces_of_one_name_are_told_apart_and_neither_is_ever_renamed(tenant: Tenant) -> None:
    tenant.collect()
    twin = Workspace(name="ml-prod", group="rg-a", region="westus3")
    tenant.azure.workspaces.insert(0, twin)
    tenant.azure.endpoints.insert(0, Endpoint(workspace=twin, name="chat", model=LARGE))
    tenant.collect()
    wanted = ["foundry", "ml-prod", "ml-prod (rg-a)"]
    assert [row[0] for row in tenant.rows()] == wanted
    tenant.azure.workspaces.pop()
    tenant.collect()
    assert [row[0] for row in tenant.rows()] == wanted


def test_pitfall_18_a_workspace_that_is_moved_goes_on_under_its_name(tenant: Tenant) -> None:
    tenant.collect()
    before = tenant.rows()
    tenant.azure.workspaces[0].group = "rg-new"
    tenant.collect()
    assert tenant.rows() == before
    with reading(tenant.engine) as connection:
        number = connection.scalar(sa.select(deployment.c.resource_id).where(deployment.c.name == "chat"))
    assert number == tenant.azure.endpoints[0].id.lower()
    assert "rg-new" in str(number)


def test_an_older_look_never_replaces_a_newer_one(tenant: Tenant) -> None:
    tenant.collect()
    tenant.azure.endpoints[0].state = "Suspended"
    tenant.hours = 10
    tenant.collect()
    tenant.azure.endpoints[0].state = "Online"
    tenant.hours = 5
    tenant.collect()
    with reading(tenant.engine) as connection:
        assert [one.state for one in current(connection) if one.kind is Kind.ENDPOINT] == ["Suspended"]


def test_no_token_is_stored(tenant: Tenant) -> None:
    tenant.collect()
    with reading(tenant.engine) as connection:
        assert TOKEN not in repr(states(connection))


def test_charges_that_are_collected_with_inventory_say_whose_they_are_and_why(tenant: Tenant) -> None:
    saas = tenant.azure.saas[0].id
    account = tenant.azure.accounts[0].id
    columns = "Date,ResourceId,MeterCategory,MeterName,PublisherType,Quantity,UnitOfMeasure,CostInBillingCurrency"
    rows = [
        f"{saas},SaaS,Mistral Large 2407 - large-plan - paygo-inference-input-tokens,Marketplace,5,1K,0.01",
        f"{saas},SaaS,Mistral Large 2407 - large-plan - paygo-inference-output-tokens,Marketplace,5,1K,0.03",
        f"{account},Foundry Models,Mistral Large 3 Inp Tokens,Azure,5,1M,2.50",
        f"{saas}-of-a-stranger,SaaS,Mistral Nemo - a-plan - paygo-inference-input-tokens,Marketplace,5,1K,7",
    ]
    lines = [f"{columns},BillingCurrency,SubscriptionId"] + [f"2026-11-22,{row},USD,{SUBSCRIPTION}" for row in rows]
    (tenant.folder / "costs.csv").write_text("\n".join(lines) + "\n")
    costs = cost_export.Settings(name="costs", kind="cost-export", path=str(tenant.folder / "costs.csv"))
    tenant.settings = Settings(
        folder=tenant.folder, sources=(costs, *tenant.settings.sources), azure=tenant.settings.azure
    )
    tenant.collect("costs")
    assert {whose for whose, _ in tenant.whose()} == {None}
    tenant.collect()
    assert tenant.whose() == [
        ("chat", "plan large-plan: only workspace ml-prod has it"),
        ("large-3", "account foundry and model mistral-large-3"),
        (None, None),
    ]
