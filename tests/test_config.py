"""Settings: what is read, what is refused and in which words, and that every value can come from the environment."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from msgspec import structs

from monitor.config import load, source_kinds
from monitor.config.overriding import environment_name
from monitor.config.settings import Deployment, Price, Quota, Report, Store, Workspace
from monitor.errors import MonitorError
from monitor.folders import folder

WHOLE = """
[store]
url = "sqlite:///monitor.db"

[report]
timezone = "Europe/Stockholm"
currency = "EUR"

[[source]]
name = "gateway"
kind = "files"
path = "logs/{workspace}/{deployment}/*.jsonl"

[[source]]
name = "azure-costs"
kind = "cost-query"
scope = "/subscriptions/00000000-0000-0000-0000-000000000000"
requests_per_minute = 4

[[workspace]]
name = "search-prod"
cost_center = "CC-1042"
region = "East US 2"
budget = { monthly = "5000.00", currency = "USD" }

[[deployment]]
workspace = "search-prod"
name = "mistral-large-prod"
model = "mistral-large-2407"
endpoint = "mistral-large-prod.eastus2.models.ai.azure.com"
region = "eastus2"
saas_resource = "mistral-large-2407-1f2e"
tokens_per_minute = 200_000
requests_per_minute = 1_000

[[quota]]
workspace = "search-prod"
deployment = "mistral-large-prod"
tokens_per_minute = 400_000
requests_per_minute = 1_000
effective_from = 2026-02-01

[[price]]
model = "mistral-large-2407"
meter = "input"
amount = "2.00"
per = 1_000_000
currency = "USD"
effective_from = 2024-11-01

[[rule]]
kind = "quota-headroom"
below = 0.2

[azure]
credential = "default"

[[channel]]
name = "on-call"
kind = "webhook"
url_env = "ONCALL_WEBHOOK_URL"
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str, environ: Mapping[str, str] | None = None) -> Any:
    file = Path("monitor.toml")
    file.write_text(text, encoding="utf-8")
    return load(file, environ or {})


def refused(text: str, environ: Mapping[str, str] | None = None) -> str:
    with pytest.raises(MonitorError) as caught:
        read(text, environ)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_every_table_of_the_contract_is_read(here: Path) -> None:
    settings = read(WHOLE)
    assert settings.report == Report(timezone="Europe/Stockholm", currency="EUR")
    assert settings.workspaces[0].budget.monthly == Decimal("5000.00")
    assert settings.workspaces[0].region == "eastus2"
    assert settings.deployments[0].tokens_per_minute == 200_000
    assert settings.quotas[0].effective_from == date(2026, 2, 1)
    assert settings.prices[0].amount == Decimal("2.00")
    assert settings.rules[0].kind == "quota-headroom"
    assert settings.rules[0].fields == {"below": 0.2}
    assert settings.channels[0].name == "on-call"
    assert settings.azure.credential == "default"


def test_a_kind_of_a_later_version_is_kept_not_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.config.LATER_KINDS", ("tea-leaves",))
    later = read(WHOLE.replace("cost-query", "tea-leaves")).sources[1]
    assert (later.name, later.kind) == ("azure-costs", "tea-leaves")
    assert later.fields["requests_per_minute"] == 4


def test_sources_that_would_bill_the_same_twice_are_refused(here: Path) -> None:
    inner = '[[source]]\nname = "group"\nkind = "cost-query"\nscope = "{}/resourcegroups/RG/"\n'
    told = refused(WHOLE + inner.format("SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000"))
    assert told.startswith("source 'azure-costs': its scope and that of source 'group' lie in one another")
    read(WHOLE + inner.format("/subscriptions/00000000-0000-0000-0000-000000000001"))


def test_without_a_file_there_are_defaults(here: Path) -> None:
    settings = load(None, {})
    assert settings.file is None
    assert settings.store == Store(url=f"sqlite:///{here}/monitor.db", keep_events_days=35)


def test_the_bundled_file_to_start_from_loads(here: Path) -> None:
    settings = load(folder("data") / "monitor.toml", {})
    assert [source.name for source in settings.sources] == ["gateway", "exported-costs"]


