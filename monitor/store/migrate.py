"""The schema's version: read, brought up to date, compared with what the program expects.

The scripts lie in the folder `migrations`; the newest revision is read from their file names, because importing Alembic
takes most of a second and every command asks whether the store is current. An upgrade is one transaction that runs
alone: 1 take the writers' lock (BEGIN IMMEDIATE on SQLite, an advisory lock on PostgreSQL); 2 read the version; 3 run
what is missing; 4 check foreign keys, which SQLite does not enforce meanwhile; 5 commit. Whoever waited for the lock
finds nothing left to do, and a script that fails leaves nothing behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from monitor.errors import MonitorError
from monitor.folders import folder
from monitor.store.engine import WRITE_LOCK, telling
from monitor.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy.engine import Connection, Engine

UPGRADE = "maas-monitor db upgrade"


class OutdatedStoreError(MonitorError):
    """The store was made by an older program, or nothing was put into it yet."""

    def __init__(self, engine: "Engine", found: str | None) -> None:
        what = f"its schema is {found}, this program needs {head()}" if found else "it is empty"
        super().__init__(_shown(engine), what, f"run {UPGRADE}")


class NewerStoreError(MonitorError):
    """The store was upgraded by a newer program than this one."""

    def __init__(self, engine: "Engine", found: str) -> None:
        what = f"its schema is {found}, this program knows up to {head()}"
        super().__init__(_shown(engine), what, "update maas-monitor")


class ForeignStoreError(MonitorError):
    """The database holds tables of the same names that are not ours."""

    def __init__(self, engine: "Engine", table: str) -> None:
        super().__init__(
            _shown(engine),
            f"has a table {table!r} that maas-monitor did not make",
            "give the store a database of its own",
        )


class BrokenMigrationError(MonitorError):
    """After a migration rows refer to rows that are not there; nothing was changed."""

    def __init__(self, engine: "Engine", table: str) -> None:
        super().__init__(
            _shown(engine), f"rows of {table!r} refer to rows that are missing", "restore a backup or report this"
        )


def head() -> str:
    """The newest revision this program knows, such as "0001"."""
    return max(known())


def known() -> list[str]:
    """All revisions this program knows, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (folder("migrations") / "versions").glob("[0-9]*_*.py"))


def current(engine: "Engine") -> str | None:
    """The revision the store has; None if it has none. UnreachableError if the store does not answer."""
    with telling(engine), engine.connect() as connection:
        return _revision(connection)


def ensure(engine: "Engine") -> None:
    """Make sure that the store can be used: fill an empty one, refuse an older or newer one by a MonitorError."""
    if current(engine) is None:
        upgrade(engine)
    else:
        require_current(engine)


def require_current(engine: "Engine") -> None:
    """Refuse a store that is older or newer by a MonitorError; a current one costs one query and no import of Alembic.

    A SQLite file that is new is filled. An empty PostgreSQL database is refused: its schema is made by whoever may.
    """
    found = current(engine)
    if found == head():
        return
    if found is None and engine.dialect.name == "sqlite":
        upgrade(engine)
    elif found is None or found in known():
        raise OutdatedStoreError(engine, found)
    else:
        raise NewerStoreError(engine, found)


def upgrade(engine: "Engine") -> None:
    """Bring the store to the newest revision, whole or not at all; any number of processes may call it at once."""
    from alembic import command

    with _migrating(engine) as connection:
        _refuse_strangers(engine, connection)
        command.upgrade(_config(connection), "head")


def downgrade(engine: "Engine", revision: str) -> None:
    """Take the store back to an older revision, or to "base" (empty); what newer columns held is lost."""
    from alembic import command

    with _migrating(engine) as connection:
        command.downgrade(_config(connection), revision)


def check(engine: "Engine") -> list[str]:
    """Compare the store's tables with those the program expects; one line per difference, none if they are equal."""
    from monitor.store.schema import describe, describe_intended

    with telling(engine), engine.connect() as connection:
        found = describe(connection, metadata.tables)
        expected = describe_intended(connection, metadata)
    missing = [f"missing: {line}" for line in sorted(expected - found)]
    return missing + [f"not expected: {line}" for line in sorted(found - expected)]


@contextmanager
def _migrating(engine: "Engine") -> Iterator["Connection"]:
    with telling(engine), engine.connect() as plain, _unenforced(plain):
        connection = plain.execution_options(sqlite_begin="IMMEDIATE")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITE_LOCK)))
            yield connection
            _check_foreign_keys(engine, connection)


@contextmanager
def _unenforced(connection: "Connection") -> Iterator[None]:
    """Let SQLite rebuild a table that others refer to: enforced, dropping the old one would delete their rows."""
    driver: Any = connection.connection.driver_connection
    sqlite = connection.dialect.name == "sqlite"
    try:
        if sqlite:
            driver.execute("PRAGMA foreign_keys=OFF").close()
        yield
    finally:
        if sqlite:
            driver.execute("PRAGMA foreign_keys=ON").close()


def _check_foreign_keys(engine: "Engine", connection: "Connection") -> None:
    if engine.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise BrokenMigrationError(engine, str(broken[0]))


def _refuse_strangers(engine: "Engine", connection: "Connection") -> None:
    found = _revision(connection)
    if found is not None and found not in known():
        raise NewerStoreError(engine, found)
    if found is None:
        strangers = sorted(set(sa.inspect(connection).get_table_names()) & set(metadata.tables))
        if strangers:
            raise ForeignStoreError(engine, strangers[0])


def _revision(connection: "Connection") -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _config(connection: "Connection") -> "Config":
    from alembic.config import Config

    config = Config()
    # The path goes through Python's %-interpolation.
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _shown(engine: "Engine") -> str:
    return engine.url.render_as_string(hide_password=True)
