"""The files that cost exports come as: parts, manifests, order, damage."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from monitor.errors import MonitorError, UnreachableError
from monitor.sources.cost_answer import CostAnswer
from monitor.sources.cost_export import Settings, pulls
from monitor.sources.cost_rows import Include
from monitor.sources.request import Request
from tests.azure.sessions import session
from tests.sources.cost_samples import GUID, days, november, read, read_all, row, write


def test_a_header_alone_covers_no_day(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", []))
    assert (pull.read, pull.days, pull.rejected) == (0, {}, [])


def test_every_row_counts_its_day_also_those_of_other_services(tmp_path: Path) -> None:
    other = row(
        "2024-11-06", meter="B1s", publisher_type="Azure", resource="/x", category="VM", product="VM", publisher=""
    )
    assert read(write(tmp_path / "a.csv", [row(), other])).days == {(GUID, november(5)): 1, (GUID, november(6)): 0}


def test_a_day_of_which_nothing_could_be_read_is_not_answered_for(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row(), row("2024-11-06", cost="?")]))
    assert pull.days == {(GUID, november(5)): 1}


def test_compressed_exports_are_read_like_plain_ones(tmp_path: Path) -> None:
    plain = read(write(tmp_path / "a.csv", [row()]))
    assert read(write(tmp_path / "a.csv.gz", [row()])).charges == plain.charges


def test_a_cut_off_file_is_refused_as_a_whole(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.csv.gz", [row() for _ in range(1000)]).read_bytes()
    (tmp_path / "a.csv.gz").write_bytes(whole[:-20])
    pull = read(tmp_path / "a.csv.gz")
    assert [(one.position, one.reason) for one in pull.rejected] == [(0, "the compressed file is damaged or cut off")]
    assert (pull.charges, pull.days) == ([], {})


def test_a_quote_that_never_ends_refuses_the_file_instead_of_swallowing_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row(), row()])
    path.write_text(path.read_text().replace("2024-11-05", '"2024-11-05', 1))
    pull = read(path)
    assert (pull.charges, pull.rejected[0].reason) == ([], "a quoted field never ends")


def test_a_row_with_too_few_or_too_many_fields_is_rejected_with_the_line_it_starts_on(tmp_path: Path) -> None:
    long = row(product="two\nlines")
    pull = read(write(tmp_path / "a.csv", [long, row()[:-1], [*row(), "x"], [*row(), ""]]))
    assert [(one.position, one.reason) for one in pull.rejected] == [
        (4, "not as many fields as the header"),
        (5, "not as many fields as the header"),
    ]
    assert len(pull.charges) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello\n", "not a cost export"),
        (b"PAR1 but not Parquet", "the Parquet file is damaged or cut off"),
        (b"\x28\xb5\x2f\xfd\x00", "compressed with zstd"),
        (b"\x1f\x8b\x08 not gzip at all", "the compressed file is damaged or cut off"),
        (bytes(range(256)) * 20, "not a cost export"),
    ],
)
def test_what_is_no_cost_export_is_one_rejection_and_no_exception(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    (refused,) = read(tmp_path / "a.csv").rejected
    assert refused.position == 0
    assert refused.reason.startswith(reason)


def test_an_empty_file_says_nothing_and_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    pull = read(tmp_path / "a.csv")
    assert (pull.read, pull.days) == (0, {})


def test_an_empty_part_refuses_the_whole_export(tmp_path: Path) -> None:
    write(tmp_path / "part_0_0001.csv", [row()])
    (tmp_path / "part_1_0001.csv").touch()
    pull = read(tmp_path / "*.csv")
    assert (pull.charges, [one.reason for one in pull.rejected]) == ([], ["the file is empty"])


def test_a_title_above_the_header_is_skipped_and_lines_still_count_from_the_top(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row(), row(cost="?")])
    path.write_text("Usage Data Extract\n\n" + path.read_text())
    pull = read(path)
    assert (len(pull.charges), pull.rejected[0].position) == (1, 5)


def test_exports_come_from_the_oldest_to_the_newest(tmp_path: Path) -> None:
    for age, name in ((3, "b"), (1, "a"), (2, "c"), (2, "d")):
        os.utime(write(tmp_path / f"{name}.csv", [row(cost=str(age))]), (1000 - age, 1000 - age))
    assert [Path(pull.name).stem for pull in read_all(tmp_path / "*.csv")] == ["b", "c", "d", "a"]


def _changed(path: Path, known: CostAnswer, include: Include = "models") -> list[CostAnswer | MonitorError]:
    settings = Settings(name="costs", kind="cost-export", path=str(path), include=include)
    return list(pulls(settings, {known.name: (known.fingerprint, known.written_at)}, Request(), session()))


def test_an_untouched_export_is_not_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row()])
    assert _changed(path, read(path)) == []


def test_an_export_written_anew_is_read_again_even_with_what_it_said_before(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row()])
    known = read(path)
    os.utime(path, (1, 1))
    assert len(_changed(path, known)) == 1


def test_an_export_that_was_moved_is_not_read_again(tmp_path: Path) -> None:
    known = read(write(tmp_path / "a.csv", [row()]))
    assert _changed((tmp_path / "a.csv").rename(tmp_path / "b.csv"), known) == []


def test_an_untouched_export_of_which_more_is_to_be_kept_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [row()])
    assert len(_changed(path, read(path), "all")) == 1


def test_an_export_is_called_the_same_however_many_of_its_parts_are_here(tmp_path: Path) -> None:
    write(tmp_path / "part_1_0001.csv", [row()])
    alone = read(tmp_path / "*.csv")
    write(tmp_path / "part_0_0001.csv", [row()])
    assert read(tmp_path / "*.csv").name == alone.name


@pytest.mark.parametrize("cost", ["1e9999999", "-1e9999999", "1e-9999999", "9" * 5000])
def test_a_cost_beyond_all_reason_is_one_rejected_row(tmp_path: Path, cost: str) -> None:
    pull = read(write(tmp_path / "a.csv", [row(), row(cost=cost)]))
    assert len(pull.charges) == 1
    assert [one.reason for one in pull.rejected] == ["the cost is not a number in the form that the export uses"]


@pytest.mark.parametrize(("cost", "kept"), [("8999999999.999999999", 1), ("-9000000000", 0), ("9e40", 0)])
def test_a_cost_that_the_store_cannot_hold_is_rejected(tmp_path: Path, cost: str, kept: int) -> None:
    pull = read(write(tmp_path / "a.csv", [row(cost=cost)]))
    assert len(pull.charges) == kept
    assert [one.reason for one in pull.rejected] == ["the cost is larger than can be kept"] * (1 - kept)


def test_a_quantity_beyond_all_reason_is_not_known_and_its_cost_stays(tmp_path: Path) -> None:
    (charge,) = read(write(tmp_path / "a.csv", [row(quantity="9e999999", unit="1K")])).charges
    assert (str(charge.billed_cost), charge.consumed_quantity) == ("0.3", None)


def test_an_instant_outside_the_calendar_is_one_rejected_row(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row(), row("9999-12-31T23:00:00-02:00")]))
    assert (len(pull.charges), len(pull.rejected)) == (1, 1)


def test_parts_in_one_folder_are_one_export(tmp_path: Path) -> None:
    write(tmp_path / "part_0_0001.csv", [row("05/11/2024")])
    write(tmp_path / "part_1_0001.csv", [row("13/11/2024", cost="?"), row("14/11/2024")])
    pull = read(tmp_path / "*.csv")
    assert days(pull) == [november(5), november(14)]
    assert [(Path(one.object).name, one.position) for one in pull.rejected] == [("part_1_0001.csv", 2)]


def _manifest(folder: Path, sizes: dict[str, int | None]) -> None:
    blobs = [
        {"blobName": f"exports/daily/20241101-20241130/run/{name}"} | ({} if size is None else {"byteCount": size})
        for name, size in sizes.items()
    ]
    (folder / "manifest.json").write_text(json.dumps({"blobs": blobs, "blobCount": len(blobs)}))


@pytest.mark.parametrize("pattern", ["*.csv", "manifest.json", "*"])
def test_the_files_that_a_manifest_lists_are_one_export(tmp_path: Path, pattern: str) -> None:
    one, two = write(tmp_path / "x.csv", [row()]), write(tmp_path / "y.csv", [row("2024-11-06")])
    _manifest(tmp_path, {"x.csv": one.stat().st_size, "y.csv": two.stat().st_size})
    pull = read(tmp_path / pattern)
    assert sorted(days(pull)) == [november(5), november(6)]


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ({"x.csv": None, "y.csv": None}, "a file that the manifest lists is missing"),
        ({"x.csv": 1}, "a file has not the size that the manifest says"),
    ],
)
def test_an_export_that_is_not_all_here_is_refused_until_it_is(
    tmp_path: Path, sizes: dict[str, int | None], reason: str
) -> None:
    path = write(tmp_path / "x.csv", [row()])
    _manifest(tmp_path, sizes)
    refused = read(tmp_path / "*.csv")
    assert (refused.charges, [one.reason for one in refused.rejected]) == ([], [reason])
    _manifest(tmp_path, {"x.csv": path.stat().st_size})
    complete = read(tmp_path / "*.csv")
    assert len(complete.charges) == 1
    assert complete.fingerprint != refused.fingerprint


def test_no_reason_quotes_what_a_record_says(tmp_path: Path) -> None:
    pull = read(write(tmp_path / "a.csv", [row(cost="secret"), row("secret"), ["secret"]]))
    assert len(pull.rejected) == 3
    assert "secret" not in str(pull.rejected)


def test_no_damage_to_the_bytes_raises_or_hides_a_row(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.csv", [row(cost=str(number)) for number in range(40)]).read_bytes()
    dice = random.Random(7)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(dice.randint(1, 20)):
            damaged[dice.randrange(len(damaged))] = dice.choice(b',;"\n\r\0aZ9\xff')
        (tmp_path / "a.csv").write_bytes(damaged)
        pull = read(tmp_path / "a.csv", "all")
        assert pull.rejected or pull.read >= 40 - 20
        assert sum(pull.days.values()) == len(pull.charges)


def test_a_file_that_cannot_be_opened_is_told_by_name_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.csv", "b.csv", "c.csv"):
        os.utime(write(tmp_path / name, [row()]), (1, 1))
    opened = Path.open

    def refuse(self: Path, *arguments: Any, **named: Any) -> Any:
        if self.name == "b.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    settings = Settings(name="costs", kind="cost-export", path=str(tmp_path / "*.csv"))
    first, told, last = pulls(settings, {}, Request(), session())
    assert isinstance(first, CostAnswer)
    assert isinstance(last, CostAnswer)
    assert isinstance(told, UnreachableError)
    assert "b.csv" in str(told)


def test_a_file_that_goes_between_being_found_and_being_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.csv", [row()])
    monkeypatch.setattr("glob.glob", lambda *_, **__: [str(tmp_path / name) for name in ("a.csv", "b.csv")])
    monkeypatch.setattr("os.path.isfile", lambda _: True)
    settings = Settings(name="costs", kind="cost-export", path=str(tmp_path / "*.csv"))
    assert [type(one) for one in pulls(settings, {}, Request(), session())] == [UnreachableError, CostAnswer]


def test_a_manifest_that_cannot_be_opened_refuses_its_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "x.csv", [row()])
    _manifest(tmp_path, {"x.csv": None})

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    refused = read(tmp_path / "*.csv")
    assert (refused.charges, [one.reason for one in refused.rejected]) == ([], ["the manifest cannot be read"])
