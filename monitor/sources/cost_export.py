"""Source kind `cost-export`: what Azure billed, from exported files: CSV or Parquet, classic or FOCUS columns.

Reading a folder of exports: 1 find the files; 2 join those that are parts of one export (named by a manifest.json
beside them, or part_N_NNNN in one folder); 3 skip what is as it was when it was last recorded, known by its content
and its time of modification; 4 from the oldest to the newest, decide how the export writes days and numbers; 5 read its
rows into charges, ignored and rejected ones, with the scopes and days they cover. Every export says all it knows about
its days, so the one modified last replaces the others (monitor.store.charges). An export that is incomplete or damaged
is refused as a whole: half of one would erase the other half's days. One that cannot be opened is told, and stops no
other.
"""

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path

from msgspec import DecodeError, Struct, field, json, structs

from monitor.domain.catalogue import Catalogue
from monitor.domain.records import Charge, Ignored, Rejected
from monitor.errors import SettingsError, UnreachableError
from monitor.sources.cost_answer import CostAnswer, Place, RejectedRow
from monitor.sources.cost_numbers import Style
from monitor.sources.cost_rows import Include, RowReader, style_of
from monitor.sources.cost_tables import UnreadableError, open_table
from monitor.sources.objects import unreadable
from monitor.sources.request import Request
from monitor.sources.session import Session

KIND = "cost-export"
YIELDS = "charges"
NO_BACKFILL = (
    "cost exports always replace whole days, so there is nothing to backfill",
    "put the export where the source reads, then run maas-monitor collect",
)
"""Why a past range is never read again, and what to do instead."""
MANIFEST = "manifest.json"

PARTS = "part_*"
ENDINGS = (".csv", ".csv.gz", ".parquet")

_PART = re.compile(r"part_\d+_\d+\.(csv|parquet)", re.IGNORECASE)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "cost-export".

    `path`: exported files, with wildcards (`*`, `**`): .csv, .csv.gz, .parquet, or their manifest.json.
    `include`: "models" keeps the charges of model offers, "all" every row, for tying out a whole bill.
    """

    name: str
    kind: str
    path: str
    include: Include = "models"

    def __post_init__(self) -> None:
        if self.include not in ("models", "all"):
            raise SettingsError(
                f"source {self.name!r}: include", f"{self.include!r} is neither", 'write "models" or "all"'
            )


class _Blob(Struct):
    name: str = field(name="blobName")
    size: int | None = field(name="byteCount", default=None)


class _Manifest(Struct):
    blobs: tuple[_Blob, ...] = ()


class Export(Struct, frozen=True, kw_only=True):
    """The files of one export. `incomplete`: why it must not be read yet, '' if nothing is against it."""

    name: str
    parts: tuple[str, ...]
    modified_ns: int
    incomplete: str = ""


def pulls(
    settings: Settings, known: Mapping[str, tuple[str, int]], _request: Request, session: Session
) -> Iterator[CostAnswer | UnreachableError]:
    """Read the exports that changed since they were last recorded, in the order of their modification time and name.

    `known`: by the export's name, the fingerprint and the modification time it had then; one with both of another's is
    that one, moved. An export that cannot be opened is an UnreachableError in its place.
    """
    unmoved = set(known.values())
    for export in find_exports(settings.path):
        try:
            fingerprint, size = _fingerprint(export, settings.include)
            seen = (fingerprint, export.modified_ns)
            before = known.get(export.name)
            moved = before is None and seen in unmoved
            if seen != before and not moved:
                yield _read(export, fingerprint, size, settings.include, session.catalogue)
        except OSError as error:
            yield unreadable(error.filename or export.name, error)


def is_export(path: str) -> bool:
    """Whether a CSV or Parquet file is a cost export, by its header."""
    if not path.lower().endswith(ENDINGS):
        return False
    try:
        with open_table(path):
            return True
    except (UnreadableError, OSError):
        return False


def find_exports(path: str) -> list[Export]:
    """Find the exports that a path with wildcards names, oldest first."""
    files = {os.path.normpath(name) for name in glob.glob(path, recursive=True) if os.path.isfile(name)}  # noqa: PTH113, PTH207
    exports: list[Export] = []
    for folder in sorted({os.path.dirname(name) for name in files}):  # noqa: PTH120
        exports += _exports_in(folder, sorted(name for name in files if os.path.dirname(name) == folder))  # noqa: PTH120
    return sorted(exports, key=lambda export: (export.modified_ns, export.name))


def _exports_in(folder: str, files: list[str]) -> Iterator[Export]:
    manifest = Path(folder, MANIFEST)
    listed, incomplete = _listed(manifest) if manifest.is_file() else ([], "")
    if incomplete and not listed:
        listed = [name for name in files if name != str(manifest)]
    if listed or incomplete:
        yield _export(str(manifest), listed, incomplete)
    left = [name for name in files if name not in listed and Path(name).name != MANIFEST]
    parts = [name for name in left if _PART.match(Path(name).name)]
    if parts:
        # One name, however many parts there are yet: what was modified at the same time is told apart by its name.
        yield _export(str(Path(folder, PARTS)), parts)
    for name in left:
        if name not in parts:
            yield _export(name, [name])


def _listed(manifest: Path) -> tuple[list[str], str]:
    """Return the parts that a manifest lists and that are here, and what is wrong with them.

    The manifest names blobs by their whole path in the container; downloaded, they lie beside it.
    """
    try:
        blobs = json.decode(manifest.read_bytes(), type=_Manifest).blobs
    except (DecodeError, UnicodeDecodeError, OSError):
        return [], "the manifest cannot be read"
    parts = {str(manifest.parent / Path(blob.name).name): blob.size for blob in blobs}
    found = {part: _status(part) for part in parts}
    here = [part for part, status in found.items() if status]
    if len(here) < len(parts):
        return here, "a file that the manifest lists is missing"
    if any(status and parts[part] not in (None, status.st_size) for part, status in found.items()):
        return here, "a file has not the size that the manifest says"
    return here, ""


def _export(name: str, parts: list[str], incomplete: str = "") -> Export:
    times = [status.st_mtime_ns for one in {name, *parts} if (status := _status(one))]
    modified = max(times, default=0)
    return Export(name=name, parts=tuple(parts), modified_ns=modified, incomplete=incomplete)


def _status(file: str) -> os.stat_result | None:
    """Return what the folder says of a file, None if it is gone: it may go between being found and being looked at."""
    try:
        return os.stat(file)  # noqa: PTH116 - one of many
    except OSError:
        return None


def _fingerprint(export: Export, include: Include) -> tuple[str, int]:
    """Return the hash of the parts' contents and of what is kept of them, and their bytes."""
    whole, size = hashlib.sha256(f"{include} {export.incomplete}".encode()), 0
    for part in export.parts:
        with Path(part).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            size += file.tell()
        whole.update(digest.digest())
    return whole.hexdigest(), size


