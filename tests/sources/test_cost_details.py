"""Reports of cost details: every month once, whole, and never as a wipe."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.collect import collect, collect_range
from monitor.config import load
from monitor.domain.period import Period, day_number, day_of
from monitor.errors import MonitorError, SettingsError
from monitor.sources.azure.refusals import MissingRoleError
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.cost_details import Settings, probe, pulls
from monitor.sources.request import Request
from monitor.store.billed import billed
from monitor.store.engine import reading
from tests.azure.cost_details import SIGNATURE, CostDetails
from tests.azure.server import Answer, Server, error, serving
from tests.azure.sessions import NOW, TOKEN, SetClock, Unlimited, session
from tests.sources.cost_samples import GUID, SAAS, total

SCOPE = f"/subscriptions/{GUID}"
ACCOUNT = "/providers/Microsoft.Billing/billingAccounts/1234:5678_2019-05-31"


def charge(day: str, cost: str = "1", **other: str) -> dict[str, str]:
    return {
        "date": day,
        "meterName": "Mistral Large 2407 - plan - paygo-inference-input-tokens",
        "meterCategory": "SaaS",
        "ProductName": "Mistral Large 2407",
        "SubscriptionId": GUID,
        "publisherType": "Marketplace",
        "publisherName": "Mistral AI",
        "ResourceId": SAAS,
        "quantity": "150",
        "unitOfMeasure": "1K",
        "chargeType": "Usage",
        "billingCurrency": "EUR",
        "costInBillingCurrency": cost,
        **other,
    }


class Source:
    """A source on the fake, what its store would know, and its clock."""

    def __init__(self, server: Server, **settings: Any) -> None:
        self.clock, self.known = SetClock(), dict[str, tuple[str, int]]()
        self.server, self.budget = server, Unlimited()
        self.settings = Settings(**{"name": "details", "kind": "cost-details", "scope": SCOPE, **settings})

    def collect(self, period: Period | None = None) -> list[CostAnswer | MonitorError]:
        with session(self.server.address, now=self.clock.now(), clock=self.clock) as here:
            here.budget = self.budget
            answers = list(pulls(self.settings, self.known, Request(period=period), here))
        for answer in answers:
            if isinstance(answer, CostAnswer):
                self.known[answer.name] = (answer.fingerprint, answer.written_at)
        return answers

    def read(self, period: Period | None = None) -> list[CostAnswer]:
        answers = self.collect(period)
        assert [answer for answer in answers if isinstance(answer, MonitorError)] == []
        return [answer for answer in answers if isinstance(answer, CostAnswer)]


@pytest.fixture
def azure() -> Iterator[CostDetails]:
    with serving() as server:
        yield CostDetails(server=server, rows={SCOPE: [charge("2026-11-01"), charge("2026-11-02", "0.25")]})


def months(azure: CostDetails) -> list[str]:
    return [report.body["timePeriod"]["start"][:7] for report in azure.reports]


# What is asked for ---------------------------------------------------------------------------------------------------


def test_the_open_month_is_asked_for_up_to_today(azure: CostDetails) -> None:
    (answer,) = Source(azure.server).read()
    assert azure.reports[0].body == {
        "metric": "ActualCost",
        "timePeriod": {"start": "2026-11-01", "end": "2026-11-23"},
    }
    assert (total(answer.charges), [day_of(day).isoformat() for _, day in answer.days]) == (
        Decimal("1.25"),
        ["2026-11-01", "2026-11-02"],
    )
    assert azure.server.calls[0].headers["clienttype"] == "maas-monitor"


@pytest.mark.parametrize(("day", "asked"), [(6, ["2026-10", "2026-11"]), (7, ["2026-11"])])
def test_the_month_before_is_asked_for_until_the_sixth(azure: CostDetails, day: int, asked: list[str]) -> None:
    source = Source(azure.server)
    source.clock.time = datetime(2026, 11, day, 23, tzinfo=UTC)
    source.read()
    assert months(azure) == asked


def test_a_report_is_generated_anew_after_four_hours_and_not_before(azure: CostDetails) -> None:
    source = Source(azure.server)
    source.read()
    asked = source.clock.time
    source.clock.time += timedelta(hours=3, minutes=58)
    assert source.read() == []
    source.clock.time = asked + timedelta(hours=4)
    assert len(source.read()) == 1
    assert len(azure.reports) == 2


def test_what_was_missed_while_nobody_collected_is_asked_for(azure: CostDetails) -> None:
    source = Source(azure.server)
    source.clock.time = datetime(2026, 8, 20, tzinfo=UTC)
    source.read()
    azure.reports.clear()
    source.clock.time = NOW
    source.read()
    assert months(azure) == ["2026-08", "2026-09", "2026-10", "2026-11"]
    azure.reports.clear()
    source.clock.time += timedelta(hours=5)
    source.read()
    assert months(azure) == ["2026-11"]


def test_backfill_asks_for_each_month_of_the_period_and_tells_what_is_too_old(azure: CostDetails) -> None:
    source = Source(azure.server)
    source.read()
    azure.reports.clear()
    answers = source.collect(Period(first=date(2025, 9, 15), last=date(2025, 12, 3)))
    assert months(azure) == ["2025-10", "2025-11", "2025-12"]
    (told,) = [answer for answer in answers if isinstance(answer, MonitorError)]
    assert "Azure generates cost details back to 2025-10 only" in str(told)
    source.collect(Period(first=date(2026, 11, 1), last=date(2026, 11, 2)))
    assert months(azure)[-1] == "2026-11"


def test_every_request_is_drawn_from_the_budget(azure: CostDetails) -> None:
    azure.polls = 3
    source = Source(azure.server)
    source.read()
    assert source.budget.taken == [(SCOPE.lower(), 1)] * 4
    assert source.clock.slept == 180


@pytest.mark.parametrize(
    "scope",
    [
        f"{SCOPE}/resourceGroups/rg",
        "/providers/Microsoft.Management/managementGroups/all",
        "everything",
    ],
)
def test_a_scope_without_reports_is_refused_with_what_to_write(scope: str) -> None:
    with pytest.raises(SettingsError, match=r"source 'x': scope: .*: write /subscriptions/<GUID>"):
        Settings(name="x", kind="cost-details", scope=scope)


def test_a_billing_account_has_reports(azure: CostDetails) -> None:
    azure.rows = {ACCOUNT.lower(): [charge("2026-11-01")]}
    assert len(Source(azure.server, scope=ACCOUNT).read()[0].charges) == 1


# What comes back -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_several_files_are_one_answer(azure: CostDetails, compress: bool) -> None:
    azure.files, azure.compress = 2, compress
    (answer,) = Source(azure.server).read()
    assert (len(answer.charges), answer.bytes) == (2, sum(map(len, azure.reports[0].files)))


def test_links_are_followed_without_our_token_and_never_shown(
    azure: CostDetails, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    azure.expired = 2
    source = Source(azure.server)
    (told,) = source.collect()
    assert isinstance(told, MonitorError)
    fetches = [call for call in azure.server.calls if call.path.startswith("/armreports")]
    assert len(fetches) == 2
    assert all("authorization" not in call.headers for call in fetches)
    assert any(TOKEN in call.headers.get("authorization", "") for call in azure.server.calls)
    for secret in (SIGNATURE, TOKEN):
        assert secret not in str(told) + caplog.text


def test_links_that_expired_have_the_report_generated_once_more(azure: CostDetails) -> None:
    azure.expired = 1
    assert [len(answer.charges) for answer in Source(azure.server).read()] == [2]
    assert len(azure.reports) == 2


def test_a_report_that_is_no_longer_valid_is_not_even_fetched(azure: CostDetails) -> None:
    azure.now = lambda: NOW - timedelta(days=1)
    (told,) = Source(azure.server).collect()
    assert "expire before they are used" in str(told)
    assert not [call for call in azure.server.calls if call.path.startswith("/armreports")]


def test_the_official_example_is_understood(shared_data: Path) -> None:
    name = "CostDetailsOperationResultsBySubscriptionScope.json"
    folder = shared_data / "azure-spec" / "costmanagement-2025-03-01"
    example = json.loads((folder / name).read_text())["responses"]
    with serving() as server:
        fake = CostDetails(server=server, rows={SCOPE: [charge("2026-11-01")]}, polls=0)
        data = fake._csv([charge("2026-11-01")])
        body = example["200"]["body"]
        body["manifest"]["blobs"][0] |= {"blobLink": f"{server.address}/file?sig=x", "byteCount": len(data)}
        body["validTill"] = "2027-05-10T08:08:46.1973252Z"
        done = [Answer(status=202), Answer(body=body)]
        headers = {**example["202"]["headers"], "Location": f"{server.address}/operation"}
        server.routes.insert(0, ("GET", re.compile("/operation"), lambda _call: done.pop(0)))
        server.routes.insert(0, ("GET", re.compile("/file"), lambda _call: Answer(body=data)))
        fake.first = [Answer(status=202, headers=headers)]
        (answer,) = Source(server).read()
        theirs = {**body, "manifest": set(body["manifest"])}
        fake.polls = 0
        Source(server).read()
        ours = fake._answer(0).body
    assert (len(answer.charges), set(ours), set(ours["manifest"])) == (1, set(theirs), theirs["manifest"])


# Pitfalls ------------------------------------------------------------------------------------------------------------


def test_pitfall_3_rows_of_one_resource_meter_and_day_are_all_kept(azure: CostDetails) -> None:
    azure.rows[SCOPE] = [charge("2026-11-01", additionalInfo=info) for info in ("", '{"a":1}', '{"a":2}')]
    assert [total(answer.charges) for answer in Source(azure.server).read()] == [Decimal(3)]


def test_pitfall_12_a_customer_agreement_writes_the_month_first(azure: CostDetails) -> None:
    azure.rows[SCOPE] = [charge("2026-11-05")]
    (answer,) = Source(azure.server).read()
    assert [day_of(day).isoformat() for _, day in answer.days] == ["2026-11-05"]


@pytest.mark.parametrize("nothing", ["no rows", "204", "no files"])
def test_pitfall_14_where_azure_knows_nothing_no_day_is_answered_for(azure: CostDetails, nothing: str) -> None:
    if nothing == "no rows":
        azure.rows[SCOPE] = []
    else:
        empty = {"status": "Completed", "manifest": {"blobs": []}}
        azure.first = [Answer(status=204) if nothing == "204" else Answer(body=empty)]
    source = Source(azure.server)
    (answer,) = source.read()
    assert (answer.days, answer.charges, answer.rejected) == ({}, [], [])
    assert source.read() == []


def test_rows_of_days_that_were_not_asked_for_are_left_and_counted(
    azure: CostDetails, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.polls = 0
    azure.rows[SCOPE] = [charge("2026-11-01"), charge("2026-10-31")]
    written = azure.divided(azure.rows[SCOPE])
    monkeypatch.setattr(azure, "divided", lambda _rows: written)
    (answer,) = Source(azure.server).read()
    assert (len(answer.charges), len(answer.days)) == (1, 1)
    assert answer.ignored == {"of a day that was not asked for": 1}
    assert answer.read == 2


def test_pitfall_20_resource_ids_are_one_in_any_case(azure: CostDetails) -> None:
    azure.rows[SCOPE] = [charge("2026-11-01"), charge("2026-11-01", ResourceId=SAAS.upper())]
    (answer,) = Source(azure.server).read()
    assert len({one.resource_id for one in answer.charges}) == 1


# What goes wrong -----------------------------------------------------------------------------------------------------


def test_an_agreement_without_reports_is_told_what_to_use_instead(azure: CostDetails) -> None:
    azure.unsupported = {SCOPE}
    (told,) = Source(azure.server).collect()
    assert str(told) == (
        "details: Azure generates no cost details here (BadRequest): it does so for Enterprise and Customer Agreements "
        'only: use kind = "cost-query" or an export with kind = "cost-export" instead'
    )


def test_a_missing_role_names_role_and_scope(azure: CostDetails) -> None:
    message = (
        "The client 'x' does not have authorization to perform action "
        f"'Microsoft.CostManagement/generateCostDetailsReport/action' over scope '{SCOPE}' or the scope is invalid."
    )
    azure.first = [error(403, "AuthorizationFailed", message)]
    (told,) = Source(azure.server).collect()
    assert isinstance(told, MissingRoleError)
    assert "Cost Management Reader" in str(told)


def test_an_unknown_subscription_is_told(azure: CostDetails) -> None:
    azure.rows = {}
    (told,) = Source(azure.server).collect()
    assert "SubscriptionNotFound" in str(told)


def test_a_refusal_as_one_too_many_is_waited_out_by_everybody(azure: CostDetails) -> None:
    azure.first = [
        error(429, "429", "Too many requests.", x_ms_ratelimit_microsoft_costmanagement_qpu_retry_after="7"),
        error(429, "429", "Too many requests.", x_ms_ratelimit_microsoft_costmanagement_entity_retry_after="30"),
    ]
    source = Source(azure.server)
    assert len(source.read()) == 1
    assert [(scope, int(seconds)) for scope, seconds in source.budget.paused] == [("", 7), (SCOPE.lower(), 30)]
    assert 97 <= source.clock.slept < 100


def test_a_report_that_fails_is_told_and_the_other_months_are_read(azure: CostDetails) -> None:
    azure.failing = 1
    source = Source(azure.server)
    source.clock.time = datetime(2026, 11, 5, tzinfo=UTC)
    told, answer = source.collect()
    assert str(told).startswith("details: Azure could not generate the report of cost details (InternalServerError)")
    assert isinstance(answer, CostAnswer)
    assert len(answer.charges) == 2
    assert len(source.read()) == 1


def test_a_report_that_is_never_ready_is_left_for_the_next_time(azure: CostDetails) -> None:
    azure.polls = 10**6
    source = Source(azure.server)
    (told,) = source.collect()
    assert "is not ready after 60 minutes" in str(told)
    assert len(azure.server.calls) == 61


def test_a_file_that_breaks_off_is_fetched_again(azure: CostDetails) -> None:
    azure.cut = 2
    assert [len(answer.charges) for answer in Source(azure.server).read()] == [2]


def test_a_file_that_always_breaks_off_is_told_and_nothing_of_it_is_kept(azure: CostDetails) -> None:
    azure.cut = 9
    (told,) = Source(azure.server).collect()
    assert "not as long as Azure says, or breaks off: nothing of it is kept" in str(told)


@pytest.mark.parametrize("body", [b"<html>", {"status": 7}, {}, {"status": "Completed"}])
def test_an_answer_that_is_no_report_is_told(azure: CostDetails, body: Any) -> None:
    azure.first = [Answer(body=body)]
    (told,) = Source(azure.server).collect()
    assert isinstance(told, MonitorError)


def test_a_link_or_place_at_another_host_is_not_followed(azure: CostDetails) -> None:
    azure.first = [Answer(status=202, headers={"Location": "https://example.com/operation"})]
    (told,) = Source(azure.server).collect()
    assert "its answer leads to another host" in str(told)
    link = {"blobLink": "https://example.com/x?sig=canary", "byteCount": 1}
    azure.first = [Answer(body={"status": "Completed", "manifest": {"blobs": [link]}})]
    (told,) = Source(azure.server).collect()
    assert "the report lies outside of Azure Storage" in str(told)
    assert "canary" not in str(told)


def test_the_doctor_asks_for_one_day_and_does_not_wait(azure: CostDetails) -> None:
    source = Source(azure.server)
    with session(azure.server.address) as here:
        assert list(probe(source.settings, here)) == ["Cost Management generates cost details"]
    assert [report.body["timePeriod"] for report in azure.reports] == [{"start": "2026-11-22", "end": "2026-11-22"}]
    assert len(azure.server.calls) == 1


# Into the store ------------------------------------------------------------------------------------------------------


def settings(tmp_path: Path, address: str) -> Any:
    path = tmp_path / "monitor.toml"
    path.write_text(
        f'[azure]\ncredential = "token"\nresource_manager = "{address}"\n'
        f'[[source]]\nname = "details"\nkind = "cost-details"\nscope = "{SCOPE}"\n'
    )
    return load(path, {})


def spent(engine: sa.Engine) -> Decimal:
    with reading(engine) as connection:
        some = billed(connection, day_number(date(2026, 11, 1)), day_number(date(2026, 11, 30)))
    return sum((one.billed_cost for one in some), Decimal(0))


def test_pitfall_1_a_restatement_replaces_and_a_second_reading_finds_nothing_new(
    engine: sa.Engine, azure: CostDetails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    here, clock = settings(tmp_path, azure.server.address), SetClock()
    (first,) = collect(engine, here, now=clock.now(), clock=clock)
    assert (first.errors, first.stored, spent(engine)) == ((), 2, Decimal("1.25"))
    (soon,) = collect(engine, here, now=clock.now(), clock=clock)
    assert (soon.read, soon.errors, len(azure.reports)) == (0, (), 1)
    again = collect_range(
        engine,
        here,
        "details",
        period=Period(first=date(2026, 11, 1), last=date(2026, 11, 2)),
        now=clock.now(),
        clock=clock,
    )
    assert (again.read, again.stored, again.duplicates, again.errors) == (2, 0, 2, ())
    azure.rows[SCOPE][1]["costInBillingCurrency"] = "0.5"
    clock.time += timedelta(hours=5)
    (later,) = collect(engine, here, now=clock.now(), clock=clock)
    assert (later.stored, spent(engine)) == (1, Decimal("1.5"))


def test_a_month_that_fails_in_the_middle_loses_nothing(
    engine: sa.Engine, azure: CostDetails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITOR_AZURE_TOKEN", TOKEN)
    here, clock = settings(tmp_path, azure.server.address), SetClock()
    collect(engine, here, now=clock.now(), clock=clock)
    azure.rows[SCOPE].append(charge("2026-11-22", "2"))
    clock.time += timedelta(hours=5)
    azure.first = [error(500, "InternalServerError", "Failed.") for _ in range(9)]
    (failed,) = collect(engine, here, now=clock.now(), clock=clock)
    assert (len(failed.errors), spent(engine)) == (1, Decimal("1.25"))
    azure.first = []
    (completed,) = collect(engine, here, now=clock.now(), clock=clock)
    assert (completed.errors, spent(engine)) == ((), Decimal("3.25"))
