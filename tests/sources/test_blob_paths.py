"""The names of blobs: what a pattern stands for, and how little has to be listed for it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest

from monitor.errors import SettingsError
from monitor.sources.blob_paths import Names, Span

RESOURCE = (
    "resourceId=/SUBSCRIPTIONS/*/RESOURCEGROUPS/*/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/{workspace}/"
    "y={year}/m={month}/d={day}/h={hour}/m=*/PT1H.json"
)
ONE = (
    "resourceId=/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/SEARCH/"
    "y=2026/m=11/d=05/h=23/m=00/PT1H.json"
)
LATE = datetime(2026, 11, 30, 22, tzinfo=UTC)


class Tree:
    """Folders as a container has them; remembers what was asked for."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked = names, []  # type: tuple[str, ...], list[str]

    def folders(self, prefix: str) -> Iterable[str]:
        self.asked.append(prefix)
        start = prefix.rfind("/") + 1
        found = {name[: name.index("/", start) + 1] for name in self.names if name.startswith(prefix)}
        return sorted(found)


def test_a_resource_log_s_name_says_the_account_and_its_hour() -> None:
    name = Names(RESOURCE, "logs").matched(ONE)
    assert name is not None
    assert name.labels == {"workspace": "SEARCH"}
    start = datetime(2026, 11, 5, 23, tzinfo=UTC)
    assert name.filed == Span(start, start + timedelta(hours=1))


def test_the_minutes_key_is_another_than_the_months_though_both_are_called_m() -> None:
    name = Names(RESOURCE, "logs").matched(ONE.replace("m=00", "m=55"))
    assert name is not None
    assert name.filed is not None
    assert name.filed.start.month == 11


@pytest.mark.parametrize("other", ["resourceid=/", "PT1H.json.gz", "/m=00/x/PT1H.json", "d=5"])
def test_names_are_matched_as_they_are_written(other: str) -> None:
    changed = {"d=5": ONE.replace("d=05", "d=5"), "resourceid=/": ONE.replace("resourceId=/", "resourceid=/")}
    assert Names(RESOURCE, "logs").matched(changed.get(other) or ONE.replace("/m=00/PT1H.json", other)) is None


def test_only_the_days_of_the_window_are_listed_below_each_account() -> None:
    tree = Tree(ONE, ONE.replace("S-1", "S-2").replace("SEARCH", "CHAT"), ONE.replace("COGNITIVESERVICES", "OTHER"))
    window = Span(LATE, LATE + timedelta(hours=3))
    listed = list(Names(RESOURCE, "logs").prefixes(window, tree.folders))
    account = ONE.partition("y=")[0]
    other = account.replace("S-1", "S-2").replace("SEARCH", "CHAT")
    days = ["y=2026/m=11/d=30/h=", "y=2026/m=12/d=01/h="]
    assert listed == [f"{one}{day}" for one in (account, other) for day in days]
    assert "resourceId=/SUBSCRIPTIONS/" in tree.asked
    assert not any("OTHER" in asked for asked in tree.asked)


def test_the_first_time_and_after_a_long_while_all_days_are_listed_at_once() -> None:
    names = Names("logs/{year}/{month}/{day}/*.jsonl", "logs")
    tree = Tree()
    assert list(names.prefixes(None, tree.folders)) == ["logs/"]
    assert list(names.prefixes(Span(LATE - timedelta(days=63), LATE), tree.folders)) == ["logs/"]
    assert len(list(names.prefixes(Span(LATE - timedelta(days=61), LATE), tree.folders))) == 62
    assert tree.asked == []


@pytest.mark.parametrize(
    ("pattern", "prefixes"),
    [
        ("{year}{month}{day}-{hour}.jsonl", ["20261130-", "20261201-"]),
        ("a/{year}-{month}/*.jsonl", ["a/2026-11/", "a/2026-12/"]),
        ("a/{deployment}-{year}-{month}-{day}.jsonl", ["a/"]),
        ("a/**/{year}/{month}/x.jsonl", ["a/"]),
        ("a/{workspace}/*.jsonl", ["a/"]),
        ("a/b.jsonl", ["a/b.jsonl"]),
    ],
)
def test_prefixes_are_as_long_as_the_pattern_allows(pattern: str, prefixes: list[str]) -> None:
    window = Span(LATE, LATE + timedelta(hours=3))
    assert list(Names(pattern, "logs").prefixes(window, Tree().folders)) == prefixes


def test_a_name_that_is_no_time_is_none_that_can_be_left_behind() -> None:
    name = Names("{year}/{month}/{day}/x", "logs").matched("2026/02/30/x")
    assert name is not None
    assert name.filed is None


@pytest.mark.parametrize(
    ("pattern", "filed", "end"),
    [
        ("{year}/*", "9998/x", datetime(9999, 1, 1, tzinfo=UTC)),
        ("{year}/{month}/*", "2026/12/x", datetime(2027, 1, 1, tzinfo=UTC)),
        ("{year}/{month}/{day}/*", "2026/12/31/x", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_name_without_an_hour_is_filed_under_its_day_month_or_year(pattern: str, filed: str, end: datetime) -> None:
    name = Names(pattern, "logs").matched(filed)
    assert name is not None
    assert name.filed is not None
    assert name.filed.end == end


def test_a_month_without_a_year_is_no_time() -> None:
    with pytest.raises(SettingsError, match="alone names no time"):
        Names("a/{month}/x", "logs")


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="labels are workspace, deployment, model, region, year, month, day, hour"):
        Names("a/{tenant}/x", "logs")
