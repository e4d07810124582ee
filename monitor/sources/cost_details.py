"""Source kind `cost-details`: what Azure billed, from the reports that Cost Management generates when asked.

A collection: 1 for every month that is not closed yet, and was not asked for in the last hours, have its report
generated (monitor.sources.azure.cost_report); 2 fetch its files to a folder that is gone afterwards; 3 read them as
cost exports are read, leaving rows of days that were not asked for; 4 every month is one answer, which replaces its
days. Where Azure knows nothing the answer is about no day, so that nothing is wiped.
"""

import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, structs

from monitor.domain.period import day_number, instant_of_nanoseconds, month, nanoseconds
from monitor.errors import MonitorError, SettingsError
from monitor.sources.azure.cost_client import MalformedAnswerError
from monitor.sources.azure.cost_report import CostReports, ExpiredError, FailedReportError, Report
from monitor.sources.azure.cost_request import CLOSED_AFTER, Days, months_of
from monitor.sources.azure.cost_scope import Scope, scope_named
from monitor.sources.azure.refusals import Need
from monitor.sources.cost_answer import CostAnswer, Known
from monitor.sources.cost_reading import Part, RefusedError, read_parts, refused
from monitor.sources.cost_rows import Include
from monitor.sources.request import Request
from monitor.sources.session import Session

KIND = "cost-details"
YIELDS = "charges"

Metric = Literal["ActualCost", "AmortizedCost"]

REFRESHED = timedelta(hours=4)
"""How often Azure's own data changes (azure.md, 1.3); to generate a report sooner says nothing new."""
MONTHS_BACK = 13
"""How far back reports reach (azure.md, 1.6)."""
OTHER_DAY = "of a day that was not asked for"
WITHOUT_REPORTS = ("resource group", "management group")
"""The forms of scope of which Azure generates none (azure.md, 1.6)."""

