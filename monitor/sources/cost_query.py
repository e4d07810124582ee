"""Source kind `cost-query`: what Azure billed, asked of Cost Management itself.

A collection: 1 ask for every month that is not closed yet, whole UTC days; 2 where Azure refuses the best query, ask
the next (monitor.sources.azure.cost_request); 3 where an answer looks cut off, ask for fewer days and believe the finer
answer; 4 read the rows into charges, ignored and rejected ones, with the days they are of. Every answer says all it
knows about its days and replaces them (monitor.store.charges). A day without a row is one without charges if it lies
between days with some; before the first and after the last nothing is said, and what is known of them stays.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

from msgspec import Struct

from monitor.domain.period import day_number, instant_of_nanoseconds, month, nanoseconds
from monitor.errors import MonitorError, SettingsError
from monitor.sources.azure.cost_client import CostClient, MalformedAnswerError, RefusedQueryError
from monitor.sources.azure.cost_request import (
    CLOSED_AFTER,
    GROUPINGS,
    Days,
    Grouping,
    charges_body,
    months_of,
    units_body,
)
from monitor.sources.azure.cost_response import Query, Table, answers, days_said, table_of, units_of
from monitor.sources.azure.cost_scope import Scope, scope_named
from monitor.sources.azure.refusals import Need
from monitor.sources.cost_answer import CostAnswer, Known
from monitor.sources.cost_rows import Include
from monitor.sources.request import Request
from monitor.sources.session import Session

KIND = "cost-query"
YIELDS = "charges"

FURTHEST = timedelta(days=396)
"""How far back a collection catches up by itself after a long pause: 13 months; backfill goes further."""

logger = logging.getLogger(__name__)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "cost-query".

    `scope`: /subscriptions/<GUID>, a resource group in one, a management group, or a billing scope, as Azure writes it.
    `requests_per_minute`: how often this scope is asked by all processes together. `include`: "models" keeps the
    charges of model offers, "all" every row.
    """

    name: str
    kind: str
    scope: str
    requests_per_minute: int = 4
    include: Include = "models"

    def __post_init__(self) -> None:
        try:
            scope_named(self.scope)
        except ValueError:
            remedy = "write /subscriptions/<GUID>, with /resourceGroups/<name>, or a management group or billing scope"
            raise SettingsError(f"source {self.name!r}: scope", f"{self.scope!r} is none", remedy) from None
        if self.requests_per_minute < 1:
            raise SettingsError(
                f"source {self.name!r}: requests_per_minute", "is below 1", "write 4, which Azure allows"
            )
        if self.include not in ("models", "all"):
            raise SettingsError(
                f"source {self.name!r}: include", f"{self.include!r} is neither", 'write "models" or "all"'
            )


def conflicts(sources: Sequence[Settings]) -> None:
    """Refuse sources of this kind that would bill the same twice: one's scope lies in the other's."""
    for one, other in combinations(sources, 2):
        first, second = scope_named(one.scope), scope_named(other.scope)
        if first.contains(second) or second.contains(first):
            what = f"its scope and that of source {other.name!r} lie in one another, so charges would count twice"
            raise SettingsError(f"source {one.name!r}", what, "keep the wider one")


def cautions(settings: Settings) -> list[str]:
    """Return what a source of these settings cannot see, each in one sentence."""
    if scope_named(settings.scope).form == "management group":
        return ["a management group's costs leave out Marketplace charges: ask the billing account or subscriptions"]
    return []


def need(settings: Settings) -> Need:
    """Return the role that reading this source takes, and where."""
    return scope_named(settings.scope).need


def probe(settings: Settings, session: Session) -> Iterator[str]:
    """Ask for one day's charges, by the query that is refused last."""
    yesterday = session.now.astimezone(UTC).date() - timedelta(days=1)
    with closing(_Asker(settings, {}, session)) as asker:
        asker.ask(Days(first=yesterday, last=yesterday), GROUPINGS[-1])
    yield "Cost Management answers"


def pulls(settings: Settings, known: Known, request: Request, session: Session) -> Iterator[CostAnswer | MonitorError]:
    """Ask for every month that is not closed, or for those of a past period, the oldest first.

    An answer that makes no sense is told in its place, and the other months are asked for; what is out of reach or
    forbidden ends the collection.
    """
    for caution in cautions(settings):
        logger.warning("%s: %s", settings.name, caution)
    with closing(_Asker(settings, known, session)) as asker:
        for days in _asked(scope_named(settings.scope), known, request, session.now):
            try:
                yield from asker.answers(days)
            except (MalformedAnswerError, RefusedQueryError) as error:
                yield error
            except MonitorError as error:
                yield error
                return


