"""What Azure calls the files of a cost export, and the manifest.json beside those of one run (azure.md, 1.6).

A run says all that is known of its period: the days of a month up to its own. So of the runs of one export that begin
in the same month only the newest counts, whichever folder it lies in: adding runs up counts every day many times.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import DecodeError, Struct, field, json

from monitor.domain.period import nanoseconds

MANIFEST = "manifest.json"
PARTS = "part_*"
"""What the parts in one folder are called together, where no manifest is there."""
ENDINGS = (".csv", ".csv.gz", ".parquet")
BOM = b"\xef\xbb\xbf"
NOT_READ = "the manifest cannot be read"
OTHER_FILES = "the manifest lists not as many files as it says"
MISSING = "a file that the manifest lists is missing"
OTHER_SIZE = "a file has not the size that the manifest says"

_PART = re.compile(r"part_\d+_\d+\.(csv|parquet)", re.IGNORECASE)


def is_part(path: str) -> bool:
    """Whether a file is named as one of several of a run."""
    return _PART.match(path.rpartition("/")[2]) is not None


class Blob(Struct, frozen=True):
    """One file of a run; `name` is its whole path in the container."""

    name: str = field(name="blobName")
    size: int | None = field(name="byteCount", default=None)


class _Config(Struct):
    resource: str | None = field(name="resourceId", default=None)
    name: str | None = field(name="exportName", default=None)


class _Run(Struct):
    submitted: str | None = field(name="submittedTime", default=None)
    start: str | None = field(name="startDate", default=None)
    end: str | None = field(name="endDate", default=None)


class _Manifest(Struct):
    blobs: tuple[Blob, ...] = ()
    count: int | None = field(name="blobCount", default=None)
    rows: int | None = field(name="dataRowCount", default=None)
    config: _Config | None = field(name="exportConfig", default=None)
    run: _Run | None = field(name="runInfo", default=None)


class Run(Struct, frozen=True, kw_only=True):
    """What a manifest says of its run.

    `export` is whose run it is, '' if the manifest does not say; `start` and `end` are its days (YYYY-MM-DD, '' if
    unknown); `submitted_ns`: when it was, in nanoseconds since 1970; `wrong`: why it must not be read, '' if nothing is
    against it.
    """

    blobs: tuple[Blob, ...] = ()
    export: str = ""
    start: str = ""
    end: str = ""
    submitted_ns: int | None = None
    rows: int | None = None
    wrong: str = ""

    def replaces(self, older: "Run") -> bool:
        """Whether this run, if it is the newer one, says all that the older one says."""
        if not self.blobs or self.rows == 0:
            # No rows mean that nothing is known, never that nothing was billed.
            return False
        if not self.export or not self.start or (self.export, self.start[:7]) != (older.export, older.start[:7]):
            return False
        # A week of the month, or a range somebody chose, does not stand for the whole month.
        return self.start <= older.start and (not self.end or not older.end or self.end >= older.end)

    def against(self, sizes: Mapping[str, int | None]) -> str:
        """Return why the run must not be read, given the sizes of its files (None: not there)."""
        if self.wrong:
            return self.wrong
        if any(sizes.get(blob.name) is None for blob in self.blobs):
            return MISSING
        return OTHER_SIZE if any(blob.size not in (None, sizes[blob.name]) for blob in self.blobs) else ""


def run_of(data: bytes) -> Run:
    """Return what a manifest says; one that cannot be understood is a run with that reason in `wrong`."""
    try:
        said = json.decode(data.removeprefix(BOM), type=_Manifest)
    except (DecodeError, UnicodeDecodeError):
        return Run(wrong=NOT_READ)
    config, info = said.config or _Config(), said.run or _Run()
    return Run(
        blobs=said.blobs,
        export=(config.resource or config.name or "").lower().strip("/"),
        start=(info.start or "")[:10],
        end=(info.end or "")[:10],
        submitted_ns=_instant(info.submitted),
        rows=said.rows,
        wrong=OTHER_FILES if said.count not in (None, len(said.blobs)) else "",
    )


def _instant(text: str | None) -> int | None:
    """Return nanoseconds since 1970; digits beyond the microsecond are cut off, a time without a zone is in UTC."""
    try:
        at = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return nanoseconds(at if at.tzinfo else at.replace(tzinfo=UTC))