def test_the_commented_examples_of_the_bundled_file_load_too(here: Path) -> None:
    lines = (folder("data") / "monitor.toml").read_text("utf-8").splitlines()
    examples = [
        line.removeprefix("# ") for line in lines if line.startswith("# [") or (line[:1] == "#" and " = " in line)
    ]
    settings = read("\n".join(examples))
    assert settings.workspaces
    assert settings.deployments
    assert settings.quotas
    assert settings.prices
    assert settings.azure.credential == "token"


# Paths --------------------------------------------------------------------------------------------------------------


def test_relative_paths_are_relative_to_the_settings_file(here: Path) -> None:
    (here / "etc").mkdir()
    (here / "etc" / "monitor.toml").write_text(WHOLE)
    settings = load("etc/monitor.toml", {})
    assert settings.store.url == f"sqlite:///{here}/etc/monitor.db"
    assert settings.sources[0].path == f"{here}/etc/logs/{{workspace}}/{{deployment}}/*.jsonl"


def test_absolute_paths_and_other_stores_stay_as_they_are(here: Path) -> None:
    text = (
        '[store]\nurl = "postgresql://me@db/monitor"\n[[source]]\nname = "a"\nkind = "files"\npath = "/var/log/*.jsonl"'
    )
    settings = read(text)
    assert settings.store.url == "postgresql://me@db/monitor"
    assert settings.sources[0].path == "/var/log/*.jsonl"


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_store_in_memory_has_no_folder(here: Path, url: str) -> None:
    assert read(f'[store]\nurl = "{url}"').store.url == url


def test_a_folder_with_wildcards_in_its_name_stands_for_itself(here: Path) -> None:
    odd = here / "logs [old]"
    odd.mkdir()
    (odd / "monitor.toml").write_text('[[source]]\nname = "a"\nkind = "files"\npath = "*.jsonl"')
    (odd / "one.jsonl").write_text("{}\n")
    pattern = load(odd / "monitor.toml", {}).sources[0].path
    assert [str(path) for path in Path("/").glob(pattern.lstrip("/"))] == [str(odd / "one.jsonl")]


def test_the_environments_store_counts_only_where_the_settings_name_none(here: Path) -> None:
    assert read("", {"MONITOR_STORE": "sqlite:///other.db"}).store.url == f"sqlite:///{here}/other.db"
    assert read(WHOLE, {"MONITOR_STORE": "sqlite:///other.db"}).store.url == f"sqlite:///{here}/monitor.db"


def test_the_file_is_found_by_the_environment_then_in_the_working_directory(here: Path) -> None:
    (here / "monitor.toml").write_text('[report]\ncurrency = "SEK"')
    (here / "other.toml").write_text('[report]\ncurrency = "NOK"')
    assert load(None, {}).report.currency == "SEK"
    assert load(None, {"MONITOR_CONFIG": "other.toml"}).report.currency == "NOK"


def test_a_file_that_is_not_there_is_an_error(here: Path) -> None:
    with pytest.raises(
        MonitorError, match=r"no\.toml: there is no such settings file: write one with: maas-monitor init"
    ):
        load("no.toml", {})


# What is refused ----------------------------------------------------------------------------------------------------

SOURCE = '[[source]]\nname = "gateway"\nkind = "files"\npath = "x"\n'
DEPLOYMENT = '[[deployment]]\nworkspace = "w"\nname = "d"\nmodel = "m"\n'
QUOTA = '[[quota]]\nworkspace = "w"\ndeployment = "d"\ntokens_per_minute = 1\nrequests_per_minute = 1\n'
PRICE = '[[price]]\nmodel = "m"\nmeter = "input"\nper = 1000\neffective_from = 2024-11-01\n'

