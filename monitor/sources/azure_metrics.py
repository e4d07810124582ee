"""Source kind `azure-metrics`: what Azure Monitor counts of the models on Foundry accounts, minute by minute.

Collecting an account: 1 ask from a little before where reading ended (late buckets fill) to now, a day at a time, for
tokens and for requests by status, split by deployment and model; 2 where an answer may have been cut short, ask again
for half the time; 3 hand on every stretch with the cursor behind it, to be committed together. An account that says
nothing at all is asked for its last half day again: silence is not zero. Serverless endpoints of Azure Machine Learning
have no such metrics.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, json

from monitor.domain.catalogue import Catalogue, is_mistral
from monitor.domain.metered import Metered, MeteredStretch
from monitor.domain.period import MINUTES_A_DAY, instant_of, minute_number
from monitor.domain.records import Place
from monitor.domain.stretch import Cursor
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.azure.refusals import Need, RefusedRequestError
from monitor.sources.metric_answers import (
    DEPLOYMENT,
    INPUT,
    INTERVAL,
    MODEL,
    OUTPUT,
    REQUESTS,
    STATUS,
    TOP,
    Answer,
    Cut,
    Malformed,
    joined,
    parse,
    span,
)
from monitor.sources.request import Cursors, Request
from monitor.sources.session import Session

if TYPE_CHECKING:
    from monitor.sources.azure.arm import Arm

KIND = "azure-metrics"
YIELDS = "minutes"
AUTHORITY = 85
"""Believed after every log that reports tokens, and before Azure's diagnostic logs, which report none."""

ROLE = "Monitoring Reader"
METRICS_VERSION = "2023-10-01"
ACCOUNTS_VERSION = "2024-10-01"
FOUNDRY = "aiservices"
"""The kind of account that models other than OpenAI's are deployed on."""

QUERIES = (((INPUT, OUTPUT), (DEPLOYMENT, MODEL)), ((REQUESTS,), (DEPLOYMENT, MODEL, STATUS)))
"""Metrics asked for together, and what they are split by: only requests have a status."""

KEPT_DAYS = 92
"""Azure keeps metrics for 93 days; the last of them may go while we ask."""

SMALLEST = 15
"""Minutes that are not halved any more: an answer about them is cut for another reason than its length."""

SILENCE = 12 * 60
"""Minutes without even a zero that are asked for again: they may still come, and one request a day's length will do."""

TOO_MUCH = (400, 413)
"""Statuses by which Azure refuses an answer above 8 MB."""

OTHER_MODEL = "no model of Mistral's"
OUTSIDE = "outside the minutes asked for"

