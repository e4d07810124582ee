"""The tenant's requests as lines of response logs, and in which append blobs and when they come to lie."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.azure.tenant.shape import Deployment, Tenant
from tests.azure.tenant.traffic import Asked, Traffic

FOLDER_HOURS = 6
"""Hours of receipt that share a blob; Azure's own have one, which would be 60,000 blobs."""
BY_DAY_FROM = 3
"""From this workspace on, callers file their logs by day and not by deployment, which takes far fewer lists to read."""
WRITTEN_BEFORE = timedelta(minutes=20)
"""How long before a collection its late records were received."""
SECRET = "the codeword is nightingale, señor"  # noqa: S105 - prompts and answers, which must never be stored

Appended = dict[str, bytes]
"""What is appended to which blobs."""


def appended(tenant: Tenant, traffic: Traffic) -> list[Appended]:
    """Return for every collection what has been appended since the one before.

    A half-written line stands at the end of its blob; what follows it comes with the next collection.
    """
    whole: dict[tuple[int, str], list[bytes]] = defaultdict(list)
    halves: dict[tuple[int, str], list[bytes]] = defaultdict(list)
    for one, deployment in _logged(tenant, traffic):
        following = whole if not one.halved else halves
        first = one.seen - one.halved
        on_time = first == 0 or _instant(one) > tenant.collects[first - 1]
        at = _instant(one) if on_time else tenant.collects[first] - WRITTEN_BEFORE
        following[first, blob(deployment, at)].append(line(one, deployment))
        if one.again is not None and one.again < len(tenant.collects):
            at = tenant.collects[one.again] - WRITTEN_BEFORE
            whole[one.again, blob(deployment, at)].append(line(one, deployment))
    for (number, name), lines in sorted(halves.items()):
        cut = len(lines[0]) // 2
        whole[number, name].append(lines[0][:cut])
        whole[number + 1, name][:0] = [lines[0][cut:], *lines[1:]]
    flushes: list[Appended] = [{} for _ in tenant.collects]
    for (number, name), written in whole.items():
        if number < len(flushes):
            flushes[number][name] = b"".join(written)
    return flushes


def _logged(tenant: Tenant, traffic: Traffic) -> Iterator[tuple[Asked, Deployment]]:
    for one in traffic.asked:
        deployment = tenant.deployments[one.deployment]
        if deployment.log == "blobs" and one.seen < len(tenant.collects):
            yield one, deployment


def blob(deployment: Deployment, received: datetime) -> str:
    """Return the name of the blob that holds what was received then."""
    hour = received.hour // FOLDER_HOURS * FOLDER_HOURS
    folders = f"y={received:%Y}/m={received:%m}/d={received:%d}/h={hour:02}/m=00"
    if deployment.workspace_number >= BY_DAY_FROM:
        return f"by-day/{folders}/{deployment.workspace}/{deployment.name}.jsonl"
    return f"responses/{deployment.workspace}/{deployment.name}/{folders}/PT1H.json"


def line(one: Asked, deployment: Deployment) -> bytes:
    """Write a request as a line of our response log."""
    body, headers = _answer(one, deployment)
    record = {
        "time": f"{_instant(one):%Y-%m-%dT%H:%M:%S}.{one.at_ms % 1000:03}Z",
        "status": one.status,
        "endpoint": f"https://{deployment.host}/v1/chat/completions",
        "request_id": f"request-{one.identity}",
        "headers": headers,
        "request": {"max_tokens": 1024, "stream": one.end in ("streamed", "unmeasured")},
        "response": body,
    }
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _answer(one: Asked, deployment: Deployment) -> tuple[Any, dict[str, str]]:
    if one.status == 429:
        wait, limit = one.wait_s, deployment.tokens_limit(_instant(one).date())
        said = {
            "tokens": f"Rate limit of {limit} per 60s exceeded for UserByModelByMinuteTokens. "
            f"Please wait {wait} seconds before retrying.",
            "requests": f"Rate limit of 1000 per 60s exceeded for UserByModelByMinute. "
            f"Please wait {wait} seconds before retrying.",
            "capacity": "The system is currently experiencing high demand and exceeds the maximum usage size allowed "
            f"during peak load. Please retry after {wait} seconds",
        }
        return {"error": {"code": "RateLimitReached", "message": said[one.end]}}, {"retry-after": str(wait)}
    if one.status != 200:
        return {"error": {"code": "NotFound", "message": "The model is not available."}}, {}
    if one.end == "answered":
        return _completion(one, deployment), {}
    chunk = _completion(one, deployment) | {"object": "chat.completion.chunk"}
    first = {name: value for name, value in chunk.items() if name != "usage"}
    chunks = [first, chunk] if one.end == "streamed" else [first]
    return "".join(f"data: {json.dumps(one, ensure_ascii=False)}\n\n" for one in chunks) + "data: [DONE]\n\n", {}


def _completion(one: Asked, deployment: Deployment) -> dict[str, Any]:
    said = {"role": "assistant", "content": SECRET}
    placed = "delta" if one.end in ("streamed", "unmeasured") else "message"
    return {
        "id": f"cmpl-{one.identity}",
        "object": "chat.completion",
        "created": one.at_ms // 1000,
        "model": deployment.model if one.prompt % 3 else "",
        "choices": [{"index": 0, placed: said, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": one.prompt,
            "completion_tokens": one.completion,
            "total_tokens": one.prompt + one.completion,
        },
    }


def _instant(one: Asked) -> datetime:
    return datetime.fromtimestamp(one.at_ms / 1000, UTC)
