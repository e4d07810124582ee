"""Cost exports in Azure Storage: the newest run of a month, whole or not at all, fetched once."""

import gc
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from monitor.collect import collect
from monitor.config import load
from monitor.domain.period import day_number
from monitor.errors import MonitorError
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.cost_export import Settings, pulls
from monitor.sources.export_manifest import run_of
from monitor.sources.request import Request
from monitor.store.billed import billed
from monitor.store.engine import reading
from tests.azure.exports import Export, csv_bytes
from tests.azure.parts import KEY
from tests.azure.server import Answer, Call, Server, error, serving
from tests.azure.sessions import NOW, SetClock, session
from tests.sources.cost_samples import row, total

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

KEY_IN = "EXPORTS_KEY"
RUN_1 = datetime(2026, 11, 20, 6, tzinfo=UTC)
RUN_2, RUN_3 = RUN_1 + timedelta(days=1), RUN_1 + timedelta(days=2)


def on(day: int, cost: str = "1", **other: str) -> list[str]:
    return row(f"2026-11-{day:02}", cost, **other)


class Source:
    """A source on a container, and what its store would know: `read` collects and remembers."""

    def __init__(self, container: "ContainerClient", pattern: str = "**", **settings: Any) -> None:
        self.known, self.now = dict[str, tuple[str, int]](), datetime.now(UTC)
        path = f"{container.url}/{pattern}"
        self.settings = Settings(name="exports", kind="cost-export", path=path, credential_env=KEY_IN, **settings)

    def collect(self) -> list[CostAnswer | MonitorError]:
        here = session(now=self.now, environ={KEY_IN: KEY})
        answers = list(pulls(self.settings, self.known, Request(), here))
        for answer in answers:
            if isinstance(answer, CostAnswer):
                self.known[answer.name] = (answer.fingerprint, answer.written_at)
        return answers

    def read(self) -> list[CostAnswer]:
        """The answers that say or refuse something; notes of replaced runs are left out."""
        answers = [answer for answer in self.collect() if isinstance(answer, CostAnswer)]
        return [answer for answer in answers if answer.read or answer.days]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the blobs whose bytes were asked for."""
    from azure.storage.blob import ContainerClient

    names: list[str] = []
    download: Any = ContainerClient.download_blob

    def noted(self: ContainerClient, blob: str, *arguments: Any, **options: Any) -> Any:
        names.append(blob)
        return download(self, blob, *arguments, **options)

    monkeypatch.setattr(ContainerClient, "download_blob", noted)
    return names


# Pitfall 2: summing cumulative month-to-date exports or several manifest runs ----------------------------------------


def test_pitfall_2_of_the_runs_of_a_month_only_the_newest_is_read_and_fetched(
    container: "ContainerClient", fetched: list[str]
) -> None:
    export = Export(container=container)
    export.deliver(RUN_1, [[on(1), on(2)]])
    export.deliver(RUN_2, [[on(1, "1.5"), on(2), on(3)]])
    newest = export.deliver(RUN_3, [[on(1, "2"), on(2)], [on(3), on(4)]])
    (answer,) = Source(container).read()
    assert (answer.name, total(answer.charges), len(answer.charges)) == (newest, Decimal(5), 4)
    assert [name for name in fetched if not name.endswith("manifest.json")] == [
        newest.replace("manifest.json", f"part_{number}_0001.csv") for number in (0, 1)
    ]
    assert answer.written_at == int(RUN_3.timestamp()) * 10**9 + 123_456_000


def test_pitfall_2_months_and_exports_do_not_replace_each_other(container: "ContainerClient") -> None:
    daily, other = Export(container=container), Export(container=container, name="other")
    daily.deliver(RUN_1, [[on(1)]])
    daily.deliver(RUN_2, [[row("2026-10-05", "7")]], month=datetime(2026, 10, 1, tzinfo=UTC).date())
    other.deliver(RUN_3, [[on(2, "3")]])
    assert sorted(total(answer.charges) for answer in Source(container).read()) == [1, 3, 7]


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name_first", [True, False])
def test_a_later_run_replaces_whichever_way_the_export_delivers(
    container: "ContainerClient", overwrite: bool, name_first: bool
) -> None:
    export = Export(container=container, overwrite=overwrite, name_first=name_first)
    source = Source(container, "costs/**/*.csv")
    export.deliver(RUN_1, [[on(1)], [on(2)]])
    assert [len(answer.charges) for answer in source.read()] == [2]
    export.deliver(RUN_2, [[on(1), on(2)], [on(3)]])
    assert [len(answer.charges) for answer in source.read()] == [3]
    assert source.collect() == []


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_every_file_format_says_the_same(container: "ContainerClient", ending: str) -> None:
    Export(container=container, ending=ending).deliver(RUN_1, [[on(1, "0.123456789012")], [on(2)]])
    (answer,) = Source(container).read()
    assert (total(answer.charges), answer.rejected) == (Decimal("1.123456789012"), [])
    assert answer.bytes == sum(blob.size for blob in container.list_blobs() if not blob.name.endswith(".json"))


def test_a_week_of_the_month_does_not_stand_for_the_month(container: "ContainerClient") -> None:
    export = Export(container=container)
    export.deliver(RUN_1, [[on(1), on(15)]])
    week = {"startDate": "2026-11-10T00:00:00", "endDate": "2026-11-16T00:00:00", "submittedTime": RUN_2.isoformat()}
    export.changes = {"runInfo": week}
    export.deliver(RUN_2, [[on(15, "2")]])
    assert sorted(total(answer.charges) for answer in Source(container).read()) == [2, 2]
    assert len(Source(container).read()) == 2


# What is known is not fetched again ----------------------------------------------------------------------------------


def test_nothing_new_yields_nothing_and_fetches_the_newest_manifests_only(
    container: "ContainerClient", fetched: list[str]
) -> None:
    export, source = Export(container=container), Source(container)
    export.deliver(RUN_1, [[on(1)]])
    newest = export.deliver(RUN_2, [[on(1)]])
    assert len(source.collect()) == 2
    fetched.clear()
    assert source.collect() == []
    assert fetched == [newest]


def test_another_include_reads_what_is_known_again(container: "ContainerClient") -> None:
    Export(container=container).deliver(RUN_1, [[on(1), on(1, publisher_type="Azure", meter="B1s", category="VM")]])
    source, whole = Source(container), Source(container, include="all")
    assert len(source.read()) == 1
    whole.known = source.known
    assert len(whole.read()) == 1


# Whole or not at all -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "dropped", "reason"),
    [
        ({}, {1}, "a file that the manifest lists is missing"),
        ({"blobCount": 3}, set(), "the manifest lists not as many files as it says"),
        ({"blobs": "?"}, set(), "the manifest cannot be read"),
    ],
)
def test_a_run_that_is_not_whole_is_refused_and_the_last_good_one_stays(
    container: "ContainerClient", changes: dict[str, Any], dropped: set[int], reason: str
) -> None:
    export = Export(container=container)
    good = export.deliver(RUN_1, [[on(1)], [on(2)]])
    export.changes, export.dropped = changes, dropped
    bad = export.deliver(RUN_2, [[on(1, "9")], [on(2, "9")]])
    source = Source(container)
    answers = {answer.name: answer for answer in source.read()}
    assert total(answers[good].charges) == Decimal(2)
    assert ([one.reason for one in answers[bad].rejected], answers[bad].days) == ([reason], {})
    assert source.collect() == []
    export.changes, export.dropped = {}, set()
    export.runs -= 1
    assert export.deliver(RUN_2, [[on(1, "9")], [on(2, "9")]]) == bad
    assert [total(answer.charges) for answer in source.read()] == [Decimal(18)]


def test_a_file_that_is_still_being_written_refuses_its_run(container: "ContainerClient") -> None:
    export = Export(container=container, overwrite=True)
    manifest = export.deliver(RUN_1, [[on(1)]])
    source = Source(container)
    assert len(source.read()) == 1
    container.upload_blob(
        manifest.replace("manifest.json", "part_0_0001.csv"), csv_bytes([on(1), on(2)]), overwrite=True
    )
    (refused,) = source.read()
    assert (refused.days, [one.reason for one in refused.rejected]) == (
        {},
        ["a file has not the size that the manifest says"],
    )


def test_a_file_that_changes_while_it_is_read_is_told_and_read_the_next_time(
    container: "ContainerClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    from monitor.sources.azure.storage import Container

    export, source = Export(container=container, overwrite=True), Source(container)
    export.deliver(RUN_1, [[on(1)], [on(2)]])
    download: Any = Container.download

    def overwritten(self: Container, blob: Any, to: Any) -> int:
        if "part_1" in blob.name:
            monkeypatch.undo()
            export.deliver(RUN_2, [[on(1, "3")], [on(2, "4")]])
        return int(download(self, blob, to))

    monkeypatch.setattr(Container, "download", overwritten)
    (told,) = source.collect()
    assert isinstance(told, MonitorError)
    assert "changed while it was read" in str(told)
    assert [total(answer.charges) for answer in source.read()] == [Decimal(7)]


def test_a_damaged_run_is_refused_once_and_the_run_before_it_is_read(container: "ContainerClient") -> None:
    export = Export(container=container, ending="csv.gz")
    good = export.deliver(RUN_1, [[on(1)]])
    bad = export.deliver(RUN_2, [[on(1, "9")]])
    part = container.get_blob_client(bad.replace("manifest.json", "part_0_0001.csv.gz"))
    data = part.download_blob().readall()
    part.upload_blob(data[:-9] + bytes(9), overwrite=True)
    source = Source(container)
    answers = {answer.name: answer for answer in source.read()}
    assert total(answers[good].charges) == Decimal(1)
    assert [one.reason for one in answers[bad].rejected] == ["the compressed file is damaged or cut off"]
    assert source.collect() == []


def test_another_number_of_rows_than_the_manifest_says_is_told(container: "ContainerClient") -> None:
    Export(container=container, changes={"dataRowCount": 7}).deliver(RUN_1, [[on(1)]])
    (answer,) = Source(container).read()
    assert (len(answer.charges), [one.reason for one in answer.rejected]) == (
        1,
        ["the manifest counts other rows than there are"],
    )


# Pitfalls of rows ----------------------------------------------------------------------------------------------------


def test_pitfall_3_rows_of_one_resource_meter_and_day_are_all_kept(container: "ContainerClient") -> None:
    Export(container=container).deliver(RUN_1, [[on(1), on(1)], [on(1)]])
    assert [total(answer.charges) for answer in Source(container).read()] == [Decimal(3)]


def test_pitfall_12_the_header_decides_and_not_the_order_of_columns(container: "ContainerClient") -> None:
    from tests.sources.cost_samples import HEADER

    header = [name.upper() for name in reversed(HEADER)]
    Export(container=container, header=header).deliver(RUN_1, [[list(reversed(on(1, "0.25")))]])
    assert [total(answer.charges) for answer in Source(container).read()] == [Decimal("0.25")]


def test_pitfall_13_no_digit_of_an_amount_is_lost(container: "ContainerClient") -> None:
    Export(container=container).deliver(RUN_1, [[on(1, "0.1"), on(1, "0.2"), on(1, "1234567.12345678901234")]])
    (answer,) = Source(container).read()
    assert total(answer.charges) == Decimal("1234567.42345678901234")


def test_pitfall_14_a_run_without_rows_wipes_nothing_and_replaces_no_run(container: "ContainerClient") -> None:
    export = Export(container=container)
    export.deliver(RUN_1, [[on(1)]])
    export.deliver(RUN_2, [[]])
    export.deliver(RUN_3, [])
    answers = Source(container).read()
    assert [(len(answer.charges), len(answer.days)) for answer in answers] == [(1, 1)]


def test_pitfall_20_resource_ids_are_one_in_any_case(container: "ContainerClient", tmp_path: Path) -> None:
    from tests.sources.cost_samples import SAAS

    Export(container=container).deliver(RUN_1, [[on(1), on(1, resource=SAAS.upper())]])
    (answer,) = Source(container).read()
    assert len({charge.resource_id for charge in answer.charges}) == 1


# What has no manifest ------------------------------------------------------------------------------------------------


def test_files_without_a_manifest_are_read_oldest_first(container: "ContainerClient") -> None:
    container.upload_blob("costs/a.csv", csv_bytes([on(1)]))
    container.upload_blob("costs/deep/b.csv", csv_bytes([on(2)]))
    container.upload_blob("costs/readme.txt", b"no export")
    assert [answer.name for answer in Source(container, "costs/*.csv").read()] == ["costs/a.csv"]
    assert [answer.name for answer in Source(container, "costs/**/*.csv").read()] == ["costs/a.csv", "costs/deep/b.csv"]


def test_parts_wait_for_their_manifest(container: "ContainerClient") -> None:
    container.upload_blob("costs/run/part_0_0001.csv", csv_bytes([on(1)]))
    source = Source(container)
    (refused,) = source.read()
    assert (refused.name, refused.rejected[0].reason) == ("costs/run/part_*", "its manifest is not there yet")
    source.now += timedelta(days=1, seconds=2)
    assert [len(answer.charges) for answer in source.read()] == [1]


def test_a_file_beside_a_manifest_that_does_not_list_it_is_left_with_that_reason(container: "ContainerClient") -> None:
    manifest = Export(container=container).deliver(RUN_1, [[on(1)]])
    container.upload_blob(manifest.replace("manifest.json", "part_9_0001.csv"), csv_bytes([on(1)]))
    ignored = [answer.ignored for answer in Source(container).read() if answer.ignored]
    assert ignored == [{"the manifest beside it does not list it": 1}]


def test_a_blob_in_the_archive_is_left_with_that_reason(container: "ContainerClient") -> None:
    from azure.storage.blob import StandardBlobTier

    container.upload_blob("costs/a.csv", csv_bytes([on(1)]), standard_blob_tier=StandardBlobTier.ARCHIVE)
    source = Source(container)
    assert [answer.ignored for answer in source.read()] == [{"the blob is in the archive tier": 1}]
    assert source.collect() == []


# Into the store ------------------------------------------------------------------------------------------------------


def collected(engine: sa.Engine, address: str, tmp_path: Path) -> Any:
    path, clock = tmp_path / "monitor.toml", SetClock()
    table = f'name = "exports"\nkind = "cost-export"\npath = "{address}/costs/**"\ncredential_env = "{KEY_IN}"\n'
    path.write_text(f"[[source]]\n{table}")
    return collect(engine, load(path, {}), now=NOW, clock=clock)[0]


def spent(engine: sa.Engine) -> Decimal:
    with reading(engine) as connection:
        some = billed(connection, day_number(RUN_1.date().replace(day=1)), day_number(NOW.date()))
    return sum((one.billed_cost for one in some), Decimal(0))


class Between:
    """Stands between a source and Azurite. `failing`: GETs of names that hold it are answered so, instead."""

    def __init__(self, server: Server, container: "ContainerClient") -> None:
        self.azurite, _, self.account = container.url.removeprefix("http://").partition("/")
        self.address, self.failing = f"{server.address}/{self.account}", ""
        self.instead = error(500, "InternalError", "Server encountered an internal error.")
        for method in ("GET", "HEAD"):
            server.route(method, "/.*", self._forward)

    def _forward(self, call: Call) -> Answer:
        if self.failing and self.failing in call.path:
            return self.instead
        request = urllib.request.Request(
            f"http://{self.azurite}{call.path}?{urlencode(call.query)}", method=call.method
        )
        for name, value in call.headers.items():
            request.add_header(name, value)
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - Azurite
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "keep-alive")
            }
            return Answer(status=answer.status, body=answer.read(), headers=kept)


def test_pitfall_1_a_restated_month_replaces_and_a_second_reading_finds_nothing_new(
    engine: sa.Engine, container: "ContainerClient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_IN, KEY)
    export = Export(container=container)
    export.deliver(RUN_1, [[on(1), on(2)]])
    assert (collected(engine, container.url, tmp_path).stored, spent(engine)) == (2, Decimal(2))
    export.deliver(RUN_2, [[on(1, "1.75"), on(2), on(3)]])
    result = collected(engine, container.url, tmp_path)
    assert (result.read, result.stored, result.duplicates, spent(engine)) == (3, 2, 1, Decimal("3.75"))
    again = collected(engine, container.url, tmp_path)
    assert (again.read, again.stored, again.errors) == (0, 0, ())


# The storage library leaves the connection of an answer that broke off to the garbage collector.
@pytest.mark.parametrize("how", ["500", "cut"])
def test_a_container_that_fails_halfway_loses_nothing(
    engine: sa.Engine, container: "ContainerClient", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv(KEY_IN, KEY)
    monkeypatch.setattr("azure.storage.blob._download.time.sleep", lambda _seconds: None)
    Export(container=container).deliver(RUN_1, [[on(1)], [on(2)]])
    other = "/subscriptions/22222222-12ab-34dc-56ef-123456abcdef/resourceGroups/x/providers/Microsoft.SaaS/resources/y"
    Export(container=container, name="other").deliver(RUN_2, [[on(3, resource=other)]])
    with serving() as server:
        between = Between(server, container)
        if how == "cut":
            between.instead = Answer(status=206, body=bytes(100), cut=50, headers={"content-range": "bytes 0-99/100"})
        between.failing = "other/20261101-20261130/202611210600/00000000-0000-0000-0000-000000000001/part"
        failed = collected(engine, between.address, tmp_path)
        assert (len(failed.errors), failed.stored, spent(engine)) == (1, 2, Decimal(2))
        assert str(failed.errors[0]).startswith(
            ("exports: Azure failed with status 500", "exports: the connection broke")
        )
        between.failing = ""
        assert (collected(engine, between.address, tmp_path).stored, spent(engine)) == (1, Decimal(3))
        assert collected(engine, between.address, tmp_path).read == 0
    gc.collect()


# A local folder of runs ----------------------------------------------------------------------------------------------


def test_pitfall_2_of_runs_in_local_folders_only_the_newest_is_read_too(
    container: "ContainerClient", tmp_path: Path
) -> None:
    export = Export(container=container)
    export.deliver(RUN_2, [[on(1, "2")], [on(2, "2")]])
    export.deliver(RUN_1, [[on(1)]])
    export.dropped = {0}
    export.deliver(RUN_3, [[on(1, "9")]])
    for blob in container.list_blobs():
        path = tmp_path / blob.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(container.download_blob(blob.name).readall())
    settings = Settings(name="local", kind="cost-export", path=f"{tmp_path}/costs/**/*")
    answers = [one for one in pulls(settings, {}, Request(), session()) if isinstance(one, CostAnswer)]
    assert [total(one.charges) for one in answers if one.charges] == [Decimal(4)]
    assert [one.reason for answer in answers for one in answer.rejected] == [
        "a file that the manifest lists is missing"
    ]


# Manifests -----------------------------------------------------------------------------------------------------------


def test_a_manifest_says_when_in_any_form_of_time() -> None:
    def at(text: str) -> int | None:
        return run_of(json.dumps({"runInfo": {"submittedTime": text}}).encode()).submitted_ns

    assert at("1970-01-01T00:00:01.1234567Z") == at("1970-01-01T01:00:01.123456+01:00") == 1_123_456_000
    assert at("1970-01-01T00:00:01") == 10**9
    assert at("yesterday") is None
