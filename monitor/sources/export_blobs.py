"""Cost exports in Azure Storage: which of them count, and how little of them has to be fetched.

1 list all blobs below the path; 2 read the manifests, but none of a run that was found replaced before; 3 of the runs
of one export in one month, from the newest to the oldest, read the first that is whole, unless its ETags tell that it
was read before; 4 note those that it replaces, without fetching them; 5 read what lies there without a manifest, oldest
first. Files are fetched one export at a time to a folder that is gone afterwards, with the ETags they were listed with:
one that is overwritten meanwhile is told, and read the next time.
"""

import hashlib
import io
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from monitor.domain.period import nanoseconds
from monitor.errors import MonitorError
from monitor.sources.azure.storage import ChangedError, Container, Listed, container_client
from monitor.sources.cost_answer import CostAnswer, Known
from monitor.sources.cost_reading import Part, RefusedError, read_parts, refused
from monitor.sources.export_manifest import ENDINGS, MANIFEST, NOT_READ, PARTS, Run, is_part, run_of
from monitor.sources.objects import expression

if TYPE_CHECKING:
    from monitor.sources.cost_export import Settings
    from monitor.sources.session import Session

MOST_MANIFEST_BYTES = 1 << 24
DAMAGED = "damaged"
NO_MANIFEST = "its manifest is not there yet"
NOT_LISTED = "the manifest beside it does not list it"
A_DAY = 86_400 * 10**9
"""In nanoseconds. A run that has no manifest by then never gets one."""


class Stored(Struct, frozen=True, kw_only=True):
    """One export in a container, `parts` without its manifest.

    `wrong`: why it is refused, `left`: why it is left alone; '' if nothing is against it.
    """

    name: str
    parts: tuple[Listed, ...]
    written_at: int
    manifest: Listed | None = None
    run: Run = Run()
    wrong: str = ""
    left: str = ""

    def answer(self, include: str, outcome: str = "") -> CostAnswer:
        """Return an empty answer, whose fingerprint is the same for the same files, settings and outcome of reading."""
        parts = sorted(f"{part.name} {part.etag} {part.size}" for part in self.parts)
        said = "\n".join([include, self.wrong, self.left, outcome, *parts])
        return CostAnswer(
            name=self.name,
            fingerprint=hashlib.sha256(said.encode()).hexdigest(),
            written_at=self.written_at,
            bytes=0 if self.wrong or self.left else sum(part.size for part in self.parts),
        )


def stored_exports(settings: "Settings", known: Known, session: "Session") -> Iterator[CostAnswer | MonitorError]:
    """Yield the exports that changed since they were recorded; one that is being written to is an error in its place.

    Raises a MonitorError when the container does not answer.
    """
    with container_client(session, settings.path, settings.credential_env, settings.name) as container:
        pattern = re.compile(expression(container.path.pattern or "**", settings.name))
        found = _Found(list(container.list(container.path.prefix)), pattern)
        fetch = _Fetch(container, settings, known, session)
        runs = [fetch.run(manifest, found) for manifest in found.manifests if not fetch.is_known(_replaced(manifest))]
        for group in _by_month(runs):
            yield from fetch.newest(group)
        for export in found.without_manifest(runs, session.now):
            answer = fetch.one(export)
            if answer:
                yield answer


class _Found:
    """What lies in a container. What is in the folder of a manifest belongs to it."""

    def __init__(self, listed: list[Listed], pattern: re.Pattern[str]) -> None:
        self.blobs = {blob.name: blob for blob in listed}
        data = [blob for blob in listed if blob.name.lower().endswith(ENDINGS)]
        self._wanted = [blob for blob in data if pattern.fullmatch(blob.name)]
        # A run of which no file is there is told, though nothing in its folder is like the path.
        elsewhere = {_folder(blob) for blob in data} - {_folder(blob) for blob in self._wanted}
        manifests = [blob for blob in listed if blob.name.rpartition("/")[2] == MANIFEST]
        self._taken = {_folder(blob) for blob in manifests}
        self.manifests = [blob for blob in manifests if _folder(blob) not in elsewhere]

    def without_manifest(self, runs: Sequence[Stored], now: datetime) -> Iterator[Stored]:
        """Yield the exports that no manifest is about, oldest first."""
        listed = {part.name for run in runs for part in run.parts}
        asked = {run.name.rpartition("/")[0] for run in runs}
        exports: list[Stored] = []
        parts: dict[str, list[Listed]] = defaultdict(list)
        for blob in self._wanted:
            if _folder(blob) in self._taken:
                if _folder(blob) in asked and blob.name not in listed:
                    exports.append(_single(blob, NOT_LISTED))
            elif is_part(blob.name):
                parts[_folder(blob)].append(blob)
            else:
                exports.append(_single(blob, blob.unreadable))
        exports += [_joined(folder, some, now) for folder, some in parts.items()]
        yield from sorted(exports, key=lambda export: (export.written_at, export.name))


