"""What a newcomer asks next: what is nobody's, what is wrong with a deployment, and what Azure needs."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from monitor.catalogue import bundled
from monitor.doctor import _last_collected
from monitor.doctor.remedies import OTHERWISE, remedy_of
from monitor.domain.inventory import Kind, Resource, findings
from tests.cli.conftest import Run

TODAY = date(2026, 11, 9)
HOME = "/subscriptions/s/resourcegroups/rg/providers/microsoft.machinelearningservices/workspaces/w"
ACCOUNT = "/subscriptions/s/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/foundry"
HEADER = (
    "Date,ResourceId,MeterCategory,MeterName,Quantity,UnitOfMeasure,CostInBillingCurrency,BillingCurrency,"
    "SubscriptionId"
)
SOURCE = '[[source]]\nname = "costs"\nkind = "cost-export"\npath = "costs.csv"\n'

# Charges --------------------------------------------------------------------------------------------------------------


def test_of_a_store_without_charges_nothing_is_claimed(run: Run, here: Path) -> None:
    (here / "monitor.toml").write_text(SOURCE)
    run("collect")
    assert run("charges", "map").stdout.startswith("No charge is known yet: ")


def test_the_doctor_counts_what_is_nobodys_as_charges_map_lists_it(run: Run, here: Path) -> None:
    rows = [
        f"2026-11-01,{ACCOUNT},Foundry Models,{model} Inp Tokens,1,1M,1,USD,00000000-0000-0000-0000-000000000000"
        for model in ("Mistral Large 3", "Mistral Medium 3.5")
    ]
    (here / "monitor.toml").write_text(SOURCE)
    (here / "costs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    assert run("collect").exit_code == 0
    assert run("charges", "map").stdout.count("nobody named it") == 2
    assert "charges: 2 models of 1 billed resource belong to no deployment" in run("doctor").stdout


# The doctor on inventory ----------------------------------------------------------------------------------------------


def endpoint(name: str, model: str, **known: Any) -> Resource:
    said = {"parent": HOME, "state": "Online", **known}
    return Resource(
        resource_id=f"{HOME}/serverlessendpoints/{name}", kind=Kind.ENDPOINT, name=name, model=model, **said
    )


def test_each_thing_wrong_with_a_deployment_has_its_own_remedy() -> None:
    """Every wording of the findings is matched: a changed one would get the general remedy."""
    catalogue = bundled()
    dated = [(name, model.retired) for name, model in catalogue.models.items() if model.retired]
    regional = next(name for name, model in catalogue.models.items() if model.regions)
    past = min(dated, key=lambda one: one[1])
    coming = max(dated, key=lambda one: one[1])
    gone = Resource(resource_id=f"{HOME}/marketplacesubscriptions/m", kind=Kind.SUBSCRIPTION, name="m", parent=HOME)
    suspended = Resource(
        resource_id=f"{HOME}/marketplacesubscriptions/n",
        kind=Kind.SUBSCRIPTION,
        name="n",
        parent=HOME,
        state="Unsubscribed",
    )
    there = [gone, suspended]
    found = [
        *findings([endpoint("a", past[0])], catalogue, past[1]),
        *findings([endpoint("b", coming[0])], catalogue, date.fromordinal(coming[1].toordinal() - 1)),
        *findings([endpoint("c", "unheard-of", state="Failed")], catalogue, TODAY),
        *findings([endpoint("d", "unheard-of"), endpoint("e", "unheard-of")], catalogue, TODAY),
        *findings([endpoint("f", regional, region="nowhere")], catalogue, date(2020, 1, 1)),
        *findings([endpoint("g", "unheard-of", subscription="gone"), *there], catalogue, TODAY),
        *findings([endpoint("h", "unheard-of", subscription="n"), *there], catalogue, TODAY),
    ]
    remedies = {one.resource_id[-1]: remedy_of(one.what) for one in found}
    assert OTHERWISE not in remedies.values()
    assert remedies["d"] == remedies["e"]
    assert remedies["g"] == remedies["h"]
    assert len(set(remedies.values())) == 6
    assert "successor before that day" in remedies["b"]
    assert remedies["c"].startswith(OTHERWISE)


def test_a_source_that_never_answered_is_said_to_have_never_answered() -> None:
    finding = _last_collected("source 'x'", None, datetime(2026, 11, 9, tzinfo=UTC))
    assert (finding.state, finding.what) == ("note", "has never answered a collection")


# init -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("--azure", "roles", "logs"), ("x", "--azure"), (".", "--azure", "logs")])
def test_init_azure_takes_nothing_beside_it(run: Run, here: Path, arguments: tuple[str, ...]) -> None:
    result = run("init", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("maas-monitor: init --azure: takes no ")
    assert list(here.iterdir()) == []


def test_init_azure_says_that_it_prints_three_files_and_how_to_have_one(run: Run) -> None:
    assert run("init", "--azure").stderr == (
        "These are 3 files; init --azure roles|logs|export prints one, to be deployed.\n"
    )
    assert run("init", "--azure", "roles").stderr == ""
    assert "together they are no file that can be deployed" in " ".join(run("init", "--help").stdout.split())
