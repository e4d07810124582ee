"""How Alembic runs the scripts: on the connection the program hands over, or on a developer's own.

A developer's `alembic revision --autogenerate -m "..."` works on MONITOR_STORE, or on `-x store=URL`.
"""

import os
from typing import Any, Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext

from monitor.store.engine import open_engine, writing
from monitor.store.tables import Instant, metadata


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write our own type as what the database keeps, so that scripts do not import the program they outlive."""
    return "sa.BigInteger()" if kind == "type" and isinstance(item, Instant) else False


def run(connection: sa.Connection) -> None:
    """Run the scripts inside the transaction that is open on the connection."""
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, render_item=render_item)
    with context.begin_transaction():
        context.run_migrations()


def run_for_a_developer() -> None:
    """Run on the store of the environment or of the command line, in one transaction."""
    asked = context.get_x_argument(as_dictionary=True).get("store")
    engine = open_engine(asked or os.environ.get("MONITOR_STORE", "sqlite:///monitor.db"))
    with writing(engine) as connection:
        run(connection)
    engine.dispose()


given = context.config.attributes.get("connection")
if given is None:
    run_for_a_developer()
else:
    run(given)