def _read(export: Export, fingerprint: str, size: int, include: Include, catalogue: Catalogue) -> CostAnswer:
    pull = CostAnswer(name=export.name, fingerprint=fingerprint, written_at=export.modified_ns, bytes=size)
    if export.incomplete:
        return _refused(pull, export.name, export.incomplete)
    if size == 0:
        return pull
    at = export.name
    try:
        # Decided once for all parts: what one part cannot prove another may.
        styles = []
        for at in export.parts:
            with open_table(at) as table:
                styles.append(style_of(table))
        unread: set[Place] = set()
        for at in export.parts:
            unread |= _read_part(at, reduce(Style.joined, styles), include, catalogue, pull)
    except UnreadableError as refused:
        return _refused(pull, at, refused.reason)
    for place in unread:
        if not pull.days.get(place, 1):
            del pull.days[place]
    return pull


def _refused(pull: CostAnswer, at: str, reason: str) -> CostAnswer:
    rejected = [RejectedRow(object=at, position=0, reason=reason)]
    return structs.replace(pull, rejected=rejected, charges=[], days={}, ignored={})


def _read_part(part: str, style: Style, include: Include, catalogue: Catalogue, pull: CostAnswer) -> set[Place]:
    """Add the rows of one part to the pull; return the scopes and days of which it has rows that could not be read."""
    unread = set()
    ignored: Counter[str] = Counter(pull.ignored)
    with open_table(part) as table:
        reader = RowReader(table.columns, style, include, catalogue)
        for position, row in table.rows:
            place, outcome = reader.read(row)
            if place is not None:
                pull.days.setdefault(place, 0)
            if place is not None and isinstance(outcome, Charge):
                pull.charges.append(outcome)
                pull.days[place] += 1
            elif isinstance(outcome, Ignored):
                ignored[outcome.reason] += 1
            elif isinstance(outcome, Rejected):
                pull.rejected.append(RejectedRow(object=part, position=position, reason=outcome.reason))
                unread.add(place)
    pull.ignored.update(ignored)
    return {place for place in unread if place is not None}
