"""Azure's own metrics: every silent cut noticed, nothing unknown made zero, late buckets said anew."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitor.domain.metered import MeteredStretch
from monitor.domain.period import Period, instant_of, minute_number
from monitor.domain.stretch import Cursor
from monitor.errors import MonitorError, SettingsError
from monitor.sources import azure_metrics
from monitor.sources.azure.refusals import MissingRoleError
from monitor.sources.azure_metrics import Settings, stretches
from monitor.sources.metric_answers import Malformed, parse, whole
from monitor.sources.request import Request
from tests.azure.metrics import Account, Metrics, Point
from tests.azure.server import Answer, Call, Server, error, serving
from tests.azure.sessions import NOW, TOKEN, Listed, session

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000001"
ACCOUNT = f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.CognitiveServices/accounts/Team-AI"
AT = minute_number(datetime(2026, 11, 23, 11, 0, tzinfo=UTC))


@pytest.fixture
def served() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def metrics(served: Server) -> Metrics:
    made = Metrics(lambda: NOW)
    made.accounts.append(Account(id=ACCOUNT))
    made.register(served)
    return made


def settings(**more: Any) -> Settings:
    return Settings(**{"name": "foundry", "kind": "azure-metrics", "accounts": (ACCOUNT,), **more})


def point(**more: Any) -> Point:
    said = {"account": ACCOUNT, "deployment": "large", "model": "Mistral-Large-3", "minute": AT}
    return Point(**{**said, "requests": {"200": 2}, "input_tokens": 100, "output_tokens": 20, **more})


def read(served: Server, cursors: Listed | None = None, **more: Any) -> list[MeteredStretch | MonitorError]:
    request = more.pop("request", Request())
    now = more.pop("now", NOW)
    with session(served.address, now=now) as opened:
        return list(stretches(settings(**more), cursors or Listed(), request, opened))


def told(found: list[MeteredStretch | MonitorError]) -> list[MonitorError]:
    return [one for one in found if isinstance(one, MonitorError)]


def whole_of(found: list[MeteredStretch | MonitorError]) -> list[MeteredStretch]:
    assert not told(found)
    return [one for one in found if isinstance(one, MeteredStretch)]


def happened(found: list[MeteredStretch | MonitorError]) -> dict[tuple[str | None, str | None, int], Any]:
    """What was said of every minute in which something happened, by deployment and model."""
    return {
        (metered.place.deployment, metered.place.model, minute): said
        for stretch in whole_of(found)
        for metered in stretch.deployments
        for minute, said in metered.minutes.items()
        if said.happened
    }


def test_tokens_and_requests_of_a_minute_are_read(served: Server, metrics: Metrics) -> None:
    metrics.add([point(requests={"200": 3, "429": 2, "500": 1})])
    assert happened(read(served)) == {("large", "Mistral-Large-3", AT): ((6, 1, 2), 100, 20)}


def test_the_workspace_is_the_account_as_its_host_is_written(served: Server, metrics: Metrics) -> None:
    metrics.add([point()])
    (stretch,) = [one for one in whole_of(read(served)) if one.deployments]
    assert stretch.deployments[0].place.workspace == "team-ai"
    assert json.loads(stretch.after.labels) == {"region": "eastus2"}


def test_pitfall_22_more_than_ten_series_are_all_read(served: Server, metrics: Metrics) -> None:
    """Pitfall 22: `top` is 10 unless said, and the rest is cut off silently."""
    metrics.add(point(deployment=f"d{number:02}") for number in range(25))
    assert len(happened(read(served))) == 25


def test_an_answer_with_as_many_series_as_asked_for_is_asked_for_again_in_halves(
    served: Server, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.sources.metric_answers.TOP", 4)
    monkeypatch.setattr(azure_metrics, "TOP", 4)
    only_requests = {"input_tokens": None, "output_tokens": None}
    metrics.add(point(deployment=f"d{hour}", minute=AT - 60 * hour, **only_requests) for hour in range(10))
    assert len(happened(read(served))) == 10


def test_an_answer_that_stays_full_is_an_error_and_moves_nothing(
    served: Server, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.sources.metric_answers.TOP", 4)
    monkeypatch.setattr(azure_metrics, "TOP", 4)
    metrics.add(point(deployment=f"d{number}") for number in range(5))
    found = read(served)
    (failed,) = told(found)
    assert "has 4 series or more" in str(failed)
    assert all(isinstance(one, MonitorError) or one.after.position <= AT for one in found)


def test_no_request_spans_more_than_a_day(served: Server, metrics: Metrics) -> None:
    """Pitfall 22: spans above 31 days are cut silently, and minutes of 7 days fail with 8 MB."""
    metrics.add(point(minute=AT - 1440 * day) for day in range(60))
    assert len(happened(read(served, first_days=60))) == 60
    assert max(_length(call) for call in served.calls) == 1440


def _length(call: Call) -> int:
    first, end = (minute_number(datetime.fromisoformat(one)) for one in call.query["timespan"].split("/"))
    return end - first


def test_pitfall_22_an_answer_about_less_time_than_asked_for_is_asked_for_again_in_halves(
    served: Server, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.azure.metrics.LONGEST", timedelta(hours=7))
    metrics.add(point(minute=AT - 60 * hour) for hour in range(24))
    assert len(happened(read(served, first_days=1))) == 24


def test_a_day_too_large_for_one_answer_is_read_in_halves(served: Server, metrics: Metrics) -> None:
    metrics.most_bytes = 60 * 500 * 2
    metrics.add(point(minute=AT - 60 * hour) for hour in range(24))
    assert len(happened(read(served, first_days=1))) == 24


def test_a_refusal_for_another_reason_than_size_is_told_after_few_requests(served: Server) -> None:
    served.route("GET", ".*", lambda _: error(400, "BadRequest", "Failed to find metric configuration."))
    (failed,) = told(read(served))
    assert "Azure refused the request (BadRequest)" in str(failed)
    assert len(served.calls) < 10


def test_values_without_a_dimension_are_kept(served: Server, metrics: Metrics) -> None:
    metrics.add([point(deployment="__Empty", model="__Empty", requests={"__Empty": 4})])
    assert happened(read(served)) == {(None, None, AT): ((4, 0, 0), 100, 20)}


def test_models_of_others_are_ignored_and_counted(served: Server, metrics: Metrics) -> None:
    metrics.add(
        [point(), point(deployment="gpt", model="gpt-4o"), point(deployment="gpt", model="gpt-4o", minute=AT - 1)]
    )
    found = read(served)
    assert [key[0] for key in happened(found)] == ["large"]
    assert {reason: count for one in whole_of(found) for reason, count in one.ignored.items()} == {
        azure_metrics.OTHER_MODEL: 2
    }
    assert {key[0] for key in happened(read(served, include="all"))} == {"large", "gpt"}


@pytest.mark.parametrize("fill", ["zero", "null", "sparse"])
def test_series_may_leave_minutes_out_or_write_nulls_or_zeros(served: Server, metrics: Metrics, fill: Any) -> None:
    metrics.fill = fill
    metrics.add([point()])
    assert happened(read(served)) == {("large", "Mistral-Large-3", AT): ((2, 0, 0), 100, 20)}


def test_a_null_is_not_known_and_a_zero_is(served: Server, metrics: Metrics) -> None:
    metrics.fill = "null"
    metrics.add([point(), point(minute=AT + 1, requests={"200": 1}, input_tokens=None, output_tokens=0)])
    (minutes,) = [one.minutes for stretch in whole_of(read(served)) for one in stretch.deployments]
    assert minutes == {AT: ((2, 0, 0), 100, 20), AT + 1: ((1, 0, 0), None, 0)}


def test_the_minute_that_runs_is_left_for_later(served: Server, metrics: Metrics) -> None:
    metrics.add([point(minute=minute_number(NOW), visible_at=NOW)])
    assert happened(read(served)) == {}


def test_every_reading_begins_a_little_before_the_last_one_ended(served: Server, metrics: Metrics) -> None:
    metrics.add([point(), point(minute=AT + 50)])
    last = whole_of(read(served))[-1].after
    assert last.position == minute_number(NOW)
    later = read(served, Listed([last]), now=NOW + timedelta(minutes=15), late_minutes=45)
    assert _length(served.calls[-1]) == 60
    assert whole_of(later)[0].before == last
    assert whole_of(later)[-1].after.position == minute_number(NOW) + 15


def test_an_account_that_says_nothing_is_asked_for_its_last_half_day_again(served: Server, metrics: Metrics) -> None:
    last = whole_of(read(served))[-1].after
    assert last.position == minute_number(NOW) - 720


def test_a_metric_that_fails_inside_a_good_answer_is_noticed(served: Server, metrics: Metrics) -> None:
    metrics.add([point()])
    metrics.failing["OutputTokens"] = "InvalidSamplingType"
    (failed,) = told(read(served))
    assert str(failed).startswith("foundry: account 'team-ai': Azure's answer has no 'OutputTokens'")


def test_azures_own_example_of_such_an_answer_is_refused(shared_data: Path) -> None:
    example = json.loads((shared_data / "azure-spec/monitor-metrics-2018-01-01/GetMetricError.json").read_text())
    first = minute_number(datetime(2021, 6, 7, 21, 51, tzinfo=UTC))
    with pytest.raises(Malformed, match=r"MongoRequestsCount.*InvalidSamplingType"):
        parse(example["responses"]["200"]["body"], ["MongoRequests"], first, first + 240, "a")


def test_azures_own_example_of_an_answer_is_taken_apart(shared_data: Path) -> None:
    """It has counts and averages and no total: nothing is known of any minute."""
    example = json.loads((shared_data / "azure-spec/monitor-metrics-2018-01-01/GetMetric.json").read_text())
    first = minute_number(datetime(2017, 4, 14, 2, 20, tzinfo=UTC))
    answer = parse(example["responses"]["200"]["body"], ["BlobCapacity"], first, first + 120, "a")
    assert answer.said
    assert answer.minutes == {(None, None): {}}
    assert answer.region == "eastus2"


@pytest.mark.parametrize(
    ("total", "count"),
    [
        (Decimal("12.0"), 12),
        (12, 12),
        (0, 0),
        (Decimal("1E+3"), 1000),
        (2**53, 2**53),
        (2**53 + 1, None),
        (Decimal("12.5"), None),
        (-1, None),
        (True, None),
        ("12", None),
        (Decimal("NaN"), None),
        (Decimal("Infinity"), None),
    ],
)
def test_totals_are_whole_numbers(total: Any, count: int | None) -> None:
    assert whole(total) == count


def test_a_value_that_cannot_be_meant_is_set_aside_and_the_others_are_read(served: Server, metrics: Metrics) -> None:
    metrics.add([point(input_tokens=Decimal("100.5")), point(minute=AT - 1)])
    found = read(served)
    rejected = [one for stretch in whole_of(found) for one in stretch.rejected]
    assert [(one.minute, one.reason) for one in rejected] == [(AT, "a metric's value is no whole number")]
    assert rejected[0].object.endswith("/accounts/team-ai/InputTokens/large/Mistral-Large-3")
    assert happened(found)["large", "Mistral-Large-3", AT] == ((2, 0, 0), None, 20)


def test_a_past_period_is_read_again_and_nothing_else(served: Server, metrics: Metrics) -> None:
    metrics.add(point(minute=AT - 1440 * day) for day in range(5))
    period = Period(first=date(2026, 11, 20), last=date(2026, 11, 21))
    found = read(served, Listed([_at(AT)]), request=Request(period=period))
    assert {key[2] for key in happened(found)} == {AT - 1440 * 3, AT - 1440 * 2}


def _at(position: int) -> Cursor:
    return Cursor(name=ACCOUNT.lower(), object=ACCOUNT.lower(), generation=0, position=position)


def test_what_azure_no_longer_keeps_is_told_and_the_rest_is_read(served: Server, metrics: Metrics) -> None:
    metrics.add([point()])
    found = read(served, Listed([_at(AT - 100 * 1440)]))
    (lost,) = told(found)
    assert "Azure keeps metrics for 93 days: nothing before 2026-08-23 12:00 UTC is read" in str(lost)
    assert happened([one for one in found if one is not lost])


def test_accounts_are_found_in_a_scope(served: Server, metrics: Metrics) -> None:
    other = ACCOUNT.replace("Team-AI", "other")
    speech = ACCOUNT.replace("Team-AI", "speech")
    metrics.accounts += [Account(id=other), Account(id=speech, kind="SpeechServices")]
    metrics.add([point(), point(account=other), point(account=speech)])
    found = read(served, accounts=(), scope=SUBSCRIPTION)
    assert {one.after.name.rpartition("/")[2] for one in whole_of(found)} == {"team-ai", "other"}


def test_an_account_written_in_two_ways_is_read_once(served: Server, metrics: Metrics) -> None:
    """Pitfall 20: Azure and people write ids in any case."""
    metrics.add([point()])
    found = read(served, accounts=(ACCOUNT, ACCOUNT.upper()), scope=SUBSCRIPTION)
    assert {one.after.object for one in whole_of(found)} == {ACCOUNT.lower()}
    assert len(found) == len({one.before.position for one in whole_of(found)})


def test_an_account_that_cannot_be_read_keeps_no_other_from_being_read(served: Server, metrics: Metrics) -> None:
    gone = ACCOUNT.replace("Team-AI", "gone")
    metrics.add([point()])
    found = read(served, accounts=(gone, ACCOUNT))
    (failed,) = told(found)
    assert str(failed).startswith("foundry: account 'gone': Azure knows no such thing")
    assert happened([one for one in found if one is not failed])


def test_a_missing_role_is_named_with_its_scope(served: Server) -> None:
    message = (
        "The client 'x' with object id 'x' does not have authorization to perform action "
        f"'Microsoft.Insights/metrics/read' over scope '{ACCOUNT}' or the scope is invalid."
    )
    served.route("GET", ".*", lambda _: error(403, "AuthorizationFailed", message))
    (failed,) = told(read(served))
    assert isinstance(failed, MissingRoleError)
    assert "'Monitoring Reader'" in str(failed)
    assert TOKEN not in str(failed)


def test_throttling_is_waited_for_as_long_as_azure_says(served: Server, metrics: Metrics) -> None:
    refusals = [error(429, "429", "Too many requests.", Retry_After="7")]
    served.routes.insert(0, served.routes[0])
    method, path, answering = served.routes[1]
    served.routes[0] = (method, path, lambda call: refusals.pop() if refusals else answering(call))
    metrics.add([point()])
    assert len(happened(read(served))) == 1


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"value": 1, "timespan": ""}'])
def test_an_answer_that_is_none_is_an_error(served: Server, body: bytes) -> None:
    served.route("GET", ".*", lambda _: Answer(body=body))
    (failed,) = told(read(served))
    assert failed.exit_status == 3


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"accounts": ()}, "names no account"),
        (
            {
                "accounts": (
                    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w",
                )
            },
            "serverless endpoints of Azure Machine Learning have no token metrics",
        ),
        ({"accounts": ("team-ai",)}, "has an entry that is no account's resource id"),
        ({"scope": "/providers/Microsoft.Management/managementGroups/m"}, "scope: is none"),
        ({"include": "others"}, "'others' is neither"),
        ({"first_days": 93}, "first_days: is 93: write a whole number from 0 to 92"),
        ({"late_minutes": -1}, "late_minutes: is -1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**said)


def test_minutes_are_those_of_utc(served: Server, metrics: Metrics) -> None:
    metrics.add([point()])
    ((_, _, minute),) = happened(read(served))
    assert instant_of(minute) == datetime(2026, 11, 23, 11, 0, tzinfo=UTC)
