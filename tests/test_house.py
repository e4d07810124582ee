"""The house itself: rooms, names, sizes, packaging and the lock file."""

import ast
import json
import re
import statistics
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import monitor
from monitor.cli.application import VERBS

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ("monitor", "migrations", "reports")
TOP_LEVEL = {
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "migrations",
    "monitor",
    "pyproject.toml",
    "reports",
    "requirements.txt",
    "tests",
}
HEAVY = {"alembic", "azure", "jinja2", "numpy", "pandas", "psycopg", "pyarrow", "rich", "sqlalchemy", "zstandard"}

# Put together here, so that this file does not name what it looks for.
REGISTRIES = [
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "proxy." + "golang",
    "conda." + "anaconda",
]
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home/\w+)/")


@cache
def tracked() -> list[Path]:
    """Files of the checkout that are, or are about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


@cache
def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Rooms ----------------------------------------------------------------------------------------------------------------


def test_rooms_import_only_what_lies_below_them() -> None:
    """The contracts are in pyproject.toml; a module that has no place in them fails here too."""
    run = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_leaves_are_no_packages() -> None:
    """They are loaded by path, so that the wheel claims one top-level name."""
    assert not [shown(path) for leaf in ("migrations", "reports") for path in (ROOT / leaf).rglob("__init__.py")]


def test_nothing_grows_at_the_top_level() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in found if not name.startswith(".")} <= TOP_LEVEL
    assert found >= TOP_LEVEL - {"reports"}


def test_the_command_line_imports_nothing_heavy_before_it_knows_the_verb() -> None:
    run = "import json, sys, monitor.cli; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(json.loads(done.stdout))


def test_the_module_answers_help_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: maas-monitor")
    assert done.stderr == ""


# Style ----------------------------------------------------------------------------------------------------------------


def functions() -> list[tuple[str, int]]:
    """Place and length of every function of the program, docstrings included, decorators not."""
    return [
        (f"{shown(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for path in python_files(*PROGRAM)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def test_no_function_is_longer_than_60_lines() -> None:
    assert [place for place, lines in functions() if lines > 60] == []


def test_most_functions_are_short() -> None:
    lengths = [lines for _, lines in functions()]
    assert statistics.median(lengths) <= 10
    assert statistics.quantiles(lengths, n=10)[-1] <= 30


def test_no_file_is_longer_than_500_lines() -> None:
    sizes = {shown(path): path.read_text().count("\n") for path in python_files(*PROGRAM)}
    assert {name: lines for name, lines in sizes.items() if lines > 500} == {}


def test_no_module_is_named_for_nothing() -> None:
    empty = {"util", "utils", "helper", "helpers", "manager", "common", "misc", "base"}
    assert [shown(path) for path in python_files(*PROGRAM, "tests") if path.stem in empty] == []


def test_every_module_says_in_its_first_line_what_it_owns() -> None:
    silent = [
        shown(path)
        for path in python_files(*PROGRAM, "tests")
        if not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]
    assert silent == []


def test_every_test_is_named_by_a_sentence() -> None:
    """Four words at least: whom it is about and what holds."""
    names = [
        node.name
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if len(name.split("_")) < 4] == []


def test_only_the_command_line_and_what_schedules_ask_for_the_time() -> None:
    """Everything below takes `now`, so that any moment can be tested."""
    clocks = re.compile(r"\b(?:datetime\.now|datetime\.utcnow|date\.today|time\.time|time_ns)\(")
    asking = [shown(path) for path in python_files(*PROGRAM) if clocks.search(path.read_text())]
    allowed = ("monitor/clock.py", "monitor/cli/", "monitor/schedule", "monitor/web/")
    assert [name for name in asking if not name.startswith(allowed)] == []


def test_no_file_names_a_registry_or_a_path_of_somebodys_machine() -> None:
    naming = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "ignore")
        if MACHINE_PATH.search(text) or any(registry in text for registry in REGISTRIES):
            naming.append(shown(path))
    assert naming == []


# Documents ------------------------------------------------------------------------------------------------------------


def test_the_readme_names_every_command_and_the_two_that_start() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [verb for verb in VERBS if f"`{verb}" not in readme] == []
    assert "make demo" in readme
    assert "make test" in readme


def test_the_changelog_starts_with_what_is_not_released_or_with_this_version() -> None:
    headings = re.findall(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text())
    assert headings[0].startswith(("Unreleased", monitor.__version__))


# Packaging ------------------------------------------------------------------------------------------------------------


def locked() -> dict[str, list[str]]:
    """Versions of each package in the lock file; several where they differ by marker."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / "requirements.txt").read_text()):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def declared() -> list[Requirement]:
    project, groups = settings()["project"], settings()["dependency-groups"]
    listed = [project["dependencies"], *project["optional-dependencies"].values(), *groups.values()]
    found = [Requirement(entry) for entries in listed for entry in entries if isinstance(entry, str)]
    return [requirement for requirement in found if requirement.name != project["name"]]