class _Asker:
    """Asks for days of one scope; remembers which grouping Azure took."""

    def __init__(self, settings: Settings, known: Known, session: Session) -> None:
        self._settings, self._session, self._scope = settings, session, scope_named(settings.scope)
        self._models_only = settings.include == "models"
        self._client = CostClient(
            session,
            self._scope,
            subject=settings.name,
            need=need(settings),
            requests_per_minute=settings.requests_per_minute,
        )
        self._grouping = _taken_before(self._scope, known, session.now)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def answers(self, days: Days) -> Iterator[CostAnswer]:
        """Yield what Azure says of some days, once all of it is there."""
        asked_at = nanoseconds(self._session.clock.now())
        table, grouping = self._best(days)
        units = None
        if table.rows and not grouping.by_unit:
            body = units_body(days, models_only=self._models_only)
            units = units_of(table_of(self._client.ask(body), self._settings.name))
        query = Query(
            subject=self._settings.name,
            scope=self._scope,
            days=days,
            grouping=grouping,
            include=self._settings.include,
            written_at=asked_at,
            units=units,
        )
        yield from answers(query, table, self._session.catalogue)

    def ask(self, days: Days, grouping: Grouping) -> Table:
        """Return the answer to one query, as it is."""
        body = charges_body(days, grouping, models_only=self._models_only)
        return table_of(self._client.ask(body), self._settings.name)

    def _best(self, days: Days) -> tuple[Table, Grouping]:
        """Return the answer to the best query that Azure takes, and remember which it is."""
        for place in range(self._grouping, len(GROUPINGS)):
            try:
                table = self._whole(days, GROUPINGS[place])
            except RefusedQueryError as refused:
                if place + 1 == len(GROUPINGS):
                    raise
                logger.info("%s: a query grouped %s is refused", self._settings.name, GROUPINGS[place].columns)
                logger.debug("%s", refused)
            else:
                self._grouping = place
                return table, GROUPINGS[place]
        raise AssertionError("the last grouping is taken or raises")

    def _whole(self, days: Days, grouping: Grouping) -> Table:
        """Return all rows of some days, though Azure may cut an answer off and not say so (azure.md, 1.2)."""
        name, table = self._settings.name, self.ask(days, grouping).within(days)
        if days.first == days.last:
            if table.cut:
                what = f"Azure's answer for {days.first} ends after {len(table.rows):,} rows, which may not be all"
                raise MalformedAnswerError(name, what)
            return table
        if table.cut:
            earlier, later = days.halves
            return self._whole(earlier, grouping).joined(self._whole(later, grouping), name)
        if min(days_said(table), default=None) == day_number(days.last):
            return self._whole(days.without_last, grouping).joined(table, name)
        return table


def _asked(scope: Scope, known: Known, request: Request, now: datetime) -> Iterator[Days]:
    today = now.astimezone(UTC).date()
    if request.period:
        last = (request.period.end - timedelta(microseconds=1)).date()
        yield from months_of(request.period.start.date(), last, today)
        return
    closed, pending = _months_known(scope, known)
    first = min([month(today - CLOSED_AFTER).first, *pending])
    for days in months_of(max(first, (today - FURTHEST).replace(day=1)), today, today):
        if days.first not in closed:
            yield days


def _months_known(scope: Scope, known: Known) -> tuple[set[date], set[date]]:
    """Return the first days of the months that were asked for after they closed, and of those asked for before.

    The latter are unfinished, and so is what follows them: nobody may have collected for months.
    """
    closed, pending = set[date](), set[date]()
    for name, (_, written_at) in known.items():
        if found := _named(scope).fullmatch(name):
            first = date.fromisoformat(f"{found['month']}-01")
            done = _day(written_at) > month(first).last + CLOSED_AFTER
            (closed if done else pending).add(first)
    return closed, pending - closed


def _taken_before(scope: Scope, known: Known, now: datetime) -> int:
    """Return which grouping Azure took last, this month: from time to time the better ones are tried again."""
    this_month = month(now.astimezone(UTC).date()).first
    named = [(written_at, _named(scope).fullmatch(name)) for name, (_, written_at) in known.items()]
    recent = [
        (written_at, found["said"] or "") for written_at, found in named if found and _day(written_at) >= this_month
    ]
    said = max(recent)[1] if recent else ""
    return next(place for place, grouping in enumerate(GROUPINGS) if grouping.said == said)


def _named(scope: Scope) -> re.Pattern[str]:
    said = "|".join(re.escape(grouping.said) for grouping in GROUPINGS if grouping.said)
    return re.compile(rf"{re.escape(scope.path)} (?P<month>\d{{4}}-\d\d)(?: (?P<said>{said}))?")


def _day(written_at: int) -> date:
    return instant_of_nanoseconds(written_at).date()
