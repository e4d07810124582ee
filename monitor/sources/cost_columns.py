"""Which column of a cost export holds what: by name, whatever the family, the case, the language or the order."""

import re
import tomllib
from collections.abc import Sequence
from functools import cache

from msgspec import Struct

from monitor.folders import folder

FILE = "cost_columns.toml"

_ENGLISH = re.compile(r"^(?P<local>.*?)\s*\((?P<english>[^()]*)\)\s*$")


class Columns(Struct, frozen=True, kw_only=True):
    """Where each field is: positions in order of preference, none if the export does not have it.

    `focus`: the costs are FOCUS's BilledCost. `localised`: some header is in another language than English.
    """

    positions: dict[str, tuple[int, ...]]
    width: int
    focus: bool
    localised: bool

    def first(self, field: str) -> int | None:
        """Return the position of the preferred column of a field."""
        return next(iter(self.positions.get(field, ())), None)

    def missing(self) -> list[str]:
        """Return which of the fields that make a file a cost export it lacks."""
        return [field for field in ("day", "cost") if field not in self.positions]


def columns_of(header: Sequence[str]) -> Columns:
    """Find the fields in a header; of two columns with one name the first counts."""
    known = _known()
    found: dict[str, dict[int, int]] = {}
    names = [_name(cell) for cell in header]
    for position, name in enumerate(names):
        for field, rank in known.get(name, ()):
            found.setdefault(field, {}).setdefault(rank, position)
    return Columns(
        positions={field: tuple(ranked[rank] for rank in sorted(ranked)) for field, ranked in found.items()},
        width=len(header),
        focus="billedcost" in names,
        localised=any(_is_local(cell) for cell in header),
    )


@cache
def _known() -> dict[str, list[tuple[str, int]]]:
    """Return, per plain column name, the fields it can be and how far down their list it stands."""
    fields = tomllib.loads((folder("data") / FILE).read_text("utf-8"))
    known: dict[str, list[tuple[str, int]]] = {}
    for field, names in fields.items():
        for rank, name in enumerate(names):
            known.setdefault(_plain(name), []).append((field, rank))
    return known


def _name(cell: str) -> str:
    """Return the plain name a header cell stands for: the English one in brackets where there is one, else its own."""
    both = _ENGLISH.match(cell)
    if both and _plain(both["english"]) in _known():
        return _plain(both["english"])
    if both and _plain(both["local"]) in _known():
        return _plain(both["local"])
    return _plain(cell)


def _is_local(cell: str) -> bool:
    both = _ENGLISH.match(cell)
    return bool(both and _plain(both["local"]) != _plain(both["english"])) or not cell.isascii()


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
