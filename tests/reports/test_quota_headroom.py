"""Quota headroom: the worst minutes against the limit that was in force."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from monitor.domain.answer import MinuteLoad
from tests.store.filled import MARCH, Filled, at, only, rows


@pytest.fixture
def filled(engine: sa.Engine, tmp_path: Path) -> Filled:
    return Filled(engine, tmp_path)


def day_of_minutes(day: str, amounts: dict[int, int]) -> list[dict[str, int]]:
    return [{"minute": at(f"{day}T00:00Z") + minute, "prompt_tokens": tokens} for minute, tokens in amounts.items()]


def test_a_peak_is_measured_against_the_limit_of_its_own_day(filled: Filled) -> None:
    large = filled.deployment("large")
    filled.quota(large, date(2026, 3, 11), 50_000, 100)
    source = filled.source("gateway")
    filled.minutes(source, large, day_of_minutes("2026-03-10", {5: 60_000}) + day_of_minutes("2026-03-11", {7: 75_000}))
    found = only(filled.ask("quota-headroom", MARCH, date(2026, 3, 11)))
    assert (found["tokens_per_minute_limit"], found["peak_tokens_per_minute"]) == (50_000, 75_000)
    assert found["peak_minute"] == datetime(2026, 3, 11, 0, 7, tzinfo=UTC)
    assert found["token_headroom"] == -0.5
    assert (found["minutes_above_80"], found["minutes_at_limit"]) == (1, 1)


def test_idle_minutes_count_in_the_p99(filled: Filled) -> None:
    source, large = filled.source("gateway"), filled.deployment("large")
    filled.minutes(source, large, day_of_minutes("2026-03-10", {minute: 100 + minute for minute in range(20)}))
    # Of 1,440 minutes 1,426 are at most the p99: the fifteenth largest.
    assert only(filled.ask("quota-headroom"))["p99_tokens_per_minute"] == 119 - 14


@pytest.mark.parametrize(("now", "p99"), [("2026-03-10T00:10:00+00:00", 109), ("2026-03-10T23:59:30+00:00", 0)])
def test_minutes_that_have_not_begun_do_not_count(filled: Filled, now: str, p99: int) -> None:
    source, large = filled.source("gateway"), filled.deployment("large")
    filled.minutes(source, large, day_of_minutes("2026-03-10", {minute: 100 + minute for minute in range(10)}))
    answer = filled.ask("quota-headroom", now=datetime.fromisoformat(now))
    assert only(answer)["p99_tokens_per_minute"] == p99


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_settled_days_and_single_minutes_give_the_same_answer(filled: Filled, zone: str, settled: bool) -> None:
    source, large = filled.source("gateway"), filled.deployment("large")
    filled.quota(large, date(2026, 1, 1), 1_000, 100)
    random = np.random.default_rng(7)
    amounts = random.integers(0, 1_200, 3 * 1_440).tolist()
    start = at("2026-03-09T00:00Z")
    minutes = [{"minute": start + place, "completion_tokens": tokens} for place, tokens in enumerate(amounts)]
    filled.minutes(source, large, minutes, settled=settled)
    first = at("2026-03-10T00:00Z") - (0 if zone == "UTC" else 330) - start
    inside = sorted(amounts[first : first + 1_440])
    found = only(filled.ask("quota-headroom", zone=zone))
    assert found["requests"] == 1_440
    assert found["peak_tokens_per_minute"] == inside[-1]
    assert found["p99_tokens_per_minute"] == inside[1_426 - 1]
    assert found["minutes_above_80"] == sum(amount >= 800 for amount in inside)
    assert found["minutes_at_limit"] == sum(amount >= 1_000 for amount in inside)


def test_a_deployment_whose_tokens_nobody_reports_has_unknown_tokens(filled: Filled) -> None:
    source, large = filled.source("diagnostics"), filled.deployment("large")
    filled.minutes(source, large, [{"minute": at("2026-03-10T12:00Z"), "requests": 500, "unmeasured_requests": 500}])
    found = only(filled.ask("quota-headroom"))
    assert (found["peak_tokens_per_minute"], found["token_headroom"], found["request_headroom"]) == (None, None, 0.5)


def test_the_least_headroom_comes_first(filled: Filled) -> None:
    source = filled.source("gateway")
    for name, tokens in (("calm", 10), ("busy", 190_000), ("mild", 50_000)):
        filled.minutes(source, filled.deployment(name), day_of_minutes("2026-03-10", {0: tokens}))
    assert rows(filled.ask("quota-headroom"), "deployment") == [("busy",), ("mild",), ("calm",)]


def test_the_chart_keeps_the_largest_minute_of_every_stretch(filled: Filled) -> None:
    source, large = filled.source("gateway"), filled.deployment("large")
    filled.minutes(source, large, day_of_minutes("2026-03-12", {minute: minute for minute in range(1, 1_440)}))
    (chart,) = filled.ask("quota-headroom", MARCH, date(2026, 3, 14)).charts
    assert isinstance(chart, MinuteLoad)
    assert (len(chart.peaks), chart.stretch) == (1_440, 5)
    assert max(peak.tokens for peak in chart.peaks) == 1_439
    assert not filled.ask("quota-headroom", charts=False).charts


def test_a_minute_counts_from_its_first_instant_on(filled: Filled) -> None:
    source, large = filled.source("gateway"), filled.deployment("large")
    filled.minutes(source, large, day_of_minutes("2026-03-10", {minute: 100 + minute for minute in range(99)}))
    p99 = [
        only(filled.ask("quota-headroom", now=datetime(2026, 3, 10, 1, 39, 0, moment, tzinfo=UTC)))[
            "p99_tokens_per_minute"
        ]
        for moment in (0, 1)
    ]
    # Of 99 minutes the largest is the p99, of 100 the second largest.
    assert p99 == [198, 197]


def test_deployments_without_a_chart_are_named(filled: Filled) -> None:
    source = filled.source("gateway")
    for number in range(6):
        filled.minutes(source, filled.deployment(f"d{number}"), day_of_minutes("2026-03-10", {5: 1_000 - number}))
    answer = filled.ask("quota-headroom")
    assert len(answer.charts) == 4
    assert "Without a chart: search / d4, search / d5." in answer.notes
    assert not [note for note in filled.ask("quota-headroom", charts=False).notes if "chart" in note]