def test_every_declared_package_is_locked_at_an_allowed_version() -> None:
    wrong = {
        str(requirement): locked().get(canonicalize_name(requirement.name))
        for requirement in declared()
        if not locked().get(canonicalize_name(requirement.name))
        or not all(requirement.specifier.contains(version) for version in locked()[canonicalize_name(requirement.name)])
    }
    assert wrong == {}


def test_every_declared_package_has_an_oldest_version() -> None:
    assert [str(one) for one in declared() if not any(bound.operator == ">=" for bound in one.specifier)] == []


def test_every_locked_package_has_hashes_and_none_a_place_to_come_from() -> None:
    text = (ROOT / "requirements.txt").read_text()
    entries = [entry for entry in re.split(r"(?m)^(?=\S)", text) if entry.strip()]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert not re.search(r"(?m)^\s*-", text.replace("    --hash", ""))


def locked_part(*parts: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, ".ci/locked.py", *parts], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {canonicalize_name(name) for name in re.findall(r"(?m)^([A-Za-z0-9._-]+)==", done.stdout)}


def test_the_demo_installs_the_program_without_extras_and_tools() -> None:
    part = locked_part("dependencies", "build")
    assert {"sqlalchemy", "mako", "hatchling", "typing-extensions"} <= part
    assert part.isdisjoint({"psycopg", "pytest", "mypy", "playwright", "uv"})


def test_all_parts_together_are_the_whole_lock() -> None:
    assert locked_part("dependencies", "all", "dev") == set(locked())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_wheel_claims_one_top_level_name_and_carries_the_leaves(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"maas_monitor-{monitor.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"monitor", f"maas_monitor-{monitor.__version__}.dist-info"}
    expected = {shown(path) for path in tracked() if shown(path).startswith("monitor/")}
    expected |= {f"monitor/{shown(path)}" for path in tracked() if shown(path).startswith(("migrations/", "reports/"))}
    assert expected - set(names) == set()


def test_the_wheel_says_its_licence_and_its_command(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        info = f"maas_monitor-{monitor.__version__}.dist-info"
        assert "Apache License" in archive.read(f"{info}/licenses/LICENSE").decode()
        assert "License-Expression: Apache-2.0" in archive.read(f"{info}/METADATA").decode()
        assert "maas-monitor = monitor.cli:main" in archive.read(f"{info}/entry_points.txt").decode()


def test_the_source_archive_holds_what_the_wheel_is_made_of(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "migrations/env.py", "monitor/__init__.py"} <= names


def test_every_known_pitfall_of_azure_s_has_a_test_named_after_it() -> None:
    """The list of 25 is the project's own; a test says by its number which one it keeps us out of."""
    named = {
        int(number)
        for path in python_files("tests")
        for number in re.findall(r"(?m)^def test_pitfall_(\d+)_", path.read_text())
    }
    assert named == set(range(1, 26))
