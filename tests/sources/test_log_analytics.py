"""What the source log-analytics refuses, asks and says, without a store."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from msgspec import structs

from monitor.domain.stretch import Piece
from monitor.errors import MonitorError
from monitor.sources import kql, log_analytics
from monitor.sources.azure.cloud import Azure
from monitor.sources.request import Request
from monitor.sources.session import Session
from tests.azure.log_analytics import GATEWAY, LLM, LogAnalytics, refusal
from tests.azure.server import Answer, Server, serving
from tests.azure.sessions import NOW, Listed, session

WORKSPACE = "63613592-b6f7-4c3d-a390-22ba13102111"
OWN = {"query": "Calls_CL", "columns": {"time": "TimeGenerated"}}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as served:
        yield served


@pytest.fixture
def logs(server: Server) -> LogAnalytics:
    made = LogAnalytics()
    made.register(server)
    for name in (LLM, GATEWAY, "Calls_CL"):
        made.table(WORKSPACE, name)
    return made


def settings(**fields: Any) -> log_analytics.Settings:
    return log_analytics.Settings(**{"name": "gateway", "kind": "log-analytics", "workspace_id": WORKSPACE, **fields})


def read(server: Server, cursors: Listed | None = None, **fields: Any) -> list[Piece | MonitorError]:
    return list(log_analytics.read(settings(**fields), cursors or Listed(), Request(), session(server.address)))


def refused(server: Server, **fields: Any) -> str:
    (error,) = read(server, **fields)
    return str(error)


# Settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"workspace_id": "my-workspace"}, "workspace_id is not a GUID"),
        ({"columns": {"time": "T"}}, "columns are given without a query"),
        ({"query": " ", "columns": {"time": "T"}}, "query is empty"),
        ({"query": "T | where TimeGenerated > {from}", "columns": {"time": "T"}}, "query has no {to}"),
        ({"query": "T"}, "columns name no time"),
        ({"query": "T", "columns": {"time": "T", "prompt_token": "P"}}, "did you mean 'prompt_tokens'"),
        ({"slice_minutes": 0}, "slice_minutes is 0"),
        ({"overlap_minutes": -1}, "overlap_minutes is -1"),
        ({"overlap_minutes": 2881}, "overlap_minutes is 2881"),
        ({"first_days": 0}, "first_days is 0"),
        ({"rows_at_once": 500_000}, "rows_at_once is 500000"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(MonitorError) as caught:
        settings(**fields)
    assert said in str(caught.value)


def test_a_query_over_the_time_of_the_calls_is_asked_again_for_longer() -> None:
    assert (settings().overlap, settings(**OWN).overlap) == (30, 180)
    assert settings(overlap_minutes=0).overlap == 0


# Windows ------------------------------------------------------------------------------------------------------------


def test_windows_follow_each_other_and_the_next_reading_begins_before_the_end_of_the_last(
    server: Server, logs: LogAnalytics
) -> None:
    cursors = Listed()
    for piece in read(server, cursors, first_days=1):
        assert isinstance(piece, Piece)
        cursors.cursors[piece.after.key] = piece.after
    assert _asked(logs) == [(NOW - timedelta(hours=hour), NOW - timedelta(hours=hour - 6)) for hour in (24, 18, 12, 6)]
    logs.queries.clear()
    read(server, cursors)
    assert _asked(logs) == [(NOW - timedelta(minutes=30), NOW)]


def test_windows_grow_again_after_they_were_halved(server: Server, logs: LogAnalytics) -> None:
    too_much = Answer(body={"tables": [], "error": {"code": "PartialError", "message": "part"}})
    logs.answers += [too_much, too_much]
    read(server, first_days=1)
    hours = [(last - first) / timedelta(hours=1) for first, last in _asked(logs)]
    assert hours == [1.5, 3, 6, 6, 6, 1.5]


def test_prompts_are_not_even_asked_for() -> None:
    asked = kql.gateway_query(NOW, NOW + timedelta(hours=1), rows=5, by_arrival=True)
    assert "Messages" not in asked
    assert "Body" not in asked
    assert "SequenceNumber == 0" in asked
    assert asked.endswith("| take 5")


def test_a_custom_query_gets_its_window_and_its_limit() -> None:
    asked = kql.custom_query("T | where A between ({from} .. {to}) // x", NOW, NOW, rows=7)
    assert asked == (
        "T | where A between (datetime(2026-11-23T12:00:00.000Z) .. datetime(2026-11-23T12:00:00.000Z)) // x\n| take 7"
    )


def _asked(logs: LogAnalytics) -> list[tuple[datetime, datetime]]:
    found = []
    for query in logs.queries:
        first, last = (line.partition("datetime(")[2][:24] for line in query.splitlines()[:2])
        found.append((datetime.fromisoformat(first).astimezone(UTC), datetime.fromisoformat(last).astimezone(UTC)))
    return found


# Refusals -----------------------------------------------------------------------------------------------------------


def test_a_missing_role_is_named_with_its_scope(server: Server, logs: LogAnalytics) -> None:
    logs.forbidden.add(WORKSPACE)
    assert refused(server) == (
        "gateway: access is refused: give this identity the role 'Log Analytics Reader' at "
        f"the Log Analytics workspace {WORKSPACE}"
    )


def test_a_workspace_that_does_not_exist_is_said_so(server: Server, logs: LogAnalytics) -> None:
    logs.workspaces.clear()
    assert "correct workspace_id" in refused(server)


@pytest.mark.parametrize(("table", "category"), [(LLM, "GatewayLlmLogs"), (GATEWAY, "GatewayLogs")])
def test_a_table_that_nobody_fills_names_what_to_switch_on(
    server: Server, logs: LogAnalytics, table: str, category: str
) -> None:
    del logs.workspaces[WORKSPACE][table]
    said = refused(server)
    assert f"no table {table}:" in said
    assert f"tick {category} in API Management's diagnostic setting" in said


def test_a_mistake_in_a_query_is_told_in_the_services_words(server: Server, logs: LogAnalytics) -> None:
    assert refused(server, query="Calls_CL\n| were x", columns={"time": "T"}) == (
        "gateway: Log Analytics refuses the query (Query could not be parsed at 'were' on line [2,3]): "
        "correct it in the settings"
    )


def test_a_column_that_the_answer_does_not_have_names_the_nearest(server: Server, logs: LogAnalytics) -> None:
    logs.table(WORKSPACE, "Calls_CL").add(TimeGenerated=NOW - timedelta(hours=1), In=5)
    said = refused(server, query="Calls_CL", columns={"time": "TimeGenerate"})
    assert said.startswith("source 'gateway': columns: time: no column in the answer named 'TimeGenerate'")
    assert said.endswith("did you mean 'TimeGenerated'?")


def test_an_answer_without_a_table_is_no_answer(server: Server, logs: LogAnalytics) -> None:
    logs.answers.append(Answer(body={"tables": []}))
    assert "without a table" in refused(server)


@pytest.mark.parametrize(
    "body", [b"[]", b'"x"', b"{", b'{"tables": 5}', b'{"tables": [{"columns": [], "rows": 1}]}', b""]
)
def test_an_answer_of_another_shape_is_said_to_be_broken(server: Server, logs: LogAnalytics, body: bytes) -> None:
    logs.answers += [Answer(body=body)] * 6
    assert refused(server) == "gateway: the answer of Log Analytics is broken: try again later"


def test_a_row_with_too_few_cells_is_set_aside(server: Server, logs: LogAnalytics) -> None:
    logs.answers.append(
        Answer(body={"tables": [{"name": "T", "columns": [{"name": "A", "type": "x"}], "rows": [[], [1]]}]})
    )
    (piece, *_) = read(server)
    assert isinstance(piece, Piece)
    assert [one.reason for one in piece.parsed.rejected] == ["timegenerated: missing"] * 2


def test_who_is_told_to_wait_for_long_leaves_it_to_the_next_collection(server: Server, logs: LogAnalytics) -> None:
    logs.answers.append(refusal(429, "ThrottledError", "no", Retry_After="86400"))
    assert "asked too often" in refused(server)
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirection_is_not_followed(server: Server, logs: LogAnalytics, status: int) -> None:
    with serving() as elsewhere:
        logs.answers.append(Answer(status=status, body=b"", headers={"location": f"{elsewhere.address}/x"}))
        assert refused(server).startswith("gateway: ")
        assert not elsewhere.calls


def test_without_its_client_the_remedy_is_the_extra(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.monitor.query", None)
    assert refused(server) == "gateway: azure-monitor-query is not installed: pip install 'maas-monitor[azure]'"


def test_the_module_loads_without_the_azure_libraries() -> None:
    code = "import sys, monitor.sources.log_analytics; print([one for one in sys.modules if one.startswith('azure')])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_a_token_is_asked_for_the_clouds_own_audience_wherever_the_request_goes(
    server: Server, logs: LogAnalytics
) -> None:
    asked: list[str] = []

    class Recording:
        def get_token(self, *scopes: str, **_options: Any) -> AccessToken:
            asked.extend(scopes)
            return AccessToken("x", 2**40)

    one: Session = session(server.address)
    one.azure = structs.replace(Azure(cloud="china"), log_analytics=server.address)
    one.__dict__["credential"] = Recording()
    pieces = list(log_analytics.read(settings(first_days=1), Listed(), Request(), one))
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert set(asked) == {"https://api.loganalytics.azure.cn/.default"}
