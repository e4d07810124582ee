"""Production traces as response logs.

The same tokens at the same times, refused with status 429 where a quota is used up.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from monitor.domain.catalogue import DEFAULT, Limits


class Call(Struct, frozen=True, kw_only=True):
    """One request of a trace: when (RFC 3339 with all its digits), and how many tokens went in and came out."""

    time: str
    prompt_tokens: int
    completion_tokens: int
    refused: bool = False

    @property
    def minute(self) -> str:
        """The calendar minute, as the time writes it."""
        return self.time[:16]


def azure_trace(path: Path) -> Iterator[Call]:
    """Read one of Azure's published traces (TIMESTAMP,ContextTokens,GeneratedTokens)."""
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            yield Call(
                time=row["TIMESTAMP"].replace(" ", "T") + "Z",
                prompt_tokens=int(row["ContextTokens"]),
                completion_tokens=int(row["GeneratedTokens"]),
            )


def mooncake_trace(path: Path, start: datetime) -> Iterator[Call]:
    """Read Mooncake's trace (timestamp in ms, input_length, output_length), put to a start of our choice."""
    with gzip.open(path, "rt") as file:
        for row in map(json.loads, file):
            at = datetime.fromtimestamp(start.timestamp() + row["timestamp"] / 1000, UTC)
            yield Call(
                time=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                prompt_tokens=row["input_length"],
                completion_tokens=row["output_length"],
            )


def under_quota(calls: Iterator[Call], limits: Limits = DEFAULT) -> Iterator[Call]:
    """Refuse what no longer fits into its calendar minute, as the service would; a refused call uses no tokens."""
    minute, tokens, requests = "", 0, 0
    for call in calls:
        if call.minute != minute:
            minute, tokens, requests = call.minute, 0, 0
        requests += 1
        wanted = call.prompt_tokens + call.completion_tokens
        if tokens + wanted > limits.tokens or requests > limits.requests:
            yield Call(time=call.time, prompt_tokens=0, completion_tokens=0, refused=True)
        else:
            tokens += wanted
            yield call


def response_log(calls: Iterator[Call]) -> Iterator[bytes]:
    """Write calls as lines of the format `response-log`."""
    for number, call in enumerate(calls):
        if call.refused:
            answer: dict[str, object] = {
                "error": {"code": "429", "message": "Rate limit is exceeded. Please retry after 12 seconds."}
            }
        else:
            usage = {
                "prompt_tokens": call.prompt_tokens,
                "completion_tokens": call.completion_tokens,
                "total_tokens": call.prompt_tokens + call.completion_tokens,
            }
            answer = {"id": f"cmpl-{number}", "model": "mistral-large-2407", "usage": usage}
        record = {
            "time": call.time,
            "status": 429 if call.refused else 200,
            "request_id": f"r{number}",
            "response": answer,
        }
        yield json.dumps(record).encode() + b"\n"
