"""What the tables of a store are, read back from the database as lines of text that can be compared.

Alembic's own comparison misses changed CHECK constraints and partial indexes; two stores that give the same lines here
have the same tables, columns, keys, indexes, constraints and table options.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.engine.reflection import Inspector

TEMPORARY = re.compile(r'"?pg_temp_\d+"?\.')
"""The schema of PostgreSQL's temporary tables, as defaults name it."""


def describe(connection: "Connection", tables: Iterable[str], schema: str | None = None) -> set[str]:
    """Describe those of the tables that the database has, in its default schema or in the one named."""
    inspector = sa.inspect(connection)
    lines: set[str] = set()
    for table in tables:
        if inspector.has_table(table, schema):
            lines.update(f"{table}: {TEMPORARY.sub('', line)}" for line in _lines(inspector, table, schema))
    return lines


def describe_intended(connection: "Connection", metadata: sa.MetaData) -> set[str]:
    """Describe the tables of `metadata` as the connection's kind of database would keep them.

    They are made for a moment: on SQLite in memory, on PostgreSQL as temporary tables that a rollback takes away, so
    that nothing but the right to connect is needed.
    """
    if connection.dialect.name == "sqlite":
        scratch = sa.create_engine("sqlite://")
        with scratch.connect() as own:
            metadata.create_all(own)
            lines = describe(own, metadata.tables)
        scratch.dispose()
        return lines
    with connection.begin_nested() as savepoint:
        connection.exec_driver_sql("SET LOCAL search_path = pg_temp")
        metadata.create_all(connection, checkfirst=False)
        schema = connection.exec_driver_sql("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()").scalar()
        lines = describe(connection, metadata.tables, str(schema))
        savepoint.rollback()
    return lines


def _lines(inspector: "Inspector", table: str, schema: str | None) -> Iterator[str]:
    """One line per part of the table; its existence shows in the line of its columns' order."""
    columns = inspector.get_columns(table, schema)
    yield f"columns in this order: {', '.join(column['name'] for column in columns)}"
    for column in columns:
        kind = column["type"].compile(inspector.dialect)
        yield f"column {column['name']} {kind} {_facts(column, ('nullable', 'default', 'identity', 'computed'))}"
    yield f"primary key {_facts(inspector.get_pk_constraint(table, schema), ('name', 'constrained_columns'))}"
    referring = ("name", "constrained_columns", "referred_table", "referred_columns", "options")
    for key in inspector.get_foreign_keys(table, schema):
        yield f"foreign key {_facts(key, referring)}"
    for unique in inspector.get_unique_constraints(table, schema):
        yield f"unique {_facts(unique, ('name', 'column_names'))}"
    for index in inspector.get_indexes(table, schema):
        yield f"index {_facts(index, ('name', 'column_names', 'expressions', 'unique', 'dialect_options'))}"
    for constraint in inspector.get_check_constraints(table, schema):
        yield f"check {_facts(constraint, ('name', 'sqltext'))}"
    for option, value in inspector.get_table_options(table, schema).items():
        yield f"option {option} {value}"


def _facts(found: Mapping[str, Any], names: Iterable[str]) -> str:
    return " ".join(f"{name}={_fact(found[name])}" for name in names if found.get(name) is not None)


def _fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}={_fact(inner)}" for name, inner in sorted(value.items())) + "}"
    return str(value)