_ACCOUNT = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.CognitiveServices/accounts/[^/]+", re.IGNORECASE
)
_SERVERLESS = re.compile(r".*/providers/Microsoft\.MachineLearningServices/.*", re.IGNORECASE)
_SCOPE = re.compile(r"/subscriptions/[^/]+(/resourceGroups/[^/]+)?", re.IGNORECASE)


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `[[source]]` of kind "azure-metrics".

    `accounts`: resource ids of Foundry accounts (`/subscriptions/.../Microsoft.CognitiveServices/accounts/NAME`).
    `scope`: a subscription or resource group, all of whose Foundry accounts are read; either is enough, both add up.
    `include`: "mistral" (default) or "all" models on them.
    `priority`: among sources that saw the same deployment on the same day the lowest is believed; default 85, after
    every log with tokens.
    `first_days`: whole days before today that the first reading goes back, at most 92.
    `late_minutes`: so long before the last reading every reading begins, because Azure's buckets fill late.
    """

    name: str
    kind: str
    accounts: tuple[str, ...] = ()
    scope: str = ""
    include: str = "mistral"
    priority: int | None = None
    first_days: int = 3
    late_minutes: int = 30

    def __post_init__(self) -> None:
        """Refuse what names no account, and times that Azure does not keep."""
        place = f"source {self.name!r}"
        if not self.accounts and not self.scope:
            raise SettingsError(place, "names no account", "write accounts = [...] or scope = ...")
        for account in self.accounts:
            _check_account(f"{place}: accounts", account)
        if self.scope and not _SCOPE.fullmatch(self.scope):
            raise SettingsError(f"{place}: scope", "is none", "write /subscriptions/ID or a resource group's id")
        if self.include not in ("mistral", "all"):
            raise SettingsError(f"{place}: include", f"{self.include!r} is neither", 'write "mistral" or "all"')
        for named, value, most in (
            ("first_days", self.first_days, KEPT_DAYS),
            ("late_minutes", self.late_minutes, MINUTES_A_DAY),
        ):
            if not 0 <= value <= most:
                raise SettingsError(f"{place}: {named}", f"is {value}", f"write a whole number from 0 to {most:,}")


def _check_account(place: str, account: str) -> None:
    if _SERVERLESS.fullmatch(account):
        what = "serverless endpoints of Azure Machine Learning have no token metrics"
        raise SettingsError(place, what, "read their callers' or gateway's logs instead")
    if not _ACCOUNT.fullmatch(account):
        remedy = "write /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.CognitiveServices/accounts/NAME"
        raise SettingsError(place, "has an entry that is no account's resource id", remedy)


def stretches(
    settings: Settings, known: Cursors, request: Request, session: Session
) -> Iterator[MeteredStretch | MonitorError]:
    """Yield what the accounts' meters say, account by account, oldest first; errors in the place of what they cost."""
    accounts, error = _accounts(settings, session)
    if error:
        yield error
    cursors = {cursor.object: cursor for cursor in known.of(accounts)}
    for account in accounts:
        reader = _Account(settings, account, session)
        try:
            yield from reader.read(cursors.get(account), request)
        except MonitorError as failed:
            yield failed


def probe(settings: Settings, session: Session) -> Iterator[str | MonitorError]:
    """Ask each account for its last minutes."""
    accounts, error = _accounts(settings, session)
    if error:
        yield error
    for account in accounts:
        reader = _Account(settings, account, session)
        try:
            reader.reach()
        except MonitorError as failed:
            yield failed
        else:
            yield f"account {reader.name!r} answers"


def _accounts(settings: Settings, session: Session) -> tuple[list[str], MonitorError | None]:
    """Return the ids of all accounts in lower case, each once, and what kept some from being found."""
    found, error = [account.lower() for account in settings.accounts], None
    if settings.scope:
        try:
            found += _accounts_in(settings, session.arm)
        except MonitorError as failed:
            error = failed
    return list(dict.fromkeys(found)), error


def _accounts_in(settings: Settings, arm: "Arm") -> list[str]:
    path = f"{settings.scope.rstrip('/')}/providers/Microsoft.CognitiveServices/accounts"
    need = Need(role=ROLE, scope=settings.scope)
    listed = arm.pages(path, {"api-version": ACCOUNTS_VERSION}, subject=settings.name, need=need)
    found = [one for one in listed if isinstance(one, dict) and str(one.get("kind", "")).lower() == FOUNDRY]
    return sorted(str(one["id"]).lower() for one in found if one.get("id"))


