"""The engines: how each is opened, locked for writing, and filled fast. Nothing else asks which one it is.

Bulk rows travel as numpy columns. SQLite takes them through the driver's `executemany`; PostgreSQL through binary COPY,
whose bytes numpy lays out itself (a row is a field count, then length and value of each field, big-endian).
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from monitor.errors import SettingsError, UnreachableError

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

Columns = Mapping[str, NDArray[Any]]
"""Equally long columns of whole numbers; -1 in a nullable column means null."""

WAIT_S = 60
"""How long a SQLite connection waits for another process's lock before the store counts as out of reach."""

WRITE_LOCK = 0x6D61_6173
"""The advisory lock of PostgreSQL that writers of usage, charges and schema take ('maas' in ASCII)."""


def open_engine(url: str) -> "Engine":
    """Open the store at `url` (sqlite:///file or postgresql://...); nothing is created or reached yet."""
    try:
        parsed = sa.engine.make_url(url)
    except sa.exc.ArgumentError:
        raise SettingsError(
            "store.url", "is not a database URL", "write sqlite:///monitor.db or postgresql://..."
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _open_postgresql(parsed)
    raise SettingsError("store.url", f"{parsed.get_backend_name()} is not supported", "use sqlite or postgresql")


def _open_sqlite(url: sa.engine.URL) -> "Engine":
    engine = sa.create_engine(url, connect_args={"timeout": WAIT_S})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLAlchemy itself says BEGIN, so that a failing migration rolls back whole.
        connection.isolation_level = None
        _write_ahead(connection)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: "Connection") -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


def _write_ahead(connection: Any) -> None:
    """Switch the file to write-ahead logging; SQLite does not wait for the lock this takes, so the waiting is ours."""
    deadline = time.monotonic() + WAIT_S
    while not _switched(connection, last=time.monotonic() > deadline):
        time.sleep(0.005)


def _switched(connection: Any, *, last: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    except sqlite3.OperationalError as error:
        # The low byte is the kind of error, the rest says more about it.
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def _open_postgresql(url: sa.engine.URL) -> "Engine":
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise SettingsError(
            "store.url", "PostgreSQL needs the psycopg driver", "pip install 'maas-monitor[postgres]'"
        ) from None
    return sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


@contextmanager
def writing(engine: "Engine") -> Iterator["Connection"]:
    """One writing transaction, alone: BEGIN IMMEDIATE on SQLite, an advisory lock on PostgreSQL; commits at the end."""
    with telling(engine), engine.connect() as plain:
        connection = plain.execution_options(sqlite_begin="IMMEDIATE")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(WRITE_LOCK)))
            yield connection


@contextmanager
def reading(engine: "Engine") -> Iterator["Connection"]:
    """One reading transaction: everything read in it is of the same moment."""
    with telling(engine), engine.connect() as plain:
        connection = plain
        if engine.dialect.name == "postgresql":
            connection = plain.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def telling(engine: "Engine") -> Iterator[None]:
    """Turn the driver's word that the store is out of reach, full or locked into an error of ours.

    Bulk rows go past SQLAlchemy, so that the driver's own errors come here too.
    """
    try:
        yield
    except sa.exc.OperationalError as error:
        raise _unreachable(engine, error.orig) from error
    except engine.dialect.loaded_dbapi.OperationalError as error:
        raise _unreachable(engine, error) from error


def _unreachable(engine: "Engine", error: object) -> UnreachableError:
    """Tell what the driver said in one line, without the statement and its values and without the password."""
    said = str(error).strip().splitlines()
    return UnreachableError(
        engine.url.render_as_string(hide_password=True), said[0] if said else "no answer", "is it running and writable?"
    )


def insert(connection: "Connection", table: sa.Table, columns: Columns) -> None:
    """Insert rows given as columns; the table's other columns stay at null."""
    if _rows(columns) == 0:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table.name, table.c, columns)
    else:
        names = ", ".join(columns)
        marks = ", ".join(["?"] * len(columns))
        _driver_many(connection, f"INSERT INTO {table.name} ({names}) VALUES ({marks})", table.c, columns)


