"""Source kind `cost-export`: what Azure billed, from exported files: CSV or Parquet, classic or FOCUS columns.

Reading a folder of exports: 1 find the files; 2 join those that are parts of one export (named by a manifest.json
beside them, or part_N_NNNN in one folder); 3 of the runs of one export in one month leave all but the newest; 4 skip
what is as it was when it was last recorded, known by its content and its time of modification; 5 from the oldest to the
newest, decide how the export writes days and numbers; 6 read its rows into charges, ignored and rejected ones, with the
scopes and days they cover. Every export says all it knows about its days, so the one modified last replaces the others
(monitor.store.charges). An export that is incomplete or damaged is refused as a whole: half of one would erase the
other half's days. One that cannot be opened is told, and stops no other. What lies in Azure Storage is read where it
lies (monitor.sources.export_blobs).
"""

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from monitor.domain.catalogue import Catalogue
from monitor.errors import MonitorError, SettingsError
from monitor.sources.azure.storage import blob_path, is_remote, reached, variable_name
from monitor.sources.cost_answer import CostAnswer, Known
from monitor.sources.cost_reading import Part, RefusedError, read_parts, refused
from monitor.sources.cost_rows import Include
from monitor.sources.cost_tables import UnreadableError, open_table
from monitor.sources.export_blobs import stored_exports
from monitor.sources.export_manifest import ENDINGS, MANIFEST, NOT_READ, PARTS, Run, is_part, run_of
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


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "cost-export".

    `path`: exported files, with wildcards (`*`, `**`): .csv, .csv.gz, .parquet, or their manifest.json; in a folder, or
    in Azure Storage as https://account.blob.core.windows.net/container/....
    `include`: "models" keeps the charges of model offers, "all" every row, for tying out a whole bill.
    `credential_env`: the variable that holds an account key or SAS token of the storage; else it is read as who we are.
    """

    name: str
    kind: str
    path: str
    include: Include = "models"
    credential_env: str | None = None

    def __post_init__(self) -> None:
        if self.include not in ("models", "all"):
            raise SettingsError(
                f"source {self.name!r}: include", f"{self.include!r} is neither", 'write "models" or "all"'
            )
        if is_remote(self.path):
            blob_path(self.path, f"source {self.name!r}: path")
        if self.credential_env is not None:
            variable_name(self.credential_env, f"source {self.name!r}: credential_env")


class Export(Struct, frozen=True, kw_only=True):
    """The files of one export, and the run it is. `incomplete`: why it must not be read yet, '' if nothing is."""

    name: str
    parts: tuple[str, ...]
    modified_ns: int
    incomplete: str = ""
    run: Run = Run()


def pulls(settings: Settings, known: Known, _request: Request, session: Session) -> Iterator[CostAnswer | MonitorError]:
    """Read the exports that changed since they were last recorded, in the order of their modification time and name.

    One with the fingerprint and the modification time of another is that one, moved. An export that cannot be opened is
    an error in its place.
    """
    if is_remote(settings.path):
        yield from stored_exports(settings, known, session)
        return
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


def probe(settings: Settings, session: Session) -> Iterator[str]:
    """Ask for the first exports in Azure Storage."""
    yield from reached(session, settings.path, settings.credential_env, settings.name)


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
    return sorted(_without_older_runs(exports), key=lambda export: (export.modified_ns, export.name))


def _without_older_runs(exports: list[Export]) -> Iterator[Export]:
    """Leave the runs that a newer one says again; one that cannot be read replaces nothing."""
    whole: list[Run] = []
    for export in sorted(exports, key=lambda one: (one.run.submitted_ns or one.modified_ns, one.name), reverse=True):
        if not any(run.replaces(export.run) for run in whole):
            yield export
            if not export.incomplete:
                whole.append(export.run)


def _exports_in(folder: str, files: list[str]) -> Iterator[Export]:
    manifest = Path(folder, MANIFEST)
    listed: list[str] = []
    if manifest.is_file():
        run = _run(manifest)
        listed, incomplete = _listed(manifest, run)
        if incomplete and not listed:
            listed = [name for name in files if name != str(manifest)]
        if listed or incomplete:
            yield _export(str(manifest), listed, incomplete, run)
    left = [name for name in files if name not in listed and Path(name).name != MANIFEST]
    parts = [name for name in left if is_part(Path(name).as_posix())]
    if parts:
        # One name, however many parts there are yet: what was modified at the same time is told apart by its name.
        yield _export(str(Path(folder, PARTS)), parts)
    for name in left:
        if name not in parts:
            yield _export(name, [name])


def _run(manifest: Path) -> Run:
    try:
        return run_of(manifest.read_bytes())
    except OSError:
        return Run(wrong=NOT_READ)


def _listed(manifest: Path, run: Run) -> tuple[list[str], str]:
    """Return the parts that a manifest lists and that are here, and what is wrong with them.

    The manifest names blobs by their whole path in the container; downloaded, they lie beside it.
    """
    parts = {blob.name: str(manifest.parent / Path(blob.name).name) for blob in run.blobs}
    found = {name: _status(part) for name, part in parts.items()}
    sizes = {name: status.st_size if status else None for name, status in found.items()}
    return list(dict.fromkeys(part for name, part in parts.items() if found[name])), run.against(sizes)


def _export(name: str, parts: list[str], incomplete: str = "", run: Run = Run()) -> Export:  # noqa: B008 - frozen
    times = [status.st_mtime_ns for one in {name, *parts} if (status := _status(one))]
    modified = max(times, default=0)
    return Export(name=name, parts=tuple(parts), modified_ns=modified, incomplete=incomplete, run=run)


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
    answer = CostAnswer(name=export.name, fingerprint=fingerprint, written_at=export.modified_ns, bytes=size)
    if export.incomplete:
        return refused(answer, export.name, export.incomplete)
    if size == 0:
        return answer
    parts = [Part(name, name) for name in export.parts]
    try:
        return read_parts(answer, parts, include, catalogue, export.run.rows)
    except RefusedError as error:
        return refused(answer, error.at, error.reason)
