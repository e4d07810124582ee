"""How answers are written: one file per format, found by its presence.

A format is a module `as_<name>` with `render(answer, *, width, color) -> str`: `width` is that of the terminal in
characters, None where nothing is to be cut; `color` says whether colours are wanted. Formats that have no use for
either ignore them.
"""

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from monitor.domain.answer import Answer
from monitor.errors import UnknownNameError


class Format(Protocol):
    """What a format module offers."""

    def render(self, answer: Answer, *, width: int | None, color: bool) -> str:
        """Write an answer."""


def formats() -> list[str]:
    """Return the names of all formats."""
    return sorted(path.stem.removeprefix("as_") for path in Path(__file__).parent.glob("as_*.py"))


def render(answer: Answer, format: str, *, width: int | None = None, color: bool = False) -> str:  # noqa: A002
    """Write an answer in a format; UnknownNameError if there is no such format."""
    if format not in formats():
        raise UnknownNameError("report", "format", format, formats())
    module = cast("Format", import_module(f"{__name__}.as_{format}"))
    return module.render(answer, width=width, color=color)
