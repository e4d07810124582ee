"""Any object as a stream: decompressed, from a position on, with the last 1 KiB before it that proves which it is."""

import gzip
import zlib
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, Protocol

from msgspec import Struct

from monitor.domain.stretch import Cursor
from monitor.sources.parse import FINGERPRINT_BYTES, fingerprint

COMPRESSED = (".gz", ".zst")


class Object(Protocol):
    """Bytes that lie somewhere under a name, `path`; `seen` changes whenever they may have changed."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def modified_ns(self) -> int: ...
    @property
    def seen(self) -> str: ...
    @property
    def compressed(self) -> bool: ...

    def open(self, position: int = 0) -> RawIOBase:
        """Open its bytes, as they lie, from a position on."""


class Damage(Struct, frozen=True, kw_only=True):
    """Why an object cannot be decompressed beyond some byte; `unfinished`: it just ends, as while being written."""

    reason: str
    unfinished: bool


class Decompressed(RawIOBase):
    """The bytes of an object, decompressed: gzip of many members and zstd of many frames are read to the end.

    Where the compression breaks, the stream ends, and `broken` says why. `position`: where to begin in a plain one.
    """

    def __init__(self, found: Object, position: int = 0) -> None:
        super().__init__()
        self.broken: Damage | None = None
        self._file: Any = found.open(position)
        self._stream, self._damage = self._open(found.path)

    def _open(self, path: str) -> tuple[Any, tuple[type[Exception], ...]]:
        if path.endswith(".gz"):
            return gzip.GzipFile(fileobj=self._file, mode="rb"), (gzip.BadGzipFile, zlib.error)
        if path.endswith(".zst"):
            import zstandard

            reader = zstandard.ZstdDecompressor().stream_reader(self._file, read_across_frames=True)
            return reader, (zstandard.ZstdError,)
        return self._file, ()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is something."""
        if self.broken:
            return 0
        try:
            read = getattr(self._stream, "read1", self._stream.read)
            data: bytes = read(len(buffer))
        except EOFError:
            self.broken = Damage(reason="the compressed data ends too early", unfinished=True)
            return 0
        except self._damage:
            self.broken = Damage(reason="the compressed data is damaged", unfinished=False)
            return 0
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Close the file underneath."""
        self._file.close()
        super().close()


def first_bytes(found: Object, size: int, position: int = 0) -> tuple[bytes, Damage | None]:
    """The first bytes of an object, or of a plain one from a position on, and what broke it there."""
    stream = Decompressed(found, position)
    with BufferedReader(stream, min(size, 64 * 1024)) as buffered:
        return buffered.read(size), stream.broken


def stream_from(found: Object, position: int, buffer_bytes: int) -> tuple[Decompressed, BinaryIO, bytes]:
    """Open an object at a position in its decompressed bytes; return also the last 1 KiB before it."""
    start = 0 if found.compressed else max(0, position - FINGERPRINT_BYTES)
    stream = Decompressed(found, start)
    buffered = BufferedReader(stream, buffer_bytes)
    return stream, buffered, skip(buffered, position - start)


def skip(stream: BinaryIO, size: int) -> bytes:
    """Read up to a position; return the last 1 KiB before it."""
    before = b""
    while size > 0 and (block := stream.read(min(size, 1024 * 1024))):
        size -= len(block)
        before = (before + block)[-FINGERPRINT_BYTES:]
    return before


def holds(found: Object, cursor: Cursor) -> bool:
    """Whether an object holds the bytes that a cursor has read, as far as the last 1 KiB before it shows."""
    _, stream, before = stream_from(found, cursor.position, 64 * 1024)
    stream.close()
    return len(before) == min(cursor.position, FINGERPRINT_BYTES) and fingerprint(before) == cursor.tail
