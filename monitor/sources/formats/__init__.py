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
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
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
    own = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    others = [entry.load() for entry in entry_points(group=GROUP)]
    found = sorted((cast(Format, one) for one in own + others), key=lambda one: (one.AUTHORITY, one.NAME))
    return {one.NAME: one for one in found}


@cache
def named(name: str) -> Format:
    """Return the format of that name, importing no other; UnknownNameError if there is none."""
    file = name.replace("-", "_")
    if file.isidentifier() and find_spec(f"{__name__}.{file}"):
        return cast(Format, import_module(f"{__name__}.{file}"))
    if name not in formats():
        raise UnknownNameError("format", "format", name, list(formats()))
    return formats()[name]


def detect(sample: bytes) -> Format | None:
    """Say of which format a file is that begins with `sample`; None if nothing in it is recognised.

    Every JSON object among its lines has a vote, as has the file itself where it is one JSON body over many lines or an
    SSE transcript; a last line cut by the sample counts as far as it goes. On a tie the format believed more wins.
    """
    votes = Counter(one.NAME for one in map(_recognised, _records(sample[:SAMPLE_BYTES])) if one)
    names = list(formats())
    best = max(votes, key=lambda name: (votes[name], -names.index(name)), default=None)
    return formats()[best] if best else None


def _recognised(record: Mapping[str, Any]) -> Format | None:
    return next((one for one in formats().values() if one.recognises(record)), None)


def _records(sample: bytes) -> Iterator[Mapping[str, Any]]:
    text = sample.decode("utf-8-sig", errors="replace")
    lines = [line for line in text.split("\n") if line.strip()]
    found = False
    for line in lines:
        record = _object(line.removeprefix("data:"))
        if record:
            found = True
            yield record
    if not found:
        yield _leading_fields(text)
        yield _leading_fields(lines[-1] if lines else "")


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
