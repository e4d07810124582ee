"""Azure Storage: the blobs of a container, listed and read as the session's identity or with a key or signature.

A path is `https://<account>.blob.<suffix>/<container>/<pattern>`; on this machine (Azurite) the account is the first
step of the path. `*` stays within one step of a blob's name, `**` crosses them. What is signed goes to the storage of
the cloud that [azure] names and to this machine, nowhere else. Soft-deleted blobs, snapshots and old versions are never
listed.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from msgspec import Struct

from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources.azure.cloud import LOOPBACK
from monitor.sources.azure.refusals import FORBIDDEN, UNAUTHORIZED, Need, code_of, meaning

if TYPE_CHECKING:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential, TokenCredential
    from azure.storage.blob import BlobProperties, ContainerClient

    from monitor.sources.session import Session

ROLE = "Storage Blob Data Reader"
REMOTE = "://"
CHUNK_BYTES = 4 * 1024 * 1024
"""How much of a blob is in memory at once."""
PAGE = 5_000
"""The largest page of a listing."""
EXAMPLE = "write it like https://account.blob.core.windows.net/container/folder/*.csv"

_WILDCARD = re.compile(r"[*\[{]")


class BlobPath(Struct, frozen=True, kw_only=True):
    """Blobs of one container: `account` is the address of the account, `pattern` what their names are like."""

    account: str
    name: str
    container: str
    pattern: str

    @property
    def host(self) -> str:
        """The host that requests go to."""
        return urlsplit(self.account).hostname or ""

    @property
    def prefix(self) -> str:
        """What the names of all the blobs begin with: all before the first wildcard or {label}."""
        wild = _WILDCARD.search(self.pattern)
        return self.pattern[: wild.start()] if wild else self.pattern


class Listed(Struct, frozen=True, kw_only=True):
    """A blob as a listing describes it; `modified_ns` is in whole seconds, as Azure tells it.

    `unreadable`: why its bytes are not to be had now, '' if they are.
    """

    name: str
    size: int
    etag: str
    modified_ns: int
    unreadable: str = ""


class ChangedError(UnreachableError):
    """A blob is another than the one that was listed: somebody writes to it."""

    def __init__(self, subject: str, name: str) -> None:
        super().__init__(subject, f"{name} changed while it was read", "collect again")


def is_remote(path: str) -> bool:
    """Whether a path of the settings is not one of this machine's folders."""
    return REMOTE in path


def blob_path(address: str, subject: str) -> BlobPath:
    """Take an address apart; SettingsError, which never quotes it, if it is none of a container."""
    scheme, _, rest = address.partition(REMOTE)
    authority, _, path = rest.partition("/")
    if "?" in address or "@" in authority:
        # Whoever pastes a SAS address would leave its signature in the settings.
        raise SettingsError(
            subject, "is more than an address", "leave a key out, and name its variable in credential_env"
        )
    try:
        host = urlsplit(f"{scheme}://{authority}").hostname or ""
    except ValueError:
        host = ""
    if scheme not in ("http", "https") or not host:
        raise SettingsError(subject, "is not the address of a container", EXAMPLE)
    if scheme == "http" and host not in LOOPBACK:
        raise SettingsError(subject, "would send credentials over plain http", "write https://")
    account, name = f"{scheme}://{authority}", host.partition(".")[0]
    if host in LOOPBACK:
        name, _, path = path.partition("/")
        account = f"{account}/{name}"
    container, _, pattern = path.partition("/")
    if not name or not container or _WILDCARD.search(name + container):
        raise SettingsError(subject, "does not name one container", EXAMPLE)
    return BlobPath(account=account, name=name, container=container, pattern=pattern)


def variable_name(text: str, subject: str) -> None:
    """Refuse what is no name of a variable, without repeating it: it may be the secret itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise SettingsError(
            subject, "is not the name of a variable", "write the name, and put the key into the variable"
        )


class Container:
    """A container, opened by `container_client`; `client` is the official one. Close it by its `with`."""

    def __init__(self, client: "ContainerClient", path: BlobPath, subject: str, credential_env: str | None) -> None:
        self.client, self.path, self.subject, self._credential_env = client, path, subject, credential_env
        self.need = Need(role=ROLE, scope=f"container {path.container!r} of storage account {path.name!r}")

    def __enter__(self) -> "Container":
        return self

    def __exit__(self, *_error: object) -> None:
        self.client.close()

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """Yield the blobs whose names begin so, by name; a MonitorError if that is refused."""
        with self._understood():
            for blob in self.client.list_blobs(name_starts_with=prefix or None, results_per_page=PAGE):
                yield _listed(blob)

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the folders whose names begin so, each with its "/", without what lies in them."""
        with self._understood():
            for one in self.client.walk_blobs(name_starts_with=prefix or None, results_per_page=PAGE):
                if one.name.endswith("/"):
                    yield one.name

    def find(self, name: str) -> Listed | None:
        """Return the blob of that name; None if there is none."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._understood():
            try:
                return _listed(self.client.get_blob_client(name).get_blob_properties())
            except ResourceNotFoundError:
                return None

    def download(self, blob: Listed, to: BinaryIO) -> int:
        """Write a blob as it was listed to a file and return its bytes; ChangedError if it is another by now."""
        from azure.core import MatchConditions
        from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

        written = 0
        with self.told():
            try:
                stream = self.client.download_blob(
                    blob.name, etag=blob.etag, match_condition=MatchConditions.IfNotModified
                )
                for chunk in stream.chunks():
                    written += to.write(chunk)
            except (ResourceModifiedError, ResourceNotFoundError):
                raise ChangedError(self.subject, blob.name) from None
        return written

    @contextmanager
    def told(self) -> Iterator[None]:
        """Turn what the storage library raises into a MonitorError of this source."""
        from azure.core.exceptions import AzureError

        try:
            yield
        except AzureError as error:
            raise self._meaning(error) from None

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """The same where the library does not look what it was answered: a proxy's page is no listing, for one."""
        from azure.core.exceptions import DeserializationError

        try:
            with self.told():
                yield
        except (DeserializationError, AttributeError):
            what = "what answers is not Azure Storage"
            raise UnreachableError(self.subject, what, "check the address and the proxy") from None

    def _meaning(self, error: Exception) -> MonitorError:
        status, code = getattr(error, "status_code", None), code_of(error)
        if self._credential_env and status in (UNAUTHORIZED, FORBIDDEN):
            what = f"what ${self._credential_env} holds is refused ({code or status})"
            return UnreachableError(self.subject, what, "put a valid key or signature that reads and lists into it")
        return meaning(error, self.subject, self.need)


