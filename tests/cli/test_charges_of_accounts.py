"""`charges map` of a resource that bills several models: each is somebody's for itself."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ACCOUNT = "/subscriptions/s/resourcegroups/rg/providers/microsoft.cognitiveservices/accounts/foundry"
SETTINGS = """
[[source]]
name = "costs"
kind = "cost-export"
path = "costs.csv"

[[deployment]]
workspace = "foundry"
name = "large"
model = "mistral-large-3"

[[deployment]]
workspace = "foundry"
name = "medium"
model = "mistral-medium-3-5"
"""
HEADER = "Date,ResourceId,MeterCategory,MeterName,Quantity,UnitOfMeasure,"
HEADER += "CostInBillingCurrency,BillingCurrency,SubscriptionId"


@pytest.fixture
def billed(run: Run, here: Path) -> Run:
    """A store with the charges of an account for two models."""
    rows = [
        f"2026-11-01,{ACCOUNT},Foundry Models,{model} Inp Tokens,1,1M,{cost},USD,00000000-0000-0000-0000-000000000000"
        for model, cost in (("Mistral Large 3", "0.50"), ("Mistral Medium 3.5", "1.50"))
    ]
    (here / "monitor.toml").write_text(SETTINGS)
    (here / "costs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    collected = run("collect")
    assert collected.exit_code == 0, collected.stderr
    return run


def unclaimed(run: Run) -> list[str]:
    return [row["models"] for row in json.loads(run("charges", "map", "--format", "json").stdout)["rows"]]


def test_each_model_of_an_account_is_listed_and_mapped_for_itself(billed: Run) -> None:
    assert unclaimed(billed) == ["mistral-large-3", "mistral-medium-3-5"]
    whose = ("--workspace", "foundry", "--deployment", "large")
    asked = billed("charges", "map", "foundry", *whose)
    assert asked.exit_code == 2
    assert asked.stderr == (
        "maas-monitor: charges map: the resource bills 2 models (mistral-large-3, mistral-medium-3-5): add --model M\n"
    )
    said = billed("charges", "map", "foundry", *whose, "--model", "Mistral-Large-3")
    assert said.stdout == f"{ACCOUNT} of mistral-large-3 belongs to large of foundry.\n"
    assert unclaimed(billed) == ["mistral-medium-3-5"]
    assert billed("charges", "map", "foundry", "--remove").exit_code == 0
    assert unclaimed(billed) == ["mistral-large-3", "mistral-medium-3-5"]


def test_a_model_that_the_resource_does_not_bill_is_an_error_that_names_the_nearest(billed: Run) -> None:
    whose = ("--workspace", "foundry", "--deployment", "large", "--model", "mistral-large-4")
    asked = billed("charges", "map", "foundry", *whose)
    assert asked.exit_code == 2
    assert "did you mean 'mistral-large-3'" in asked.stderr


def test_deployments_that_all_name_their_account_in_the_settings_share_it_by_model(billed: Run, here: Path) -> None:
    (here / "monitor.toml").write_text(SETTINGS.replace("\nmodel =", f'\nsaas_resource = "{ACCOUNT}"\nmodel ='))
    assert billed("collect").exit_code == 0
    assert unclaimed(billed) == []
