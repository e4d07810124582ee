"""Prints the part of requirements.txt that the named parts of the project need, with its hashes.

    python .ci/locked.py dependencies build      what `make demo` installs
    python .ci/locked.py dependencies all test   the program with every extra, and what its tests need

A part is `dependencies`, an extra or a dependency group of pyproject.toml. Who needs whom stands in the lock file's own
"# via" comments; the lock is one file, so that every environment has the same versions.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def name_of(requirement: str) -> str:
    """The normalised name at the start of a requirement."""
    found = NAME.match(requirement.strip())
    if found is None:
        raise SystemExit(f"{requirement!r} is not a requirement")
    return re.sub(r"[-_.]+", "-", found.group()).lower()


def roots(part: str, settings: dict[str, Any]) -> set[str]:
    """The packages that a part names itself; SystemExit if there is no such part."""
    project, groups = settings["project"], settings["dependency-groups"]
    listed = {"dependencies": project["dependencies"], **project["optional-dependencies"], **groups}
    if part not in listed:
        raise SystemExit(f"no part named {part!r}; there are {', '.join(listed)}")
    found: set[str] = set()
    for entry in listed[part]:
        if isinstance(entry, dict):
            found |= roots(entry["include-group"], settings)
        elif name_of(entry) == project["name"]:
            for extra in re.findall(r"[\w-]+", entry.partition("[")[2].partition("]")[0]):
                found |= roots(extra, settings)
        else:
            found.add(name_of(entry))
    return found


def entries(lock: str) -> list[tuple[str, set[str], str]]:
    """Name, names of those that need it, and text of every entry of the lock; one name may have several (by marker)."""
    found = []
    for text in re.split(r"(?m)^(?=[a-z0-9])", lock):
        if text.strip():
            needed_by = re.findall(r"(?m)^    #\s+(?:via )?([a-z0-9][a-z0-9._-]*)", text)
            found.append((name_of(text), set(needed_by) - {"via"}, text))
    return found


def needed(wanted: set[str], locked: list[tuple[str, set[str], str]]) -> set[str]:
    """Those wanted and all that they need, however far away."""
    while True:
        more = {name for name, needed_by, _ in locked if needed_by & wanted} - wanted
        if not more:
            return wanted
        wanted = wanted | more


def main(parts: list[str]) -> None:
    """Print the entries that the parts need; SystemExit if the lock lacks one."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = entries((ROOT / "requirements.txt").read_text())
    wanted = needed(set().union(*(roots(part, settings) for part in parts)), locked)
    missing = wanted - {name for name, _, _ in locked}
    if missing:
        raise SystemExit(f"requirements.txt lacks {', '.join(sorted(missing))}: run make lock")
    sys.stdout.write("".join(text for name, _, text in locked if name in wanted))


if __name__ == "__main__":
    main(sys.argv[1:])
