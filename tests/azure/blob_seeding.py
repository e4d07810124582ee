"""Many small blobs at once: uploads signed once for all, over connections that stay open."""

import http.client
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

CONNECTIONS = 4


def seed(container: "ContainerClient", blobs: Iterable[tuple[str, bytes]]) -> None:
    """Upload block blobs by name and content."""
    listed = list(blobs)
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(lambda part: _put(container, part), [listed[one::CONNECTIONS] for one in range(CONNECTIONS)]))


def _put(container: "ContainerClient", blobs: Sequence[tuple[str, bytes]]) -> None:
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    from tests.azure.parts import ACCOUNT, KEY

    signature = generate_container_sas(
        ACCOUNT,
        container.container_name,
        account_key=KEY,
        permission=ContainerSasPermissions(write=True, create=True),
        expiry=datetime.now(UTC) + timedelta(days=1),
    )
    parts = urlsplit(container.url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    for name, content in blobs:
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2021-12-02"}
        connection.request("PUT", f"{parts.path}/{quote(name)}?{signature}", content, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != http.HTTPStatus.CREATED:
            raise RuntimeError(f"{name}: {answer.status}")
    connection.close()
