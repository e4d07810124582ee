"""What a meter counts and how large its unit is."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from monitor.domain.meters import block_size, classify, is_model_meter


@pytest.mark.parametrize(
    ("name", "meter"),
    [
        ("paygo-inference-input-tokens", "input"),
        ("paygo-inf-input-tokens", "input"),
        ("Mistral Large 2407 - mistral-large-2407-plan - paygo-inference-output-tokens", "output"),
        ("paygo-inf-output-tokens", "output"),
        ("paygo-inference-cache-hit-tokens", "cache"),
        ("paygo-inf-cache-hit-tokens", "cache"),
        ("paygo-finetuned-model-inference-hosting", "hosting"),
        ("paygo-finetuned-model-inference-input-tokens", "input"),
        ("paygo-finetuned-model-inference-output-tokens", "output"),
        ("paygo-finetuning-training-tokens", "fine-tuning"),
        ("Mistral-Large-3 Inp glbl Tokens", "input"),
        ("Mistral-Large-3 Outp glbl Tokens", "output"),
        ("Mistral-Large-3 cached Inp glbl Tokens", "cache"),
        ("paygo-something-new", "other"),
        ("Unassigned", "other"),
        ("", "other"),
    ],
)
def test_a_meter_is_classified_by_what_its_name_says(name: str, meter: str) -> None:
    assert classify(name) == meter


def test_only_a_pay_as_you_go_meter_proves_a_model_offer_by_itself() -> None:
    assert is_model_meter("Some Model - plan - PAYGO-inference-input-tokens")
    assert not is_model_meter("Data Transfer In")
    assert not is_model_meter("input tokens")


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        ("1K", 1_000),
        ("1K ", 1_000),
        ("1M", 1_000_000),
        ("1K Tokens", 1_000),
        ("per 1000 tokens", 1_000),
        ("per 1m tokens", 1_000_000),
        ("1,000 Tokens", 1_000),
        ("1.000.000 Tokens", 1_000_000),
        ("1\u00a0000 Tokens", 1_000),
        ("1 M tokens", 1_000_000),
        ("1 Million Tokens", 1_000_000),
        ("100 Hours", 100),
        ("1 /Month", 1),
        ("1 MB", 1),
        ("per token", 1),
    ],
)
def test_a_unit_says_how_many_single_units_it_holds(unit: str, size: int) -> None:
    assert block_size(unit) == Decimal(size)


@pytest.mark.parametrize("unit", ["", "0 Unassigned", "bananas", "0.5 GB", "1,5 GB", "K", "-1K", "1Kx"])
def test_a_unit_that_is_not_understood_stays_unknown(unit: str) -> None:
    assert block_size(unit) is None


def test_every_unit_of_microsofts_list_has_the_size_that_the_list_gives_it(shared_data: Path) -> None:
    with (shared_data / "costs" / "PricingUnits.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    read = {row["UnitOfMeasure"]: block_size(row["UnitOfMeasure"]) for row in rows}
    assert len(rows) == 383
    assert read == {row["UnitOfMeasure"]: Decimal(row["PricingBlockSize"]) for row in rows}
