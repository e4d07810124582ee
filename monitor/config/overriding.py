"""The environment as a second settings file: which variables were meant for which setting, and which for none."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from monitor.errors import SettingsError

NOT_SETTINGS = frozenset({"MONITOR_CONFIG", "MONITOR_STORE", "MONITOR_AZURE_TOKEN"})


def environment_name(*parts: str) -> str:
    """Join parts to the name of a variable: upper case, everything else than letters and digits as `_`."""
    return "_".join(re.sub(r"[^A-Za-z0-9]", "_", part).upper() for part in parts)


class Overrides:
    """The variables of one reading of the settings, and which of them were taken."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = {name: text for name, text in environ.items() if name.startswith("MONITOR_")}
        self._offered: set[str] = set()

    def peek(self, name: str) -> str | None:
        """Look at a variable without taking it."""
        return self._environ.get(name)

    def take(self, name: str) -> str | None:
        """Return the text of a variable, if it is set; SettingsError when two settings go by its name."""
        if name in self._offered and name in self._environ:
            raise SettingsError(name, "fits two settings", "rename one of the items, or write the value in the file")
        self._offered.add(name)
        return self._environ.get(name)

    def any_below(self, prefix: str) -> bool:
        """Whether a variable is set for a field of a nested table."""
        return any(name.startswith(f"{prefix}_") for name in self._environ)

    def below(self, prefix: str, fields: Iterable[str]) -> dict[str, str]:
        """Take every variable below a prefix, by field; the spelling of known fields is kept."""
        spelling = {environment_name(field): field for field in fields}
        taken = {}
        for name in sorted(self._environ):
            rest = name.removeprefix(f"{prefix}_")
            if rest != name and name not in NOT_SETTINGS:
                taken[spelling.get(rest, rest.lower())] = self.take(name) or ""
        return taken

    def refuse_unused(self, tables: Iterable[str]) -> None:
        """Refuse a variable that names a table of ours and no setting in it: a misspelt override would be silent."""
        prefixes = tuple(f"MONITOR_{environment_name(table)}_" for table in tables)
        for name in sorted(self._environ):
            if name.startswith(prefixes) and name not in self._offered | NOT_SETTINGS:
                near = get_close_matches(name, self._offered, n=1)
                raise SettingsError(name, "overrides no setting", f"did you mean {near[0]}?" if near else "unset it")
