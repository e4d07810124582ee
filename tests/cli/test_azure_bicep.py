"""The Bicep that `init --azure` prints: whole, with the roles that the sources need, and settings that read its logs.

There is no Bicep compiler among the packages of Python or npm, so its types are checked by nobody here: the tests hold
the files to their structure, and to tables of what Azure documents.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from monitor.config import load, source_kinds
from monitor.folders import folder
from tests.cli.conftest import Run

FILES = sorted((folder("data") / "azure").glob("*.bicep"))
LOCAL = {"files"}
"""Kinds that ask nothing of Azure."""

ROLES = {
    "reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "costManagementReader": "72fafb9e-0641-4937-9268-a91bfd8191a3",
    "monitoringReader": "43d0d8ad-25c7-4714-9337-8ba259a9fe05",
    "logAnalyticsReader": "73c42c96-874c-492b-b04d-ab87d138a893",
    "storageBlobDataReader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
}
"""Azure's built-in roles, as its reference of them lists their ids."""

TYPES = {
    "Microsoft.Authorization/roleAssignments@2022-04-01",
    "Microsoft.ApiManagement/service@2024-05-01",
    "Microsoft.ApiManagement/service/apis/diagnostics@2024-06-01-preview",
    "Microsoft.Insights/diagnosticSettings@2021-05-01-preview",
    "Microsoft.CognitiveServices/accounts@2024-10-01",
    "Microsoft.CostManagement/exports@2025-03-01",
}
"""Resource types with versions that there are (Azure/bicep-types-az)."""


def code(path: Path) -> str:
    """A file without its comments and without the text in its strings."""
    text = re.sub(r"(?m)^\s*//.*$", "", path.read_text())
    return re.sub(r"'(?:[^'\\]|\\.)*'", "''", text)


def test_there_are_three_files() -> None:
    assert [path.stem for path in FILES] == ["export", "logs", "roles"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_bracket_is_closed(path: Path) -> None:
    waiting = []
    for character in code(path):
        if character in "([{":
            waiting.append(")]}"["([{".index(character)])
        elif character in ")]}":
            assert waiting.pop() == character
    assert waiting == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_parameter_and_variable_is_used_and_described(path: Path) -> None:
    text = path.read_text()
    names = re.findall(r"(?m)^(?:param|var) (\w+)", text)
    words = Counter(re.findall(r"\w+", re.sub(r"(?m)^\s*//.*$", "", text)))
    assert [name for name in names if words[name] < 2] == []
    assert text.count("@description(") == len(re.findall(r"(?m)^param ", text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_resource_is_of_a_type_and_version_that_there_is(path: Path) -> None:
    assert set(re.findall(r"(?m)^resource \w+ '([^']+)'", path.read_text())) <= TYPES


def test_roles_have_the_ids_of_azures_built_in_ones_and_none_may_write() -> None:
    text = (folder("data") / "azure" / "roles.bicep").read_text()
    assert dict(re.findall(r"(?m)^var (\w+) = '([0-9a-f-]{36})'", text)) == ROLES


def test_every_kind_of_source_has_a_role() -> None:
    text = (folder("data") / "azure" / "roles.bicep").read_text()
    given = dict(re.findall(r"(?m)^  '?([\w-]+)'?: (\w+)$", text))
    kinds = set(source_kinds()) - LOCAL
    assert kinds <= set(given)
    assert set(given.values()) <= set(ROLES)
    assert {kind.strip("' ") for kind in re.findall(r"@allowed\(\[('cost-query'.*)\]\)", text)[0].split(",")} == set(
        given
    )


def test_no_prompt_and_no_completion_is_made_to_be_logged() -> None:
    """Naming requests or responses of the language model would log them: the API knows no other value than 'all'."""
    text = (folder("data") / "azure" / "logs.bicep").read_text()
    assert re.search(r"largeLanguageModel: \{\s+logs: 'enabled'\s+\}", text)
    assert "messages" not in text
    assert set(re.findall(r"bytes: (\d+)", text)) == {"0"}


def test_the_gateways_token_log_is_named_because_no_group_holds_it() -> None:
    text = (folder("data") / "azure" / "logs.bicep").read_text()
    assert "category: 'GatewayLlmLogs', enabled: true" in text
    assert "category: 'GatewayLogs', enabled: true" in text
    assert "logAnalyticsDestinationType: 'Dedicated'" in text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_settings_beside_it_can_be_pasted_as_they_are(path: Path, tmp_path: Path) -> None:
    lines = [line.removeprefix("//# ").removeprefix("//#") for line in path.read_text().splitlines() if "//#" in line]
    file = tmp_path / "monitor.toml"
    file.write_text("\n".join(lines))
    named = {source.name: source.kind for source in load(file, {}).sources}
    expected = {"export": {"exported-costs": "cost-export"}, "logs": {"gateway": "log-analytics", "foundry": "blobs"}}
    assert named == expected.get(path.stem, {})


def test_init_azure_prints_every_file_and_writes_none(run: Run, here: Path) -> None:
    result = run("init", "--azure")
    assert result.exit_code == 0
    assert re.findall(r"(?m)^// (\w+)\.bicep:", result.stdout) == ["roles", "logs", "export"]
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_init_azure_prints_one_file_as_it_is(run: Run, path: Path) -> None:
    assert run("init", "--azure", path.stem).stdout == path.read_text()
