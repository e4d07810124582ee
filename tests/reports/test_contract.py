"""Every report, in every format, also on a store in which nothing has happened yet; and the columns others rely on."""

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.config.settings import Settings
from monitor.domain.answer import Kind
from monitor.domain.period import Period
from monitor.errors import UnknownNameError
from monitor.reporting import frame, reports, run
from monitor.reporting.presenting import formats, render
from monitor.store import tables
from tests.store.filled import NOW, Filled, at

MONTH = Period(first=date(2026, 11, 1), last=date(2026, 11, 30))

COLUMNS = {
    "daily-spend": "day workspace deployment model requests prompt_tokens completion_tokens estimated_cost billed_cost "
    "currency unmeasured_requests unpriced_requests billing_state",
    "spend": "workspace model cost_center requests prompt_tokens completion_tokens estimated_cost billed_cost currency "
    "share budget budget_used forecast_cost",
    "quota-headroom": "workspace deployment model tokens_per_minute_limit peak_tokens_per_minute peak_minute "
    "p99_tokens_per_minute token_headroom requests_per_minute_limit peak_requests_per_minute request_headroom "
    "minutes_above_80 minutes_at_limit requests throttled_requests",
    "throttle-events": "workspace deployment model started_at ended_at minutes throttled_requests requests "
    "peak_tokens_per_minute peak_requests_per_minute cause longest_retry_after_s",
    "reconciliation": "day workspace deployment model meter currency estimated_quantity billed_quantity coverage "
    "estimated_cost billed_cost difference usage_difference_cost price_difference_cost unexplained_cost state",
    "coverage": "day workspace deployment model logged_tokens metered_tokens billed_tokens coverage metered_coverage "
    "unmeasured_requests state",
    "inventory": "workspace deployment model region endpoint kind state tokens_per_minute_limit "
    "requests_per_minute_limit seen_from seen_until finding",
    "sources": "source kind read stored duplicates ignored quarantined objects bytes known_up_to collected_at state "
    "note",
}


@pytest.mark.parametrize("form", formats())
@pytest.mark.parametrize("name", reports())
def test_every_report_runs_on_an_empty_store_in_every_format(engine: sa.Engine, name: str, form: str) -> None:
    answer = run(engine, Settings(folder=Path()), name, period=MONTH, now=NOW)
    assert answer.rows == []
    assert render(answer, form)


@pytest.mark.parametrize("name", reports())
def test_every_cell_is_of_its_columns_kind(engine: sa.Engine, tmp_path: Path, name: str) -> None:
    answer = busy(engine, tmp_path).ask(name)
    kinds: dict[Kind, set[str]] = {
        "text": {"str"},
        "day": {"date"},
        "instant": {"datetime"},
        "count": {"int"},
        "money": {"Decimal"},
        "ratio": {"float"},
        "seconds": {"int", "float"},
    }
    assert answer.rows
    for row in answer.rows:
        for column, value in zip(answer.columns, row, strict=True):
            assert value is None or type(value).__name__ in kinds[column.kind], column.name


@pytest.mark.parametrize("name", reports())
def test_every_report_says_the_same_as_json_and_as_csv(engine: sa.Engine, tmp_path: Path, name: str) -> None:
    answer = busy(engine, tmp_path).ask(name)
    told = json.loads(render(answer, "json"))
    written = list(csv.DictReader(io.StringIO(render(answer, "csv"))))
    assert told["report"] == name
    assert [{key: "" if value is None else str(value) for key, value in row.items()} for row in told["rows"]] == written


@pytest.mark.parametrize(("name", "columns"), COLUMNS.items())
def test_columns_keep_their_names_and_order(name: str, columns: str) -> None:
    assert [column.name for column in reports()[name].columns] == columns.split()


@pytest.mark.parametrize("name", reports())
def test_every_report_explains_itself_in_its_first_line(name: str) -> None:
    assert ": " in reports()[name].title
    assert len(reports()[name].title) < 120


def test_an_answer_says_what_was_asked_and_how_far_it_is_known(engine: sa.Engine, tmp_path: Path) -> None:
    told = json.loads(render(busy(engine, tmp_path).ask("daily-spend", zone="Europe/Berlin"), "json"))
    assert told["period"] == {"start": "2026-03-09T23:00:00Z", "end": "2026-03-10T23:00:00Z"}
    assert (told["timezone"], told["as_of"]) == ("Europe/Berlin", None)
    assert {one["source"]: one["known_up_to"] for one in told["completeness"]} == {
        "costs": None,
        "gateway": "2026-03-10T12:01:00Z",
    }
    assert (told["totals"]["requests"], told["totals"]["currency"]) == (10, "USD")
    assert told["totals"]["by_currency"] == [
        {"currency": "USD", "estimated_cost": told["totals"]["estimated_cost"], "billed_cost": "0.50"}
    ]


def test_an_unknown_report_names_the_nearest_one(engine: sa.Engine) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'daily-spend'"):
        run(engine, Settings(folder=Path()), "daly-spend", period=MONTH, now=NOW)


def test_an_unknown_workspace_is_an_error_and_not_an_empty_report(engine: sa.Engine, tmp_path: Path) -> None:
    filled = busy(engine, tmp_path)
    with pytest.raises(UnknownNameError, match="did you mean 'search'"):
        filled.ask("spend", workspace="serach")


def busy(engine: sa.Engine, folder: Path) -> Filled:
    """One minute of everything: priced use, a refusal, a charge and one that nobody claims."""
    filled = Filled(engine, folder)
    gateway, large = filled.source("gateway"), filled.deployment("large")
    filled.prices()
    minute = {"minute": at("2026-03-10T12:00:00Z"), "requests": 10, "prompt_tokens": 1_000, "completion_tokens": 200}
    filled.minutes(gateway, large, [{**minute, "throttled_requests": 1, "longest_retry_after_ms": 1_500}])
    filled.charge(large, date(2026, 3, 10), "0.5", consumed_quantity=1_000_000_000)
    filled.charge(None, date(2026, 3, 10), "1.25")
    _deployed(filled, gateway, large)
    return filled


def _deployed(filled: Filled, source: int, deployment: int) -> None:
    """Let Azure have an endpoint."""
    said = {"resource_id": "/w/serverlessendpoints/large", "name": "large", "parent": "/w", "region": "eastus2"}
    more = {"kind": "serverless endpoint", "attributes": '{"model": "Codestral-2501", "state": "Suspended"}'}
    filled.add(tables.azure_resource, **said, **more, source_id=source, recorded_at=datetime(2026, 3, 1, tzinfo=UTC))
    linked = {"resource_id": said["resource_id"], "model": "Codestral-2501", "deployment_id": deployment}
    filled.add(tables.deployment_resource, **linked)


def test_an_answer_is_a_data_frame_with_exact_money_and_unknown_counts(engine: sa.Engine, tmp_path: Path) -> None:
    answer = busy(engine, tmp_path).ask("reconciliation")
    table = frame(answer)
    assert list(table.columns) == COLUMNS["reconciliation"].split()
    assert len(table) == len(answer.rows)
    costs = [cost for cost in table["estimated_cost"] if cost is not None]
    assert costs
    assert all(isinstance(cost, Decimal) for cost in costs)
    assert str(table["estimated_quantity"].dtype) == "Int64"
