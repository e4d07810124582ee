"""Coverage: what the logs know of what was billed and metered, and what is missing where they cannot be compared."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.store.filled import MARCH, Filled, at, only, rows

NOON = at("2026-03-10T12:00Z")


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


@pytest.fixture
def large(filled: Filled) -> int:
    return filled.deployment("large")


def log(filled: Filled, deployment: int, name: str = "gateway", authority: int = 10, **minute: int) -> None:
    filled.minutes(filled.source(name, authority), deployment, [{"minute": NOON, **minute}])


def meter(filled: Filled, deployment: int, **minute: int) -> None:
    source = filled.source("foundry", 85, kind="azure-metrics", yields="minutes")
    filled.minutes(source, deployment, [{"minute": NOON, **minute}])


def bill(filled: Filled, deployment: int | None, tokens: int | None, **more: Any) -> None:
    quantity = {} if tokens is None else {"consumed_quantity": tokens * 1_000_000}
    filled.charge(deployment, more.pop("day", MARCH), "1", **quantity, **more)


def test_all_three_sides_stand_side_by_side(filled: Filled, large: int) -> None:
    log(filled, large, prompt_tokens=900, completion_tokens=90, requests=3, unmeasured_requests=1)
    meter(filled, large, prompt_tokens=1_000, completion_tokens=100)
    bill(filled, large, 1_800)
    bill(filled, large, 200, meter="output")
    answer = filled.ask("coverage")
    assert only(answer) == {
        "day": MARCH,
        "workspace": "search",
        "deployment": "large",
        "model": "mistral-large-2407",
        "logged_tokens": 990,
        "metered_tokens": 1_100,
        "billed_tokens": 2_000,
        "coverage": 0.495,
        "metered_coverage": 0.9,
        "unmeasured_requests": 1,
        "state": "gap",
    }
    assert "Logged of billed: 49.5% (990 of 2,000 tokens, where both are known)." in answer.notes
    assert "Logged of metered: 90.0% (990 of 1,100 tokens, where both are known)." in answer.notes


@pytest.mark.parametrize(
    ("logged", "state"), [(989, "gap"), (990, "covered"), (1_010, "covered"), (1_011, "surplus"), (0, "gap")]
)
def test_a_percent_may_be_the_billers_rounding(filled: Filled, large: int, logged: int, state: str) -> None:
    log(filled, large, prompt_tokens=logged)
    bill(filled, large, 1_000)
    assert only(filled.ask("coverage"))["state"] == state


def test_a_day_that_nobody_logged_is_not_covered_by_zero(filled: Filled, large: int) -> None:
    meter(filled, large, prompt_tokens=1_000)
    found = only(filled.ask("coverage"))
    assert (found["logged_tokens"], found["coverage"], found["state"]) == (None, None, "only-metered")
    bill(filled, large, 1_000)
    found = only(filled.ask("coverage"))
    assert (found["logged_tokens"], found["coverage"], found["state"]) == (None, None, "not-logged")


def test_a_log_without_tokens_has_logged_none(filled: Filled, large: int) -> None:
    log(filled, large, requests=3, unmeasured_requests=3)
    bill(filled, large, 1_000)
    found = only(filled.ask("coverage"))
    assert (found["logged_tokens"], found["unmeasured_requests"], found["state"]) == (None, 3, "not-logged")


@pytest.mark.parametrize(("now", "state"), [(5, "not-billed-yet"), (6, "never-billed")])
def test_use_without_a_charge_waits_until_the_month_is_closed(filled: Filled, large: int, now: int, state: str) -> None:
    log(filled, large, prompt_tokens=1_000)
    found = only(filled.ask("coverage", now=datetime(2026, 4, now, tzinfo=UTC)))
    assert (found["billed_tokens"], found["coverage"], found["state"]) == (None, None, state)


def test_charges_of_an_unknown_unit_are_not_taken_for_tokens(filled: Filled, large: int) -> None:
    log(filled, large, prompt_tokens=1_000)
    bill(filled, large, 1_000)
    bill(filled, large, None, meter="output")
    found = only(filled.ask("coverage"))
    assert (found["billed_tokens"], found["state"]) == (None, "quantity-unknown")


def test_hours_of_hosting_are_no_tokens(filled: Filled, large: int) -> None:
    bill(filled, large, 24, meter="hosting")
    assert filled.ask("coverage").rows == []


def test_only_the_log_that_is_believed_counts(filled: Filled, large: int) -> None:
    """Pitfall 4."""
    log(filled, large, prompt_tokens=1_000)
    log(filled, large, "traces", 50, prompt_tokens=7_000)
    assert rows(filled.ask("coverage"), "logged_tokens") == [(1_000,)]


def test_metrics_are_no_log_whatever_their_priority(filled: Filled, large: int) -> None:
    source = filled.source("foundry", 1, kind="azure-metrics", yields="minutes")
    filled.minutes(source, large, [{"minute": NOON, "prompt_tokens": 1_000}])
    log(filled, large, prompt_tokens=500)
    assert rows(filled.ask("coverage"), "logged_tokens", "metered_tokens") == [(500, 1_000)]


def test_days_are_utc_billing_days_in_any_zone(filled: Filled, large: int) -> None:
    log(filled, large, prompt_tokens=1_000)
    bill(filled, large, 1_000)
    answer = filled.ask("coverage", zone="Asia/Tokyo")
    assert rows(answer, "day", "state") == [(date(2026, 3, 10), "covered")]
    assert "Days are UTC billing days, not those of Asia/Tokyo." in answer.notes


def test_charges_that_fit_no_deployment_are_told(filled: Filled, large: int) -> None:
    log(filled, large, prompt_tokens=1_000)
    bill(filled, None, 1_000)
    assert any("Unattributed charges: 1" in note for note in filled.ask("coverage").notes)


def test_one_workspace_can_be_asked_for(filled: Filled, large: int) -> None:
    log(filled, large, prompt_tokens=1_000)
    bill(filled, filled.deployment("docs", workspace="docs"), 1_000)
    assert rows(filled.ask("coverage", workspace="search"), "deployment") == [("large",)]
    assert len(filled.ask("coverage").rows) == 2
