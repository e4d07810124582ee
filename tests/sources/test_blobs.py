"""Blobs in Azurite: read on where they grew, anew where they were replaced, and not at all where they are the same."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
import zstandard
from msgspec import structs

from monitor.clock import Clock
from monitor.collect import collect, collect_range
from monitor.collect.retry import retry_quarantine
from monitor.config.settings import Settings, Store
from monitor.domain.period import Period
from monitor.domain.stretch import Cursor
from monitor.errors import MonitorError
from monitor.sources import blob_reading, blobs
from monitor.sources.request import Request
from monitor.store.engine import reading
from monitor.store.tables import cursor
from tests.azure.blob_seeding import seed
from tests.azure.parts import KEY
from tests.azure.server import Answer, Call, error
from tests.azure.sessions import NOW
from tests.azure.storage_proxy import StorageProxy, of_blob, storage_proxy
from tests.samples import expected, record, records, totals
from tests.sources.blob_samples import HOURS, KEY_IN, Reader, address, column, filed

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

HOUR = timedelta(hours=1)
DAYS = Request(period=Period(first=date(2026, 10, 1), last=date(2026, 10, 2)))


@pytest.fixture
def proxy(azurite_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageProxy]:
    """A way to Azurite that can fail; nobody waits where the client library would."""
    monkeypatch.setattr("azure.storage.blob._download.time.sleep", lambda _seconds: None)
    with storage_proxy(azurite_address) as way:
        yield way


def appended(container: "ContainerClient", name: str, *blocks: bytes) -> None:
    """Append blocks to an append blob, which is made if it is not there."""
    blob = container.get_blob_client(name)
    if not blob.exists():
        blob.create_append_blob()
    for block in blocks:
        blob.append_block(block)


def test_an_append_blob_is_read_on_where_the_last_collection_ended(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}/*.jsonl")
    appended(container, "a.jsonl", records(range(1, 40)))
    assert reader.prompts() == list(range(1, 40))
    appended(container, "a.jsonl", record(40), record(41))
    assert reader.prompts() == [40, 41]
    assert reader.read() == []


def test_a_block_blob_that_was_written_longer_is_read_on_too(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}/*.jsonl")
    container.upload_blob("a.jsonl", records(range(1, 40)))
    reader.read()
    container.upload_blob("a.jsonl", records(range(1, 42)), overwrite=True)
    assert reader.prompts() == [40, 41]


def test_a_half_written_last_line_waits_for_its_end(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}/*.jsonl")
    line = record(2)
    appended(container, "a.jsonl", record(1) + line[:40])
    assert reader.prompts() == [1]
    appended(container, "a.jsonl", line[40:] + record(3))
    assert reader.prompts() == [2, 3]
    assert reader.reasons() == []


def test_only_what_is_new_and_the_kilobyte_before_it_are_fetched(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    appended(container, "a.jsonl", records(range(1, 40)))
    reader.read()
    position = next(iter(reader.cursors.values())).position
    proxy.calls.clear()
    appended(container, "a.jsonl", record(40))
    reader.read()
    (asked,) = proxy.ranges()
    assert asked.headers["x-ms-range"] == f"bytes={position - 1024}-{position + len(record(40)) - 1}"
    assert asked.headers["if-match"]


def test_a_blob_that_is_the_same_is_not_opened(container: "ContainerClient", proxy: StorageProxy) -> None:
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    container.upload_blob("a.jsonl", record(1))
    reader.read()
    proxy.calls.clear()
    assert reader.read() == []
    assert len(proxy.calls) == len(proxy.listings()) == 1


def test_a_large_blob_is_fetched_in_bounded_ranges(
    container: "ContainerClient", proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_reading, "RANGE_BYTES", 70_000)
    content = records(range(1, 1001))
    container.upload_blob("a.jsonl", content)
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == list(range(1, 1001))
    assert len(proxy.ranges()) == -(-len(content) // 70_000)


def test_a_blob_that_grows_between_two_ranges_is_read_as_far_as_it_was_listed(
    container: "ContainerClient", proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_reading, "RANGE_BYTES", 5_000)
    appended(container, "a.jsonl", records(range(1, 101)))
    grown = iter(range(101, 105))

    def grow(call: Call) -> None:
        if of_blob(call) and call.headers.get("if-match") and (number := next(grown, None)):
            appended(container, "a.jsonl", record(number))

    proxy.instead = grow
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == list(range(1, 101))
    assert reader.errors == []
    assert reader.prompts() == [101, 102, 103, 104]


def test_a_blob_that_never_holds_still_is_told_and_left_to_the_next_collection(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    appended(container, "a.jsonl", record(1))
    numbers = iter(range(2, 100))
    proxy.instead = lambda call: appended(container, "a.jsonl", record(next(numbers))) if of_blob(call) else None
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == []
    assert [one.what for one in reader.errors] == ["changed each time it was to be read"]
    proxy.instead = lambda _call: None
    assert reader.prompts() == list(range(1, next(numbers)))


def test_a_replaced_blob_is_read_from_its_start_and_known_ids_are_recognised(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}/*.jsonl")
    container.upload_blob("a.jsonl", records(range(1, 40)))
    reader.read()
    container.upload_blob("a.jsonl", records(range(30, 60)), overwrite=True)
    assert reader.prompts() == list(range(30, 60))
    assert len(reader.seen) == 59
    assert {one.generation for one in reader.cursors.values()} == {0, 1}


def test_a_blob_that_was_made_again_shorter_is_another(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}/*.jsonl")
    container.upload_blob("a.jsonl", records(range(1, 40), named=False))
    reader.read()
    container.delete_blob("a.jsonl")
    container.upload_blob("a.jsonl", records([1, 2], named=False))
    assert reader.prompts() == [1, 2]
    assert len(reader.seen) == 41, "records without an id are those of another life of the blob"


def test_a_blob_replaced_between_two_ranges_mixes_nothing(
    container: "ContainerClient", proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_reading, "RANGE_BYTES", 5_000)
    container.upload_blob("a.jsonl", records(range(1, 101)))

    def replace(call: Call) -> None:
        if of_blob(call) and len(proxy.ranges()) == 3:
            container.upload_blob("a.jsonl", records(range(201, 301)), overwrite=True)

    proxy.instead = replace
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    first = reader.prompts()
    assert first == list(range(1, len(first) + 1))
    assert reader.prompts() == list(range(201, 301))
    assert reader.errors == []
    assert reader.reasons() == []


def test_a_blob_deleted_since_it_was_listed_is_passed_over(container: "ContainerClient", proxy: StorageProxy) -> None:
    container.upload_blob("a.jsonl", record(1))
    container.upload_blob("b.jsonl", record(2))
    asked = iter([True])

    def delete(call: Call) -> None:
        if of_blob(call) and call.path.endswith("a.jsonl") and next(asked, False):
            container.delete_blob("a.jsonl")

    proxy.instead = delete
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == [2]
    assert reader.errors == []


def test_empty_blobs_say_nothing_until_they_hold_something(container: "ContainerClient") -> None:
    appended(container, "a.jsonl")
    container.upload_blob("b.jsonl", b"")
    reader = Reader(f"{address(container)}/*.jsonl")
    assert reader.read() == []
    appended(container, "a.jsonl", record(1))
    assert reader.prompts() == [1]


@pytest.mark.parametrize("packed", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_compressed_blobs_are_read_and_read_on(container: "ContainerClient", packed: object) -> None:
    assert callable(packed)
    ending = "gz" if packed is gzip.compress else "zst"
    reader = Reader(f"{address(container)}/*.{ending}")
    appended(container, f"a.jsonl.{ending}", packed(records(range(1, 40))))
    assert reader.prompts() == list(range(1, 40))
    appended(container, f"a.jsonl.{ending}", packed(record(40)))
    assert reader.prompts() == [40]


def test_a_body_or_a_stream_in_a_blob_of_its_own_is_one_record(container: "ContainerClient") -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    body = {
        "id": "c-1",
        "object": "chat.completion",
        "created": 1762400000,
        "model": "m",
        "usage": usage,
        "choices": [],
    }
    container.upload_blob("a.json", json.dumps(body, indent=2))
    chunk = {**body, "id": "c-2", "object": "chat.completion.chunk"}
    container.upload_blob("b.json", f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n")
    reader = Reader(f"{address(container)}/*.json", format="auto")
    assert reader.prompts() == [7, 7]
    container.get_blob_client("a.json").set_blob_metadata({"looked": "at"})
    assert reader.prompts() == []


def test_what_only_its_metadata_changed_is_looked_at_once(container: "ContainerClient", proxy: StorageProxy) -> None:
    container.upload_blob("a.jsonl", record(1))
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    reader.read()
    container.get_blob_client("a.jsonl").set_blob_metadata({"looked": "at"})
    assert reader.prompts() == []
    proxy.calls.clear()
    reader.read()
    assert proxy.ranges() == []


def test_archived_blobs_are_counted_as_ignored_once_and_read_when_they_are_rehydrated(
    container: "ContainerClient",
) -> None:
    container.upload_blob("a.jsonl", record(1))
    container.upload_blob("b.jsonl", record(2))
    container.upload_blob("c.jsonl", record(3))
    reader = Reader(f"{address(container)}/*.jsonl")
    container.set_standard_blob_tier_blobs("Archive", "a.jsonl", "b.jsonl")
    parsed = reader.read()
    reasons = [one.ignored for one in parsed if one.ignored]
    assert reasons == [{"the blob is in the archive tier": 1}] * 2
    assert sum(one.read for one in parsed) == 3
    assert reader.read() == []
    assert reader.errors == []
    container.set_standard_blob_tier_blobs("Hot", "a.jsonl")
    assert reader.prompts() == [1]


def test_a_blob_that_is_archived_after_it_was_read_is_no_news(container: "ContainerClient") -> None:
    container.upload_blob("a.jsonl", record(1))
    reader = Reader(f"{address(container)}/*.jsonl")
    reader.read()
    container.set_standard_blob_tier_blobs("Archive", "a.jsonl")
    assert reader.read() == []


def test_labels_come_from_the_names(container: "ContainerClient") -> None:
    container.upload_blob("search/large/x.jsonl", record(1))
    container.upload_blob("search/x.jsonl", record(2))
    reader = Reader(f"{address(container)}/{{workspace}}/{{deployment}}/*.jsonl")
    assert reader.prompts() == [1]
    assert next(piece.after.labels for piece in reader.pieces) == '{"deployment":"large","workspace":"search"}'


def hours(container: "ContainerClient", count: int, *, before: datetime = NOW) -> None:
    """One blob of one record for each of the hours before an instant, numbered backwards from 1."""
    for number in range(1, count + 1):
        container.upload_blob(f"{filed(before - number * HOUR)}/PT1H.json", record(number))


def test_hours_in_which_nothing_was_found_are_left_behind(container: "ContainerClient", proxy: StorageProxy) -> None:
    hours(container, 24 * 7)
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    assert sorted(reader.prompts()) == list(range(1, 24 * 7 + 1))
    assert reader.prompts() == []
    proxy.calls.clear()
    assert reader.prompts() == []
    assert sorted(call.query["prefix"] for call in proxy.listings()) == ["2026/11/21/", "2026/11/22/", "2026/11/23/"]


def test_thousands_of_blobs_cost_later_collections_as_many_requests_as_a_few(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    seed(container, ((f"{filed(NOW - number * HOUR)}/PT1H.json", record(1)) for number in range(1, 2001)))
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    for blob in container.list_blobs():
        name = f"{container.container_name}/{blob.name}"
        reader.cursors[name] = Cursor(name=name, object=name, generation=0, seen=blob.etag)
    assert reader.prompts() == []
    assert len(proxy.calls) == 1, "the first time everything is listed, in pages of 5,000"
    proxy.calls.clear()
    seed(container, [(f"{filed(NOW)}/PT1H.json", record(1))])
    assert reader.prompts() == [1]
    assert (len(proxy.listings()), len(proxy.ranges()), len(proxy.calls)) == (3, 1, 4)
    assert sum(call.query["prefix"].count("/") for call in proxy.listings()) == 9


def test_late_blobs_of_the_last_48_hours_are_found_and_older_ones_wait_for_a_backfill(
    container: "ContainerClient",
) -> None:
    hours(container, 3)
    reader = Reader(f"{address(container)}/{HOURS}/PT1H.json")
    reader.read()
    reader.read()
    container.upload_blob(f"{filed(NOW - 48 * HOUR)}/PT1H.json", record(10))
    container.upload_blob(f"{filed(NOW - 49 * HOUR)}/PT1H.json", record(11))
    assert reader.prompts() == [10]
    assert reader.prompts() == []
    day = (NOW - 49 * HOUR).date()
    again = reader.read(Request(period=Period(first=day, last=day)))
    assert sum(one.read for one in again) == 5, "all blobs that may hold records of that day"


def test_both_blobs_that_grow_at_the_top_of_an_hour_are_read_on(container: "ContainerClient") -> None:
    last, this = f"{filed(NOW - HOUR)}/PT1H.json", f"{filed(NOW)}/PT1H.json"
    reader = Reader(f"{address(container)}/{HOURS}/PT1H.json")
    appended(container, last, record(1))
    appended(container, this, record(2))
    assert reader.prompts() == [1, 2]
    appended(container, this, record(3))
    appended(container, last, record(4))
    assert reader.prompts() == [4, 3]


def test_a_week_without_a_collection_loses_no_hour(container: "ContainerClient", proxy: StorageProxy) -> None:
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    hours(container, 3, before=NOW - timedelta(days=7))
    reader.now = NOW - timedelta(days=7)
    reader.read()
    reader.read()
    reader.now = NOW
    hours(container, 24 * 7)
    assert sorted(reader.prompts()) == list(range(1, 24 * 7 + 1))


def test_an_hour_with_a_blob_that_could_not_be_read_is_not_left_behind(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    hours(container, 100)
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    stuck = f"{filed(NOW - 90 * HOUR)}/PT1H.json"
    refused = error(409, "BlobUsesCustomerSpecifiedEncryption", "The blob is encrypted.")
    proxy.instead = lambda call: refused if of_blob(call) and call.path.endswith(stuck) else None
    assert 90 not in reader.prompts()
    reader.read()
    reader.read()
    assert len(reader.errors) == 3
    proxy.instead = lambda _call: None
    assert reader.prompts() == [90]


def test_a_backfill_reads_the_blobs_of_its_days_again_and_no_others(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    early = datetime(2026, 10, 1, 5, tzinfo=UTC)
    for day in range(40):
        at = early + timedelta(days=day)
        line = json.dumps(json.loads(record(day + 1)) | {"time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}) + "\n"
        container.upload_blob(f"{filed(at)}/PT1H.json", line)
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    reader.read()
    before = dict(reader.cursors)
    proxy.calls.clear()
    parsed = reader.read(DAYS)
    assert [number for one in parsed for number in column(one, "prompt_tokens")] == [1, 2]
    assert sorted(call.path.rpartition("/2026/")[2] for call in proxy.ranges()) == [
        f"10/0{day}/05/PT1H.json" for day in range(1, 5)
    ]
    assert reader.cursors == before


def test_a_server_that_ends_in_the_middle_loses_nothing(
    container: "ContainerClient", proxy: StorageProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "FETCHED_AHEAD", 1)
    for number in range(4):
        container.upload_blob(f"{number}.jsonl", records(range(100 * number + 1, 100 * number + 101)))
    proxy.instead = lambda call: (
        error(500, "InternalError", "No.") if len(proxy.ranges()) > 2 and of_blob(call) else None
    )
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == list(range(1, 201))
    assert [str(one) for one in reader.errors] == [
        "log: Azure failed with status 500: try again later",
        "log: 1 more blob could not be read: as above",
    ]
    proxy.instead = lambda _call: None
    assert reader.prompts() == list(range(201, 401))


def test_a_body_that_is_cut_is_asked_for_again_and_else_told(container: "ContainerClient", proxy: StorageProxy) -> None:
    container.upload_blob("a.jsonl", records(range(1, 40)))
    cut = iter([True])
    proxy.instead = lambda call: Answer(cut=100) if of_blob(call) and next(cut, False) else None
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.prompts() == list(range(1, 40))
    appended(container, "b.jsonl", record(40))
    proxy.instead = lambda call: Answer(cut=10) if of_blob(call) else None
    assert reader.prompts() == []
    assert len(reader.errors) == 1
    proxy.instead = lambda _call: None
    assert reader.prompts() == [40]


def test_a_refusal_that_befalls_every_blob_is_told_once_and_ends_the_collection(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    seed(container, ((f"{number}.jsonl", record(number)) for number in range(30)))
    proxy.instead = lambda call: error(403, "AuthorizationPermissionMismatch", "No.") if of_blob(call) else None
    reader = Reader(f"{address(container, proxy.address)}/*.jsonl")
    assert reader.read() == []
    assert len(reader.errors) == 2
    assert str(reader.errors[1]) == "log: 9 more blobs could not be read: as above"
    assert KEY_IN in str(reader.errors[0])
    assert KEY not in str(reader.errors)


def test_a_container_that_cannot_be_listed_is_told(container: "ContainerClient") -> None:
    reader = Reader(f"{address(container)}-gone/*.jsonl")
    assert reader.read() == []
    assert "ContainerNotFound" in str(reader.errors[0])


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"path": "logs/*.jsonl"}, "is not the address of a container"),
        ({"path": "https://a.blob.core.windows.net/logs/*?sig=canary"}, "is more than an address"),
        ({"path": "https://a.blob.core.windows.net/logs/{month}/*"}, "alone names no time"),
        ({"late_hours": 0}, "late_hours is 0"),
        ({"format": "nonsense"}, "no format named"),
        ({"credential_env": "sv=2024&sig=canary"}, "is not the name of a variable"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(fields: dict[str, object], what: str) -> None:
    said: dict[str, object] = {"name": "log", "kind": "blobs", "path": "https://a.blob.core.windows.net/logs/*"}
    with pytest.raises(MonitorError, match=what) as refused:
        blobs.Settings(**{**said, **fields})  # type: ignore[arg-type]
    assert "canary" not in str(refused.value)


def settings(path: str, url: str, **fields: object) -> Settings:
    said = {"name": "log", "kind": "blobs", "path": path, "credential_env": KEY_IN, **fields}
    return Settings(folder=Path(), store=Store(url=url), sources=(blobs.Settings(**said),))  # type: ignore[arg-type]


def test_blobs_are_collected_into_the_store_exactly_once(
    container: "ContainerClient", engine: sa.Engine, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_IN, KEY)
    said = settings(f"{address(container)}/{HOURS}/*.jsonl", store_url)
    told: list[int] = []
    for count in (50, 80):
        container.upload_blob(f"{filed(NOW)}/a.jsonl", records(range(1, count)), overwrite=True)
        container.upload_blob(f"{filed(NOW - 90 * HOUR)}/b{count}.jsonl", records(range(1, 20)))
        (result,) = collect(engine, said, now=NOW, progress=lambda _source, size: told.append(size), clock=Clock())
        assert result.errors == ()
        assert result.read == result.stored + result.duplicates + result.ignored + result.quarantined
    assert totals(engine) == expected(range(1, 80))
    (result,) = collect(engine, said, now=NOW)
    assert (result.read, result.bytes) == (0, 0)
    assert sum(told) == len(records(range(1, 80))) + 2 * len(records(range(1, 20)))
    period = Period(first=date(2026, 11, 20), last=date(2026, 11, 23))
    again = collect_range(engine, said, "log", period=period, now=NOW)
    assert again.stored == 0
    with reading(engine) as connection:
        assert connection.scalar(sa.select(cursor.c.position).where(cursor.c.generation < 0)) is not None


def test_a_recorded_resource_log_reads_from_azure_as_from_a_file(
    container: "ContainerClient", engine: sa.Engine, store_url: str, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_IN, KEY)
    name = (
        "resourceId=/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/OPENAI-EASTUS/"
        "y=2025/m=11/d=04/h=02/m=00/PT1H.json"
    )
    recorded = shared_data / "azure-diag" / "openai_PT1H_first25.jsonl"
    appended(container, name, *recorded.read_bytes().splitlines(keepends=True))
    pattern = name.replace("/S/", "/*/").replace("/RG/", "/*/").replace("OPENAI-EASTUS", "{workspace}")
    pattern = pattern.replace("y=2025/m=11/d=04/h=02/m=00", "y={year}/m={month}/d={day}/h={hour}/m=*")
    (result,) = collect(engine, settings(f"{address(container)}/{pattern}", store_url), now=NOW)
    assert (result.read, result.formats, result.errors) == (25, {"azure-diagnostics": 1}, ())
    from tests.samples import settings as of_files

    other = structs.replace(of_files(recorded).sources[0], name="file")
    (from_file,) = collect(engine, structs.replace(of_files(recorded), sources=(other,)), now=NOW)
    assert (from_file.read, from_file.stored) == (25, result.stored)


def test_what_was_quarantined_of_a_blob_is_read_again_where_it_lies(
    container: "ContainerClient", engine: sa.Engine, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_IN, KEY)
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl"):
        content = records(range(1, 6))
        container.upload_blob(name, gzip.compress(content) if name.endswith(".gz") else content)
    path = f"{address(container)}/*.jsonl*"
    (result,) = collect(engine, settings(path, store_url, format="litellm"), now=NOW)
    assert (result.read, result.quarantined) == (15, 15)
    container.delete_blob("c.jsonl")
    (again,) = retry_quarantine(engine, settings(path, store_url, format="response-log"), now=NOW)
    assert (again.kind, again.stored, again.duplicates, again.quarantined) == ("blobs", 5, 5, 5)
    assert totals(engine) == expected(range(1, 6))
    monkeypatch.delenv(KEY_IN)
    (refused,) = retry_quarantine(engine, settings(path, store_url), now=NOW)
    assert [one.what for one in refused.errors] == [f"${KEY_IN} is not set"]
