"""Local objects: finding them, and knowing them again after rotation.

An object is known by its bytes, not by its name or inode: the last 1 KiB before the position we have read to must be
the same (hashes of the first line, or inodes, lose lines when logs rotate).
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from glob import escape, iglob
from io import FileIO, RawIOBase
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct, json, structs

from monitor.domain.stretch import Cursor
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.opening import COMPRESSED, Damage, first_bytes, holds
from monitor.sources.parse import FINGERPRINT_BYTES, fingerprint

_LABEL = re.compile(r"\{([a-z_]+)\}")
LABELS = ("workspace", "deployment", "model", "region")


class Found(Struct, frozen=True, kw_only=True):
    """An object that the path of a source names; `labels` come from the braces in the path."""

    path: str
    labels: dict[str, str]
    size: int
    modified_ns: int
    inode: int

    @property
    def seen(self) -> str:
        """Changes whenever the object may have changed."""
        return f"{self.size}:{self.modified_ns}"

    @property
    def compressed(self) -> bool:
        """Whether reading means decompressing."""
        return self.path.endswith(COMPRESSED)

    def label_text(self) -> str:
        """The labels as one text, for comparing and keeping."""
        return label_text(self.labels)

    def open(self, position: int = 0) -> RawIOBase:
        """Open the file from a position on."""
        file = FileIO(self.path)
        file.seek(position)
        return file


def label_text(labels: Mapping[str, str]) -> str:
    """Write labels as one text: a JSON object, '' without any."""
    return json.encode(labels, order="sorted").decode() if labels else ""


def find(pattern: str, subject: str) -> Iterator[Found]:
    """Yield the files that a path with wildcards and {labels} names, by name.

    `**` crosses folders, `*` and {labels} do not. Compressed companions (`.gz`, `.zst`) of what the pattern names are
    found too, unless what they are a copy of is still there: it is being compressed.
    """
    matcher = re.compile(expression(pattern, subject) + r"(?:\.gz|\.zst)?")
    globs = [_wildcards(pattern) + ending for ending in ("", ".gz", ".zst")]
    paths = {path for one in globs for path in iglob(one, recursive=True)}  # noqa: PTH207 - a pattern of any folder
    for path in sorted(paths):
        matched = matcher.fullmatch(path)
        status = _status(path) if matched else None
        if matched is None or status is None or (path.endswith(COMPRESSED) and _is_copy(path, paths)):
            continue
        yield _found(path, status, {name: value for name, value in matched.groupdict().items() if value})


def found_at(path: str) -> Found:
    """Return what lies at a path, without labels; OSError if nothing does."""
    return _found(path, os.stat(path), {})  # noqa: PTH116


def _found(path: str, status: os.stat_result, labels: dict[str, str]) -> Found:
    return Found(path=path, labels=labels, size=status.st_size, modified_ns=status.st_mtime_ns, inode=status.st_ino)


def _status(path: str) -> os.stat_result | None:
    """What the system says of a file; None if it is none, or is gone since it was listed."""
    try:
        status = os.stat(path)  # noqa: PTH116 - one call per object, many objects
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _is_copy(path: str, paths: set[str]) -> bool:
    """Whether a compressed file begins like the plain one that it is named after."""
    plain = path.rpartition(".")[0]
    if plain not in paths:
        return False
    try:
        return beginning(path, FINGERPRINT_BYTES)[0] == beginning(plain, FINGERPRINT_BYTES)[0]
    except OSError:
        return False


def _wildcards(pattern: str) -> str:
    return _LABEL.sub("*", pattern)


def expression(pattern: str, subject: str, places: Mapping[str, str] = MappingProxyType({})) -> str:
    """Turn a path with wildcards and {labels} into a regular expression with named groups.

    `places`: further names in braces, and what may stand in their place.
    """
    parts, position, seen = [], 0, set()
    for token in re.finditer(r"\{([a-z_]+)\}|\*\*/?|\*|\?|\[[^\]]+\]", pattern):
        parts.append(re.escape(pattern[position : token.start()]))
        position = token.end()
        label = token.group(1)
        if label:
            if label not in (*LABELS, *places):
                known = ", ".join((*LABELS, *places))
                raise SettingsError(subject, f"the path has an unknown label {{{label}}}", f"labels are {known}")
            parts.append(f"(?P={label})" if label in seen else f"(?P<{label}>{places.get(label, '[^/]+')})")
            seen.add(label)
        else:
            parts.append(
                {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token.group()) or _class(token.group())
            )
    parts.append(re.escape(pattern[position:]))
    return "".join(parts)


def _class(brackets: str) -> str:
    """Turn `[...]` of a path into the same set of characters in a regular expression."""
    inside = brackets[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    return f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]"


def literal(path: str) -> str:
    """Write a path so that `find` takes it as it stands."""
    return escape(str(Path(path).absolute()))


def beginning(path: str, size: int) -> tuple[bytes, Damage | None]:
    """The first bytes of a file, or what there is of them, and what broke it there."""
    return first_bytes(found_at(path), size)


class Known:
    """The cursors of one source, as they were when its collection began, and the objects that they go on in."""

    def __init__(self, cursors: Iterable[Cursor]) -> None:
        self._by_name: dict[str, list[Cursor]] = {}
        self._by_head: dict[str, list[Cursor]] = {}
        self._short: dict[int, dict[str, list[Cursor]]] = {}
        self._generations: dict[str, int] = {}
        for cursor in sorted(cursors, key=lambda one: (-one.position, -one.generation)):
            self._by_name.setdefault(cursor.name, []).append(cursor)
            self._generations[cursor.object] = max(self._generations.get(cursor.object, 0), cursor.generation)
            if cursor.position >= FINGERPRINT_BYTES:
                self._by_head.setdefault(cursor.head, []).append(cursor)
            elif cursor.position:
                self._short.setdefault(cursor.position, {}).setdefault(cursor.head, []).append(cursor)

    def continued(self, found: Iterable[Found]) -> Iterator[tuple[Found, Cursor | MonitorError]]:
        """Yield every object with the cursor from which reading goes on.

        1 an object that looks as it did keeps its cursor and is not opened; 2 the others take the cursors whose bytes
        they hold, the furthest first and, among equals, that of their own name first: they grew, were renamed, or were
        copied and then truncated; 3 who is left over is new, in the next generation of its name. No cursor goes on in
        two objects.
        """
        listed = list(found)
        claimed: dict[str, Cursor | MonitorError] = {}
        claimed |= {one.path: cursor for one in listed if (cursor := self._unchanged(one))}
        taken = {cursor.key for cursor in claimed.values() if isinstance(cursor, Cursor)}
        matches: list[tuple[int, bool, Found, Cursor]] = []
        for one in listed:
            try:
                matches += [] if one.path in claimed else self._matches(one, taken)
            except OSError as error:
                claimed[one.path] = unreadable(one.path, error)
        for _, _, one, cursor in sorted(matches, key=lambda match: match[:2]):
            if one.path not in claimed and cursor.key not in taken:
                claimed[one.path] = structs.replace(cursor, name=one.path)
                taken.add(cursor.key)
        for one in listed:
            yield one, claimed.get(one.path) or self._new(one)

    def _unchanged(self, found: Found) -> Cursor | None:
        own = self._by_name.get(found.path, [])
        return next((one for one in own if one.seen == found.seen and one.labels == found.label_text()), None)

    def _matches(self, found: Found, taken: set[str]) -> Iterator[tuple[int, bool, Found, Cursor]]:
        first, _ = beginning(found.path, FINGERPRINT_BYTES)
        labels = found.label_text()
        alike = list(self._by_head.get(fingerprint(first), []))
        for position, by_head in self._short.items():
            if position <= len(first):
                alike += by_head.get(fingerprint(first[:position]), [])
        for cursor in alike:
            if cursor.key not in taken and cursor.labels == labels and holds(found, cursor):
                yield -cursor.position, cursor.name != found.path, found, cursor

    def _new(self, found: Found) -> Cursor:
        for own in self._by_name.get(found.path, []):
            if own.position == 0 and own.labels == found.label_text():
                return own
        generation = self._generations.get(found.path, 0) + 1
        self._generations[found.path] = generation
        return Cursor(name=found.path, object=found.path, generation=generation, labels=found.label_text())


def unreadable(path: str, error: OSError) -> UnreachableError:
    """Tell that a file cannot be read."""
    return UnreachableError(path, error.strerror or "cannot be read", "check its permissions")