def container_client(session: "Session", address: str, credential_env: str | None, subject: str) -> Container:
    """Open the container of an address; nothing is asked yet.

    `credential_env`: the variable that holds an account key or a SAS token; None: as who the session is.
    """
    path = blob_path(address, subject)
    suffix = f"blob.{session.azure.addresses.storage_suffix}"
    if path.host not in LOOPBACK and not path.host.endswith(f".{suffix}"):
        what = f"{path.host} is not under {suffix}: no credential is sent there"
        raise SettingsError(subject, what, "correct the address, or cloud or storage_suffix in [azure]")
    client = _client(session, path, _credential(session, path, credential_env, subject))
    return Container(client, path, subject, credential_env)


def reached(session: "Session", address: str, credential_env: str | None, subject: str) -> Iterator[str]:
    """Ask for the first blobs of an address and say what came of it; a MonitorError if that is refused."""
    with container_client(session, address, credential_env, subject) as container:
        found = next(container.list(container.path.prefix), None)
    there = "answers" if found else "answers, and holds nothing there yet"
    yield f"container {container.path.container!r} of {container.path.name!r} {there}"


def _client(session: "Session", path: BlobPath, credential: Any) -> "ContainerClient":
    from azure.core.exceptions import ClientAuthenticationError
    from azure.storage.blob import ContainerClient, ExponentialRetry

    class Retry(ExponentialRetry):
        """Waits by the session's clock, and not for who cannot be signed in."""

        def increment(self, settings: Any, request: Any, response: Any = None, error: Any = None) -> bool:
            lost = isinstance(error, ClientAuthenticationError)
            return not lost and bool(super().increment(settings, request, response, error))

        def sleep(self, settings: Any, _transport: Any) -> None:
            session.clock.sleep(self.get_backoff_time(settings))

    return ContainerClient(
        path.account,
        path.container,
        credential=credential,
        retry_policy=Retry(initial_backoff=1, increment_base=2),
        # A redirect would take the signature to another host.
        permit_redirects=False,
        max_single_get_size=CHUNK_BYTES,
        max_chunk_get_size=CHUNK_BYTES,
    )


def _credential(
    session: "Session", path: BlobPath, credential_env: str | None, subject: str
) -> "TokenCredential | AzureNamedKeyCredential | AzureSasCredential":
    _require_library(subject)
    if not credential_env:
        if path.account.startswith("http:"):
            raise SettingsError(
                subject, "a token is not sent over plain http", "write https://, or name a key in credential_env"
            )
        return session.credential
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    value = session.environ.get(credential_env, "").strip()
    if not value:
        raise SettingsError(subject, f"${credential_env} is not set", "put an account key or a SAS token into it")
    if "sig=" in value and REMOTE not in value:
        return AzureSasCredential(value.lstrip("?"))
    if _is_key(value):
        return AzureNamedKeyCredential(path.name, value)
    what = f"${credential_env} holds neither an account key nor a SAS token"
    raise SettingsError(subject, what, "put one into it, without an address or a connection string around it")


def _require_library(subject: str) -> None:
    try:
        import azure.storage.blob  # noqa: F401 - whether it is there
    except ImportError:
        raise SettingsError(
            subject, "reading Azure Storage needs another library", "pip install 'maas-monitor[azure]'"
        ) from None


def _is_key(value: str) -> bool:
    try:
        return len(b64decode(value, validate=True)) >= 32
    except ValueError:
        return False


def _listed(blob: "BlobProperties") -> Listed:
    unreadable = ""
    if str(blob.blob_tier or "") == "Archive":
        unreadable = "the blob is in the archive tier"
    elif getattr(blob.copy, "status", None) == "pending":
        unreadable = "the blob is still being copied"
    return Listed(
        name=blob.name,
        size=blob.size,
        etag=blob.etag or "",
        modified_ns=int(blob.last_modified.timestamp()) * 10**9,
        unreadable=unreadable,
    )