REFUSED = [
    ('[stor]\nurl = "x"', "monitor.toml: no table named 'stor': did you mean 'store'?"),
    ('[store]\nulr = "x"', "store: no setting named 'ulr': did you mean 'url'?"),
    (f'{SOURCE}fromat = "auto"', "source 'gateway': no setting named 'fromat': did you mean 'format'?"),
    (
        "[store]\nkeep_events_days = 1.5",
        "store: keep_events_days: expected a whole number, got a number: correct its value",
    ),
    ("[store]\nkeep_events_days = true", "store: keep_events_days: expected a whole number, got true or false"),
    ("[store]\nkeep_events_days = 0", "store: keep_events_days is 0: write a whole number from 1 on"),
    ("[store]\nurl = 7", "store: url: expected text, got a whole number"),
    ('[source]\nname = "a"', "source: is not a list of tables: write [[source]]"),
    ('[[store]]\nurl = "a"', "store: is not a table: write [store]"),
    (SOURCE + SOURCE, "source 'gateway': is set twice: keep one of them"),
    (
        '[[source]]\nname = "a"\nkind = "filse"\npath = "x"',
        "source 'a': no kind of source named 'filse': did you mean 'files'?",
    ),
    ('[[source]]\nname = "a"\nkind = "files"', "source 'a': the setting 'path' is missing: add it"),
    ('[[source]]\nkind = "files"\npath = "x"', "source 1: the setting 'name' is missing: add it"),
    ('[[source]]\nname = "a"\npath = "x"', "source 'a': the setting 'kind' is missing"),
    ('[report]\ntimezone = "Europe/Stokholm"', "report: timezone 'Europe/Stokholm' is not a time zone"),
    ('[report]\ncurrency = "USd"', "report: currency 'USd' is not an ISO 4217 currency: did you mean 'USD'?"),
    (
        '[[workspace]]\nname = "w"\nregion = "eastsu2"',
        "workspace 'w': region 'eastsu2' is not an Azure region: did you mean 'eastus2'?",
    ),
    ('[[workspace]]\nname = " "', "workspace ' ': name is empty: write a name"),
    (
        '[[workspace]]\nname = "w"\nbudget = { monthly = 5000.5 }',
        "workspace 'w': budget: monthly: expected an amount, got a number: write it in quotes",
    ),
    ('[[workspace]]\nname = "w"\nbudget = { monthly = "5,000" }', "workspace 'w': budget: monthly: is not an amount"),
    (
        '[[workspace]]\nname = "w"\nbudget = { monthly = "-1" }',
        "workspace 'w': budget: monthly is not an amount of money",
    ),
    ('[[workspace]]\nname = "w"\nbudget = { monthly = "NaN" }', "workspace 'w': budget: monthly: is not an amount"),
    (
        '[[workspace]]\nname = "w"\nbudget = { mothly = "1" }',
        "workspace 'w': budget: no setting named 'mothly': did you mean 'monthly'?",
    ),
    ('[[workspace]]\nname = "w"\nbudget = "1"', "workspace 'w': budget: expected a table, got text"),
    (DEPLOYMENT + "tokens_per_minute = 0", "deployment 'd': tokens_per_minute is 0: write a whole number from 1 on"),
    (DEPLOYMENT + DEPLOYMENT, "deployment 'w/d': is set twice"),
    (
        DEPLOYMENT + 'region = "eastus2"\n' + DEPLOYMENT,
        "deployment 'w/d': is set twice, once without a region: give each its region",
    ),
    (
        '[[source]]\nname = "a"\nkind = "files"\npath = "x"\nformat = "litelm"',
        "source 'a': no format named 'litelm': did you mean 'litellm'?",
    ),
    (
        '[report]\ntimezone = "europe/berlin"',
        "report: timezone 'europe/berlin' is not a time zone: did you mean 'Europe/",
    ),
    (
        '[store]\nurl = "postgres://me@db/x"',
        "store.url: postgres:// is not the name of a kind of store: write postgresql",
    ),
    (
        PRICE.replace("1000", '"1000"') + 'amount = "1"',
        "price 1: per: expected a whole number, got text: write it without quotes",
    ),
    (
        PRICE.replace("input", "inpt") + 'amount = "1"',
        "price 1: meter: expected one of 'input', ",
    ),
    (
        (PRICE + 'amount = "1"\ncurrency = "EUR"\n') + (PRICE + 'amount = "1"\n'),
        "price 'm input from 2024-11-01': is set twice",
    ),
    (
        DEPLOYMENT
        + 'endpoint = "d.eastus2.models.ai.azure.com"\n'
        + DEPLOYMENT.replace('"d"', '"e"')
        + 'endpoint = "https://D.eastus2.models.ai.azure.com/v1"',
        "endpoint 'd.eastus2.models.ai.azure.com': is set twice",
    ),
    (QUOTA + "effective_from = 2026-01-01", "quota from 2026-01-01: no deployment named 'w/d': there are none"),
    (
        QUOTA + "effective_from = 2026-01-01T00:00:00Z",
        "quota 1: effective_from: expected a date like 2024-11-01, got a date and time",
    ),
    (PRICE + "amount = 2.5", 'price 1: amount: expected an amount, got a number: write it in quotes, like "2.50"'),
    (
        PRICE.replace("1000", "3") + 'amount = "1"',
        "price 1: per does not divide money exactly: write 1, 1_000 or 1_000_000",
    ),
    (PRICE.replace("1000", "0") + 'amount = "1"', "price 1: per does not divide money exactly"),
    (PRICE.replace("input", "inptu") + 'amount = "1"', "price 1: meter: expected one of 'input'"),
    (PRICE.replace("input", "other") + 'amount = "1"', "price 1: meter 'other' has no price"),
    ("[[rule]]\nbelow = 1", "rule 1: the setting 'kind' is missing"),
    ('[[channel]]\nkind = "webhook"', "channel 1: a channel needs a name and a kind"),
    ('[[channel]]\nkind = 7\nname = "x"', "channel 'x': kind: expected text: write it in quotes"),
    ("[store\n", "monitor.toml: is not valid TOML"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message[:60] for _, message in REFUSED])
