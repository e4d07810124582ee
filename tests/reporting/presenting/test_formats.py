"""The formats: exact for programs, readable for people, harmless for both."""

import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain.answer import Answer, Column, DailyCost, Known, MinuteLoad, Peak, Question, Row, Series, totals
from monitor.domain.period import Period
from monitor.errors import UnknownNameError
from monitor.reporting.presenting import formats, render
from monitor.reporting.presenting.as_csv import harmless
from monitor.reporting.presenting.scales import nice_ticks, time_ticks

COLUMNS = (
    Column("day", "day", "Day"),
    Column("name", "text", "Name"),
    Column("requests", "count", "Requests", summed=True),
    Column("cost", "money", "Cost", summed=True),
    Column("currency", "text", "Cur."),
    Column("share", "ratio", "Share"),
    Column("at", "instant", "At"),
    Column("hidden", "text", "Hidden", shown=False),
)
DAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
ROW: Row = (DAY, "large", 1_234, Decimal("1234.5678901234"), "USD", 0.123456789, NOON, "h")


def answer(*rows: Row, **more: object) -> Answer:
    found: dict[str, object] = {
        "report": "test",
        "title": "Test: what is tested",
        "question": Question(period=Period(first=DAY, last=DAY), now=NOON),
        "columns": COLUMNS,
        "rows": rows,
        "totals": totals(COLUMNS, rows),
        "completeness": [Known("gateway", "files", NOON, "current")],
        "notes": ["A note."],
    }
    return Answer(**(found | more))  # type: ignore[arg-type]


def named(name: str) -> Row:
    return (DAY, name, 1, None, None, None, None, None)


def test_json_carries_every_digit_of_money_and_six_of_a_ratio() -> None:
    told = json.loads(render(answer(ROW), "json"))
    (row,) = told["rows"]
    assert (row["cost"], row["share"]) == ("1234.5678901234", 0.123457)
    assert (row["day"], row["at"], row["requests"]) == ("2026-11-02", "2026-11-02T12:00:00Z", 1_234)


def test_json_totals_of_several_currencies_are_given_by_currency_only() -> None:
    euro: Row = (DAY, "large", 1, Decimal(2), "EUR", None, None, None)
    told = json.loads(render(answer(ROW, euro), "json"))["totals"]
    assert (told["requests"], told["cost"], told["currency"]) == (1_235, None, None)
    assert told["by_currency"] == [{"currency": "EUR", "cost": "2.00"}, {"currency": "USD", "cost": "1234.5678901234"}]


def test_csv_has_a_header_crlf_and_all_columns() -> None:
    written = render(answer(ROW), "csv")
    assert written == (
        "day,name,requests,cost,currency,share,at,hidden\r\n"
        "2026-11-02,large,1234,1234.5678901234,USD,0.123457,2026-11-02T12:00:00Z,h\r\n"
    )
    assert render(answer(), "csv") == "day,name,requests,cost,currency,share,at,hidden\r\n"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_csv_makes_formulas_in_text_harmless(start: str) -> None:
    (row,) = csv.DictReader(io.StringIO(render(answer(named(f"{start}1+1")), "csv"), newline=""))
    assert row["name"] == f"'{start}1+1"


def test_csv_leaves_negative_numbers_alone() -> None:
    loss: Row = (DAY, "large", 1, Decimal("-0.5"), "USD", -0.25, None, None)
    (row,) = csv.DictReader(io.StringIO(render(answer(loss), "csv")))
    assert (row["cost"], row["share"]) == ("-0.50", "-0.25")


@given(st.text())
def test_csv_gives_back_any_text_that_is_no_formula(name: str) -> None:
    (row,) = csv.DictReader(io.StringIO(render(answer(named(name)), "csv"), newline=""))
    assert row["name"] == harmless(name)


def test_a_table_aligns_numbers_rounds_money_and_sums_up() -> None:
    lines = render(answer(ROW, named("small")), "table").splitlines()
    head = next(number for number, line in enumerate(lines) if line.startswith("Day"))
    assert lines[head + 2].split() == [
        "2026-11-02",
        "large",
        "1,234",
        "1,234.57",
        "USD",
        "12.3%",
        "2026-11-02",
        "12:00",
    ]
    assert lines[head + 5].split()[:3] == ["Total", "1,235", "1,234.57"]
    ends = {lines[head + row].index(cell) + len(cell) for row, cell in ((0, "Requests"), (2, "1,234"), (5, "1,235"))}
    assert len(ends) == 1
    assert "Hidden" not in lines[head]
    assert lines[-1] == "A note."


def test_a_table_is_cut_only_to_fit_a_terminal() -> None:
    long = answer(named("x" * 300))
    assert "x" * 300 in render(long, "table")
    assert max(map(len, render(long, "table", width=80).splitlines())) <= 80


def test_a_table_is_plain_unless_colour_is_wanted() -> None:
    assert "\x1b" not in render(answer(ROW), "table")
    assert "\x1b[1m" in render(answer(ROW), "table", color=True)


def test_control_characters_of_names_do_not_reach_a_terminal() -> None:
    assert "\x1b" not in render(answer(named("\x1b[31mred\x07")), "table")


