"""What time it is, and how to wait: read at the edges, handed to whatever must ask others at their pace."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """The clock of this machine. Tests hand in one that runs faster."""

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class TellingClock(Clock):
    """A clock that tells how long somebody is about to wait by it, and 0 when they have; a moment is not told."""

    WORTH_TELLING = 1.0

    def __init__(self, clock: Clock, tell: Callable[[float], None]) -> None:
        self._clock, self._tell = clock, tell

    def now(self) -> datetime:
        """Return the present instant."""
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        """Wait, and tell."""
        if seconds < self.WORTH_TELLING:
            self._clock.sleep(seconds)
            return
        self._tell(seconds)
        try:
            self._clock.sleep(seconds)
        finally:
            self._tell(0.0)
