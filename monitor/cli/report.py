"""`report` and `reports`: run one report, or list them."""

from datetime import timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfoNotFoundError

import click

from monitor.cli import output
from monitor.cli.days import Given, asked, day_options, default, parse_instant
from monitor.cli.invocation import Invocation, Verb, opened
from monitor.config.settings import zone_remedy
from monitor.domain.period import Period, zone_named
from monitor.errors import SettingsError
from monitor.reporting.presenting import formats, render

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

ENDINGS = {
    ".csv": "csv",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".txt": "table",
    "": "table",
}


@click.command("report", cls=Verb)
@click.argument("name")
@day_options
@click.option("--workspace", metavar="W", help="Only this workspace.")
@click.option("--tz", metavar="ZONE", help="Whose midnights separate days; default report.timezone of the settings.")
@click.option("--as-of", metavar="T", help="What was known then: a day (its end) or an RFC 3339 time.")
@click.option("--format", "form", type=click.Choice(formats()), help="Default: by the ending of -o, else table.")
@click.option(
    "-o", "--output", "target", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Write here."
)
@click.pass_obj
def report_command(invocation: Invocation, /, name: str, **typed: Any) -> None:
    """Run one report; `maas-monitor reports` lists them.

    Without days it covers the calendar month that holds now, in the report's time zone.
    """
    from monitor import reporting
    from monitor.describe import describe_settings

    settings = invocation.settings()
    zone = _zone(settings.report.timezone if typed["tz"] is None else typed["tz"])
    given = Given(since=typed["since"], to=typed["to"], day=typed["day"], month=typed["month"])
    period = asked(given, now=invocation.now, zone=zone) or default(invocation.now, zone)
    as_of = parse_instant(typed["as_of"]) if typed["as_of"] else None
    form, target = typed["form"] or _format_of(typed["target"]), typed["target"]
    with opened(settings) as engine:
        if settings.file:
            # Prices and quotas that were edited since the last collection count at once.
            describe_settings(engine, settings)
        # Charts cost as much as the rows, and only a page shows them.
        asking = {
            "charts": form == "html",
            "period": period,
            "now": invocation.now,
            "workspace": typed["workspace"],
            "as_of": as_of,
        }
        answer = reporting.run(engine, settings, name, **asking)
        if not answer.rows:
            _tell_span(engine, period)
    if target is None:
        output.answer(answer, form)
        return
    # Line ends are the format's own: CSV has CRLF on every system.
    target.write_text(render(answer, form), encoding="utf-8", newline="")
    click.echo(f"Wrote {target}", err=True)


@click.command("reports", cls=Verb)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def reports_command(form: str) -> None:
    """List the reports."""
    from monitor import reporting

    rows = [[name, report.title] for name, report in sorted(reporting.reports().items())]
    if form == "json":
        output.as_json({"reports": [{"name": name, "title": title} for name, title in rows]})
    else:
        output.table(("report", "title"), rows)


def _zone(name: str) -> tzinfo:
    try:
        return zone_named(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("--tz", f"{name!r} is not a time zone", zone_remedy(name)) from None


def _tell_span(engine: "Engine", period: Period) -> None:
    """Say what days there is usage of, unless some of them are in the period: then its report is rightly empty."""
    from monitor.store.engine import reading
    from monitor.store.health import usage_span

    with reading(engine) as connection:
        span = usage_span(connection)
    if span and span[0] <= (period.end - timedelta(microseconds=1)).date() and period.start.date() <= span[1]:
        return
    held = f"the store holds {span[0]} to {span[1]}: use --from and --to" if span else "the store is empty: run collect"
    click.echo(f"maas-monitor: no usage between {period.first} and {period.last}; {held}", err=True)


def _format_of(target: Path | None) -> str:
    """Tell the format by the name's ending; one that says another format is refused rather than written over."""
    if target is None:
        return "table"
    ending = target.suffix.lower()
    if ending not in ENDINGS:
        raise SettingsError(
            "-o", f"no report is written as {ending}", f"write one of {', '.join(filter(None, ENDINGS))}, or --format"
        )
    return ENDINGS[ending]
