"""The schema's version: upgrades by many at once, scripts that fail, stores that are older, newer or not ours."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.errors import UnreachableError
from monitor.folders import folder
from monitor.store import migrate
from monitor.store.engine import open_engine, writing
from monitor.store.schema import describe, describe_intended
from monitor.store.tables import deployment, metadata, quota, workspace

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 100 if os.environ.get("MONITOR_THOROUGH") == "1" else 10
LIMITS = {"effective_from": 0, "tokens_per_minute": 200_000, "requests_per_minute": 1_000, "source": "settings"}

UPGRADER = """
import json, sys, time
import alembic.command
from monitor.store import migrate
from monitor.store.engine import open_engine
print("ready", flush=True)
for line in sys.stdin:
    url, start = json.loads(line)
    while time.time() < start:
        pass
    engine = open_engine(url)
    try:
        migrate.ensure(engine)
        print(migrate.current(engine), flush=True)
    except Exception as error:
        print(repr(error)[:300].replace("\\n", " "), flush=True)
    engine.dispose()
"""


@pytest.fixture
def empty(empty_url: str) -> Iterator[sa.Engine]:
    opened = open_engine(empty_url)
    yield opened
    opened.dispose()


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations in a path with a space and a %, which the program uses instead of its own."""
    copied = tmp_path / "50 % done" / "migrations"
    shutil.copytree(folder("migrations"), copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "folder", lambda _name: copied)
    return copied


def add_script(scripts: Path, upgrade: str, downgrade: str = "pass") -> None:
    (scripts / "versions" / "9999_next.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n\n"
        f'revision = "9999"\ndown_revision = "{migrate.head()}"\n\n\n'
        f"def upgrade():\n    {upgrade}\n\n\ndef downgrade():\n    {downgrade}\n"
    )


