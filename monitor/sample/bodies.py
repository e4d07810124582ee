"""Requests of the sample written as log lines: our own response log, and what a LiteLLM proxy writes. Pure."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from monitor.sample.traffic import TOKENS_PER_MINUTE, Asked

Row = dict[str, Any]

ANSWER = "See section 4 of the document."
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def line(asked: Asked, deployment: Row, log: str) -> bytes:
    """Write one request as one line of JSON; `deployment` is its table in the sample's settings."""
    record = _litellm(asked, deployment) if log == "litellm" else _response_log(asked, deployment)
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def _response_log(asked: Asked, deployment: Row) -> Row:
    status, response, headers = _ended(asked, deployment)
    return {
        "time": _rfc3339(asked.at_ms),
        "status": status,
        "endpoint": f"https://{deployment['endpoint']}/v1/chat/completions",
        "request_id": _identifier("request", asked, deployment),
        "duration_ms": 35 if asked.end == "refused" else asked.took_ms,
        "headers": headers,
        "request": {"max_tokens": asked.max_tokens, "stream": asked.end in {"streamed", "cut"}},
        "response": response,
    }


def _ended(asked: Asked, deployment: Row) -> tuple[int, Any, Row]:
    """Return status, body and headers of an answer."""
    if asked.end == "refused":
        wait = f"Please wait {asked.wait_s} seconds before retrying."
        message = f"Rate limit of {TOKENS_PER_MINUTE} per 60s exceeded for UserByModelByMinuteTokens. {wait}"
        headers = {"retry-after": str(asked.wait_s), "x-ratelimit-remaining-tokens": "0"}
        return 429, _error("RateLimitReached", message), headers
    if asked.end == "failed":
        return 503, _error("ServiceUnavailable", "The service is temporarily unable to process your request."), {}
    if asked.end == "filtered" and asked.number % 2:
        return 400, _error("content_filter", "The response was filtered by the content management policy."), {}
    if asked.end in {"streamed", "cut"}:
        return 200, _stream(asked, deployment), {}
    return 200, _completion(asked, deployment), {}


def _error(code: str, message: str) -> Row:
    return {"error": {"code": code, "message": message}}


def _completion(asked: Asked, deployment: Row) -> Row:
    reason = "content_filter" if asked.end == "filtered" else "stop"
    return {
        "id": _identifier("completion", asked, deployment),
        "object": "chat.completion",
        "created": asked.at_ms // 1000,
        "model": deployment["model"],
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": ANSWER}, "finish_reason": reason, "logprobs": None}
        ],
        "usage": _usage(asked),
    }


def _usage(asked: Asked) -> Row:
    return {
        "prompt_tokens": asked.prompt,
        "total_tokens": asked.prompt + asked.completion,
        "completion_tokens": asked.completion,
    }


def _stream(asked: Asked, deployment: Row) -> str:
    """Write an answer as the lines of an event stream, usage in its last chunk; a cut one ends before it."""
    words = ANSWER.split(" ")
    chunks = [_chunk(asked, deployment, {"content": f"{word} "}, None) for word in words[:2]]
    if asked.end == "cut":
        return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    last = _chunk(asked, deployment, {"content": " ".join(words[2:])}, "stop") | {"usage": _usage(asked)}
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, last]) + "data: [DONE]\n\n"


def _chunk(asked: Asked, deployment: Row, delta: Row, reason: str | None) -> Row:
    return {
        "id": _identifier("completion", asked, deployment),
        "object": "chat.completion.chunk",
        "created": asked.at_ms // 1000,
        "model": deployment["model"],
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}],
    }


def _litellm(asked: Asked, deployment: Row) -> Row:
    """Write a StandardLoggingPayload, with the fields that say something about usage (LiteLLM 1.109)."""
    failed = asked.end == "failed"
    prompt, completion = (0, 0) if failed else (asked.prompt, asked.completion)
    return {
        "id": _identifier("completion", asked, deployment),
        "litellm_call_id": _identifier("call", asked, deployment),
        "call_type": "acompletion",
        "status": "failure" if failed else "success",
        "stream": False,
        "custom_llm_provider": "azure_ai",
        "model": deployment["model"],
        "model_group": deployment["name"],
        "api_base": f"https://{deployment['endpoint']}",
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "startTime": (asked.at_ms - asked.took_ms) / 1000,
        "endTime": asked.at_ms / 1000,
        "response_cost": 0.0,
        "cache_hit": asked.end == "cached",
        "error_information": {"error_code": "503", "error_class": "ServiceUnavailableError"} if failed else None,
    }


def _identifier(what: str, asked: Asked, deployment: Row) -> str:
    digest = sha256(f"{what} {deployment['name']} {asked.at_ms} {asked.number}".encode()).hexdigest()
    return (
        f"cmpl-{digest[:32]}"
        if what == "completion"
        else f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:32]}"
    )


def _rfc3339(at_ms: int) -> str:
    return (EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
