"""Bodies and streams: the usage is the last one reported, and nothing is made up."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.completion import NOTHING, Completion, from_text, tokens
from monitor.sources.second_look import UnreadableError

USAGE = {"prompt_tokens": 24, "completion_tokens": 2, "total_tokens": 26}


def chunk(**changes: Any) -> str:
    return json.dumps({"id": "c-1", "model": "mistral-nemo", "choices": [{"delta": {"content": "x"}}]} | changes)


def stream(*data: str, end: str = "\n\n", before: str = "data: ") -> str:
    return "".join(f"{before}{one}{end}" for one in data)


def counted(text: str) -> tuple[str | None, str | None, int | None, int | None]:
    body = from_text(text)
    prompt, completion, _ = tokens(body.usage)
    return body.id, body.model, prompt, completion


WHOLE = ("c-1", "mistral-nemo", 24, 2)
UNMEASURED = ("c-1", "mistral-nemo", None, None)


def test_usage_in_the_last_content_chunk_as_mistral_sends_it() -> None:
    assert counted(stream(chunk(), chunk(usage=USAGE), "[DONE]")) == WHOLE


def test_usage_in_a_chunk_of_its_own_as_openai_sends_it() -> None:
    assert counted(stream(chunk(usage=None), chunk(usage=None), chunk(choices=[], usage=USAGE), "[DONE]")) == WHOLE


def test_pitfall_6_a_stream_without_usage_is_unmeasured() -> None:
    assert counted(stream(chunk(), chunk(), "[DONE]")) == UNMEASURED


def test_pitfall_6_the_last_usage_counts_and_chunks_are_never_summed() -> None:
    growing = [chunk(usage={"prompt_tokens": 24, "completion_tokens": n, "total_tokens": 24 + n}) for n in (0, 1, 2)]
    assert counted(stream(*growing, chunk(usage=None), "[DONE]")) == WHOLE


def test_id_and_model_come_from_the_first_chunk_that_has_them() -> None:
    first = chunk(id="", model="", choices=[], prompt_filter_results=[])
    assert counted(stream(first, chunk(id=""), chunk(id="c-1", model="other"), chunk(usage=USAGE))) == WHOLE


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r", "\n", "\r\n", "\n\n\n"])
@pytest.mark.parametrize(
    "before", ["data: ", "data:", "event: chunk\ndata: ", ": comment\ndata:", "id: 7\nretry: 3\ndata: "]
)
@pytest.mark.parametrize("mark", ["", "\ufeff", "\n", ": ping\n\n"])
def test_every_way_of_writing_events_is_read(end: str, before: str, mark: str) -> None:
    text = stream(chunk(), chunk(usage=USAGE), "[DONE]", end=end, before=before)
    assert counted(mark + text) == WHOLE
    assert counted((mark + text).rstrip()) == WHOLE


def test_data_of_several_lines_is_one_event() -> None:
    pretty = json.dumps(json.loads(chunk(usage=USAGE)), indent=1).replace("\n", "\ndata: ")
    assert counted(stream(chunk(), pretty, "[DONE]")) == WHOLE


def test_a_stream_cut_in_a_chunk_keeps_what_came_before() -> None:
    whole = stream(chunk(), chunk(usage=USAGE))
    assert counted(stream(chunk()) + whole[: len(whole) - 30]) == UNMEASURED
    assert counted(whole + 'data: {"id": "c-1", "usa') == WHOLE


def test_a_stream_that_ends_in_an_error_is_unmeasured() -> None:
    error = json.dumps({"error": {"message": "boom", "code": "tool_use_failed"}})
    assert counted(stream(chunk(), error, "[DONE]")) == UNMEASURED
    assert counted(stream(chunk()) + f"event: error\ndata: {error}\n\n") == UNMEASURED


def test_usage_spelt_with_escapes_is_usage() -> None:
    assert counted(stream(chunk(), chunk(usage=USAGE).replace('"usage"', '"us\\u0061ge"'))) == WHOLE


def test_text_that_speaks_of_usage_is_none() -> None:
    assert (
        counted(stream(chunk(), chunk(choices=[{"delta": {"content": '"usage": {"prompt_tokens": 9}'}}]))) == UNMEASURED
    )


def test_unusual_line_ends_inside_a_text_do_not_cut_it() -> None:
    odd = json.dumps(
        {"id": "c-1", "model": "mistral-nemo", "text": "a\u2028b\u0085c", "usage": USAGE}, ensure_ascii=False
    )
    assert counted(stream(odd)) == WHOLE


def test_an_impossible_count_in_a_stream_is_refused() -> None:
    with pytest.raises(UnreadableError, match=r"usage.prompt_tokens"):
        from_text(stream(chunk(), chunk(usage={"prompt_tokens": -1})))


def test_a_json_body_may_have_space_and_a_mark_around_it() -> None:
    assert counted(f"\ufeff\n {chunk(usage=USAGE)}\n") == WHOLE


@pytest.mark.parametrize(
    "text", ["", "{", "{}x", "data", "data:", "data: x", "data: [1]", "null", "<p>data: {}</p>", "[1]"]
)
def test_other_text_says_nothing(text: str) -> None:
    assert from_text(text) == NOTHING


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, (5, 7, None)),
        ({"input_tokens": 5, "output_tokens": 7}, (5, 7, None)),
        ({"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, "serverToolUsage": {}}, (5, 7, None)),
        ({"prompt_tokens": 0, "input_tokens": 5}, (0, None, None)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}, (5, None, 4)),
        ({"prompt_tokens": 5, "prompt_token_details": {"cached_tokens": 4}}, (5, None, 4)),
        ({"prompt_tokens": 5, "prompt_tokens_details": None, "num_cached_tokens": 3}, (5, None, 3)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {}, "num_cached_tokens": 0}, (5, None, 0)),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 2}, (5, None, 2)),
        ({"total_tokens": 12}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_usage_is_read_under_every_name_it_has(usage: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert tokens(from_text(json.dumps({"usage": usage})).usage) == expected


@pytest.mark.parametrize("total", ["total_tokens", "totalTokens"])
def test_a_total_below_its_parts_is_refused(total: str) -> None:
    with pytest.raises(UnreadableError, match="less than its parts"):
        tokens(from_text(json.dumps({"usage": {"input_tokens": 5, "output_tokens": 7, total: 11}})).usage)


@given(st.text(alphabet='data: {}"usage\n\r[],0123456789ptokensid\\', max_size=120))
def test_no_text_does_worse_than_being_unreadable(text: str) -> None:
    try:
        assert isinstance(from_text(text), Completion)
    except UnreadableError:
        return