logger = logging.getLogger(__name__)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "cost-details".

    `scope`: /subscriptions/<GUID>, or a billing account, billing profile, invoice section, department, enrollment
    account or customer, as Azure writes it; of an Enterprise or a Customer Agreement.
    `include`: "models" keeps the charges of model offers, "all" every row. `metric`: "ActualCost" or "AmortizedCost".
    """

    name: str
    kind: str
    scope: str
    include: Include = "models"
    metric: Metric = "ActualCost"

    def __post_init__(self) -> None:
        place = f"source {self.name!r}"
        remedy = "write /subscriptions/<GUID>, or the billing account, profile or department as Azure writes it"
        try:
            form = scope_named(self.scope).form
        except ValueError:
            raise SettingsError(f"{place}: scope", f"{self.scope!r} is none", remedy) from None
        if form in WITHOUT_REPORTS:
            raise SettingsError(f"{place}: scope", f"Azure generates no cost details for a {form}", remedy)
        if self.include not in ("models", "all"):
            raise SettingsError(f"{place}: include", f"{self.include!r} is neither", 'write "models" or "all"')
        if self.metric not in ("ActualCost", "AmortizedCost"):
            what = f"{self.metric!r} is neither"
            raise SettingsError(f"{place}: metric", what, 'write "ActualCost" or "AmortizedCost"')


def need(settings: Settings) -> Need:
    """Return the role that reading this source takes, and where."""
    return scope_named(settings.scope).need


def probe(settings: Settings, session: Session) -> Iterator[str]:
    """Ask for the report of yesterday, and do not wait for it."""
    yesterday = session.now.astimezone(UTC).date() - timedelta(days=1)
    asker = _Asker(settings, session)
    with closing(asker.reports):
        asker.reports.start(asker.body(Days(first=yesterday, last=yesterday)))
    yield "Cost Management generates cost details"


def pulls(settings: Settings, known: Known, request: Request, session: Session) -> Iterator[CostAnswer | MonitorError]:
    """Have the reports of every month generated that is not closed, or of those of a past period, the oldest first.

    A report that could not be generated or makes no sense is told in its place, and the other months are asked for;
    what is out of reach or forbidden ends the collection.
    """
    asker = _Asker(settings, session)
    with closing(asker.reports):
        for days in _asked(asker.scope, known, request, session.now):
            if isinstance(days, MonitorError):
                yield days
                continue
            try:
                yield asker.answer(days)
            except (MalformedAnswerError, FailedReportError) as error:
                yield error
            except MonitorError as error:
                yield error
                return


def _asked(scope: Scope, known: Known, request: Request, now: datetime) -> Iterator[Days | MonitorError]:
    """Yield the months to ask for: those of a period, or those that were not closed when they were last asked for.

    A source that is new begins with the months that are open now.
    """
    today = now.astimezone(UTC).date()
    oldest = _months_before(today, MONTHS_BACK)
    if request.period:
        last = month((request.period.end - timedelta(microseconds=1)).date()).last
        first = request.period.start.date().replace(day=1)
        if first < oldest:
            what = f"Azure generates cost details back to {oldest:%Y-%m} only"
            yield SettingsError(scope.path, what, "use exports for what is older")
        yield from months_of(max(first, oldest), last, today)
        return
    asked = {days: known[name][1] for days in months_of(oldest, today, today) if (name := _name(scope, days)) in known}
    first = min([month(today - CLOSED_AFTER).first, *(days.first for days in asked)])
    for days in months_of(first, today, today):
        if _worth_asking(days, asked.get(days), now):
            yield days


def _months_before(day: date, months: int) -> date:
    number = day.year * 12 + day.month - 1 - months
    return date(number // 12, number % 12 + 1, 1)


def _worth_asking(days: Days, asked_ns: int | None, now: datetime) -> bool:
    """Whether Azure may say of a month what it did not say the last time."""
    if asked_ns is None:
        return True
    asked = instant_of_nanoseconds(asked_ns)
    return asked.date() <= month(days.first).last + CLOSED_AFTER and now - asked >= REFRESHED


def _name(scope: Scope, days: Days) -> str:
    return f"cost details of {scope.path} {days.first:%Y-%m}"


class _Asker:
    """Turns the reports of one scope into answers."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._settings, self._session, self.scope = settings, session, scope_named(settings.scope)
        self.reports = CostReports(session, self.scope, subject=settings.name, need=need(settings))

    def body(self, days: Days) -> dict[str, Any]:
        """Return the body that asks for the report of some days, both inclusive."""
        period = {"start": days.first.isoformat(), "end": days.last.isoformat()}
        return {"metric": self._settings.metric, "timePeriod": period}

    def answer(self, days: Days) -> CostAnswer:
        """Return what Azure says of a month; a MonitorError if it says nothing that can be kept."""
        for _ in range(2):
            asked_at = nanoseconds(self._session.clock.now())
            report = self.reports.generate(self.body(days))
            try:
                return self._read(report, _name(self.scope, days), asked_at, days)
            except ExpiredError:
                logger.info("%s: the links of the report have expired; it is generated anew", self._settings.name)
        raise FailedReportError(self._settings.name, "the links of the report expire before they are used", "try later")

    def _read(self, report: Report, name: str, asked_at: int, days: Days) -> CostAnswer:
        digest, size = hashlib.sha256(f"{self._settings.include} {self._settings.metric}".encode()), 0
        with tempfile.TemporaryDirectory(prefix="maas-monitor-") as folder:
            parts = []
            for number, file in enumerate(report.files, 1):
                path = Path(folder, str(number))
                size += self.reports.fetch(report, file, path)
                parts.append(Part(f"{name}, file {number}", str(path)))
                with path.open("rb") as written:
                    digest.update(hashlib.file_digest(written, "sha256").digest())
            answer = CostAnswer(name=name, fingerprint=digest.hexdigest(), written_at=asked_at, bytes=size)
            if not size:
                return answer
            try:
                return _within(read_parts(answer, parts, self._settings.include, self._session.catalogue), days)
            except RefusedError as error:
                return refused(answer, error.at, error.reason)


def _within(answer: CostAnswer, days: Days) -> CostAnswer:
    """Leave the charges of days that were not asked for: these are not all that is known of those days."""
    first, last = day_number(days.first), day_number(days.last)
    charges = [one for one in answer.charges if first <= one.charge_period_start <= last]
    ignored = Counter(answer.ignored)
    if len(charges) < len(answer.charges):
        ignored[OTHER_DAY] += len(answer.charges) - len(charges)
    kept = {place: count for place, count in answer.days.items() if first <= place[1] <= last}
    return structs.replace(answer, charges=charges, days=kept, ignored=dict(ignored))
