"""Settings: a TOML file and the environment, as typed records; an unknown key is an error naming the nearest known one.

Every value can be overridden by the environment: MONITOR_<TABLE>_<FIELD>, for tables of which there are several
MONITOR_<TABLE>_<NAME>_<FIELD> with the item's name in upper case and everything else than letters and digits as `_`
(MONITOR_SOURCE_GATEWAY_PATH); items without a name count from 1 (MONITOR_PRICE_1_AMOUNT). Lists and tables are written
there as in TOML. Relative paths, the store's too, are relative to the folder of the settings file, wherever they were
set; `$MONITOR_STORE` is for the store what `--store` is, and relative to the working directory.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from glob import escape
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any, NoReturn

from msgspec import Struct, structs

import monitor.sources
from monitor.config.overriding import Overrides, environment_name
from monitor.config.settings import (
    Budget,
    Deployment,
    Implausible,
    Later,
    Price,
    Quota,
    Report,
    Settings,
    Store,
    Workspace,
)
from monitor.config.typing_in import Misfit, convert, parse_text, struct_in
from monitor.domain.endpoints import endpoint
from monitor.errors import SettingsError, UnknownNameError
from monitor.sources.azure.cloud import Azure

__all__ = [
    "Budget",
    "Deployment",
    "Later",
    "Price",
    "Quota",
    "Report",
    "Settings",
    "Store",
    "Workspace",
    "load",
    "source_kinds",
]

DEFAULT_FILE = "monitor.toml"
LATER_KINDS: tuple[str, ...] = ()
"""Kinds of sources that the contract names and this version does not bring: kept, and refused only when collected."""

TABLES = ("store", "report", "source", "workspace", "deployment", "quota", "price", "rule", "channel", "azure")


def load(path: Path | str | None, environ: Mapping[str, str]) -> Settings:
    """Read the settings at `path`, else at $MONITOR_CONFIG, else ./monitor.toml, else nothing but defaults.

    SettingsError and UnknownNameError say where, what and the remedy; values that may be secret are never quoted.
    """
    file = _file(path, environ)
    raw = _parse(file) if file else {}
    for key in raw:
        if key not in TABLES:
            raise UnknownNameError(str(file), "table", key, list(TABLES))
    overrides = Overrides(environ)
    folder = file.absolute().parent if file else Path.cwd()
    settings = Settings(
        file=file,
        folder=folder,
        store=_store(raw, overrides, folder, environ),
        report=_table(Report, _one(raw, "report"), "report", "MONITOR_REPORT", overrides),
        sources=tuple(_source(item, place, prefix, overrides, folder) for item, place, prefix in _items(raw, "source")),
        workspaces=_several(Workspace, raw, "workspace", overrides),
        deployments=_several(Deployment, raw, "deployment", overrides),
        quotas=_several(Quota, raw, "quota", overrides),
        prices=_several(Price, raw, "price", overrides),
        rules=tuple(_loose(*item, overrides) for item in _items(raw, "rule")),
        channels=tuple(_loose(*item, overrides) for item in _items(raw, "channel")),
        azure=_table(Azure, _one(raw, "azure"), "azure", "MONITOR_AZURE", overrides),
    )
    overrides.refuse_unused(TABLES)
    _check_names(settings)
    return settings


@cache
def source_kinds() -> dict[str, ModuleType]:
    """Return the modules that read sources, by kind: those in monitor/sources and those other packages announce."""
    found = [
        import_module(f"{monitor.sources.__name__}.{module.name}")
        for module in iter_modules(monitor.sources.__path__)
        if not module.ispkg
    ]
    found += [entry.load() for entry in entry_points(group="maas_monitor.sources")]
    return {module.KIND: module for module in found if hasattr(module, "KIND") and hasattr(module, "Settings")}


def sqlite_beside(url: str, folder: Path) -> str:
    """Make the file of a SQLite URL absolute, relative to `folder`; other URLs stay as they are.

    SettingsError for postgres://, which other programs take and SQLAlchemy does not.
    """
    if url.startswith("postgres://"):
        raise SettingsError("store.url", "postgres:// is not the name of a kind of store", "write postgresql://")
    head, separator, rest = url.partition(":///")
    if not head.startswith("sqlite") or not separator:
        return url
    path, mark, query = rest.partition("?")
    if not path or path == ":memory:" or path.startswith("file:"):
        return url
    return f"{head}:///{folder / Path(path).expanduser()}{mark}{query}"


def _file(path: Path | str | None, environ: Mapping[str, str]) -> Path | None:
    asked = path or environ.get("MONITOR_CONFIG")
    if asked:
        if Path(asked).is_dir():
            raise SettingsError(str(asked), "is a folder", f"name the file in it, like {Path(asked) / DEFAULT_FILE}")
        if not Path(asked).is_file():
            raise SettingsError(str(asked), "there is no such settings file", "write one with: maas-monitor init")
        return Path(asked)
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(str(file), f"is not valid TOML: {error}", "correct that line") from None
    except UnicodeDecodeError:
        raise SettingsError(str(file), "is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(str(file), f"cannot be read: {error.strerror}", "check its permissions") from None


def _one(raw: Mapping[str, Any], table: str) -> dict[str, Any]:
    value = raw.get(table, {})
    if not isinstance(value, dict):
        raise SettingsError(table, "is not a table", f"write [{table}]")
    return value


def _items(raw: Mapping[str, Any], table: str) -> list[tuple[dict[str, Any], str, str]]:
    """Return the items of a table of which there may be several: as written, place in messages, prefix of variables."""
    value = raw.get(table, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SettingsError(table, "is not a list of tables", f"write [[{table}]]")
    items = []
    for position, item in enumerate(value, 1):
        name = item.get("name")
        named = name if isinstance(name, str) and name else None
        place = f"{table} {named!r}" if named else f"{table} {position}"
        items.append((item, place, environment_name("MONITOR", table, named or str(position))))
    return items


def _store(raw: Mapping[str, Any], overrides: Overrides, folder: Path, environ: Mapping[str, str]) -> Store:
    written = _one(raw, "store")
    store: Store = _table(Store, written, "store", "MONITOR_STORE", overrides)
    if "url" not in written and "MONITOR_STORE_URL" not in environ and environ.get("MONITOR_STORE"):
        return structs.replace(store, url=sqlite_beside(environ["MONITOR_STORE"], Path.cwd()))
    return structs.replace(store, url=sqlite_beside(store.url, folder))


def _several(struct: type[Any], raw: Mapping[str, Any], table: str, overrides: Overrides) -> tuple[Any, ...]:
    return tuple(_table(struct, item, place, prefix, overrides) for item, place, prefix in _items(raw, table))


def _source(item: dict[str, Any], place: str, prefix: str, overrides: Overrides, folder: Path) -> Any:
    kind = overrides.peek(f"{prefix}_KIND") or item.get("kind")
    if not isinstance(kind, str):
        raise SettingsError(place, "the setting 'kind' is missing", f"write one of {', '.join(sorted(source_kinds()))}")
    module = source_kinds().get(kind)
    if module is None and kind in LATER_KINDS:
        return _loose(item, place, prefix, overrides)
    if module is None:
        raise UnknownNameError(place, "kind of source", kind, [*source_kinds(), *LATER_KINDS])
    settings = _table(module.Settings, item, place, prefix, overrides)
    return structs.replace(settings, path=_beside(settings.path, folder)) if hasattr(settings, "path") else settings


def _beside(path: str, folder: Path) -> str:
    """Make a path with wildcards absolute; wildcards in the folder's own name stand for themselves."""
    if "://" in path:
        return path
    expanded = str(Path(path).expanduser()) if path.startswith("~") else path
    return expanded if Path(expanded).is_absolute() else f"{escape(str(folder))}/{expanded}"


