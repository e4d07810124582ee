"""How long an answer asks to wait, by its headers: all of Azure's services say so in headers that end alike."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

ENDING = "retry-after"
LONGEST = 1e6
"""Seconds; whoever asks for more means never."""


def asked_to_wait(headers: Mapping[str, str], now: datetime) -> dict[str, float]:
    """Return the seconds that each header asks to wait, given in seconds or as a date, by its name in lower case.

    Any header that ends in retry-after counts, and the longest of them is meant (azure.md, 1.4).
    """
    said = {name.lower(): _seconds(value, now) for name, value in headers.items() if name.lower().endswith(ENDING)}
    return {name: seconds for name, seconds in said.items() if seconds is not None}


def _seconds(text: str, now: datetime) -> float | None:
    try:
        return min(max(0.0, float(text)), LONGEST)
    except ValueError:
        pass
    try:
        return min(max(0.0, (parsedate_to_datetime(text) - now).total_seconds()), LONGEST)
    except (ValueError, TypeError):
        return None