class _Account:
    """Reads one account; `resource` is its id in lower case."""

    def __init__(self, settings: Settings, resource: str, session: Session) -> None:
        self.resource, self._settings, self._session = resource, settings, session
        # In lower case as in the account's host, by which logs know it.
        self.name = resource.rpartition("/")[2]
        self.subject = f"{settings.name}: account {self.name!r}"

    def read(self, cursor: Cursor | None, request: Request) -> Iterator[MeteredStretch | MonitorError]:
        """Yield what is to be read of it; what Azure does not keep any more is told."""
        first, end = self._minutes(cursor, request)
        kept = minute_number(self._session.now) - KEPT_DAYS * MINUTES_A_DAY
        if first < kept:
            since = instant_of(kept)
            what = f"Azure keeps metrics for {KEPT_DAYS + 1} days: nothing before {since:%Y-%m-%d %H:%M} UTC is read"
            yield UnreachableError(self.subject, what, "ask for later days, and collect more often")
            first = kept
        at = cursor or Cursor(name=self.resource, object=self.resource, generation=0, position=first)
        for start in range(first, end, MINUTES_A_DAY):
            for begin, finish, answer in self._whole(start, min(start + MINUTES_A_DAY, end)):
                stretch = self._stretch(at, begin, finish, answer)
                yield stretch
                at = stretch.after

    def reach(self) -> None:
        """Ask for a few minutes of one metric, for the sake of the asking; a MonitorError if that is refused."""
        now = minute_number(self._session.now)
        with suppress(Cut):
            self._ask((INPUT,), (DEPLOYMENT,), now - 5, now)

    def _minutes(self, cursor: Cursor | None, request: Request) -> tuple[int, int]:
        """Return the minutes to be read, half-open; the minute that has not ended yet is left for later."""
        now = minute_number(self._session.now)
        if request.minutes:
            return request.minutes[0], min(request.minutes[1], now)
        if cursor:
            return cursor.position - self._settings.late_minutes, now
        today = self._session.now.replace(hour=0, minute=0, second=0, microsecond=0)
        return minute_number(today - timedelta(days=self._settings.first_days)), now

    def _whole(self, first: int, end: int) -> Iterator[tuple[int, int, Answer]]:
        """Yield answers that hold all they should, over half the time where one over the whole does not."""
        try:
            answer = joined(self._ask(metrics, splits, first, end) for metrics, splits in QUERIES)
        except Cut as cut:
            if end - first <= SMALLEST:
                what = f"Azure's answer about {INTERVAL} metrics {cut.why}"
                raise UnreachableError(self.subject, what, "split the account, or report this") from None
            middle = (first + end) // 2
            yield from self._whole(first, middle)
            yield from self._whole(middle, end)
        else:
            yield first, end, answer

    def _ask(self, metrics: Sequence[str], splits: Sequence[str], first: int, end: int) -> Answer:
        parameters = {
            "api-version": METRICS_VERSION,
            "timespan": span(first, end),
            "interval": INTERVAL,
            "metricnames": ",".join(metrics),
            "aggregation": "Total",
            "$filter": " and ".join(f"{split} eq '*'" for split in splits),
            "top": str(TOP),
        }
        path = f"{self.resource}/providers/Microsoft.Insights/metrics"
        try:
            payload = self._session.arm.get(
                path, parameters, subject=self.subject, need=Need(role=ROLE, scope=self.resource)
            )
            return parse(payload, metrics, first, end, self.resource)
        except RefusedRequestError as error:
            # Azure says with the status alone that an answer grows too large.
            if error.status in TOO_MUCH and end - first > SMALLEST:
                raise Cut("is refused") from None
            raise
        except Malformed as malformed:
            what = f"Azure's answer {malformed.why}"
            raise UnreachableError(self.subject, what, "is it a Foundry account? else try again later") from None

    def _stretch(self, before: Cursor, first: int, end: int, answer: Answer) -> MeteredStretch:
        position = max(before.position, end if answer.said else end - SILENCE)
        labels = json.encode({"region": answer.region}).decode() if answer.region else ""
        deployments, ignored = self._sorted_out(answer)
        return MeteredStretch(
            before=before,
            after=Cursor(
                name=self.resource, object=self.resource, generation=0, labels=labels, format=KIND, position=position
            ),
            deployments=deployments,
            ignored=ignored,
            rejected=answer.rejected,
        )

    def _sorted_out(self, answer: Answer) -> tuple[list[Metered], dict[str, int]]:
        """Part the models that are watched from the others."""
        ignored, deployments = Counter({OUTSIDE: answer.outside} if answer.outside else {}), []
        for (deployment, model), minutes in answer.minutes.items():
            if self._settings.include == "all" or not model or _watched(model, self._session.catalogue):
                place = Place(
                    workspace=self.name, deployment=deployment, model=model, endpoint=None, requested_model=None
                )
                deployments.append(Metered(place=place, minutes=minutes))
            elif busy := sum(one.happened for one in minutes.values()):
                ignored[OTHER_MODEL] += busy
        return deployments, dict(ignored)


def _watched(model: str, catalogue: Catalogue) -> bool:
    return is_mistral(model) or catalogue.canonical(model) is not None