def _loose(item: dict[str, Any], place: str, prefix: str, overrides: Overrides) -> Later:
    """Keep a table of a later version as it is written, its name and kind checked, its values overridable."""
    fields = dict(item)
    for key, text in overrides.below(prefix, list(fields)).items():
        fields[key] = parse_text(text) if not isinstance(fields.get(key, ""), str) else text
    for key in ("name", "kind"):
        if not isinstance(fields.get(key, ""), str):
            raise SettingsError(place, f"{key}: expected text", "write it in quotes")
    if place.startswith("rule") and not fields.get("kind"):
        raise SettingsError(place, "the setting 'kind' is missing", 'write one, like kind = "quota-headroom"')
    if place.startswith("channel") and not (fields.get("kind") and fields.get("name")):
        raise SettingsError(
            place, "a channel needs a name and a kind", 'write them, like name = "on-call", kind = "webhook"'
        )
    return Later(name=fields.pop("name", ""), kind=fields.pop("kind", ""), fields=fields)


def _table(struct: type[Any], raw: Mapping[str, Any], place: str, prefix: str, overrides: Overrides) -> Any:
    """Build one Struct from what the file says and the environment overrides."""
    fields = structs.fields(struct)
    for key in raw:
        if key not in {field.name for field in fields}:
            raise UnknownNameError(place, "setting", key, [field.name for field in fields])
    values = {}
    for field in fields:
        name = environment_name(prefix, field.name)
        nested = struct_in(field.type)
        written = raw.get(field.name)
        if nested and (isinstance(written, dict) or overrides.any_below(name)):
            values[field.name] = _table(
                nested, _inner(written, f"{place}: {field.name}"), f"{place}: {field.name}", name, overrides
            )
            continue
        text = overrides.take(name)
        if text is not None or field.name in raw:
            with _told(f"{place}: {field.name}" if text is None else name):
                values[field.name] = convert(written if text is None else text, field.type, from_text=text is not None)
        elif field.required:
            raise SettingsError(place, f"the setting {field.name!r} is missing", "add it")
    return _checked(struct, values, place)