def tables(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        return set(sa.inspect(connection).get_table_names())


def fill(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.execute(workspace.insert().values(id=1, name="search-prod", recorded_from="settings"))
        connection.execute(
            deployment.insert().values(
                id=7,
                workspace_id=1,
                name="large",
                region="eastus2",
                model="mistral-large-2407",
                created_at=0,
                recorded_from="settings",
            )
        )
        connection.execute(quota.insert().values(deployment_id=7, **LIMITS))


@pytest.fixture
def upgraders() -> Iterator[list["subprocess.Popen[str]"]]:
    """Three processes that have imported everything and upgrade the stores they are told of, at the moment told."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    yield started
    for process in started:
        process.communicate()


def at_once(upgraders: list["subprocess.Popen[str]"], url: str) -> list[str]:
    for process in upgraders:
        assert process.stdin is not None
        process.stdin.write(json.dumps([url, time.time() + 0.005]) + "\n")
        process.stdin.flush()
    return [process.stdout.readline().strip() for process in upgraders if process.stdout is not None]


@pytest.mark.timeout(120)
def test_three_processes_that_meet_a_new_store_at_once_all_find_it_upgraded(
    upgraders: list["subprocess.Popen[str]"], empty_urls: Iterator[str]
) -> None:
    """MONITOR_THOROUGH=1 makes it 100 rounds for each kind of store, else 10."""
    outcomes = [at_once(upgraders, url) for url in islice(empty_urls, ROUNDS)]
    assert outcomes == [[migrate.head()] * 3] * ROUNDS


def test_a_migrated_store_is_exactly_what_the_tables_say(engine: sa.Engine) -> None:
    assert migrate.check(engine) == []
    assert migrate.current(engine) == migrate.head()


def test_check_names_what_is_missing_and_what_is_not_expected(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("DROP INDEX ix_usage_day_day")
        connection.exec_driver_sql("ALTER TABLE meta ADD COLUMN remark TEXT")
    found = migrate.check(engine)
    assert [line for line in found if "ix_usage_day_day" in line and line.startswith("missing: usage_day: index")]
    assert [line for line in found if line.startswith("not expected: meta: column remark TEXT")]


def test_check_sees_a_changed_check_constraint(engine: sa.Engine) -> None:
    """Alembic's own check does not."""
    one, other = sa.MetaData(), sa.MetaData()
    for intended, bound in ((one, 5), (other, 6)):
        sa.Table("probe", intended, sa.Column("n", sa.Integer), sa.CheckConstraint(f"n > {bound}", name="ck_probe"))
    with engine.connect() as connection:
        assert describe_intended(connection, one) - describe_intended(connection, other)


def test_check_leaves_nothing_behind(engine: sa.Engine) -> None:
    before = tables(engine)
    migrate.check(engine)
    with engine.connect() as connection:
        assert tables(engine) == before
        assert sa.inspect(connection).get_temp_table_names() == []


def test_a_store_taken_down_with_data_in_it_is_empty_and_comes_up_again(engine: sa.Engine) -> None:
    fill(engine)
    migrate.downgrade(engine, "base")
    assert tables(engine) <= {"alembic_version"}
    assert migrate.current(engine) is None
    migrate.upgrade(engine)
    assert migrate.check(engine) == []


def test_upgrading_a_current_store_keeps_its_data(engine: sa.Engine) -> None:
    fill(engine)
    migrate.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.select(quota.c.tokens_per_minute)).scalar() == 200_000


def test_a_table_that_others_refer_to_is_rebuilt_up_and_down_with_their_rows_kept(
    engine: sa.Engine, scripts: Path
) -> None:
    rename = 'with op.batch_alter_table("workspace") as batch: batch.alter_column("{}", new_column_name="{}")'
    add_script(scripts, rename.format("region", "place"), rename.format("place", "region"))
    fill(engine)
    migrate.upgrade(engine)
    assert migrate.current(engine) == "9999"
    migrate.downgrade(engine, "0001")
    with engine.connect() as connection:
        assert connection.execute(sa.select(quota.c.deployment_id)).scalars().all() == [7]
        assert connection.execute(sa.select(deployment.c.workspace_id)).scalars().all() == [1]
    assert migrate.check(engine) == []


def test_a_migration_that_fails_leaves_nothing_behind(engine: sa.Engine, scripts: Path) -> None:
    fill(engine)
    before = described(engine)
    add_script(
        scripts,
        upgrade='op.create_table("half", sa.Column("n", sa.Integer))\n'
        "    op.execute(\"UPDATE workspace SET name = 'changed'\")\n"
        '    op.drop_table("meta")\n'
        "    raise ZeroDivisionError",
    )
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(engine)
    assert described(engine) == before
    assert "half" not in tables(engine)
    assert migrate.current(engine) == "0001"
    with engine.connect() as connection:
        assert connection.execute(sa.select(workspace.c.name)).scalar() == "search-prod"


def test_a_first_upgrade_that_fails_leaves_the_store_empty(empty: sa.Engine, scripts: Path) -> None:
    add_script(scripts, upgrade="raise ZeroDivisionError")
    with pytest.raises(ZeroDivisionError):
        migrate.upgrade(empty)
    assert tables(empty) == set()


def test_a_migration_that_orphans_rows_is_undone(engine: sa.Engine, scripts: Path) -> None:
    fill(engine)
    add_script(scripts, upgrade='op.execute("DELETE FROM workspace")')
    with pytest.raises((migrate.BrokenMigrationError, sa.exc.IntegrityError)):
        migrate.upgrade(engine)
    assert migrate.current(engine) == "0001"
    with engine.connect() as connection:
        assert connection.execute(sa.select(workspace.c.id)).scalars().all() == [1]


def test_foreign_keys_are_enforced_again_after_an_upgrade(engine: sa.Engine) -> None:
    migrate.upgrade(engine)
    with pytest.raises(sa.exc.IntegrityError), writing(engine) as connection:
        connection.execute(quota.insert().values(deployment_id=99, **LIMITS))


def test_an_older_store_is_refused_with_the_command_that_upgrades_it(engine: sa.Engine, scripts: Path) -> None:
    add_script(scripts, upgrade="pass")
    for refuse in (migrate.require_current, migrate.ensure):
        with pytest.raises(migrate.OutdatedStoreError, match=r"is 0001, .* needs 9999: run maas-monitor db upgrade"):
            refuse(engine)


def test_a_newer_store_is_refused_and_left_alone(engine: sa.Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for refuse in (migrate.require_current, migrate.ensure, migrate.upgrade):
        with pytest.raises(migrate.NewerStoreError, match=r"its schema is 9999, .*: update maas-monitor"):
            refuse(engine)
    assert migrate.current(engine) == "9999"


def test_an_empty_store_is_filled_when_something_is_about_to_be_written(empty: sa.Engine) -> None:
    assert migrate.current(empty) is None
    migrate.ensure(empty)
    assert migrate.current(empty) == migrate.head()


def test_only_an_empty_sqlite_file_is_filled_by_a_command_that_reads(empty: sa.Engine) -> None:
    if empty.dialect.name == "sqlite":
        migrate.require_current(empty)
        assert migrate.current(empty) == migrate.head()
    else:
        with pytest.raises(migrate.OutdatedStoreError, match="it is empty: run maas-monitor db upgrade"):
            migrate.require_current(empty)
        assert tables(empty) == set()


def test_a_database_with_somebody_elses_tables_is_left_alone(empty: sa.Engine) -> None:
    with writing(empty) as connection:
        connection.exec_driver_sql("CREATE TABLE workspace (color TEXT)")
    with pytest.raises(migrate.ForeignStoreError, match="a table 'workspace' that maas-monitor did not make"):
        migrate.upgrade(empty)
    assert tables(empty) == {"workspace"}


def test_a_store_out_of_reach_is_told_in_one_line_without_its_password() -> None:
    engine = open_engine("postgresql://me:hidden@127.0.0.1:9/monitor")
    with pytest.raises(UnreachableError) as told:
        migrate.current(engine)
    assert "hidden" not in str(told.value)
    assert "\n" not in str(told.value)


def test_asking_for_the_version_of_a_current_store_does_not_import_alembic(store_url: str) -> None:
    asked = (
        "import sys\nfrom monitor.store import migrate\nfrom monitor.store.engine import open_engine\n"
        f"engine = open_engine({store_url!r})\nmigrate.require_current(engine)\nmigrate.ensure(engine)\n"
        "engine.dispose()\nassert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", asked], check=True, cwd=ROOT)


def test_every_script_is_named_by_its_revision_and_stands_on_the_one_before() -> None:
    before = None
    for revision in migrate.known():
        (path,) = (folder("migrations") / "versions").glob(f"{revision}_*.py")
        text = path.read_text()
        assert f'revision = "{revision}"' in text
        assert f"down_revision = {json.dumps(before) if before else None}" in text
        before = revision


def described(engine: sa.Engine) -> set[str]:
    with engine.connect() as connection:
        return describe(connection, metadata.tables)
