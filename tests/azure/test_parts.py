"""The parts that stand for Azure answer as Azure does."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient


def test_azurite_keeps_append_blobs(container: "ContainerClient") -> None:
    blob = container.get_blob_client("a/b.json")
    blob.create_append_blob()
    blob.append_block(b"one\n")
    blob.append_block(b"two\n")
    assert blob.download_blob(offset=4).readall() == b"two\n"
