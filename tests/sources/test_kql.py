"""The questions put to Log Analytics are ones that Kusto's own parser understands, against the documented tables."""

import json
import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.sources import kql
from tests.azure.log_analytics import GATEWAY, GATEWAY_COLUMNS, LLM
from tests.azure.parts import PARTS
from tests.azure.sessions import NOW
from tests.conftest import require_part

PARSER = Path(__file__).parent.parent / "azure" / "kusto_parser.js"
MODULES = PARTS.parent


@pytest.fixture
def tables(shared_data: Path) -> dict[str, str]:
    """The columns of API Management's tables, as they are documented."""
    written = (shared_data / "gateway" / "apim_kql_table-schemas.md").read_text("utf-8")
    found = {}
    for part in written.split("\n## ")[1:]:
        columns = re.findall(r"^\| `(\w+)` \| (\w+) \|", part, re.MULTILINE)
        found[part.split("\n", 1)[0].strip()] = "(" + ", ".join(f"{name}: {type_}" for name, type_ in columns) + ")"
    return {name: found[name] for name in (LLM, GATEWAY)}


def parsed(query: str, tables: dict[str, str]) -> Any:
    if not (MODULES / "@kusto").is_dir():
        require_part("Kusto's parser", ".ci/node/install")
    environ = {**os.environ, "NODE_PATH": str(MODULES)}
    asked = json.dumps({"query": query, "tables": tables})
    said = subprocess.run(["node", str(PARSER)], input=asked, env=environ, capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


@pytest.mark.parametrize("by_arrival", [True, False])
def test_the_built_in_question_is_understood_and_answers_as_the_fake_does(
    tables: dict[str, str], by_arrival: bool
) -> None:
    query = kql.gateway_query(NOW, NOW + timedelta(hours=1), rows=5, by_arrival=by_arrival)
    assert parsed(query, tables) == {"wrong": [], "columns": GATEWAY_COLUMNS}


def test_a_question_about_a_column_that_is_not_there_is_noticed(tables: dict[str, str]) -> None:
    assert parsed(f"{LLM} | where Nothing == 1", tables)["wrong"]


def test_a_query_of_ones_own_is_still_one_with_its_window_and_its_limit(tables: dict[str, str]) -> None:
    own = f"{GATEWAY}\n| where ingestion_time() >= {{from}} and ingestion_time() < {{to}} // ours"
    query = kql.custom_query(own, NOW, NOW + timedelta(hours=1), rows=5)
    assert parsed(query, tables)["wrong"] == []
    assert parsed(kql.custom_query(f"{LLM};", NOW, NOW, rows=5), tables)["wrong"] == []
