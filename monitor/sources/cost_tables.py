"""Opens the tables that cost exports come as: CSV of any encoding and delimiter, plain or compressed, and Parquet.

Every cell leaves here as text, exactly as written; a decimal of Parquet keeps its digits, a double gets the shortest
text that means it. A row that is not well-formed is None.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from monitor.sources.cost_columns import Columns, columns_of

SAMPLE_BYTES = 1 << 16
PREAMBLE_LINES = 10
"""Some exports begin with a title or a `sep=;` line."""
FIELD_BYTES = 1 << 24
BATCH_ROWS = 16_384

Row = Sequence[str | None]


class UnreadableError(Exception):
    """The file as a whole cannot be read; `reason` comes from a small fixed set."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Table(Struct, frozen=True, kw_only=True):
    """An opened table. `rows` yields (line number, cells); a Parquet file's rows count from 1."""

    columns: Columns
    comma: bool
    rows: Iterator[tuple[int, Row | None]]


@contextmanager
def open_table(path: str) -> Iterator[Table]:
    """Open a file as the table of a cost export; UnreadableError if it is damaged or none."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            magic = file.read(4)
            file.seek(0)
            if magic == b"PAR1":
                yield _parquet(path)
            else:
                with _decompressed(file, magic) as stream, _decoded(stream) as lines:
                    yield _csv(lines)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise UnreadableError("the compressed file is damaged or cut off") from None


def _csv(lines: Iterator[str]) -> Table:
    beginning = list(islice(lines, PREAMBLE_LINES))
    skipped, delimiter, columns = _header(beginning)
    if missing := columns.missing():
        raise UnreadableError(f"not a cost export: it has no column for the {' and no column for the '.join(missing)}")
    rows = _csv_rows(_chain(beginning[skipped:], lines), delimiter, skipped, columns.width)
    return Table(columns=columns, comma=delimiter == ";", rows=rows)


def _decompressed(file: Any, magic: bytes) -> io.BufferedReader:
    if magic[:2] == b"\x1f\x8b":
        return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=file)), SAMPLE_BYTES)
    if magic == b"\x28\xb5\x2f\xfd":
        # A zstd stream that is cut off looks like one that ends, and half an export must not pass for a whole one.
        raise UnreadableError("compressed with zstd: use gzip")
    return io.BufferedReader(file, SAMPLE_BYTES)


def _decoded(stream: io.BufferedReader) -> io.TextIOWrapper:
    sample = stream.peek(SAMPLE_BYTES)[:SAMPLE_BYTES]
    if not sample:
        raise UnreadableError("the file is empty")
    return io.TextIOWrapper(stream, encoding=_encoding(sample), errors="replace", newline="")


def _encoding(sample: bytes) -> str:
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # A character may be cut by the end of the sample.
        sample[:-4].decode("utf-8") if len(sample) >= SAMPLE_BYTES else sample.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8-sig"


def _header(lines: list[str]) -> tuple[int, str, Columns]:
    """Find the header among the first lines: how many lines precede it, its delimiter, its columns."""
    best: tuple[int, str, Columns] | None = None
    for skipped, line in enumerate(lines):
        for delimiter in (",", ";", "\t"):
            columns = columns_of(next(csv.reader([line], delimiter=delimiter), []))
            if best is None or len(columns.positions) > len(best[2].positions):
                best = (skipped, delimiter, columns)
    assert best is not None
    return best


def _chain(beginning: list[str], rest: Iterator[str]) -> Iterator[str]:
    yield from beginning
    yield from rest


def _csv_rows(lines: Iterator[str], delimiter: str, skipped: int, width: int) -> Iterator[tuple[int, Row | None]]:
    csv.field_size_limit(FIELD_BYTES)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    next(reader)
    while True:
        line = skipped + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # A quote that is never closed swallows every row after it: such a file must not replace anything.
            if "end of data" in str(error) or "field limit" in str(error):
                raise UnreadableError("a quoted field never ends") from None
            yield line, None
            continue
        if row:
            yield line, row if len(row) == width or (not any(row[width:]) and len(row) > width) else None


def _parquet(path: str) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise UnreadableError("the Parquet file is damaged or cut off") from None
    columns = columns_of(file.schema_arrow.names)
    if missing := columns.missing():
        raise UnreadableError(f"not a cost export: it has no column for the {' and no column for the '.join(missing)}")
    return Table(columns=columns, comma=False, rows=_parquet_rows(file, columns))


def _parquet_rows(file: Any, columns: Columns) -> Iterator[tuple[int, Row | None]]:
    import pyarrow as pa

    wanted = sorted({position for positions in columns.positions.values() for position in positions})
    names = file.schema_arrow.names
    position = 0
    try:
        for batch in file.iter_batches(BATCH_ROWS, columns=[names[place] for place in wanted]):
            texts: list[list[str | None]] = [[None] * batch.num_rows] * columns.width
            for place in wanted:
                texts[place] = _texts(batch.column(batch.schema.get_field_index(names[place])))
            for row in zip(*texts, strict=True):
                position += 1
                yield position, row
    except (pa.ArrowException, OSError):
        raise UnreadableError("the Parquet file is damaged or cut off") from None


def _texts(column: Any) -> list[str | None]:
    """Write a column's values as text without losing or inventing a digit."""
    import pyarrow as pa

    if pa.types.is_float32(column.type):
        # As Python floats they would show digits that nobody wrote; a null arrives as nan, which is absent too.
        return [str(value) for value in column.to_numpy(zero_copy_only=False)]
    values = column.to_pylist()
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return [None if value is None else value.isoformat() for value in values]
    return [value if value is None or isinstance(value, str) else str(value) for value in values]
