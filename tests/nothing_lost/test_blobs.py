"""Blobs appended to, replaced, late and many, while the storage fails: every record is counted once."""

import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from monitor.sources import blob_reading, blobs
from tests.azure.server import Answer, Call, error
from tests.azure.sessions import NOW
from tests.azure.storage_proxy import StorageProxy, of_blob, storage_proxy
from tests.samples import record
from tests.sources.blob_samples import HOURS, Reader, address, filed

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, ContainerClient

THOROUGH = os.environ.get("MONITOR_THOROUGH") == "1"
HOUR = timedelta(hours=1)


@pytest.fixture
def proxy(azurite_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[StorageProxy]:
    monkeypatch.setattr("azure.storage.blob._download.time.sleep", lambda _seconds: None)
    # Ranges of less than a record, so that everything happens between two of them.
    monkeypatch.setattr(blob_reading, "RANGE_BYTES", 300)
    monkeypatch.setattr(blobs, "FETCHED_AHEAD", 2)
    with storage_proxy(azurite_address) as way:
        yield way


class Writer:
    """What writes the logs, hour by hour; knows how many records a reader could have seen."""

    def __init__(self, container: "ContainerClient", rng: random.Random, *, named: bool) -> None:
        self.container, self.rng, self.named = container, rng, named
        self.now = NOW
        self.numbers = itertools.count(1)
        self.written = 0
        self.halves: dict[str, bytes] = {}

    def _blob(self, hours_ago: int) -> "BlobClient":
        blob = self.container.get_blob_client(f"{filed(self.now - hours_ago * HOUR)}/PT1H.json")
        if not blob.exists():
            blob.create_append_blob()
        return blob

    def _line(self) -> bytes:
        self.written += 1
        return record(next(self.numbers), named=self.named)

    def append(self, hours_ago: int = 0) -> None:
        blob = self._blob(hours_ago)
        lines = [self._line() for _ in range(self.rng.randint(1, 4))]
        blob.append_block(self.halves.pop(blob.blob_name, b"") + b"".join(lines))

    def append_half(self) -> None:
        blob, line = self._blob(0), self._line()
        cut = self.rng.randint(1, len(line) - 1)
        blob.append_block(self.halves.get(blob.blob_name, b"") + line[:cut])
        self.halves[blob.blob_name] = line[cut:]

    def append_late(self) -> None:
        self.append(self.rng.randint(1, 40))

    def replace(self) -> None:
        """Write the blob anew with all it had and more, in another order, as one that is filed again does."""
        blob = self._blob(0)
        held = blob.download_blob().readall() + self.halves.pop(blob.blob_name, b"")
        lines = [*held.splitlines(keepends=True), self._line()]
        self.rng.shuffle(lines)
        blob.delete_blob()
        blob.create_append_blob()
        blob.append_block(b"".join(lines))

    def next_hour(self) -> None:
        """Let time pass; nobody ends a line two days later."""
        self.finish()
        self.now += self.rng.choice((1, 1, 5, 30)) * HOUR

    def finish(self) -> None:
        for name, rest in self.halves.items():
            self.container.get_blob_client(name).append_block(rest)
        self.halves.clear()


def failing(rng: random.Random, writer: Writer) -> Callable[[Call], Answer | None]:
    """Sometimes fail, sometimes cut, and sometimes let the writer write just before the answer."""

    lock = threading.Lock()

    def instead(call: Call) -> Answer | None:
        with lock:
            return decided(call)

    def decided(call: Call) -> Answer | None:
        dice = rng.random()
        if dice < 0.05:
            return error(rng.choice((500, 409, 404 if of_blob(call) else 500)), "Injected", "No.")
        if of_blob(call) and dice < 0.08:
            return Answer(cut=rng.randint(0, 200))
        if of_blob(call) and dice < 0.2:
            rng.choice((writer.append, writer.append_half))()
        return None

    return instead


@pytest.mark.parametrize("named", [True, False], ids=["with an id", "without an id"])
def test_every_record_is_counted_once_in_random_schedules(
    container: "ContainerClient", proxy: StorageProxy, *, named: bool
) -> None:
    for seed in range(30 if THOROUGH else 4):
        rng = random.Random(seed)
        writer = Writer(container, rng, named=named)
        reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
        writes = [writer.append, writer.append_half, writer.append_late, writer.next_hour]
        steps: list[Callable[[], object]] = [*writes, reader.read, reader.read]
        # Records without an id in a blob of another order are other records: nothing could tell.
        steps += [writer.replace] if named else []
        proxy.instead = failing(rng, writer)
        for _ in range(rng.randint(10, 25)):
            reader.now = writer.now
            rng.choice(steps)()
        writer.finish()
        proxy.instead = lambda _call: None
        reader.errors.clear()
        reader.read()
        assert not reader.errors, f"seed {seed}"
        assert not reader.reasons(), f"seed {seed}"
        assert len(reader.seen) == writer.written, f"seed {seed}"
        assert named or max(reader.seen.values()) == 1, f"seed {seed}"
        assert sum(one.read for one in reader.read()) == 0, f"seed {seed}"
        container.delete_blobs(*container.list_blob_names())


def test_a_backlog_of_hours_is_read_to_its_end_however_often_the_server_ends(
    container: "ContainerClient", proxy: StorageProxy
) -> None:
    writer = Writer(container, random.Random(1), named=True)
    for _ in range(30):
        writer.append()
        writer.now += 7 * HOUR
    reader = Reader(f"{address(container, proxy.address)}/{HOURS}/PT1H.json")
    reader.now = writer.now
    collections = 0
    while len(reader.seen) < writer.written:
        collections += 1
        left = iter(range(25))
        proxy.instead = lambda _call, left=left: (  # type: ignore[misc]
            None if next(left, None) is not None else error(503, "ServerBusy", "No.")
        )
        reader.read()
        assert collections < 60
    assert set(reader.seen.values()) == {1}
