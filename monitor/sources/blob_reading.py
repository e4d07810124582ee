"""A blob as a stream: bounded ranges of one ETag, going on where the blob grew meanwhile and nowhere else.

Whoever writes may append at any moment. Every range is asked for with the ETag of the one before; when that is refused
the last KiB is read again, and if it is as it was the blob only grew, and its new ETag is taken. Nothing is read beyond
the size that was listed: the rest is the next collection's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from io import RawIOBase
from typing import Any

from monitor.errors import UnreachableError
from monitor.sources.azure.storage import Container, Listed
from monitor.sources.opening import COMPRESSED
from monitor.sources.parse import FINGERPRINT_BYTES, ChangedError

RANGE_BYTES = 4 * 1024 * 1024
"""How much is asked for, and held, at once: a GET of this size costs no more time per byte than a larger one."""
MOST_CHANGES = 8
"""A blob that changes so often before a single range of it can be read is left to the next collection."""
NO_SUCH_RANGE = 416


class GoneError(FileNotFoundError):
    """The blob was deleted after it was listed."""


class Blob:
    """A blob as it was listed; threads may `fetch` its first range, then one reader has it."""

    def __init__(self, container: Container, listed: Listed) -> None:
        self._container, self._listed = container, listed
        self.path, self.size, self.modified_ns = (
            f"{container.path.container}/{listed.name}",
            listed.size,
            listed.modified_ns,
        )
        self.seen = listed.etag.strip('"')
        self.compressed = listed.name.endswith(COMPRESSED)
        self._etag = listed.etag
        self._start, self._held = 0, b""

    def open(self, position: int = 0) -> RawIOBase:
        """Open its bytes, as they lie, from a position on."""
        return _Stream(self, position)

    def at(self, position: int, length: int) -> memoryview:
        """Return bytes from a position on: at most `length`, none at the end of what was listed.

        GoneError if the blob was deleted, ChangedError if it became another, MonitorError if it cannot be had.
        """
        if not self._start <= position < self._start + len(self._held):
            if position >= self.size:
                return memoryview(b"")
            self._fetch(position)
        offset = position - self._start
        return memoryview(self._held)[offset : offset + length]

    def _fetch(self, position: int) -> None:
        for _ in range(MOST_CHANGES):
            try:
                data = self._get(position, min(RANGE_BYTES, self.size - position), self._etag)
            except _OtherError:
                self._go_on()
                continue
            self._start, self._held = position, data
            if not data:
                raise ChangedError
            return
        raise UnreachableError(self.path, "changed each time it was to be read", "collect again")

    def _go_on(self) -> None:
        """Take the ETag that the blob has now, if it begins as before."""
        known = self._held[-FINGERPRINT_BYTES:]
        if not known:
            self._etag = self._now()
            return
        if self._get(self._start + len(self._held) - len(known), len(known), None) != known:
            raise ChangedError

    def _now(self) -> str:
        with self._asked():
            return str(self._client.get_blob_properties().etag)

    def _get(self, position: int, length: int, etag: str | None) -> bytes:
        """Read a range of the blob as it was under an ETag; None: as it is now, whose ETag is then taken."""
        from azure.core import MatchConditions

        same = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        with self._asked():
            stream = self._client.download_blob(offset=position, length=length, max_concurrency=1, **same)
            data: bytes = stream.readall()
        self._etag = str(stream.properties.etag)
        return data

    @cached_property
    def _client(self) -> Any:
        return self._container.client.get_blob_client(self._listed.name)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ResourceNotFoundError

        with self._container.told():
            try:
                yield
            except ResourceNotFoundError:
                raise GoneError from None
            except ResourceModifiedError:
                raise _OtherError from None
            except HttpResponseError as error:
                if error.status_code == NO_SUCH_RANGE:
                    raise ChangedError from None
                raise


class _OtherError(Exception):
    """The blob has another ETag."""


class _Stream(RawIOBase):
    """The bytes of a blob from a position on."""

    def __init__(self, blob: Blob, position: int) -> None:
        super().__init__()
        self._blob, self._position = blob, position

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is something."""
        data = self._blob.at(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
