"""What time it is, and how to wait: read at the edges, handed to whatever must ask others at their pace."""

import time
from datetime import UTC, datetime


class Clock:
    """The clock of this machine. Tests hand in one that runs faster."""

    def now(self) -> datetime:
        """Return the present instant, aware and in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
