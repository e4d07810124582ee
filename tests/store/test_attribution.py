"""Who is billed, as inventory tells it: every rule, every tie, and a reason for each."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.config.settings import Settings
from monitor.domain.period import day_number
from monitor.domain.records import Charge
from monitor.sources import inventory
from monitor.sources.azure.cloud import Azure
from monitor.store.attribution import attribute, map_resource, unmap_resource
from monitor.store.charges import CostPull, record_pull
from monitor.store.engine import reading, writing
from monitor.store.progress import source_number
from monitor.store.tables import charged_resource, deployment, workspace
from tests.azure.arm import SUBSCRIPTION, Account, Deployment, Endpoint, Offer, ResourceManager, Saas, Workspace
from tests.azure.server import serving
from tests.azure.sessions import TOKEN, SetClock

LARGE = "azureml://registries/azureml-mistral/models/Mistral-large-2407"
SMALL = "azureml://registries/azureml-mistral/models/Mistral-small-2503"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = day_number(NOW.date())
PLAN = "mistral-large-2407-plan"
METER = f"Mistral Large 2407 - {PLAN} - paygo-inference-input-tokens"


@pytest.fixture(autouse=True)
def _signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)


class Billed:
    """A store into which inventory is collected and charges are recorded."""

    def __init__(self, engine: sa.Engine, address: str, azure: ResourceManager, folder: Path) -> None:
        self.engine, self.azure, self.hours = engine, azure, 0
        self.settings = Settings(
            folder=folder,
            sources=(inventory.Settings(name="azure", kind="inventory"),),
            azure=Azure(credential="token", resource_manager=address, log_analytics=address),
        )

    def add(self, name: str, *, group: str = "rg-ml", plan: str = PLAN, model: str = LARGE) -> Workspace:
        """A workspace with a plan and an endpoint that draws on it."""
        made = Workspace(name=name, group=group)
        offer = Offer(workspace=made, name="sub", model=model, offer="mistral-ai-large-2407-offer", plan=plan)
        self.azure.workspaces.append(made)
        self.azure.offers.append(offer)
        self.azure.endpoints.append(Endpoint(workspace=made, name=f"{name}-chat", model=model, offer=offer))
        return made

    def look(self, hours: int = 1, *, errors: int = 0) -> None:
        self.hours += hours
        now = NOW + timedelta(hours=self.hours)
        (result,) = collect(self.engine, self.settings, now=now, clock=SetClock(now))
        assert len(result.errors) == errors

    def bill(
        self,
        resource: str,
        *,
        meter: str = METER,
        model: str | None = "mistral-large-2407",
        plan: str = "",
        day: int = TODAY,
    ) -> tuple[str | None, str | None]:
        """Bill a resource; return whose it is and why."""
        self.hours += 1
        charge = Charge(
            charge_period_start=day,
            billed_cost=Decimal(1),
            billing_currency="USD",
            meter="input",
            meter_name=meter,
            plan=plan,
            resource_id=resource.lower(),
            sub_account_id=SUBSCRIPTION,
            model=model,
        )
        with writing(self.engine) as connection:
            pull = CostPull(
                source_id=source_number(connection, "costs", "cost-query", "charges", 0),
                object=f"{resource}{day}",
                fingerprint=str(self.hours),
                written_at=self.hours,
                recorded_at=NOW + timedelta(hours=self.hours),
                charges=[charge],
                days={(f"{resource}{model}", day): 1},
                scope=f"{resource}{model}",
            )
            record_pull(connection, pull)
            attribute(connection)
        return self.whose(resource, model or "")

    def whose(self, resource: str, model: str = "mistral-large-2407") -> tuple[str | None, str | None]:
        asked = (
            sa.select(workspace.c.name + "/" + deployment.c.name, charged_resource.c.attribution)
            .join_from(charged_resource, deployment, isouter=True)
            .outerjoin(workspace, workspace.c.id == deployment.c.workspace_id)
            .where(charged_resource.c.resource_id == resource.lower(), charged_resource.c.model == model)
        )
        with reading(self.engine) as connection:
            row = connection.execute(asked).one()
        return row[0], row[1]

    def number(self, name: str) -> int:
        with reading(self.engine) as connection:
            return int(connection.scalar(sa.select(deployment.c.id).where(deployment.c.name == name)) or 0)


@pytest.fixture
def billed(engine: sa.Engine, tmp_path: Path) -> Iterator[Billed]:
    azure = ResourceManager()
    with serving() as server:
        azure.register(server)
        yield Billed(engine, server.address, azure, tmp_path)


def saas(group: str = "rg-ml", name: str = "mistral-ai-large-2407-offer-1f2e3d4c") -> str:
    return Saas(name=name, group=group).id


def test_the_plan_in_a_meters_name_finds_the_one_workspace_that_has_it(billed: Billed) -> None:
    billed.add("ml-a")
    billed.add("ml-b", plan="another-plan", model=SMALL)
    billed.look()
    assert billed.bill(saas("rg-elsewhere")) == ("ml-a/ml-a-chat", f"plan {PLAN}: only workspace ml-a has it")


def test_the_plan_may_stand_in_a_column_of_its_own(billed: Billed) -> None:
    billed.add("ml-a")
    billed.look()
    found = billed.bill(saas("rg-x"), meter="paygo-inference-input-tokens", plan=PLAN.upper())
    assert found[0] == "ml-a/ml-a-chat"


def test_a_plan_that_is_a_part_of_a_longer_name_is_not_meant(billed: Billed) -> None:
    billed.add("ml-a", plan="paygo")
    billed.add("ml-b", plan="mistral-large-2407")
    billed.look()
    assert billed.bill(saas("rg-x", "a-name")) == (None, None)


def test_of_several_workspaces_with_a_plan_the_group_of_the_resource_decides(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    billed.add("ml-b", group="rg-b")
    billed.look()
    why = f"plan {PLAN} and resource group rg-b: only workspace ml-b has it"
    assert billed.bill(saas("RG-B")) == ("ml-b/ml-b-chat", why)


def test_several_in_one_group_are_not_guessed_among(billed: Billed) -> None:
    for name in ("ml-a", "ml-b", "ml-c"):
        billed.add(name)
    billed.look()
    assert billed.bill(saas()) == (
        None,
        f"plan {PLAN} and resource group rg-ml: 3 workspaces have it (ml-a, ml-b, ml-c)",
    )


def test_several_and_none_in_the_group_of_the_resource_are_not_guessed_among(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    billed.add("ml-b", group="rg-b")
    billed.look()
    assert billed.bill(saas("rg-elsewhere")) == (None, f"plan {PLAN}: 2 workspaces have it (ml-a, ml-b)")


def test_a_plan_of_another_azure_subscription_is_not_meant(billed: Billed) -> None:
    billed.add("ml-a")
    billed.look()
    other = saas().replace(SUBSCRIPTION, "99999999-1111-2222-3333-444444444444")
    assert billed.bill(other) == (None, None)


def test_two_deployments_of_the_model_in_the_workspace_are_not_guessed_among(billed: Billed) -> None:
    home = billed.add("ml-a")
    billed.azure.endpoints.append(Endpoint(workspace=home, name="second", model=LARGE, offer=billed.azure.offers[0]))
    billed.look()
    why = f"plan {PLAN}: only workspace ml-a has it: 2 deployments (ml-a-chat, second)"
    assert billed.bill(saas()) == (None, why)


def test_one_plan_name_of_two_offers_is_told_apart_by_the_model(billed: Billed) -> None:
    billed.add("ml-a", plan="pay-as-you-go")
    billed.add("ml-b", plan="pay-as-you-go", model=SMALL)
    billed.look()
    meter = "Mistral Small - pay-as-you-go - paygo-inference-input-tokens"
    assert billed.bill(saas(), meter=meter, model="mistral-small-2503")[0] == "ml-b/ml-b-chat"


def test_without_a_plan_the_name_and_the_group_decide(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    billed.add("ml-b", group="rg-b")
    billed.look()
    why = "name and resource group rg-a: only workspace ml-a deploys mistral-large-2407"
    assert billed.bill(saas("rg-a"), meter="paygo-inference-input-tokens") == ("ml-a/ml-a-chat", why)


def test_the_name_of_the_offer_is_enough_where_the_model_is_not_known(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    billed.look()
    assert billed.bill(saas("rg-a"), meter="paygo", model=None)[0] == "ml-a/ml-a-chat"


def test_without_a_plan_two_workspaces_of_a_group_are_not_guessed_among(billed: Billed) -> None:
    billed.add("ml-a")
    billed.add("ml-b")
    billed.look()
    found = billed.bill(saas(), meter="paygo-inference-input-tokens")
    assert found == (None, "name and resource group rg-ml: 2 workspaces have it (ml-a, ml-b)")


def test_an_account_bills_each_of_its_models_for_the_deployment_of_it(billed: Billed) -> None:
    foundry = Account(name="foundry")
    billed.azure.accounts.append(foundry)
    for name, model in (("large", "Mistral-Large-3"), ("medium", "mistral-medium-2505")):
        billed.azure.deployments.append(Deployment(account=foundry, name=name, model=model))
    billed.look()
    large = billed.bill(foundry.id.upper(), model="mistral-large-3", meter="Mistral Large 3 Inp Tokens")
    assert large == ("foundry/large", "account foundry and model mistral-large-3")
    assert billed.bill(foundry.id, model="mistral-medium-2505")[0] == "foundry/medium"
    assert billed.bill(foundry.id, model="codestral-2501") == (
        None,
        "account foundry, where no deployment of codestral-2501 is known",
    )
    assert billed.bill(foundry.id, model=None) == (None, "account foundry, but the charge names no model")
    billed.azure.deployments.append(Deployment(account=foundry, name="large-eu", model="Mistral-Large-3"))
    billed.look()
    assert billed.whose(foundry.id, "mistral-large-3") == (
        None,
        "account foundry and model mistral-large-3: 2 deployments (large, large-eu)",
    )


def test_the_id_of_an_account_in_the_name_of_a_resource_finds_it(billed: Billed) -> None:
    foundry = Account(name="foundry", internal_id="0a1b2c3d4e5f6a7b8c9d")
    billed.azure.accounts += [foundry, Account(name="other", internal_id="ffffffffffffffffffff")]
    billed.azure.deployments += [
        Deployment(account=account, name="medium", model="mistral-medium-2505") for account in billed.azure.accounts
    ]
    billed.look()
    name = "mistral-medium-0a1b2c3d4e5f6a7-0123456789abcdef0123456789abcdef"
    found = billed.bill(saas("rg-ai", name), model="mistral-medium-2505", meter="paygo-inference-input-tokens")
    assert found == ("foundry/medium", "the name bears the id of account foundry")


def test_an_account_in_the_group_of_the_resource_beats_a_workspace_elsewhere(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    foundry = Account(name="foundry", group="rg-b")
    billed.azure.accounts.append(foundry)
    billed.azure.deployments.append(Deployment(account=foundry, name="large", model="Mistral-large-2407"))
    billed.look()
    assert billed.bill(saas("rg-b"))[0] == "foundry/large"
    assert billed.bill(saas("rg-a"))[0] == "ml-a/ml-a-chat"


def test_pitfall_19_a_deployment_that_is_gone_is_still_billed(billed: Billed) -> None:
    billed.add("ml-a")
    billed.look()
    billed.azure.endpoints.clear()
    billed.azure.offers.clear()
    billed.look()
    assert billed.bill(saas(), day=TODAY + 1)[0] == "ml-a/ml-a-chat"
    billed.azure.workspaces.clear()
    billed.look()
    assert billed.whose(saas())[0] == "ml-a/ml-a-chat"


@pytest.mark.parametrize(("day", "whose"), [(TODAY, None), (TODAY + 10, "ml-b/ml-b-chat")])
def test_of_two_the_one_that_lived_when_the_charges_arose_is_billed(billed: Billed, day: int, whose: str) -> None:
    billed.add("ml-a")
    billed.add("ml-b")
    billed.look()
    billed.azure.workspaces.pop(0)
    billed.look(24)
    assert billed.bill(saas(), day=day)[0] == whose


def test_pitfall_18_charges_of_before_a_move_stay_with_the_deployment(billed: Billed) -> None:
    home = billed.add("ml-a", group="rg-old")
    billed.add("ml-b", group="rg-new")
    billed.look()
    before = billed.bill(saas("rg-old"))
    home.group = "rg-moved"
    billed.look()
    assert before[0] == "ml-a/ml-a-chat"
    assert billed.whose(saas("rg-old"))[0] == "ml-a/ml-a-chat"
    assert billed.bill(saas("rg-moved"))[0] == "ml-a/ml-a-chat"


def test_pitfall_25_an_endpoint_made_again_is_billed_as_before(billed: Billed) -> None:
    billed.add("ml-a")
    billed.look()
    endpoint = billed.azure.endpoints.pop()
    billed.look()
    billed.azure.endpoints.append(replace(endpoint, created="2026-11-24T00:00:00Z"))
    billed.look()
    assert billed.bill(saas(), day=TODAY + 2)[0] == "ml-a/ml-a-chat"


def test_an_endpoint_made_again_lived_before_it_was(billed: Billed) -> None:
    billed.add("ml-a")
    billed.add("ml-b")
    billed.look()
    endpoint = billed.azure.endpoints.pop(0)
    billed.look()
    undecided = billed.bill(saas())
    billed.azure.endpoints.append(replace(endpoint, created="2026-11-24T00:00:00Z"))
    billed.look(24)
    assert billed.whose(saas()) == undecided
    assert undecided[0] is None


def test_charges_that_came_first_are_attributed_when_inventory_has_been_collected(billed: Billed) -> None:
    billed.add("ml-a")
    assert billed.bill(saas()) == (None, None)
    billed.look()
    assert billed.whose(saas())[0] == "ml-a/ml-a-chat"


def test_what_was_said_by_hand_beats_inventory_and_may_be_said_of_one_model(billed: Billed) -> None:
    billed.add("ml-a")
    billed.add("ml-b", plan="another-plan", model=SMALL)
    billed.look()
    billed.bill(saas())
    billed.bill(saas(), model="mistral-small-2503", meter="x")
    with writing(billed.engine) as connection:
        map_resource(connection, saas(), billed.number("ml-b-chat"), NOW, "mistral-large-2407")
        attribute(connection)
    assert billed.whose(saas()) == ("ml-b/ml-b-chat", "mapped by hand")
    assert billed.whose(saas(), "mistral-small-2503")[1] != "mapped by hand"
    with writing(billed.engine) as connection:
        assert unmap_resource(connection, saas(), "mistral-large-2407")
        assert attribute(connection) == 1
        assert attribute(connection) == 0
    assert billed.whose(saas())[0] == "ml-a/ml-a-chat"


def test_a_workspace_whose_deployment_nobody_ever_saw_says_so(billed: Billed) -> None:
    billed.add("ml-a")
    billed.azure.endpoints.clear()
    billed.look()
    why = f"plan {PLAN}: workspace ml-a has it, but no deployment of it is known"
    assert billed.bill(saas()) == (None, why)


def test_a_workspace_whose_deployment_nobody_ever_saw_is_not_ruled_out(billed: Billed) -> None:
    billed.add("ml-a")
    billed.add("ml-b")
    billed.azure.endpoints.pop()
    billed.look()
    why = f"plan {PLAN} and resource group rg-ml: 2 workspaces have it (ml-a, ml-b)"
    assert billed.bill(saas()) == (None, why)


def test_a_workspace_that_could_not_be_looked_into_may_be_the_one_that_is_billed(billed: Billed) -> None:
    billed.add("ml-a", group="rg-a")
    billed.add("ml-b", group="rg-b")
    billed.azure.refused.append("ml-b/marketplaceSubscriptions")
    billed.look(errors=1)
    why = f"plan {PLAN}: only workspace ml-a has it, but ml-b could not be looked into"
    assert billed.bill(saas("rg-b")) == (None, why)
    assert billed.bill(saas("rg-elsewhere")) == (None, why)
    assert billed.bill(saas("rg-a"))[0] == "ml-a/ml-a-chat"
    billed.azure.refused.clear()
    billed.look()
    assert billed.whose(saas("rg-b"))[0] == "ml-b/ml-b-chat"
    billed.azure.refused.append("ml-b/marketplaceSubscriptions")
    billed.look(errors=1)
    assert billed.whose(saas("rg-b"))[0] == "ml-b/ml-b-chat"


def test_charges_from_before_a_deployment_was_made_are_not_its_own(billed: Billed) -> None:
    billed.add("ml-a")
    (endpoint,) = billed.azure.endpoints
    billed.azure.endpoints[:] = [replace(endpoint, created="2026-11-24T00:00:00Z")]
    billed.look()
    why = f"plan {PLAN}: only workspace ml-a has it, and was made after the charges"
    assert billed.bill(saas()) == (None, why)
    assert billed.bill(saas(), day=TODAY + 1)[0] == "ml-a/ml-a-chat"