def add_up(
    connection: "Connection",
    table: sa.Table,
    columns: Columns,
    *,
    largest: Sequence[str] = (),
    clear: Sequence[str] = (),
) -> None:
    """Add rows into a rollup: on an existing key columns add up, `largest` keep the maximum, `clear` become null."""
    if _rows(columns) == 0:
        return
    keys = [column.name for column in table.primary_key]
    biggest = "greatest" if connection.dialect.name == "postgresql" else "max"
    changes = [
        f"{name} = {biggest}({table.name}.{name}, excluded.{name})"
        if name in largest
        else f"{name} = {table.name}.{name} + excluded.{name}"
        for name in columns
        if name not in keys
    ]
    changes += [f"{name} = NULL" for name in clear]
    names = ", ".join(columns)
    conflict = f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"
    if connection.dialect.name == "postgresql":
        staged = stage(connection, f"staged_{table.name}", {name: table.c[name].type for name in columns}, columns)
        connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {staged} {conflict}")
    else:
        marks = ", ".join(["?"] * len(columns))
        _driver_many(connection, f"INSERT INTO {table.name} ({names}) VALUES ({marks}) {conflict}", table.c, columns)


def stage(connection: "Connection", name: str, types: Mapping[str, sa.types.TypeEngine[Any]], columns: Columns) -> str:
    """Put columns into an emptied temporary table and return its name."""
    dialect = connection.dialect
    described = ", ".join(f"{column} {type_.compile(dialect)}" for column, type_ in types.items())
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({described})")
    if dialect.name == "postgresql":
        connection.exec_driver_sql(f"TRUNCATE {name}")
        _copy(connection, name, {column: sa.Column(column, type_) for column, type_ in types.items()}, columns)
    else:
        connection.exec_driver_sql(f"DELETE FROM {name}")
        marks = ", ".join(["?"] * len(types))
        _driver_many(
            connection, f"INSERT INTO {name} VALUES ({marks})", None, {column: columns[column] for column in types}
        )
    return name


@contextmanager
def by_index(connection: "Connection") -> Iterator[None]:
    """Keep PostgreSQL from scanning a large table for some thousand keys.

    It takes keys that are written into a statement for more than they are, and of a fresh temporary table it knows
    nothing.
    """
    settings = ("enable_hashjoin", "enable_mergejoin", "enable_seqscan", "enable_bitmapscan")
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:
        connection.exec_driver_sql("; ".join(f"SET LOCAL {setting} = off" for setting in settings))
    yield
    if is_postgresql:
        connection.exec_driver_sql("; ".join(f"SET LOCAL {setting} TO DEFAULT" for setting in settings))


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _driver_many(connection: "Connection", statement: str, described: Any, columns: Columns) -> None:
    driver = connection.connection.driver_connection
    assert driver is not None
    listed = [_nullable(name, column, described) for name, column in columns.items()]
    driver.executemany(statement, zip(*listed, strict=True)).close()


def _nullable(name: str, column: NDArray[Any], described: Any) -> list[Any]:
    if described is None or not described[name].nullable or not (column == -1).any():
        return column.tolist()  # type: ignore[no-any-return]
    boxed = column.astype(object)
    boxed[column == -1] = None
    return boxed.tolist()  # type: ignore[no-any-return]


_WIDTHS = {"SMALLINT": ">i2", "INTEGER": ">i4", "BIGINT": ">i8"}


def _copy(connection: "Connection", name: str, described: Any, columns: Columns) -> None:
    layout = [("fields", ">i2")]
    for column in columns:
        width = _WIDTHS[described[column].type.compile(connection.dialect)]
        layout += [(f"length_{column}", ">i4"), (column, width)]
    rows = np.zeros(_rows(columns), dtype=layout)
    rows["fields"] = len(columns)
    for column, values in columns.items():
        rows[f"length_{column}"] = rows.dtype[column].itemsize
        rows[column] = values
    driver = connection.connection.driver_connection
    assert driver is not None
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY {name} ({', '.join(columns)}) FROM STDIN (FORMAT binary)") as copy,
    ):
        copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
        copy.write(_without_nulls(rows, columns, described))
        copy.write(b"\xff\xff")


def _without_nulls(rows: NDArray[Any], columns: Columns, described: Any) -> bytes:
    """Return the rows' bytes with every null cut down to its length field, which is then -1."""
    nulls = {name: values == -1 for name, values in columns.items() if getattr(described[name], "nullable", False)}
    if not any(missing.any() for missing in nulls.values()):
        return rows.tobytes()
    keep = np.ones((len(rows), rows.dtype.itemsize), dtype=bool)
    for name, missing in nulls.items():
        rows[f"length_{name}"][missing] = -1
        _, offset = rows.dtype.fields[name]  # type: ignore[index,misc]
        keep[missing, offset : offset + rows.dtype[name].itemsize] = False
    return rows.view(np.uint8).reshape(len(rows), -1)[keep].tobytes()
