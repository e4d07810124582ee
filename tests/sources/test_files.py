"""Files however they are written: compressed, cut off, damaged, too long, of no known format."""

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

from monitor.domain.stretch import Cursor, Parsed, Piece
from monitor.errors import MonitorError, SettingsError, UnreachableError
from monitor.sources import chain, files
from monitor.sources.objects import find
from monitor.sources.parse import MAX_RECORD_BYTES
from monitor.sources.request import Request
from tests.azure.sessions import Listed
from tests.samples import record, records


class Reader:
    """Reads a source, keeping its cursors from one collection to the next."""

    def __init__(self, path: Path | str, format_: str = "response-log") -> None:
        self.settings = files.Settings(name="log", kind="files", path=str(path), format=format_)
        self.cursors: dict[str, Cursor] = {}
        self.errors: list[MonitorError] = []
        self.pieces: list[Piece] = []

    def read(self, request: Request = Request()) -> list[Parsed]:  # noqa: B008 - frozen
        self.pieces = []
        for piece in files.read(self.settings, Listed(self.cursors.values()), request):
            if isinstance(piece, MonitorError):
                self.errors.append(piece)
                continue
            self.pieces.append(piece)
            if request.period is None:
                self.cursors[piece.after.key] = piece.after
        return [piece.parsed for piece in self.pieces]

    def prompts(self) -> list[int]:
        """Prompt tokens of the records read now; `samples.record` numbers its records by them."""
        return [number for parsed in self.read() for number in column(parsed, "prompt_tokens")]

    def reasons(self) -> list[tuple[int, str]]:
        return [(one.position, one.reason) for piece in self.pieces for one in piece.parsed.rejected]


def column(parsed: Parsed, name: str) -> list[int]:
    return memoryview(parsed.columns.get(name, b"")).cast("q").tolist()


def test_a_gzip_of_several_members_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(records([1, 2])) + gzip.compress(record(3)))
    reader = Reader(tmp_path / "*.jsonl")
    assert reader.prompts() == [1, 2, 3]
    with path.open("ab") as file:
        file.write(gzip.compress(record(4)))
    assert reader.prompts() == [4]


def test_a_zstd_of_several_frames_is_read_to_its_end(tmp_path: Path) -> None:
    compress = zstandard.ZstdCompressor().compress
    (tmp_path / "a.jsonl.zst").write_bytes(compress(records([1, 2])) + compress(record(3)))
    assert Reader(tmp_path / "*.zst").prompts() == [1, 2, 3]


def test_a_gzip_still_being_written_is_read_as_far_as_it_goes_and_finished_later(tmp_path: Path) -> None:
    whole = gzip.compress(records(range(1, 2001)), 1)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    reader = Reader(path)
    first = reader.prompts()
    assert 0 < len(first) < 2000
    assert reader.reasons() == []
    path.write_bytes(whole)
    assert first + reader.prompts() == list(range(1, 2001))


