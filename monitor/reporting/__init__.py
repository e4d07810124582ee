"""Finds the reports, runs them and has them written.

A report is a file in `reports/` (its name with dashes), or a module that an entry point of the group
"maas_monitor.reports" names. Its docstring is its help, the first line its title; it has COLUMNS and
`answer(connection, question) -> Found`.
"""

import gc
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from monitor.config.settings import Settings
from monitor.domain.answer import Answer, Column, Found, Question, totals
from monitor.domain.period import Period
from monitor.errors import SettingsError, UnknownNameError
from monitor.folders import folder
from monitor.reporting.presenting import formats, render
from monitor.store.completeness import completeness, in_words
from monitor.store.deployments import workspaces
from monitor.store.engine import reading

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy.engine import Connection, Engine

__all__ = ["Report", "formats", "frame", "render", "reports", "run"]

ENTRY_POINTS = "maas_monitor.reports"


@dataclass(frozen=True, kw_only=True)
class Report:
    """One report: what it is called, what it says about itself, its columns and how it answers."""

    name: str
    help: str
    columns: Sequence[Column]
    answer: "Callable[[Connection, Question], Found]"

    @property
    def title(self) -> str:
        """The first sentence of its help, without the full stop."""
        return self.help.partition("\n")[0].rstrip(".")


@cache
def reports() -> dict[str, Report]:
    """Return every report by name: the files of the folder, then what others have installed."""
    ours = {path.stem.replace("_", "-"): _loaded(path) for path in sorted(folder("reports").glob("[a-z]*.py"))}
    theirs = {
        entry.name: entry.load() for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name)
    }
    return {name: _report(name, module) for name, module in {**theirs, **ours}.items()}


def run(  # noqa: PLR0913 - one argument for each thing that can be asked.
    engine: "Engine",
    settings: Settings,
    name: str,
    *,
    period: Period,
    now: datetime,
    workspace: str | None = None,
    as_of: datetime | None = None,
    charts: bool = True,
) -> Answer:
    """Answer one report from one moment of the store; UnknownNameError for an unknown report or workspace."""
    known = reports()
    if name not in known:
        raise UnknownNameError("report", "report", name, list(known))
    question = Question(
        period=period,
        now=now,
        zone=str(getattr(period.zone, "key", "UTC")),
        workspace=workspace,
        as_of=as_of,
        currency=settings.report.currency,
        charts=charts,
    )
    with reading(engine) as connection:
        return answered(connection, known[name], question)


def answered(connection: "Connection", report: Report, question: Question) -> Answer:
    """Answer one question in a transaction of the caller's."""
    if question.workspace is not None and question.workspace not in (there := workspaces(connection)):
        raise UnknownNameError(f"report {report.name}", "workspace", question.workspace, there)
    with _uncollected():
        found = report.answer(connection, question)
        sums = totals(report.columns, found.rows)
    known = completeness(connection, question)
    return Answer(
        report=report.name,
        title=report.title,
        question=question,
        columns=report.columns,
        rows=found.rows,
        totals=sums,
        completeness=known,
        charts=found.charts,
        notes=[*in_words(known), *_as_known(question), *found.notes],
    )


def _as_known(question: Question) -> list[str]:
    """Say what an earlier moment of knowledge is about: only charges remember what was known before."""
    if question.as_of is None:
        return []
    return ["Charges are as they were known then; usage, quotas and prices as they are known now."]


def frame(answer: Answer) -> "pd.DataFrame":
    """Return the rows as a pandas DataFrame, for notebooks.

    Columns are those of JSON and CSV. Money stays exact `Decimal`, days are dates and instants aware; counts are
    `Int64`, so that what is not known is `<NA>` and not 0.
    """
    import pandas as pd

    names = [column.name for column in answer.columns]
    exact = pd.DataFrame([list(row) for row in answer.rows], columns=names, dtype=object)
    counts = {column.name: "Int64" for column in answer.columns if column.kind == "count"}
    ratios = {column.name: "Float64" for column in answer.columns if column.kind in ("ratio", "seconds")}
    return exact.astype({**counts, **ratios})


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away: a report's rows all live on, and walking them again and again took a third."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"maas_monitor_report_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _report(name: str, module: ModuleType) -> Report:
    missing = [wanted for wanted in ("COLUMNS", "answer", "__doc__") if not getattr(module, wanted, None)]
    if missing:
        raise SettingsError(
            f"report {name}", f"has no {missing[0]}", "write it, or uninstall the package it comes from"
        )
    return Report(name=name, help=str(module.__doc__).strip(), columns=tuple(module.COLUMNS), answer=module.answer)
