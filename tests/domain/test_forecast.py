"""What a running month will have cost."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from monitor.domain.forecast import cost_at_end, days_left
from monitor.domain.period import Period

NOVEMBER = Period(first=date(2026, 11, 1), last=date(2026, 11, 30))


@pytest.mark.parametrize(
    ("now", "left"),
    [
        (datetime(2026, 11, 30, 18, tzinfo=UTC), "0.25"),
        (datetime(2026, 11, 1, tzinfo=UTC), "30"),
        (datetime(2026, 12, 5, tzinfo=UTC), "0"),
    ],
)
def test_the_running_day_counts_with_what_is_left_of_it(now: datetime, left: str) -> None:
    assert days_left(NOVEMBER, now) == Decimal(left)


def test_the_mean_day_is_added_for_every_day_left() -> None:
    assert cost_at_end(Decimal(10), [Decimal(1), Decimal(2)], Decimal("2.5")) == Decimal("13.75")


def test_a_forecast_is_rounded_and_only_once() -> None:
    assert cost_at_end(Decimal(0), [Decimal(1), Decimal(0), Decimal(0)], Decimal(3)) == 1


def test_there_is_no_forecast_without_a_complete_day() -> None:
    with pytest.raises(ValueError, match="no complete day"):
        cost_at_end(Decimal(1), [], Decimal(1))
