"""Coverage: how much of what was billed, and of what Azure itself metered, the logs know of.

States, the first that applies:
  only-metered      neither a log nor a bill has tokens
  not-logged        nothing logged that reports tokens
  quantity-unknown  billed, but not in tokens, or in a unit that is not known
  not-billed-yet    no charge is known, and the day's charges may still change
  never-billed      no charge is known, and the day's charges are final
  gap               the logs have fewer tokens than the bill, by more than billers round
  surplus           the logs have more
  covered           both agree
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from monitor.domain.reconcile import QUANTITY_TOLERANCE

CoverageState = Literal[
    "only-metered",
    "not-logged",
    "quantity-unknown",
    "not-billed-yet",
    "never-billed",
    "gap",
    "surplus",
    "covered",
]


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The tokens of one deployment and UTC day by who counted them; None: not known.

    `charged`: whether any charge is known; `closed`: whether the day's charges are final.
    """

    logged: int | None = None
    metered: int | None = None
    billed: Decimal | None = None
    charged: bool = False
    closed: bool = False

    @property
    def coverage(self) -> float | None:
        """The logged part of the billed tokens."""
        return _part(self.logged, self.billed)

    @property
    def metered_coverage(self) -> float | None:
        """The logged part of the metered tokens."""
        return _part(self.logged, self.metered)

    @property
    def state(self) -> CoverageState:
        """What is missing, or how both sides compare."""
        if self.logged is None:
            return "not-logged" if self.charged else "only-metered"
        if self.billed is None:
            return "quantity-unknown" if self.charged else "never-billed" if self.closed else "not-billed-yet"
        difference = self.logged - self.billed
        if abs(difference) <= abs(self.billed) * QUANTITY_TOLERANCE:
            return "covered"
        return "gap" if difference < 0 else "surplus"


def _part(logged: int | None, whole: Decimal | int | None) -> float | None:
    if logged is None or whole is None or whole <= 0:
        return None
    return float(logged / Decimal(whole))
