"""Quota headroom: how near each deployment came to its tokens and requests per minute.

Minutes are calendar minutes; percentiles are nearest-rank over all minutes of the period, idle ones included, up to the
running minute. Requests count every event, refused ones too. A peak is shown with the limit in force in its minute;
headroom is 1 - peak / limit and may be negative. `minutes_above_80` and `minutes_at_limit` count the minutes in which
tokens or requests reached 80 % or all of their limit. Where no response reported tokens, tokens are null.
"""

from typing import TYPE_CHECKING

from monitor.domain.answer import Column, Found, Question, Row
from monitor.domain.period import instant_of
from monitor.reporting.loads import Loaded, charts, loads, undrawn

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

COLUMNS = (
    Column("workspace", "text", "Workspace"),
    Column("deployment", "text", "Deployment"),
    Column("model", "text", "Model", shown=False),
    Column("tokens_per_minute_limit", "count", "Tokens/min limit"),
    Column("peak_tokens_per_minute", "count", "Peak"),
    Column("peak_minute", "instant", "Peak at (UTC)"),
    Column("p99_tokens_per_minute", "count", "p99"),
    Column("token_headroom", "ratio", "Headroom"),
    Column("requests_per_minute_limit", "count", "Req./min limit"),
    Column("peak_requests_per_minute", "count", "Peak"),
    Column("request_headroom", "ratio", "Headroom"),
    Column("minutes_above_80", "count", "Min. ≥80%", summed=True, caption="Minutes from 80 % on"),
    Column("minutes_at_limit", "count", "Min. ≥100%", summed=True, caption="Minutes at the limit"),
    Column("requests", "count", "Requests", summed=True),
    Column("throttled_requests", "count", "429s", summed=True),
)


def answer(connection: "Connection", question: Question) -> Found:
    """Answer with one row per deployment that was used, the least headroom first."""
    found = sorted(loads(connection, question), key=_least_headroom)
    return Found(
        rows=[_row(one) for one in found], charts=charts(connection, question, found), notes=undrawn(question, found)
    )


def _least_headroom(one: Loaded) -> tuple[float, str, str]:
    tokens, requests = one.headroom.token_headroom, one.headroom.request_headroom
    return (requests if tokens is None else min(tokens, requests), one.deployed.workspace, one.deployed.name)


def _row(one: Loaded) -> Row:
    headroom = one.headroom
    return (
        one.deployed.workspace or None,
        one.deployed.name or None,
        one.deployed.model or None,
        headroom.token_limit,
        headroom.peak_tokens,
        None if headroom.peak_minute is None else instant_of(headroom.peak_minute),
        headroom.p99_tokens,
        headroom.token_headroom,
        headroom.request_limit,
        headroom.peak_requests,
        headroom.request_headroom,
        headroom.minutes_near,
        headroom.minutes_at_limit,
        one.requests,
        one.throttled_requests,
    )
