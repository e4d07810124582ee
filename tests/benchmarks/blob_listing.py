"""How much of 120,000 blobs is listed: python -m tests.benchmarks.blob_listing [BLOBS] [WORKSPACES].

Azurite in memory holds the resource logs of so many workspaces, an hour a blob. The first collection has nothing to
read (its cursors are given), so that what is measured is listing and looking up; the second may leave hours behind; the
third is what every later one costs, with one blob that grew in each workspace.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

from monitor.domain.stretch import Cursor
from tests.azure.blob_seeding import seed
from tests.azure.parts import KEY, azurite
from tests.azure.sessions import NOW
from tests.samples import record
from tests.sources.blob_samples import Reader, address

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

FOLDER = "resourceId=/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/{group}/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/{account}"
PATTERN = FOLDER.replace("S-1", "*").format(group="*", account="{workspace}")
HOURS = "/y={year}/m={month}/d={day}/h={hour}/m=*/PT1H.json"


def main(blobs: int, workspaces: int) -> None:
    """Fill a container and print what three collections of it ask for."""
    from azure.storage.blob import ContainerClient

    with azurite() as account, ContainerClient(account, "logs", credential=KEY) as container:
        container.create_container()
        started = perf_counter()
        seed(container, ((name, record(1)) for name in _names(blobs // workspaces, workspaces)))
        print(f"{blobs:,} blobs of {workspaces} workspaces made in {perf_counter() - started:.0f} s")
        reader = Reader(f"{address(container)}/{PATTERN}{HOURS}")
        reader.cursors = _cursors(container)
        for title in ("first", "second", "third"):
            if title == "third":
                seed(container, ((name, record(1) + record(2)) for name in _names(1, workspaces)))
            _collect(title, reader)


def _collect(title: str, reader: Reader) -> None:
    asked = Asked()
    with asked:
        started = perf_counter()
        read = sum(one.read for one in reader.read())
    seconds = perf_counter() - started
    print(
        f"{title}: {asked.listings:,} list requests, {asked.names:,} blobs named, {asked.ranges:,} blobs opened, "
        f"{read} records, {seconds:.1f} s; errors: {len(reader.errors)}"
    )


class Asked:
    """Counts what the client library asks of storage, by the requests that it sends."""

    def __init__(self) -> None:
        self.listings = self.names = self.ranges = 0

    def __enter__(self) -> "Asked":
        from azure.core.pipeline.transport import RequestsTransport

        self._transport: Any = RequestsTransport
        self._send = send = RequestsTransport.send

        def counted(transport: Any, request: Any, **options: Any) -> Any:
            response = send(transport, request, **options)
            if "comp=list" in request.url:
                self.listings += 1
                self.names += response.internal_response.content.count(b"<Blob>")
            else:
                self.ranges += 1
            return response

        self._transport.send = counted
        return self

    def __exit__(self, *_error: object) -> None:
        self._transport.send = self._send


def _names(hours: int, workspaces: int) -> Iterator[str]:
    for workspace in range(workspaces):
        folder = FOLDER.format(group=f"RG-{workspace % 5}", account=f"WORKSPACE-{workspace}")
        for number in range(hours):
            at = NOW - timedelta(hours=number)
            yield f"{folder}/y={at:%Y}/m={at:%m}/d={at:%d}/h={at:%H}/m=00/PT1H.json"


def _cursors(container: "ContainerClient") -> dict[str, Cursor]:
    """Cursors as if all had been read."""
    cursors = {}
    for blob in container.list_blobs(results_per_page=5000):
        name = f"{container.container_name}/{blob.name}"
        labels = f'{{"workspace":"{blob.name.split("/")[8]}"}}'
        cursors[name] = Cursor(
            name=name, object=name, generation=0, labels=labels, format="response-log", seen=str(blob.etag)
        )
    return cursors


if __name__ == "__main__":
    said = [int(one) for one in sys.argv[1:]]
    main(*said, *(120_000, 20)[len(said) :])