def test_damaged_compression_is_quarantined_where_it_breaks(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(records(range(1, 3001)), 1))
    whole[len(whole) // 2] ^= 0xFF
    (tmp_path / "a.jsonl.gz").write_bytes(whole)
    (tmp_path / "b.jsonl.gz").write_bytes(b"this was never gzip\n")
    reader = Reader(tmp_path / "*.gz")
    taken = reader.prompts()
    assert taken[:1000] == list(range(1, 1001))
    reasons = [reason for _, reason in reader.reasons()]
    assert reasons.count("the compressed data is damaged") == 2
    assert reader.read() == []


def test_a_half_written_last_line_waits_and_a_whole_one_without_a_line_feed_does_not(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    line = record(2)
    path.write_bytes(record(1) + line[:40])
    reader = Reader(path)
    assert reader.prompts() == [1]
    path.write_bytes(record(1) + line.rstrip(b"\n"))
    assert reader.prompts() == [2]
    path.write_bytes(record(1) + line + record(3))
    assert reader.prompts() == [3]
    assert reader.reasons() == []


def test_an_import_quarantines_what_nobody_will_finish(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(record(1) + record(2)[:40])
    reader = Reader(path)
    reader.read(Request(final=True))
    assert reader.reasons() == [(len(record(1)), "half-written: the object ends inside this record")]


def test_lines_may_end_in_carriage_returns_and_be_blank(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\r\n  \n" + record(1).replace(b"\n", b"\r\n") + b"\n" + record(2))
    assert Reader(tmp_path / "a.jsonl").prompts() == [1, 2]


@pytest.mark.parametrize("ending", [b"\n", b""], ids=["with a line feed", "without"])
def test_a_line_of_100_megabytes_is_refused_without_being_held(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(record(1))
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(ending + (record(2) if ending else b""))
    program = (
        "import sys, resource, json; from tests.sources.test_files import Reader; r = Reader(sys.argv[1]);"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; p = r.prompts();"
        "print(json.dumps([p, r.reasons(), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) / 1024]))"
    )
    printed = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, check=True, text=True)
    prompts, reasons, grown = json.loads(printed.stdout)
    assert prompts == ([1, 2] if ending else [1])
    assert reasons == [[len(record(1)), "longer than 16 MiB"]]
    assert grown < 60


def test_too_long_a_line_in_a_compressed_file_is_passed_over_alone(tmp_path: Path) -> None:
    long = b"x" * (2 * MAX_RECORD_BYTES) + b"\n"
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(record(1) + long + record(2), 1))
    reader = Reader(tmp_path / "*.gz")
    assert reader.prompts() == [1, 2]
    assert reader.reasons() == [(len(record(1)), "longer than 16 MiB")]
    assert reader.read() == []


def test_ranges_of_one_file_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(range(1, 401), named=False))
    whole = [identity for parsed in Reader(path).read() for identity in column(parsed, "identity")]
    for size in (1, 97, 251, 5000):
        monkeypatch.setattr(files, "RANGE_BYTES", size)
        ranged = [identity for parsed in Reader(path).read() for identity in column(parsed, "identity")]
        assert ranged == whole


def test_worker_processes_read_what_this_process_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(range(1, 3001)) + b"broken\n" + record(3001))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(records(range(4000, 4100)), 1))
    here = Reader(tmp_path / "*.jsonl*")
    monkeypatch.setattr(files, "RANGE_BYTES", 100_000)
    monkeypatch.setattr(files, "WORTH_WORKERS_BYTES", 0)
    there = Reader(tmp_path / "*.jsonl*")
    assert sorted(there.prompts()) == sorted(here.prompts())
    assert there.reasons() == here.reasons()