class _Fetch:
    """Fetches and reads exports of one container, but not those that are known as they are."""

    def __init__(self, container: Container, settings: "Settings", known: Known, session: "Session") -> None:
        self._container, self._include, self._known = container, settings.include, known
        self._catalogue = session.catalogue

    def is_known(self, answer: CostAnswer) -> bool:
        """Whether this answer is the one recorded last under its name."""
        return self._known.get(answer.name, ("", 0))[0] == answer.fingerprint

    def run(self, manifest: Listed, found: _Found) -> Stored:
        """Return the run that a manifest is about."""
        said = Run() if manifest.unreadable else self._manifest(manifest)
        parts = [found.blobs[blob.name] for blob in said.blobs if blob.name in found.blobs]
        return Stored(
            name=manifest.name,
            manifest=manifest,
            parts=tuple(parts),
            written_at=manifest.modified_ns if said.submitted_ns is None else said.submitted_ns,
            run=said,
            wrong=said.against({part.name: part.size for part in parts}),
            left=next((blob.unreadable for blob in (manifest, *parts) if blob.unreadable), ""),
        )

    def newest(self, runs: Sequence[Stored]) -> Iterator[CostAnswer | MonitorError]:
        """Yield of the runs of a month those that count, from the newest on, and a note of those that are replaced."""
        whole: list[Run] = []
        for one in sorted(runs, key=lambda run: (run.written_at, run.name), reverse=True):
            if one.manifest and any(run.replaces(one.run) for run in whole):
                yield _replaced(one.manifest)
                continue
            answer = self.one(one)
            if answer:
                yield answer
            read = self.is_known(one.answer(self._include)) if answer is None else _is_of(answer, one, self._include)
            if read and not one.wrong and not one.left:
                whole.append(one.run)

    def one(self, export: Stored) -> CostAnswer | MonitorError | None:
        """Return what an export says, an error if it cannot be had now, None if it was recorded as it is."""
        answer, damaged = export.answer(self._include), export.answer(self._include, DAMAGED)
        if self.is_known(answer) or self.is_known(damaged):
            return None
        if export.left:
            answer.ignored[export.left] = 1
        elif export.wrong:
            return refused(answer, export.name, export.wrong)
        elif answer.bytes:
            try:
                return self._read(export, answer)
            except ChangedError as changed:
                return changed
            except RefusedError as error:
                return refused(damaged, error.at, error.reason)
        return answer

    def _read(self, export: Stored, answer: CostAnswer) -> CostAnswer:
        with tempfile.TemporaryDirectory(prefix="maas-monitor-") as folder:
            fetched = []
            for number, part in enumerate(export.parts):
                path = Path(folder, str(number))
                with path.open("wb") as file:
                    self._container.download(part, file)
                fetched.append(Part(part.name, str(path)))
            return read_parts(answer, fetched, self._include, self._catalogue, export.run.rows)

    def _manifest(self, manifest: Listed) -> Run:
        if manifest.size > MOST_MANIFEST_BYTES:
            return Run(wrong=NOT_READ)
        data = io.BytesIO()
        try:
            self._container.download(manifest, data)
        except ChangedError:
            # Somebody is writing it, or took it away.
            return Run(wrong=NOT_READ)
        return run_of(data.getvalue())


def _is_of(answer: CostAnswer | MonitorError, export: Stored, include: str) -> bool:
    """Whether the answer is what the export says, and not why it says nothing."""
    return isinstance(answer, CostAnswer) and answer.fingerprint == export.answer(include).fingerprint


def _replaced(manifest: Listed) -> CostAnswer:
    """Return the note that a newer run says all that this one said: an answer about no day."""
    said = hashlib.sha256(f"replaced {manifest.etag}".encode()).hexdigest()
    return CostAnswer(name=manifest.name, fingerprint=said, written_at=manifest.modified_ns, bytes=0)


def _by_month(runs: Sequence[Stored]) -> Iterator[list[Stored]]:
    """Put the runs together that may replace each other: of one export, beginning in one month."""
    groups: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for run in runs:
        groups[(run.run.export, run.run.start[:7]) if run.run.export else ("", run.name)].append(run)
    yield from groups.values()


def _single(blob: Listed, left: str) -> Stored:
    return Stored(name=blob.name, parts=(blob,), written_at=blob.modified_ns, left=left)


def _joined(folder: str, parts: Sequence[Listed], now: datetime) -> Stored:
    """Return the parts in a folder as one export; they may be those of a run that is being written."""
    written_at = max(part.modified_ns for part in parts)
    return Stored(
        name=f"{folder}/{PARTS}".lstrip("/"),
        parts=tuple(sorted(parts, key=lambda part: part.name)),
        written_at=written_at,
        wrong=NO_MANIFEST if written_at > nanoseconds(now) - A_DAY else "",
        left=next((part.unreadable for part in parts if part.unreadable), ""),
    )


def _folder(blob: Listed) -> str:
    return blob.name.rpartition("/")[0]
