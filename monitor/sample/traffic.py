"""Who asked what in the sample's week: requests with their times, sizes and ends; every number comes from a seed."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

WEEK = tuple(date(2026, 11, 2) + timedelta(days=offset) for offset in range(7))
"""Monday to Sunday, UTC."""

THROTTLED_DAY = WEEK[2]
THROTTLED_WINDOWS = ((14 * 60 + 7, 14 * 60 + 25), (14 * 60 + 41, 15 * 60 + 3), (15 * 60 + 20, 15 * 60 + 32))
"""Minutes of that day, half-open, in which a re-indexing job drives one deployment into its quota."""

TOKENS_PER_MINUTE = 200_000

End = Literal["answered", "streamed", "cut", "filtered", "refused", "failed", "cached"]


class Profile(Struct, frozen=True, kw_only=True):
    """How one deployment is used: mean tokens, requests on a working day, when, and how its callers log.

    `busy` is the share of an hour's requests that comes in one minute of it, `streamed` that of streamed answers.
    """

    deployment: str
    prompt: int
    completion: int
    requests: int
    hours: tuple[int, ...]
    weekend: float = 0.1
    streamed: float = 0.0
    busy: float = 0.25
    log: Literal["response-log", "litellm"] = "response-log"


OFFICE = (0, 0, 0, 0, 0, 1, 2, 5, 9, 11, 10, 8, 7, 9, 11, 10, 8, 5, 3, 2, 1, 1, 0, 0)
ROUND_THE_CLOCK = (4, 3, 3, 2, 2, 3, 4, 6, 8, 9, 9, 8, 8, 8, 8, 8, 7, 7, 8, 9, 9, 8, 7, 5)
AT_NIGHT = (0, 12, 20, 16, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

PROFILES = (
    Profile(deployment="mistral-large-prod", prompt=3800, completion=360, requests=900, hours=OFFICE),
    Profile(deployment="mistral-nemo-rewrite", prompt=420, completion=60, requests=500, hours=OFFICE),
    Profile(
        deployment="mistral-small-chat",
        prompt=1150,
        completion=240,
        requests=620,
        hours=ROUND_THE_CLOCK,
        weekend=0.6,
        streamed=0.25,
    ),
    Profile(
        deployment="ministral-3b-intent", prompt=310, completion=8, requests=600, hours=ROUND_THE_CLOCK, weekend=0.6
    ),
    Profile(
        deployment="contracts-night",
        prompt=6400,
        completion=900,
        requests=300,
        hours=AT_NIGHT,
        weekend=0.4,
        busy=0.06,
        log="litellm",
    ),
)


class Asked(Struct, frozen=True, kw_only=True):
    """One request of the sample: when it was answered (milliseconds since 1970), how large it was, how it ended."""

    at_ms: int
    prompt: int
    completion: int
    max_tokens: int
    took_ms: int
    end: End
    number: int
    wait_s: int = 0

    @property
    def billed(self) -> bool:
        """Whether its tokens are on the bill; those of a cut stream are, though no log shows them."""
        return self.end in {"answered", "streamed", "cut", "filtered"}


def seeded(text: str) -> Random:
    """Return numbers that look like chance and are the same every run."""
    return Random(text)  # noqa: S311 - a sample, not a secret


def day_of_traffic(profile: Profile, day: date) -> list[Asked]:
    """Return the requests of one deployment on one day, in order of their answers."""
    random = seeded(f"{profile.deployment} {day}")
    times = sorted(_times(profile, day, random))
    ordinary = [_ordinary(profile, at, random) for at in times]
    if profile.deployment == "mistral-large-prod" and day == THROTTLED_DAY:
        ordinary = [one for one in ordinary if not _is_throttled(one.at_ms, day)]
        ordinary += _throttled_afternoon(profile, day, random)
    if profile.deployment == "mistral-small-chat" and day == WEEK[1]:
        ordinary = _cut_one(ordinary)
    ordered = sorted(ordinary, key=lambda one: one.at_ms)
    return [replace(one, number=number) for number, one in enumerate(ordered)]


def _start_ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def _times(profile: Profile, day: date, random: Random) -> Iterator[int]:
    """Spread a day's requests over its hours; of each hour some come in one busy minute."""
    weight = profile.weekend if day.weekday() >= 5 else 1.0
    for hour, share in enumerate(profile.hours):
        count = int(profile.requests * weight * share / sum(profile.hours) * (0.85 + 0.3 * random.random()) + 0.5)
        busy = int(random.random() * 60)
        for _ in range(count):
            minute = busy if random.random() < profile.busy else int(random.random() * 60)
            yield _start_ms(day) + (hour * 60 + minute) * 60_000 + int(random.random() * 60_000)


def _ordinary(profile: Profile, at_ms: int, random: Random) -> Asked:
    chance = random.random()
    end: End = "answered"
    if chance < profile.streamed:
        end = "streamed"
    elif profile.log == "litellm" and chance > 0.97:
        end = "cached"
    elif chance > 0.9985:
        end = "failed" if random.random() < 0.6 else "filtered"
    return _sized(profile, at_ms, end, random)


def _sized(profile: Profile, at_ms: int, end: End, random: Random, wait_s: int = 0) -> Asked:
    prompt = _spread(profile.prompt, random)
    completion = _spread(profile.completion, random)
    return Asked(
        at_ms=at_ms,
        prompt=prompt,
        completion=completion,
        max_tokens=max(64, 1 << (2 * profile.completion).bit_length()),
        took_ms=180 + completion * 14 + int(random.random() * 400),
        end=end,
        number=0,
        wait_s=wait_s,
    )


def _spread(mean: int, random: Random) -> int:
    """Draw around a mean: mostly 0.4 to 1.6 of it, with a tail to 2.5."""
    tail = 1.5 if random.random() < 0.08 else 1.0
    return max(1, int(mean * (0.4 + 0.6 * (random.random() + random.random())) * tail))


def _is_throttled(at_ms: int, day: date) -> bool:
    minute = (at_ms - _start_ms(day)) // 60_000
    return any(first <= minute < last for first, last in THROTTLED_WINDOWS)


def _throttled_afternoon(profile: Profile, day: date, random: Random) -> Iterator[Asked]:
    for first, last in THROTTLED_WINDOWS:
        for minute in range(first, last):
            yield from _throttled_minute(profile, _start_ms(day) + minute * 60_000, random)


def _throttled_minute(profile: Profile, start_ms: int, random: Random) -> Iterator[Asked]:
    """Answer until the minute's tokens are used up, then refuse until it is over."""
    used = 0
    for offset in sorted(int(random.random() * 60_000) for _ in range(56 + int(random.random() * 18))):
        asked = _sized(profile, start_ms + offset, "answered", random)
        if used < TOKENS_PER_MINUTE:
            used += asked.prompt + asked.completion
            yield asked
        else:
            yield _sized(profile, start_ms + offset, "refused", random, wait_s=max(1, 60 - offset // 1000))


def _cut_one(ordinary: list[Asked]) -> list[Asked]:
    """Cut the connection of one stream in the middle of the day."""
    streams = [number for number, one in enumerate(ordinary) if one.end == "streamed"]
    chosen = streams[len(streams) // 2]
    return [replace(one, end="cut") if number == chosen else one for number, one in enumerate(ordinary)]
