"""Writes response logs for benchmarks: a fresh seed each time, the answer kept beside the data.

The mix of the documented measurements: 70 % JSON bodies with long content, 20 % SSE transcripts or JSON as text, 10 %
refused; one record in a thousand is a repetition of an earlier one, one in ten thousand is cut off in the middle.
"""

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

WORDS = [
    "the",
    "quota",
    "of",
    "a",
    "deployment",
    "is",
    "two",
    "hundred",
    "thousand",
    "tokens",
    "a",
    "minute",
    "and",
    "one",
    "thousand",
    "requests",
    "über",
    "größe",
]


class Truth(Struct, kw_only=True):
    """What a log holds: records, distinct requests, sums and the requests of each (deployment, minute)."""

    records: int = 0
    stored: int = 0
    duplicates: int = 0
    broken: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    throttled: int = 0
    minutes: Counter[tuple[str, int]] = Counter()


def write(path: Path, *, size: int, record_bytes: int = 2700, deployments: int = 12, seed: int = 1) -> Truth:
    """Write about `size` bytes of response logs, one file, in the order of time."""
    rng = random.Random(seed)
    truth = Truth(minutes=Counter())
    texts = [" ".join(rng.choices(WORDS, k=record_bytes // 6)) for _ in range(64)]
    recent: list[bytes] = []
    at = datetime(2026, 11, 2, tzinfo=UTC)
    written = 0
    with path.open("wb") as file:
        while written < size:
            at += timedelta(milliseconds=rng.randint(0, 30))
            draw = rng.random()
            if recent and draw < 0.001:
                line = rng.choice(recent)
                truth.duplicates += 1
            else:
                line = _record(
                    rng,
                    truth,
                    at,
                    rng.choice(texts)[: rng.randint(record_bytes // 3, record_bytes * 5 // 3)],
                    deployments,
                )
                if draw > 0.9999:
                    _withdraw(truth, line)
                    # Polars gives up at text that is not UTF-8, so the cut falls between two letters.
                    line = line[: len(line) // 2].decode("utf-8", "ignore").encode()
                    truth.broken += 1
                elif len(recent) < 50:
                    recent.append(line)
                else:
                    recent[rng.randrange(50)] = line
            truth.records += 1
            written += file.write(line + b"\n")
    return truth


def _record(rng: random.Random, truth: Truth, at: datetime, text: str, deployments: int) -> bytes:
    deployment = f"mistral-{rng.randrange(deployments)}"
    number = rng.getrandbits(80)
    prompt, completion = rng.randint(50, 4000), rng.randint(1, 900)
    record = {
        "time": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "status": 200,
        "workspace": "search-prod",
        "deployment": deployment,
        "request_id": f"{number:020x}",
        "duration_ms": rng.randint(80, 9000),
        "headers": {"x-ratelimit-remaining-tokens": "150000", "content-type": "application/json"},
        "request": {
            "model": "mistral-large-2407",
            "max_tokens": 1024,
            "messages": [{"role": "user", "content": text[:200]}],
        },
    }
    kind = rng.random()
    if kind < 0.1:
        record |= {
            "status": 429,
            "response": {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 2 seconds."}},
        }
        truth.throttled += 1
    else:
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        record["response"] = _body(f"cmpl-{number:020x}", text, usage, streamed=kind < 0.3)
        truth.prompt_tokens += prompt
        truth.completion_tokens += completion
    truth.stored += 1
    truth.minutes[deployment, int(at.timestamp()) // 60] += 1
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _body(identity: str, text: str, usage: dict[str, int], *, streamed: bool) -> object:
    base = {"id": identity, "created": 1_762_000_000, "model": "mistral-large-2407"}
    if not streamed:
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": text, "tool_calls": None},
        }
        return {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    pieces = [text[start : start + 400] for start in range(0, len(text), 400)]
    chunks = [
        {**base, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]} for piece in pieces
    ]
    chunks.append(
        {**base, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}], "usage": usage}
    )
    return "".join(f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"


def _withdraw(truth: Truth, line: bytes) -> None:
    """Take a record out of the truth again: it will be written cut in half."""
    record = json.loads(line)
    truth.stored -= 1
    minute = int(datetime.fromisoformat(record["time"]).timestamp()) // 60
    truth.minutes[record["deployment"], minute] -= 1
    if record["status"] == 429:
        truth.throttled -= 1
        return
    body = record["response"]
    usage = body["usage"] if isinstance(body, dict) else json.loads(body.split("data: ")[-2])["usage"]
    truth.prompt_tokens -= usage["prompt_tokens"]
    truth.completion_tokens -= usage["completion_tokens"]