def test_a_file_of_no_known_format_is_refused_as_one_until_it_grows_into_one(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(b"Nov 23 01:02:03 host kernel: hello\n" * 3)
    reader = Reader(path, "auto")
    reader.read()
    assert reader.reasons() == [(0, "not in any known log format")]
    assert reader.read() == []


def test_auto_decides_for_each_file_and_says_what_it_took(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(record(1))
    (tmp_path / "b.sse").write_bytes(
        b'data: {"id":"x","created":1762000000,"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}}\n\n'
        b"data: [DONE]\n\n"
    )
    reader = Reader(tmp_path / "*", "auto")
    assert sorted(reader.prompts()) == [1, 7]
    assert [piece.after.format for piece in reader.pieces] == ["response-log", "chat-completion"]


def test_a_pretty_printed_body_is_one_record_and_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    body = (
        '{\n  "id": "cmpl-1",\n  "created": 1762000000,\n  "usage": {"prompt_tokens": 5, "completion_tokens": 6}\n}\n'
    )
    path.write_text(body[:60])
    reader = Reader(path, "chat-completion")
    assert reader.prompts() == []
    path.write_text(body)
    assert reader.prompts() == [5]


def test_names_in_braces_become_labels_and_do_not_cross_folders(tmp_path: Path) -> None:
    for name in ("search/large/a.jsonl", "search/large/deeper/b.jsonl", "docs/c.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(record(1))
    found = list(find(f"{tmp_path}/{{workspace}}/{{deployment}}/*.jsonl", "log"))
    assert [one.labels for one in found] == [{"workspace": "search", "deployment": "large"}]
    everything = list(find(f"{tmp_path}/{{workspace}}/**/*.jsonl", "log"))
    assert [one.labels["workspace"] for one in everything] == ["docs", "search", "search"]


def test_an_unknown_label_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown label \{team\}: labels are workspace, deployment"):
        list(find(f"{tmp_path}/{{team}}/*.jsonl", "log"))


def test_a_file_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("/proc/self/mem")
    (tmp_path / "b.jsonl").write_bytes(record(1))
    reader = Reader(tmp_path / "*.jsonl")
    assert reader.prompts() == [1]
    assert [type(error) for error in reader.errors] in ([UnreachableError], [])


def test_a_collector_that_is_killed_leaves_no_workers_behind(tmp_path: Path) -> None:
    program = (
        "import os, time\n"
        "from monitor.sources.workers import workers\n"
        "if __name__ == '__main__':\n"
        "    with workers(2) as pool:\n"
        "        pids = {pool.submit(os.getpid).result() for _ in range(8)}\n"
        "        print(*pids, flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    script = tmp_path / "collector.py"
    script.write_text(program)
    root = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    printed = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=root, check=False
    )
    pids = [int(word) for word in printed.stdout.split()]
    assert pids
    for pid in pids:
        _wait_until_gone(pid)


def _wait_until_gone(pid: int) -> None:
    for _ in range(200):
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"worker {pid} is still there")


def test_a_log_truncated_and_refilled_while_it_is_read_loses_none_of_its_new_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RANGE_BYTES", 2000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(range(1, 101), named=False))
    reader = Reader(path)
    assert reader.prompts() == list(range(1, 101))
    with path.open("ab") as file:
        file.write(records(range(101, 201), named=False))
    pieces = files.read(reader.settings, Listed(reader.cursors.values()), Request())
    first = next(pieces)
    assert isinstance(first, Piece)
    reader.cursors[first.after.key] = first.after
    path.write_bytes(records(range(300, 700), named=False))
    for piece in pieces:
        assert isinstance(piece, Piece)
        reader.cursors[piece.after.key] = piece.after
    assert reader.prompts()[-1:] == [699]
    assert reader.read() == []


def test_a_stream_that_ends_later_is_one_request(tmp_path: Path) -> None:
    path = tmp_path / "body.sse"
    chunk = 'data: {"id":"cmpl-1","created":1762000000,"choices":[{"delta":{}}]}\n\n'
    path.write_text(chunk)
    reader = Reader(path, "chat-completion")
    (first,) = [column(parsed, "identity") for parsed in reader.read()]
    usage = '"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}'
    path.write_text(chunk + f'data: {{"id":"cmpl-1","created":1762000000,{usage}}}\n\ndata: [DONE]\n\n')
    (second,) = reader.read()
    assert (column(second, "identity"), column(second, "prompt_tokens")) == (first, [7])
    assert reader.reasons() == []


def test_a_file_being_compressed_is_not_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(records(range(1, 21), named=False))
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    reader = Reader(path)
    assert len(reader.prompts()) == 20
    path.unlink()
    assert reader.prompts() == []


def test_a_file_of_tiny_lines_is_read_in_stretches_of_bounded_size(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x\n" * 450_000)
    parsed = Reader(path).read()
    assert sum(one.read for one in parsed) == 450_000
    assert max(one.read for one in parsed) <= chain.STRETCH_RECORDS


def test_labels_may_hold_any_character_and_forge_no_other(tmp_path: Path) -> None:
    for folder in ("a\nworkspace=evil", "b\u2028c", "d=e"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_bytes(record(1))
    reader = Reader(f"{tmp_path}/{{deployment}}/*.jsonl")
    reader.read()
    labels = [json.loads(piece.after.labels) for piece in reader.pieces]
    assert labels == [{"deployment": "a\nworkspace=evil"}, {"deployment": "b\u2028c"}, {"deployment": "d=e"}]


def test_a_file_whose_name_is_not_text_is_told_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.jsonl")).write_bytes(record(1))
    (tmp_path / "b.jsonl").write_bytes(record(2))
    reader = Reader(tmp_path / "*.jsonl")
    assert reader.prompts() == [2]
    assert [str(error).partition(": ")[2] for error in reader.errors] == ["has a name that is not UTF-8: rename it"]