def test_what_cannot_be_meant_is_refused_in_words_that_help(here: Path, text: str, message: str) -> None:
    assert refused(text).startswith(message)


def test_a_price_may_be_a_whole_number_and_any_factor_of_ten(here: Path) -> None:
    assert read(PRICE + "amount = 2").prices[0].amount == Decimal(2)


def test_deployments_may_share_the_host_of_an_account(here: Path) -> None:
    shared = 'endpoint = "https://team.services.ai.azure.com/models"\n'
    assert len(read(DEPLOYMENT + shared + DEPLOYMENT.replace('"d"', '"e"') + shared).deployments) == 2


def test_deployments_of_one_name_may_stand_in_several_regions(here: Path) -> None:
    text = DEPLOYMENT + 'region = "eastus2"\n' + DEPLOYMENT + 'region = "swedencentral"\n'
    assert [one.region for one in read(text).deployments] == ["eastus2", "swedencentral"]


def test_a_misspelt_choice_is_answered_with_the_nearest(here: Path) -> None:
    assert refused(PRICE.replace("input", "inpt") + 'amount = "1"').endswith("got another text: did you mean 'input'?")


def test_a_folder_is_no_settings_file(here: Path) -> None:
    with pytest.raises(MonitorError, match=r"is a folder: name the file in it, like .*monitor\.toml"):
        load(here, {})


