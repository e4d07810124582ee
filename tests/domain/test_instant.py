"""Instants: every way of writing one, cut and never rounded."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.domain import instant

NOON = (datetime(2026, 11, 22, 12, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days * 1440 + 720


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T12:00:00Z", (NOON, 0)),
        ("2026-11-22t12:00:00z", (NOON, 0)),
        ("2026-11-22 12:00:00.5Z", (NOON, 500)),
        ("2026-11-22T12:00:01.12Z", (NOON, 1120)),
        ("2026-11-22T12:00:01.1239Z", (NOON, 1123)),
        ("2026-11-22T12:00:59.9999999Z", (NOON, 59_999)),
        ("2026-11-22T12:00:59.999999999Z", (NOON, 59_999)),
        ("2026-11-22T12:00:60Z", (NOON, 59_999)),
        ("2026-11-22T12:00:60.7Z", (NOON, 59_999)),
        ("2026-11-22T13:00:00+01:00", (NOON, 0)),
        ("2026-11-22T12:00:00-00:00", (NOON, 0)),
        ("2026-11-22T06:30:00.001-05:30", (NOON, 1)),
        ("2000-01-01T00:00:00Z", (instant.FIRST_MINUTE, 0)),
        ("2100-12-31T23:59:59.999Z", (instant.END_MINUTE - 1, 59_999)),
    ],
)
def test_what_rfc_3339_allows_is_cut_to_minute_and_millisecond(text: str, expected: instant.Instant) -> None:
    assert instant.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "2026-11-22",
        "2026-11-22T12:00Z",
        "2026-11-22T12:00:00",
        "2026-11-22T12:00:00.Z",
        "2026-11-22T12:00:00.1234567890Z",
        "2026-11-22T12:00:00.12x4Z",
        "2026-11-22T12:00:00.\u0661\u0662\u0663Z",
        "2026-11-22T12:00:00.1234\u0661Z",
        "2026-11-22T12:00:61Z",
        "2026-11-22T24:00:00Z",
        "2026-11-22T12:60:00Z",
        "2026-02-30T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "26-11-22T12:00:00Z",
        "2026/11/22T12:00:00Z",
        "2026-11-22T12:00:00+0100",
        "2026-11-22T12:00:00+24:00",
        "2026-11-22T12:00:00 UTC",
        " 2026-11-22T12:00:00Z",
        "2026-11-22T12:00:00Z\n",
        "\uff12026-11-22T12:00:00Z",
        "1999-12-31T23:59:59Z",
        "2101-01-01T00:00:00Z",
        "2000-01-01T00:00:00+00:01",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|years"):
        instant.parse(text)


@given(st.datetimes(datetime(2000, 1, 2), datetime(2100, 12, 30)), st.integers(-23, 23), st.sampled_from("T t"))  # noqa: DTZ001
def test_every_instant_comes_back_whatever_its_offset(naive: datetime, hours: int, separator: str) -> None:
    written = f"{naive.isoformat(sep=separator, timespec='microseconds')}{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    minute, millisecond = instant.parse(written)
    whole = naive.replace(tzinfo=UTC)
    seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() // 1
    assert minute * 60 + millisecond // 1000 == seconds - hours * 3600
    assert millisecond % 1000 == naive.microsecond // 1000
    assert instant.parse(f"{naive.isoformat(timespec='microseconds')}Z")[1] == millisecond


@given(st.text(max_size=40))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    try:
        instant.parse(text)
    except ValueError:
        return


def test_epochs_of_every_unit_agree() -> None:
    expected = instant.parse("2026-11-22T14:57:57.909Z")
    assert instant.from_seconds(1795359477.909919) == expected
    assert instant.from_seconds(Decimal("1795359477.909919")) == expected
    assert instant.from_milliseconds(1795359477909) == expected
    assert instant.from_nanoseconds("1795359477909919000") == expected
    assert instant.from_nanoseconds(1795359477909919000) == expected
    assert instant.from_seconds(1795359477) == (expected[0], 57_000)
    assert instant.to_milliseconds(expected) == 1795359477909


def test_a_float_is_cut_at_what_the_log_said() -> None:
    assert instant.from_seconds(1795359477.91)[1] == 57_910
    assert instant.from_seconds(1795359479.9999)[1] == 59_999


@pytest.mark.parametrize(
    "seconds", [0, -1, 1e300, float("nan"), float("inf"), Decimal("1e999999"), 1795359477909, True]
)
def test_epochs_outside_the_century_are_refused(seconds: float | Decimal) -> None:
    with pytest.raises(ValueError, match=r"years|number"):
        instant.from_seconds(seconds)


@pytest.mark.parametrize("nanoseconds", ["", "-5", "1.5", "x", "9" * 5000, "0"])
def test_nanoseconds_that_are_none_are_refused(nanoseconds: str) -> None:
    with pytest.raises(ValueError, match=r"years|number"):
        instant.from_nanoseconds(nanoseconds)


@pytest.mark.parametrize(
    "seconds", [":07", ":07.1", ":07.12", ":07.123", ":07.1239", ":07.123999999", ":60", ":60.999999"]
)
def test_what_was_parsed_before_changes_nothing(seconds: str) -> None:
    for zone in ("Z", "+00:00", "z", "-00:00"):
        text = f"2026-11-23T08:15{seconds}{zone}"
        first = instant.parse(text)
        assert [instant.parse(text) for _ in range(3)] == [first] * 3
        assert first[1] == (59_999 if "60" in seconds else int(seconds[1:3] + seconds[4:7].ljust(3, "0")))
    for wrong in ("", "Y", "+00:0", "1Z" if len(seconds) == 3 else "123456789Z", ".Z", "x+00:00"):
        with pytest.raises(ValueError, match="RFC 3339"):
            instant.parse(f"2026-11-23T08:15{seconds}{wrong}")
