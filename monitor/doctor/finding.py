"""What the doctor finds: one thing looked at, how it stands, and the remedy."""

from typing import Literal

from msgspec import Struct

from monitor.errors import MonitorError

State = Literal["well", "note", "wrong"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing looked at: `wrong` makes the doctor fail, `note` only tells; `remedy` is '' where all is well."""

    subject: str
    state: State
    what: str
    remedy: str = ""


def well(subject: str, what: str) -> Finding:
    """All is well with it."""
    return Finding(subject=subject, state="well", what=what)


def note(subject: str, what: str, remedy: str) -> Finding:
    """It should be known, and stops nothing."""
    return Finding(subject=subject, state="note", what=what, remedy=remedy)


def wrong(subject: str, what: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(subject=subject, state="wrong", what=what, remedy=remedy)


def told_of(error: MonitorError) -> Finding:
    """Find what an error tells."""
    return wrong(error.subject, error.what, error.remedy)