def test_an_amount_too_small_to_show_is_not_shown_as_nothing() -> None:
    tiny: Row = (DAY, "large", 1, Decimal("0.00000001"), "USD", None, None, None)
    assert "<0.0001" in render(answer(tiny), "table")


def test_markdown_keeps_text_inside_its_cell() -> None:
    written = render(answer(named("a|b\nc*d")), "markdown")
    assert "| a\\|b c\\*d |" in written


class Outside(HTMLParser):
    """Notes everything that a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.found += [name for name, _ in attrs if name in {"src", "href", "srcset", "data"} or name.startswith("on")]


def drawn() -> Answer:
    peaks = [
        Peak(minute, 150 * (minute % 7), 3, int(minute == 29_000_005), 1_000)
        for minute in range(29_000_000, 29_000_020)
    ]
    charts = [
        DailyCost(title="Cost <by day>", currency="USD", days=[DAY], series=[Series("<b>team</b>", [Decimal("1.5")])]),
        MinuteLoad(title="Tokens", start=NOON, end=NOON.replace(hour=13), stretch=1, peaks=peaks),
    ]
    return answer(ROW, named("<script>alert(1)</script>"), charts=charts)


def test_html_is_one_file_that_fetches_and_runs_nothing() -> None:
    page = Outside()
    written = render(drawn(), "html")
    page.feed(written)
    assert page.found == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert not re.search(r"url\(|@import", written)


def test_html_escapes_whatever_came_from_outside() -> None:
    written = render(drawn(), "html")
    assert "<script>" not in written
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "<b>team" not in written


def test_html_names_every_chart_for_readers_and_puts_a_table_beside_it() -> None:
    written = render(drawn(), "html")
    assert written.count("<svg") == written.count("<desc") == written.count("<details") == 2
    assert "1 refused" in written


@pytest.mark.parametrize("form", formats())
def test_every_format_says_so_when_there_is_nothing(form: str) -> None:
    assert render(answer(), form)


def test_an_unknown_format_names_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'html'"):
        render(answer(), "htm")


@given(st.floats(1e-9, 1e15))
def test_ticks_are_round_and_reach_the_largest_value(largest: float) -> None:
    ticks = nice_ticks(largest)
    assert ticks[0] == 0
    assert ticks[-1] >= largest * 0.999_999
    assert 3 <= len(ticks) <= 8


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), st.integers(1, 400 * 24 * 60))  # noqa: DTZ001
def test_time_ticks_are_few_and_inside(start: datetime, minutes: int) -> None:
    from datetime import timedelta

    ticks = time_ticks(start, start + timedelta(minutes=minutes))
    assert 1 <= len(ticks) <= 9


def wide(*cells: str) -> Answer:
    columns = [Column(f"c{number}", "text", f"C{number}") for number in range(len(cells))]
    return answer(columns=columns, rows=[cells], totals=totals(columns, [cells]), notes=[])


@pytest.mark.parametrize(("width", "is_cut"), [(25, False), (26, True), (41, True), (42, False)])
def test_names_are_cut_only_where_that_makes_a_table_fit(width: int, is_cut: bool) -> None:
    # Whole it takes 16 + 2 + 16 + 2 + 6; the names cannot be made narrower than 8 each.
    told = render(wide("a" * 16, "b" * 16, "c" * 6), "table", width=width)
    assert ("…" in told.splitlines()[-1]) == is_cut
    assert is_cut == ("a" * 16 not in told)


def page(**more: object) -> str:
    return render(answer(ROW, **more), "html")


def test_a_long_path_is_shown_by_its_last_segment_and_kept_whole_beside_it() -> None:
    columns = [Column("resource_id", "text", "Resource", path=True), Column("name", "text", "Name")]
    row: Row = ("/subscriptions/0/saas/large-1f2e", "/a/b")
    told = page(columns=columns, rows=[row], totals=totals(columns, [row]))
    assert '<td title="/subscriptions/0/saas/large-1f2e">large-1f2e</td><td>/a/b</td>' in told


def test_details_of_charts_are_closed_and_say_what_the_chart_is_without() -> None:
    chart = DailyCost(
        title="Cost", currency="USD", days=[DAY], series=[Series("a", [Decimal(1)])], without="docs-batch (unpriced)"
    )
    told = page(charts=[chart])
    assert "<details>" in told
    assert "Without docs-batch (unpriced)." in told


def test_only_pages_with_costs_explain_costs() -> None:
    columns = [Column("name", "text", "Name")]
    assert "Estimated: tokens" in page()
    assert "Estimated: tokens" not in page(columns=columns, rows=[("large",)], totals=totals(columns, [("large",)]))


@pytest.mark.parametrize(("charts", "rows", "first"), [(1, 20, False), (2, 20, True), (2, 21, False)])
def test_a_few_rows_come_before_several_charts(charts: int, rows: int, first: bool) -> None:
    chart = DailyCost(title="Cost", currency="USD", days=[DAY], series=[Series("a", [Decimal(1)])])
    told = render(answer(*[ROW] * rows, charts=[chart] * charts), "html")
    assert (told.count("<h2>Rows</h2>"), told.index("<h2>Rows</h2>") < told.index("<svg")) == (1, first)
