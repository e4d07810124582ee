"""The main job by its commands on every kind of store: equal answers."""

import json
from pathlib import Path

from monitor.sample.folder import write_sample
from tests.cli.conftest import Run


def test_the_verbs_work_on_every_store_and_agree(run: Run, here: Path, store_url: str) -> None:
    sample = here / "sample"
    write_sample(sample)
    chosen = ("--config", str(sample / "monitor.toml"), "--store", store_url)
    collected = json.loads(run(*chosen, "collect", "--format", "json").stdout)["sources"]
    assert [(one["source"], one["stored"], one["ignored"]) for one in collected] == [
        ("gateway", 19_630, 60),
        ("exported-costs", 66, 6),
    ]
    assert [run(*chosen, "db", verb).exit_code for verb in ("current", "upgrade", "check", "verify")] == [0] * 4
    spend = json.loads(run(*chosen, "report", "spend", "--month", "2026-11", "--format", "json").stdout)
    assert spend["totals"]["billed_cost"] == "94.27942012"
    mapped = json.loads(run(*chosen, "charges", "map", "--format", "json").stdout)["rows"]
    assert [row["billed_cost"] for row in mapped] == ["12.916"]
    written = run(*chosen, "export", "charges", "--month", "2026-11", "-o", "november.csv")
    assert written.stdout == "Wrote november.csv: 66 charges, 107.19542012 USD; the month is open.\n"
    assert run(*chosen, "doctor").stdout.count("WRONG") == 2
