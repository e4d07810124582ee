"""Azure's metrics collected into the store: exactly once, through failures, believed where no log is."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from monitor.cli.application import application
from monitor.cli.invocation import Invocation
from monitor.collect import collect, collect_range
from monitor.collect.tally import SourceResult
from monitor.config.settings import Deployment, Settings
from monitor.domain.period import Period, day_of, instant_of, minute_number
from monitor.reporting import run
from monitor.sources import azure_metrics, files
from monitor.sources.azure.cloud import Azure
from monitor.sources.formats import azure_diagnostics, otlp
from monitor.store.engine import reading
from monitor.store.tables import quarantine, usage_day, usage_minute
from monitor.store.verify import verify
from tests.azure.metrics import Account, Metrics, Point
from tests.azure.server import Answer, Call, Handler, Server, error, serving
from tests.azure.sessions import NOW, TOKEN, SetClock

ACCOUNT = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/Team-AI"
AT = minute_number(datetime(2026, 11, 23, 11, 0, tzinfo=UTC))
TODAY = date(2026, 11, 23)


class Foundry:
    """An account, its metrics, and a store that they are collected into."""

    def __init__(self, engine: sa.Engine, server: Server, folder: Path) -> None:
        self.engine, self.server, self.folder = engine, server, folder
        self.now = NOW
        self.deployments: list[Deployment] = []
        self.metrics = Metrics(lambda: self.now)
        self.metrics.accounts.append(Account(id=ACCOUNT))
        self.metrics.register(server)
        self.sources: list[Any] = [
            azure_metrics.Settings(name="foundry", kind="azure-metrics", accounts=(ACCOUNT,), first_days=2)
        ]

    @property
    def settings(self) -> Settings:
        azure = Azure(credential="token", resource_manager=self.server.address)
        sources, deployments = tuple(self.sources), tuple(self.deployments)
        return Settings(folder=self.folder, azure=azure, sources=sources, deployments=deployments)

    def uses(self, minute: int = AT, **more: Any) -> None:
        said = {"account": ACCOUNT, "deployment": "large", "model": "Mistral-Large-3", "minute": minute}
        point = {**said, "requests": {"200": 2, "429": 1}, "input_tokens": 100, "output_tokens": 20, **more}
        self.metrics.add([Point(**point)])

    def collect(self) -> SourceResult:
        return collect(self.engine, self.settings, now=self.now, names=["foundry"], clock=SetClock(self.now))[0]

    def good(self) -> SourceResult:
        result = self.collect()
        assert result.errors == ()
        assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
        with reading(self.engine) as connection:
            assert list(verify(connection)) == []
        return result

    def minutes(self) -> dict[int, tuple[int, int]]:
        at = usage_minute.c
        with reading(self.engine) as connection:
            rows = connection.execute(sa.select(at.minute, at.requests, at.prompt_tokens + at.completion_tokens))
            return {minute: (requests, tokens) for minute, requests, tokens in rows}

    def ask(self, report: str, **more: Any) -> list[dict[str, Any]]:
        answer = run(self.engine, self.settings, report, period=Period(first=TODAY, last=TODAY), now=self.now, **more)
        return [dict(zip((column.name for column in answer.columns), row, strict=True)) for row in answer.rows]


@pytest.fixture
def foundry(engine: sa.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Foundry]:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    with serving() as server:
        yield Foundry(engine, server, tmp_path)


def test_minutes_reach_the_reports(foundry: Foundry) -> None:
    foundry.uses()
    foundry.uses(AT - 1440)
    result = foundry.good()
    assert (result.read, result.stored) == (2, 2)
    (spent,) = foundry.ask("daily-spend")
    assert (spent["workspace"], spent["deployment"], spent["model"]) == ("team-ai", "large", "mistral-large-3")
    assert (spent["requests"], spent["prompt_tokens"], spent["completion_tokens"]) == (3, 100, 20)
    assert spent["estimated_cost"] is not None
    (headroom,) = foundry.ask("quota-headroom")
    assert (headroom["peak_tokens_per_minute"], headroom["peak_minute"]) == (120, instant_of(AT))
    (event,) = foundry.ask("throttle-events")
    assert (event["started_at"], event["throttled_requests"]) == (instant_of(AT), 1)


def test_reading_again_yields_nothing_new(foundry: Foundry) -> None:
    foundry.uses(AT + 50)
    foundry.good()
    before = foundry.minutes()
    result = foundry.good()
    assert (result.stored, result.duplicates) == (0, 1)
    assert foundry.minutes() == before


def test_late_buckets_replace_what_was_read_of_them(foundry: Foundry) -> None:
    foundry.uses(AT + 55)
    foundry.uses(AT + 55, requests={"200": 1}, input_tokens=7, output_tokens=0, visible_at=NOW + timedelta(minutes=2))
    foundry.good()
    assert foundry.minutes() == {AT + 55: (3, 120)}
    foundry.now += timedelta(minutes=15)
    foundry.good()
    assert foundry.minutes() == {AT + 55: (4, 127)}


def test_silence_of_hours_loses_nothing(foundry: Foundry) -> None:
    """Where Azure says nothing at all for longer than late buckets take, it is asked again."""
    foundry.uses(AT - 600, visible_at=NOW - timedelta(minutes=3))
    foundry.now = NOW - timedelta(minutes=10)
    foundry.good()
    foundry.now = NOW
    foundry.good()
    assert set(foundry.minutes()) == {AT - 600}


def test_a_failure_in_the_middle_loses_nothing(foundry: Foundry) -> None:
    for day in range(3):
        foundry.uses(AT - 1440 * day)
    handlers = list(foundry.server.routes)
    half = b'{"value": [{"name": {"value": "InputT'
    failures = [Answer(status=500), Answer(body={"value": [], "timespan": ""}), Answer(body=half)]
    for good, failure in zip((3, 1, 1, 0), [*failures, Answer(body=half, cut=20)], strict=True):
        foundry.server.routes[:] = [(*one[:2], _after(good, one[2], failure)) for one in handlers]
        assert foundry.collect().errors
        with reading(foundry.engine) as connection:
            assert list(verify(connection)) == []
    foundry.server.routes[:] = handlers
    foundry.good()
    assert foundry.minutes() == {AT - 1440 * day: (3, 120) for day in range(3)}


def _after(good: int, handler: Handler, failure: Answer) -> Handler:
    left = [None] * good

    def handle(call: Call) -> Answer:
        return handler(call) if left and not left.pop() else failure

    return handle


def test_a_backfill_adds_what_is_missing_and_moves_no_cursor(foundry: Foundry) -> None:
    foundry.uses()
    foundry.good()
    foundry.uses(AT - 1440 * 20)
    day = day_of(AT // 1440 - 20)
    period = Period(first=day, last=day)
    results = [
        collect_range(
            foundry.engine, foundry.settings, "foundry", period=period, now=foundry.now, clock=SetClock(foundry.now)
        )
        for _ in range(2)
    ]
    assert [(one.stored, one.duplicates, one.errors) for one in results] == [(1, 0, ()), (0, 1, ())]
    assert set(foundry.minutes()) == {AT, AT - 1440 * 20}
    foundry.good()


def test_a_backfill_before_the_first_reading_leaves_that_to_begin_where_it_should(foundry: Foundry) -> None:
    foundry.uses()
    foundry.uses(AT - 1440)
    period = Period(first=TODAY, last=TODAY)
    collect_range(
        foundry.engine, foundry.settings, "foundry", period=period, now=foundry.now, clock=SetClock(foundry.now)
    )
    assert set(foundry.minutes()) == {AT}
    foundry.good()
    assert set(foundry.minutes()) == {AT, AT - 1440}


def test_two_collectors_at_once_count_once(foundry: Foundry) -> None:
    foundry.uses()
    handlers = list(foundry.server.routes)
    nested: list[SourceResult] = []

    def meanwhile(call: Call) -> Answer:
        foundry.server.routes[:] = handlers
        nested.append(foundry.collect())
        return handlers[0][2](Call(**{**call.__dict__, "match": handlers[0][1].fullmatch(call.path)}))

    foundry.server.routes[:] = [(*handlers[0][:2], meanwhile)]
    result = foundry.good()
    assert (nested[0].stored, result.stored) == (1, 0)
    assert foundry.minutes() == {AT: (3, 120)}


def test_pitfall_4_a_log_is_believed_over_metrics_and_metrics_fill_the_days_without_one(foundry: Foundry) -> None:
    """Pitfall 4: the same request in a log and in metrics is counted once, from one source a day."""
    foundry.uses()
    foundry.uses(AT - 1440)
    foundry.good()
    _log(foundry, instant_of(AT), prompt_tokens=90)
    period = Period(first=TODAY - timedelta(days=1), last=TODAY)
    answer = run(foundry.engine, foundry.settings, "daily-spend", period=period, now=foundry.now)
    names = [column.name for column in answer.columns]
    spent = [dict(zip(names, row, strict=True)) for row in answer.rows]
    assert [(row["day"], row["requests"], row["prompt_tokens"]) for row in spent] == [
        (TODAY - timedelta(days=1), 3, 100),
        (TODAY, 1, 90),
    ]
    assert foundry.ask("throttle-events") == []
    (covered,) = foundry.ask("coverage")
    assert (covered["logged_tokens"], covered["metered_tokens"], covered["billed_tokens"]) == (100, 120, None)


def _log(foundry: Foundry, at: datetime, prompt_tokens: int) -> None:
    """One response, logged by a caller that calls the account by its host."""
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": 10, "total_tokens": prompt_tokens + 10}
    record = {
        "time": at.isoformat(),
        "status": 200,
        "endpoint": "https://team-ai.services.ai.azure.com/models/chat/completions",
        "request": {"model": "large"},
        "response": {"id": "c1", "model": "Mistral-Large-3", "usage": usage},
    }
    log = foundry.folder / "app.jsonl"
    log.write_text(json.dumps(record) + "\n")
    foundry.sources.append(files.Settings(name="gateway", kind="files", path=str(log)))
    (result,) = collect(foundry.engine, foundry.settings, now=foundry.now, names=["gateway"])
    assert result.stored == 1


def test_metrics_are_believed_before_diagnostics_which_have_no_tokens(foundry: Foundry) -> None:
    assert otlp.AUTHORITY < azure_metrics.AUTHORITY < azure_diagnostics.AUTHORITY


def test_names_with_and_without_a_model_are_one_deployment(foundry: Foundry) -> None:
    foundry.uses()
    foundry.uses(model="__Empty", requests={"429": 5}, input_tokens=None, output_tokens=None)
    foundry.good()
    with reading(foundry.engine) as connection:
        (day,) = connection.execute(sa.select(usage_day.c.requests, usage_day.c.throttled_requests)).all()
    assert tuple(day) == (8, 6)


def test_a_deployment_in_the_settings_is_found_by_its_accounts_host(foundry: Foundry) -> None:
    foundry.deployments = [
        Deployment(
            workspace="search-prod",
            name="Large",
            model="mistral-large-3",
            endpoint="https://team-ai.services.ai.azure.com/models",
        )
    ]
    foundry.uses()
    foundry.good()
    (spent,) = foundry.ask("daily-spend")
    assert (spent["workspace"], spent["deployment"]) == ("search-prod", "Large")


def test_a_quarantined_value_is_told_with_its_minute(foundry: Foundry, store_url: str) -> None:
    foundry.uses(input_tokens=Decimal("0.5"))
    foundry.good()
    asked = ["--store", store_url, "quarantine", "list"]
    table, record = (
        CliRunner().invoke(application, [*asked, *form], obj=Invocation(now=NOW)).stdout
        for form in ([], ["--format", "json"])
    )
    assert "2026-11-23 11:00" in table
    (row,) = json.loads(record)["rows"]
    assert (row["unit"], row["position"]) == ("minute", AT)
    retried = CliRunner().invoke(application, [*asked[:-1], "retry"], obj=Invocation(now=NOW)).stdout
    assert retried == "What is in quarantine (1 record) lies in no file or blob that could be read again.\n"


def test_unusable_values_are_quarantined_once_and_counted(foundry: Foundry) -> None:
    foundry.uses(input_tokens=Decimal("0.5"))
    foundry.uses(AT + 50)
    first, second = foundry.good(), foundry.good()
    assert (first.read, first.stored, first.quarantined) == (3, 2, 1)
    assert (second.stored, second.quarantined) == (0, 0)
    with reading(foundry.engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(quarantine)) == 1


def test_models_of_others_are_ignored_with_that_reason(foundry: Foundry) -> None:
    foundry.uses(deployment="gpt", model="gpt-4o")
    result = foundry.good()
    assert (result.ignored_reasons, result.stored) == ({azure_metrics.OTHER_MODEL: 1}, 0)


def test_neither_the_token_nor_an_address_is_in_an_error(foundry: Foundry) -> None:
    foundry.server.routes.clear()
    foundry.server.route("GET", ".*", lambda _: error(401, "ExpiredAuthenticationToken", f"Bearer {TOKEN} is expired"))
    (failed,) = foundry.collect().errors
    assert TOKEN not in str(failed)
    assert "http" not in str(failed)
