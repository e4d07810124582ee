"""What the report benchmark is about."""

from datetime import date

from monitor.domain.period import Period

DEPLOYMENTS = 232
PERIOD = Period(first=date(2026, 9, 1), last=date(2026, 9, 30))
