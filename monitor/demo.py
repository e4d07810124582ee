"""The main job on the sample: write it, collect it, show and write every report.

The sample's clock stands on the Monday after its week, so that a run shows the same in any year.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from monitor import reporting
from monitor.collect import collect
from monitor.collect.tally import SourceResult
from monitor.config import load
from monitor.domain.answer import Answer
from monitor.domain.period import Period, month
from monitor.errors import MonitorError
from monitor.reporting.presenting import render
from monitor.sample.folder import write_sample
from monitor.sample.traffic import WEEK
from monitor.store import migrate
from monitor.store.engine import open_engine

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from monitor.config.settings import Settings

NOW = datetime(2026, 11, 9, 8, tzinfo=UTC)
SHOWN = ("daily-spend", "quota-headroom", "throttle-events")


def run(target: Path, show: Callable[[Answer], None]) -> str:
    """Do everything below `target`, `show` what matters and return what to say in the end.

    A folder of an earlier run is taken up where it is. The environment overrides nothing here: the sample must not get
    into a store that is meant for something else. MonitorError if the folder holds other settings, or if a source could
    not be read.
    """
    settings = load(write_sample(target), {})
    engine = open_engine(settings.store.url)
    try:
        migrate.ensure(engine)
        results = collect(engine, settings, now=NOW)
        _refuse_errors(results)
        shown = [_ask(engine, settings, name, charts=False) for name in SHOWN]
        answers = {name: _ask(engine, settings, name, charts=True) for name in reporting.reports()}
    finally:
        engine.dispose()
    for answer in shown:
        show(answer)
    for name, answer in answers.items():
        _write(answer, target / "reports" / name)
    return _what_next(target)


def _refuse_errors(results: list[SourceResult]) -> None:
    errors: list[MonitorError] = [error for result in results for error in result.errors]
    if errors:
        raise errors[0]


def _ask(engine: "Engine", settings: "Settings", name: str, *, charts: bool) -> Answer:
    # Budgets and forecasts are of whole months.
    period = month(WEEK[0]) if name == "spend" else Period(first=WEEK[0], last=WEEK[-1])
    return reporting.run(engine, settings, name, period=period, now=NOW, charts=charts)


def _write(answer: Answer, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for form, ending in (("html", ".html"), ("csv", ".csv")):
        with target.with_suffix(ending).open("w", encoding="utf-8", newline="") as stream:
            stream.write(render(answer, form))


def _what_next(target: Path) -> str:
    reports = target / "reports"
    return f"""\
Every report of the week (spend: of its month) is in {reports}, as HTML and CSV; see {reports / "daily-spend.html"}
Settings, store, logs and costs are in {target}. Go there and try: maas-monitor report reconciliation --month 2026-11
The bill also has a charge that nobody claims: maas-monitor charges map
"""
