"""The errors an operator can cause or mend; each builds its own message: object, what, what to do."""

from difflib import get_close_matches
from typing import ClassVar


def counted(number: int, noun: str, plural: str = "") -> str:
    """Say how many there are of something, as in "1 file" and "1,200 files"."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


class MonitorError(Exception):
    """Something an operator can mend, told in one line.

    `exit_status` is what the command line returns: 2 wrong usage or settings, 3 a source or the store out of reach.
    """

    exit_status: ClassVar[int] = 2

    def __init__(self, subject: str, what: str, remedy: str) -> None:
        self.subject, self.what, self.remedy = subject, what, remedy
        super().__init__(f"{subject}: {what}: {remedy}")


class UnknownNameError(MonitorError):
    """A name that nothing answers to; names the nearest known one."""

    def __init__(self, subject: str, kind: str, name: str, known: list[str]) -> None:
        near = get_close_matches(name, known, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
        super().__init__(subject, f"no {kind} named {name!r}", remedy)


class SettingsError(MonitorError):
    """The settings file, the environment or an argument says something that cannot be meant."""


class UnreachableError(MonitorError):
    """A source or the store could not be reached or did not answer as it should."""

    exit_status = 3
