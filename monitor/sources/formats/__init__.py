"""The log formats, one file each, found by their presence.

A format is a module with
  NAME       what settings and the command line call it
  AUTHORITY  how far it is believed when several sources saw the same request (lowest wins)
  FRAMING    "lines": every line is one record; "document": a file may also be one JSON body or one SSE transcript
  recognises(record)  whether a decoded JSON object is of this format; what `auto` asks
  decode(record, read) -> Outcome or a list of them: the bytes of one record; pure, and it never raises on bad input
Its file is called like it, with underscores. Others add theirs as entry points of the group `maas_monitor.formats`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from json import JSONDecoder
from pkgutil import iter_modules
from typing import Any, Literal, Protocol, cast

from monitor.domain.records import Outcome
from monitor.errors import UnknownNameError
from monitor.sources.reading import Reading
from monitor.sources.second_look import UnreadableError, loads

GROUP = "maas_monitor.formats"
SAMPLE_BYTES = 64 * 1024


class Format(Protocol):
    """What a format's module offers."""

    NAME: str
    AUTHORITY: int
    FRAMING: Literal["lines", "document"]

    def recognises(self, record: Mapping[str, Any]) -> bool:
        """Say whether a decoded JSON object is of this format."""

    def decode(self, record: bytes, read: Reading) -> Outcome | list[Outcome]:
        """Decode the bytes of one record."""


@cache
def formats() -> dict[str, Format]:
    """Return every format by its name, those believed most first."""
    from importlib.metadata import entry_points

    own = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    others = [entry.load() for entry in entry_points(group=GROUP)]
    found = sorted((cast(Format, one) for one in own + others), key=lambda one: (one.AUTHORITY, one.NAME))
    return {one.NAME: one for one in found}


@cache
def named(name: str) -> Format:
    """Return the format of that name, importing no other; UnknownNameError if there is none."""
    file = name.replace("-", "_")
    if file.isidentifier() and not file.startswith("_") and find_spec(f"{__name__}.{file}"):
        module = cast(Format, import_module(f"{__name__}.{file}"))
        if name == module.NAME:
            return module
    if name not in formats():
        raise UnknownNameError("format", "format", name, list(formats()))
    return formats()[name]


def detect(sample: bytes) -> Format | None:
    """Say of which format a file is that begins with `sample`; None if nothing in it is recognised.

    Every line that is a JSON object, or the data of a stream, has a vote; where none is recognised, the file itself as
    one JSON body over many lines, and the last line as far as the sample goes. On a tie the format believed more wins.
    """
    text = sample[:SAMPLE_BYTES].decode("utf-8-sig", errors="replace")
    lines = [line for line in text.split("\n") if line.strip()]
    votes = _votes(_object(line.removeprefix("data:")) for line in lines)
    if not votes and lines:
        votes = _votes([_leading_fields(text), _leading_fields(lines[-1])])
    return next((one for name, one in formats().items() if votes[name] == max(votes.values())), None) if votes else None


def _votes(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    known = formats().values()
    recognised = (next((one for one in known if one.recognises(record)), None) for record in records)
    return Counter(one.NAME for one in recognised if one)


def _object(text: str) -> dict[str, Any]:
    try:
        value = loads(text)
    except UnreadableError:
        return {}
    return value if isinstance(value, dict) else {}


_KEY = re.compile(r'\s*[{,]\s*"((?:[^"\\]|\\.)*)"\s*:\s*')


def _leading_fields(text: str) -> dict[str, Any]:
    """Return the fields of a JSON object up to where it is cut or broken."""
    fields: dict[str, Any] = {}
    decoder = JSONDecoder()
    at = 0
    while match := _KEY.match(text, at):
        try:
            fields[match[1]], at = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            fields.setdefault(match[1], None)
            break
    return fields