def test_a_file_that_is_not_text_is_refused(here: Path) -> None:
    Path("monitor.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MonitorError, match="is not UTF-8 text"):
        load("monitor.toml", {})


@pytest.mark.parametrize(
    "text",
    [
        '[store]\nurl = ["CANARY"]',
        '[store]\nkeep_events_days = "CANARY"',
        '[[channel]]\nkind = "webhook"\nname = ""\nsecret = "CANARY"',
        '[[price]]\nmodel = "m"\nmeter = "CANARY"\namount = "1"\nper = 1\neffective_from = 2024-11-01',
        '[[price]]\nmodel = "m"\nmeter = "input"\namount = "CANARY"\nper = 1\neffective_from = 2024-11-01',
        '[store]\nurl = "CANARY',
        'url = "CANARY"',
    ],
)
def test_a_refusal_never_quotes_what_may_be_a_secret(here: Path, text: str) -> None:
    assert "CANARY" not in refused(text)


@pytest.mark.parametrize("name", ["MONITOR_STORE_KEEP_EVENTS_DAYS", "MONITOR_STORE_PASSWORD", "MONITOR_PRICE_1_AMOUNT"])
def test_a_refused_variable_is_named_and_its_value_is_not_shown(here: Path, name: str) -> None:
    message = refused(WHOLE, {name: "CANARY"})
    assert message.startswith(name)
    assert "CANARY" not in message


# The environment ----------------------------------------------------------------------------------------------------


def test_a_misspelt_variable_is_refused_and_the_nearest_named(here: Path) -> None:
    message = refused(WHOLE, {"MONITOR_SOURCE_GATEWY_PATH": "x"})
    assert message == "MONITOR_SOURCE_GATEWY_PATH: overrides no setting: did you mean MONITOR_SOURCE_GATEWAY_PATH?"


def test_other_programs_variables_are_left_alone(here: Path) -> None:
    environ = {"MONITOR_MODE": "x", "MONITOR_AZURE_TOKEN": "CANARY", "PATH": "/bin"}
    assert read(WHOLE, environ).azure == read(WHOLE).azure


def test_a_variable_that_fits_two_items_is_refused(here: Path) -> None:
    text = '[[workspace]]\nname = "a-b"\n[[workspace]]\nname = "a.b"'
    message = refused(text, {"MONITOR_WORKSPACE_A_B_REGION": "eastus2"})
    assert message.startswith("MONITOR_WORKSPACE_A_B_REGION: fits two settings")


def test_an_override_can_bring_what_the_file_lacks(here: Path) -> None:
    text = '[[workspace]]\nname = "w"\n[[source]]\nname = "a"\nkind = "files"'
    environ = {"MONITOR_WORKSPACE_W_BUDGET_MONTHLY": "7.10", "MONITOR_SOURCE_A_PATH": "logs/*.jsonl"}
    settings = read(text, environ)
    assert settings.workspaces[0].budget.monthly == Decimal("7.10")
    assert settings.sources[0].path == f"{here}/logs/*.jsonl"


def test_an_empty_variable_takes_an_optional_value_away(here: Path) -> None:
    assert read(WHOLE, {"MONITOR_WORKSPACE_SEARCH_PROD_REGION": ""}).workspaces[0].region is None


def test_values_of_later_tables_can_be_overridden(here: Path) -> None:
    environ = {
        "MONITOR_RULE_1_BELOW": "0.3",
        "MONITOR_CHANNEL_ON_CALL_URL_ENV": "OTHER",
        "MONITOR_AZURE_CREDENTIAL": "token",
        "MONITOR_SOURCE_AZURE_COSTS_REQUESTS_PER_MINUTE": "2",
    }
    settings = read(WHOLE, environ)
    assert settings.rules[0].fields == {"below": 0.3}
    assert settings.channels[0].fields == {"url_env": "OTHER"}
    assert settings.azure.credential == "token"
    assert settings.sources[1].requests_per_minute == 2


ITEMS: dict[str, tuple[type[msgspec.Struct], str, str]] = {
    "stores": (Store, "MONITOR_STORE", ""),
    "reports": (Report, "MONITOR_REPORT", ""),
    "workspaces": (Workspace, "MONITOR_WORKSPACE_SEARCH_PROD", ""),
    "deployments": (Deployment, "MONITOR_DEPLOYMENT_MISTRAL_LARGE_PROD", ""),
    "quotas": (Quota, "MONITOR_QUOTA_1", ""),
    "prices": (Price, "MONITOR_PRICE_1", ""),
}

ACCOUNT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a"

LOGS = "63613592-b6f7-4c3d-a390-22ba13102111"

NOBODY = "00000000-0000-0000-0000-000000000000"

SAMPLES: dict[str, tuple[str, Any]] = {
    "name": ("other", "other"),
    "kind": ("files", "files"),
    "url": ("postgresql://me@db/x", "postgresql://me@db/x"),
    "path": ("/var/log/*.gz", "/var/log/*.gz"),
    "timezone": ("Asia/Kolkata", "Asia/Kolkata"),
    "currency": ("SEK", "SEK"),
    "region": ("westus3", "westus3"),
    "workspace": ("search-prod", "search-prod"),
    "deployment": ("mistral-large-prod", "mistral-large-prod"),
    "meter": ("output", "output"),
    "per": ("1000", 1000),
    "include": ("all", "all"),
    "format": ("otlp", "otlp"),
    "workspace_id": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
    "metric": ("AmortizedCost", "AmortizedCost"),
    "columns": ('{ time = "At" }', {"time": "At"}),
    "scope": (f"/subscriptions/{NOBODY}", f"/subscriptions/{NOBODY}"),
    "accounts": (f'["{ACCOUNT}"]', (ACCOUNT,)),
    "subscriptions": (f'["{NOBODY}"]', (NOBODY,)),
    "resource_groups": ('["rg-ml"]', ("rg-ml",)),
}
"""Values for fields that only take some; others get one of their type."""


NEEDED: dict[str, str] = {
    "files": 'path = "x"',
    "blobs": 'path = "https://a.blob.core.windows.net/logs/*"',
    "cost-export": 'path = "x"',
    "cost-details": f'scope = "/subscriptions/{NOBODY}"',
    "cost-query": f'scope = "/subscriptions/{NOBODY}"',
    "inventory": "",
    "azure-metrics": f'accounts = ["{ACCOUNT}"]',
    "log-analytics": f'workspace_id = "{LOGS}"\nquery = "T"\ncolumns = {{ time = "TimeGenerated" }}',
}
"""What a source of each kind cannot do without, as it is written in the file."""


def overridable() -> Iterator[tuple[str, str, Any]]:
    """Every field of every table and of every kind of source: its place in Settings, its variable, its type."""
    for place, (struct, prefix, _) in ITEMS.items():
        yield from fields_below(place, struct, prefix)
    for kind, module in source_kinds().items():
        yield from fields_below(f"source {kind}", module.Settings, "MONITOR_SOURCE_ANY")


def fields_below(place: str, struct: type[msgspec.Struct], prefix: str) -> Iterator[tuple[str, str, Any]]:
    for field in structs.fields(struct):
        name = environment_name(prefix, field.name)
        nested = [
            option for option in get_args(field.type) if isinstance(option, type) and issubclass(option, msgspec.Struct)
        ]
        if nested:
            yield from fields_below(f"{place}.{field.name}", nested[0], name)
        else:
            yield f"{place}.{field.name}", name, field.type


def sample(place: str, wanted: Any) -> tuple[str, Any]:
    field = place.rpartition(".")[2]
    if place == "source blobs.path":
        return "https://a.blob.core.windows.net/c/*", "https://a.blob.core.windows.net/c/*"
    options = [option for option in (get_args(wanted) or (wanted,)) if option is not NoneType]
    by_type: dict[Any, tuple[str, Any]] = {
        str: ("other", "other"),
        int: ("7", 7),
        bool: ("true", True),
        Decimal: ("7.25", Decimal("7.25")),
        date: ("2025-01-02", date(2025, 1, 2)),
        Literal: ("", ""),
    }
    if field == "kind" and place.startswith("source "):
        # Another kind would need other settings; that the variable counts is seen by the file saying the same.
        kind = place.removeprefix("source ").partition(".")[0]
        return kind, kind
    return SAMPLES.get(field) or by_type[get_origin(options[0]) or options[0]]


@pytest.mark.parametrize(
    ("place", "variable", "wanted"), list(overridable()), ids=[place for place, _, _ in overridable()]
)
def test_every_field_can_be_overridden_by_the_environment(here: Path, place: str, variable: str, wanted: Any) -> None:
    text, expected = sample(place, wanted)
    kind = place.removeprefix("source ").partition(".")[0] if place.startswith("source ") else None
    file = WHOLE if kind is None else f'[[source]]\nname = "any"\nkind = "{kind}"\n{NEEDED[kind]}\n'
    if place in {"deployments.name", "deployments.workspace"}:
        file = file.replace("[[quota]]", "[[ignored]]").partition("[[ignored]]")[0]
    settings: Any = read(file, {variable: text})
    table, *path = place.split(".")
    value = (
        settings.sources[0] if kind else getattr(settings, table, None) or getattr(settings, table.removesuffix("s"))
    )
    value = value[0] if isinstance(value, tuple) else value
    for attribute in path:
        value = getattr(value, attribute)
    assert value == expected
