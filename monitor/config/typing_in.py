"""From what TOML or a variable says to the type that a setting wants; messages never quote the value."""

import tomllib
from datetime import date, datetime, time
from decimal import Decimal
from difflib import get_close_matches
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec

from monitor.domain import money

_SPOKEN = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    date: "a date like 2024-11-01",
    datetime: "a date and time",
    time: "a time of day",
    list: "a list",
    tuple: "a list",
    dict: "a table",
    Decimal: "an amount",
}


class Misfit(ValueError):  # noqa: N818 - it never leaves monitor.config, which turns it into a SettingsError.
    """A value of the wrong type: what was expected, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what, self.remedy = what, remedy
        super().__init__(what)


def convert(value: Any, wanted: Any, *, from_text: bool = False) -> Any:
    """Turn a TOML value, or the text of a variable, into the wanted type; Misfit if it is another."""
    options = _options(wanted)
    if from_text and value == "" and NoneType in options:
        return None
    if Decimal in options:
        return _amount(value)
    if from_text and not _takes_text(options):
        value = parse_text(value)
    try:
        return msgspec.convert(value, wanted, strict=True)
    except msgspec.ValidationError:
        raise _misfit(value, wanted, options) from None


def _misfit(value: Any, wanted: Any, options: tuple[Any, ...]) -> Misfit:
    """Say what was expected, what came, and what to write; a name close to the value is one of ours, no secret."""
    if isinstance(value, str) and (choices := _choices(options)):
        near = get_close_matches(value.lower(), choices, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "write one of them"
        return Misfit(f"expected {spoken(wanted)}, got another text", remedy)
    remedy = "correct its value"
    if isinstance(value, str) and not _takes_text(options):
        remedy = "write it in [ ]" if _takes_list(options) else "write it without quotes"
    elif str in options and isinstance(value, int | float | date | time):
        remedy = "write it in quotes"
    return Misfit(f"expected {spoken(wanted)}, got {_SPOKEN.get(type(value), 'something else')}", remedy)


def _takes_list(options: tuple[Any, ...]) -> bool:
    return any((get_origin(option) or option) in (list, tuple) for option in options)


def _choices(options: tuple[Any, ...]) -> list[str]:
    return [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]


def parse_text(text: str) -> Any:
    """Read the text of a variable as a TOML value; text that is none stays text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def struct_in(wanted: Any) -> type[msgspec.Struct] | None:
    """Return the Struct that a type is or may be."""
    for option in _options(wanted):
        if isinstance(option, type) and issubclass(option, msgspec.Struct):
            return option
    return None


def spoken(wanted: Any) -> str:
    """Say a type in words."""
    said = []
    for option in _options(wanted):
        if get_origin(option) is Literal:
            said.append("one of " + ", ".join(repr(choice) for choice in get_args(option)))
        elif option is not NoneType:
            said.append(_SPOKEN.get(get_origin(option) or option, "a table"))
    return " or ".join(dict.fromkeys(said))


def _options(wanted: Any) -> tuple[Any, ...]:
    origin = get_origin(wanted)
    return (
        (wanted,)
        if origin is None or origin in {Literal, list, tuple, dict} or not get_args(wanted)
        else get_args(wanted)
    )


def _takes_text(options: tuple[Any, ...]) -> bool:
    return any(option is str or get_origin(option) is Literal for option in options)


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Misfit(
            f"expected an amount, got {_SPOKEN.get(type(value), 'something else')}", 'write it in quotes, like "2.50"'
        )
    try:
        return money.parse(str(value))
    except ValueError:
        raise Misfit("is not an amount", 'write a decimal with a point in quotes, like "2.50"') from None
