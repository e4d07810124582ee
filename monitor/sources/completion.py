"""What a chat completion says of itself, as a JSON body or as the transcript of its server-sent events (SSE).

Only what is needed is decoded: id, model and usage; no text of a prompt or an answer becomes an object. The usage of
a stream is its last usage object, never a sum over chunks; the id and the model are those of the first chunk that has
them. Azure OpenAI streams carry no usage unless asked: absent stays absent.
"""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from monitor.domain.records import MAX_COUNT
from monitor.sources.second_look import UnreadableError, convert, loads

TOTAL_TOO_SMALL = "usage: total is less than its parts"

MAX_NAME = 512

Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Name = Annotated[str, Meta(max_length=MAX_NAME)]


class Details(Struct, gc=False):
    """What a part of the usage consists of."""

    cached_tokens: Count | None = None


class Usage(Struct, gc=False):
    """The usage object under every name seen: Mistral, OpenAI and Azure, DeepSeek, Anthropic and Bedrock.

    `prompt_token_details` is a misspelling that Mistral sends.
    """

    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    prompt_token_details: Details | None = None
    num_cached_tokens: Count | None = None
    prompt_cache_hit_tokens: Count | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    bedrock_input: Count | None = msgspec.field(default=None, name="inputTokens")
    bedrock_output: Count | None = msgspec.field(default=None, name="outputTokens")
    bedrock_total: Count | None = msgspec.field(default=None, name="totalTokens")


class Completion(Struct, gc=False):
    """What is kept of a body, of one chunk of a stream, or of a whole stream."""

    id: Name | None = None
    model: Name | None = None
    usage: Usage | None = None


Tokens = tuple[int | None, int | None, int | None]
"""Prompt, completion and cached tokens; None: not reported."""

NOTHING = Completion()
UNREPORTED: Tokens = (None, None, None)

_decode = msgspec.json.Decoder(Completion).decode
_decode_any = msgspec.json.Decoder().decode


def tokens(usage: Usage | None) -> Tokens:
    """Return what the usage reports; a total never replaces a part. UnreadableError if it is less than its parts."""
    if usage is None:
        return UNREPORTED
    prompt, completion, total = usage.prompt_tokens, usage.completion_tokens, usage.total_tokens
    if prompt is None:
        prompt = usage.bedrock_input if usage.input_tokens is None else usage.input_tokens
    if completion is None:
        completion = usage.bedrock_output if usage.output_tokens is None else usage.output_tokens
    if total is None:
        total = usage.bedrock_total
    if total is not None and total < (prompt or 0) + (completion or 0):
        raise UnreadableError(TOTAL_TOO_SMALL)
    details = usage.prompt_tokens_details or usage.prompt_token_details
    cached = details.cached_tokens if details is not None else None
    if cached is None:
        cached = usage.prompt_cache_hit_tokens if usage.num_cached_tokens is None else usage.num_cached_tokens
    return prompt, completion, cached


def from_text(text: str) -> Completion:
    """Read a body given as text: JSON or an SSE transcript. Any other text, JSON cut short included, says nothing.

    UnreadableError where a JSON object has a wrong type or an impossible number in a field that is used.
    """
    if text[:1] == "{" or text.lstrip("\ufeff \t\r\n")[:1] == "{":
        body = _chunk(text)
        if body is not None:
            return body
    return from_transcript(text) if is_transcript(text) else NOTHING


def is_transcript(text: str) -> bool:
    """Whether the text has a line of server-sent data."""
    return text.startswith(("data:", "\ufeffdata:")) or "\ndata:" in text or "\rdata:" in text


def from_transcript(text: str) -> Completion:
    """Read the chunks of a stream, also of one that was cut or ended in an error; raises what `from_text` raises."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.removeprefix("\ufeff")
    id_ = model = None
    for event in _events(text):
        for chunk in map(_chunk, _data(event)):
            if chunk is not None:
                id_ = id_ or chunk.id
                model = model or chunk.model
        if id_ and model:
            break
    return Completion(id=id_, model=model, usage=_last_usage(text))


def _last_usage(text: str) -> Usage | None:
    """Return the last usage of a stream, decoding only the events that name it, from the end."""
    end = len(text)
    while (at := text.rfind('"usage"', 0, end)) >= 0:
        end = text.rfind("\n\n", 0, at) + 1
        stop = text.find("\n\n", at)
        found = _usage(text[end : len(text) if stop < 0 else stop].lstrip("\n"))
        if found is not None:
            return found
    # JSON can spell the word otherwise only with escapes.
    escaped = [event for event in _events(text) if "\\u" in event] if "\\u" in text else []
    return next((found for event in reversed(escaped) if (found := _usage(event)) is not None), None)


def _usage(event: str) -> Usage | None:
    for chunk in map(_chunk, reversed(_data(event))):
        if chunk is not None and chunk.usage is not None:
            return chunk.usage
    return None


def chunks(text: str) -> Iterator[str]:
    """Yield the data of every event of a transcript."""
    for event in _events(text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")):
        yield from _data(event)


def _events(text: str) -> Iterator[str]:
    """Yield the events of a transcript one by one: the first few say all that is asked of most."""
    start = 0
    while (end := text.find("\n\n", start)) >= 0:
        yield text[start:end]
        start = end + 2
    yield text[start:]


def _data(event: str) -> list[str]:
    """Return the data of one event; one space after the colon is not part of it.

    Several data lines are one, unless each is whole by itself: some loggers drop the empty lines between events.
    """
    if event.startswith("data: ") and "\n" not in event:
        return [event[6:]]
    lines = [line[6:] if line[5:6] == " " else line[5:] for line in event.split("\n") if line.startswith("data:")]
    if len(lines) <= 1 or all(_is_whole(line) for line in lines[:-1]):
        return lines
    return ["\n".join(lines)]


def _is_whole(data: str) -> bool:
    try:
        _decode_any(data)
    except (ValueError, RecursionError):
        return data.strip() == "[DONE]"
    return True


def _chunk(text: str) -> Completion | None:
    """Decode a JSON object; None for any other text."""
    try:
        return _decode(text)
    except (ValueError, RecursionError):
        pass
    try:
        value = loads(text)
    except UnreadableError:
        return None
    return convert(value, Completion) if isinstance(value, dict) else None
