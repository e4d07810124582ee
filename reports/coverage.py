"""Coverage: how much of the tokens that Azure billed, and of those it metered, the logs know of.

One row per UTC billing day and deployment, also where the report has another time zone. `logged_tokens` are those of
the log that is believed that day, `metered_tokens` those of Azure's metrics (Foundry accounts only), `billed_tokens`
those of the charges for input, output and cached tokens; null is not known, not 0. `coverage` is logged / billed,
`metered_coverage` logged / metered. `unmeasured_requests` were logged without their tokens. `state`: covered, gap (the
logs have less than was billed), surplus (more), not-logged, only-metered (neither logged nor billed), not-billed-yet,
never-billed (the day is closed), quantity-unknown (billed, but not by known tokens).
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from monitor.domain.answer import Column, Found, Question
from monitor.domain.coverage import Tokens
from monitor.domain.ledger import add, closes
from monitor.domain.period import day_number, day_of
from monitor.domain.reconcile import LOGGED_METERS
from monitor.reporting.presenting.cells import shown
from monitor.reporting.spending import billing_days_note, unattributed_note
from monitor.store.billed import Billed, billed
from monitor.store.deployments import deployments
from monitor.store.rollups import DayTokens, day_tokens

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("day", "day", "Day"),
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("logged_tokens", "count", "Logged", summed=True),
    Column("metered_tokens", "count", "Metered", summed=True),
    Column("billed_tokens", "count", "Billed", summed=True),
    Column("coverage", "ratio", "Of billed"),
    Column("metered_coverage", "ratio", "Of metered"),
    Column("unmeasured_requests", "count", "Unmeas.", summed=True),
    Column("state", "text", "State"),
)

Key = tuple[int, int]
"""UTC day and deployment."""


class Line(NamedTuple):
    """One row before it is written: `unmeasured_requests` None where nothing is logged."""

    key: Key
    tokens: Tokens
    unmeasured_requests: int | None


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per UTC day and deployment, by day, workspace and deployment."""
    deployed = deployments(connection, question.workspace)
    first, last = day_number(question.period.first), day_number(question.period.last)
    logged = day_tokens(connection, first, last, deployed, "events")
    metered = day_tokens(connection, first, last, deployed, "minutes")
    charged = _charged(one for one in billed(connection, first, last, question.as_of) if one.deployment_id in deployed)
    lines = [_line(key, question, logged, metered, charged) for key in logged.keys() | metered.keys() | charged.keys()]
    rows = [
        (
            day_of(day),
            deployed[number].workspace or None,
            deployed[number].name or None,
            deployed[number].model or None,
            tokens.logged,
            tokens.metered,
            None if tokens.billed is None else int(tokens.billed),
            tokens.coverage,
            tokens.metered_coverage,
            unmeasured,
            tokens.state,
        )
        for (day, number), tokens, unmeasured in lines
    ]
    rows.sort(key=lambda row: (row[0], row[1] or "", row[2] or "", row[3] or ""))
    notes = [*billing_days_note(question), *in_words(lines), *unattributed_note(connection, question)]
    return Found(rows=rows, notes=notes)


def _charged(charges: Iterable[Billed]) -> dict[Key, Decimal | None]:
    """Sum the billed tokens; None where the quantity of any charge for tokens is not known."""
    sums: dict[Key, Decimal | None] = {}
    for one in charges:
        if one.meter not in LOGGED_METERS or one.deployment_id is None:
            continue
        key = one.day, one.deployment_id
        before = sums.get(key, Decimal(0))
        unknown = before is None or one.consumed_quantity is None or one.rows_without_quantity
        sums[key] = None if unknown else add(before, one.consumed_quantity)
    return sums


def _line(
    key: Key,
    question: Question,
    logged: Mapping[Key, DayTokens],
    metered: Mapping[Key, DayTokens],
    charged: Mapping[Key, Decimal | None],
) -> Line:
    tokens = Tokens(
        logged=_known(logged.get(key)),
        metered=_known(metered.get(key)),
        billed=charged.get(key),
        charged=key in charged,
        closed=question.known_at >= closes(day_of(key[0])),
    )
    return Line(key, tokens, logged[key].unmeasured_requests if key in logged else None)


def _known(found: DayTokens | None) -> int | None:
    """Return the tokens of a day; where requests were answered and none reported any they are not known."""
    if found is None or (not found.tokens and found.unmeasured_requests):
        return None
    return found.tokens


def in_words(lines: Sequence[Line]) -> list[str]:
    """Say what part of the billed and of the metered tokens is logged, over the rows in which both are known."""
    notes = []
    for side in ("billed", "metered"):
        both = [
            (one.tokens.logged, int(whole))
            for one in lines
            if one.tokens.logged is not None and (whole := getattr(one.tokens, side)) is not None
        ]
        logged, whole = (sum(column) for column in zip(*both, strict=True)) if both else (0, 0)
        if whole > 0:
            part = shown(logged / whole, "ratio")
            notes.append(f"Logged of {side}: {part} ({logged:,} of {whole:,} tokens, where both are known).")
    return notes