def _inner(written: Any, place: str) -> dict[str, Any]:
    if written is None:
        return {}
    if not isinstance(written, dict):
        raise SettingsError(place, "is not a table", "write { ... }")
    return written


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except Misfit as misfit:
        raise SettingsError(place, misfit.what, misfit.remedy) from None


def _checked(struct: type[Struct], values: dict[str, Any], place: str) -> Any:
    try:
        return struct(**values)
    except Implausible as wrong:
        raise SettingsError(place, f"{wrong.field} {wrong.what}", wrong.remedy) from None
    except UnknownNameError as unknown:
        # A kind of source knows which names there are, but not which item of the settings it is.
        raise SettingsError(place, unknown.what, unknown.remedy) from None
    except ValueError as error:
        raise SettingsError(place, str(error), "correct it") from None


def _check_names(settings: Settings) -> None:
    """Refuse items that could not be told apart."""
    _distinct("source", [source.name for source in settings.sources])
    _distinct("workspace", [workspace.name for workspace in settings.workspaces])
    _distinct("deployment", [f"{one.workspace}/{one.name} {one.region or ''}".rstrip() for one in settings.deployments])
    _regions_told_apart(settings.deployments)
    _distinct("endpoint", [host for host in map(_own_host, settings.deployments) if host])
    _distinct("quota", [f"{one.workspace}/{one.deployment} from {one.effective_from}" for one in settings.quotas])
    _distinct("price", [f"{one.model} {one.meter} from {one.effective_from}" for one in settings.prices])
    deployments = [f"{one.workspace}/{one.name}" for one in settings.deployments]
    for quota in settings.quotas:
        if f"{quota.workspace}/{quota.deployment}" not in deployments:
            name = f"{quota.workspace}/{quota.deployment}"
            raise UnknownNameError(f"quota from {quota.effective_from}", "deployment", name, deployments)
    _distinct("channel", [channel.name for channel in settings.channels])
    for kind, module in source_kinds().items():
        if hasattr(module, "conflicts"):
            module.conflicts([source for source in settings.sources if source.kind == kind])


def _regions_told_apart(deployments: Sequence[Deployment]) -> None:
    """Refuse a deployment without a region beside one of its name with a region: records could belong to both."""
    names = [f"{one.workspace}/{one.name}" for one in deployments]
    for one in deployments:
        name = f"{one.workspace}/{one.name}"
        if one.region is None and names.count(name) > 1:
            raise SettingsError(f"deployment {name!r}", "is set twice, once without a region", "give each its region")


def _own_host(deployment: Deployment) -> str | None:
    """The host that only this deployment answers at; an account's host serves many."""
    address = endpoint(deployment.endpoint or "")
    return None if address.account else address.host


def _distinct(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            _refuse_double(what, name)


def _refuse_double(what: str, name: str) -> NoReturn:
    raise SettingsError(f"{what} {name!r}", "is set twice", "keep one of them, or give them different names")
