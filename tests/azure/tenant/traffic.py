"""What is asked of the tenant's deployments, and when each record of it can be seen."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Literal

from tests.azure.tenant.shape import Deployment, Tenant

DAY_MS, MINUTE_MS = 86_400_000, 60_000
QUIET_BEFORE, QUIET_AFTER = 15 * MINUTE_MS, 4 * MINUTE_MS
"""Nothing is asked so shortly before a collection or around midnight, so that what is under way is nobody's doubt."""

LATE_BUCKET = 24 * MINUTE_MS
"""How late a metric may be; Azure's are said to come after a minute."""

End = Literal["answered", "streamed", "unmeasured", "tokens", "requests", "capacity", "gateway", "gone", "forbidden"]
"""How a request ended; `tokens`, `requests` and `capacity` are refusals of Azure, `gateway` one of the gateway."""

STATUS = {"tokens": 429, "requests": 429, "capacity": 429, "gateway": 429, "gone": 404, "forbidden": 403}
CAUSE = {"tokens": "tokens", "requests": "requests", "capacity": "capacity"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request: when it was answered (milliseconds since 1970), how it ended, and from which collection on it shows.

    `seen` counts the tenant's collections; beyond the last it never shows. `again`: its record comes a second time
    with that collection. `halved`: it is written in two pieces, the first of them a collection earlier.
    """

    deployment: int
    at_ms: int
    end: End
    prompt: int
    completion: int
    wait_s: int
    identity: str
    seen: int
    halved: bool = False
    again: int | None = None

    @property
    def status(self) -> int:
        return STATUS.get(self.end, 200)

    @property
    def tokens(self) -> tuple[int, int]:
        """What its record says it read and wrote."""
        return (self.prompt, self.completion) if self.end in ("answered", "streamed") else (0, 0)

    @property
    def billed(self) -> tuple[int, int]:
        """What Azure bills for it, whether or not its record says so."""
        return (self.prompt, self.completion) if self.status == 200 else (0, 0)

    @property
    def minute(self) -> int:
        return self.at_ms // MINUTE_MS


class Traffic:
    """All requests of a tenant, made once, in the order of their answers."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._collects = [int(at.timestamp() * 1000) for at in tenant.collects]
        made = [
            asked
            for deployment in tenant.deployments
            for number in range(tenant.days)
            for asked in self._day(deployment, tenant.first + timedelta(days=number))
        ]
        self.asked = sorted(made, key=lambda one: (one.at_ms, one.identity))
        self.by_seen: dict[int, list[Asked]] = {}
        for one in self.asked:
            self.by_seen.setdefault(one.seen, []).append(one)

    def _day(self, deployment: Deployment, day: date) -> Iterator[Asked]:
        if not deployment.exists(day):
            return
        random = Random(f"{self.tenant.seed} {deployment.workspace} {deployment.name} {day}")
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
        weekend = 0.4 if day.weekday() >= 5 else 1.0
        times = [start + int(random.random() * DAY_MS) for _ in range(int(self.tenant.requests * weekend))]
        times = [at for at in times if self._is_busy_hour(at)]
        for number, at in enumerate(sorted(times)):
            yield self._ordinary(deployment, day, at, number, random)
        if random.random() < 0.12 and not _is_over(deployment, day):
            yield from self._storm(deployment, day, start, random)

    def _is_busy_hour(self, at_ms: int) -> bool:
        """Whether something may be asked then: not around midnight, and not shortly before a collection."""
        if at_ms % DAY_MS < QUIET_AFTER or at_ms % DAY_MS > DAY_MS - QUIET_AFTER:
            return False
        following = bisect_left(self._collects, at_ms)
        return following >= len(self._collects) or self._collects[following] - at_ms > QUIET_BEFORE

    def _ordinary(self, deployment: Deployment, day: date, at: int, number: int, random: Random) -> Asked:
        chance = random.random()
        end: End = "streamed" if chance < 0.25 else "answered"
        if deployment.log == "blobs" and chance > 0.99:
            end = "unmeasured"
        elif chance > 0.985:
            end = "capacity"
        if _is_over(deployment, day):
            end = "gone" if deployment.retired and day >= deployment.retired else "forbidden"
        return self._made(deployment, at, end, f"ordinary {number}", random)

    def _storm(self, deployment: Deployment, day: date, start: int, random: Random) -> Iterator[Asked]:
        """A batch job drives the deployment into a limit for some minutes."""
        minute = start // MINUTE_MS + 480 + int(random.random() * 220)
        for offset in range(2 + int(random.random() * 4)):
            at = (minute + offset) * MINUTE_MS
            if (offset == 2 and random.random() < 0.3) or not self._is_busy_hour(at):
                continue
            yield from self._stormy_minute(deployment, day, at, random)

    def _stormy_minute(self, deployment: Deployment, day: date, start: int, random: Random) -> Iterator[Asked]:
        used, limit = 0, deployment.tokens_limit(day)
        refused: End = "gateway" if deployment.log == "apim" and random.random() < 0.5 else "tokens"
        refused = "requests" if refused == "tokens" and random.random() < 0.2 else refused
        for number, offset in enumerate(sorted(int(random.random() * MINUTE_MS) for _ in range(24))):
            end: End = "answered" if used < limit else refused
            made = self._made(deployment, start + offset, end, f"storm {start} {number}", random, larger=limit // 2200)
            used += sum(made.tokens)
            yield made

    def _made(self, deployment: Deployment, at: int, end: End, what: str, random: Random, *, larger: int = 10) -> Asked:
        prompt, completion = larger * int(20 + random.random() * 160), int(1 + larger * random.random() * 40)
        digest = sha256(f"{self.tenant.seed} {deployment.workspace} {deployment.name} {at} {what}".encode()).hexdigest()
        refused = STATUS.get(end) == 429
        made = Asked(
            deployment=deployment.number,
            at_ms=at,
            end=end,
            prompt=prompt,
            completion=completion,
            wait_s=1 + int(random.random() * 59) if refused else 0,
            identity=digest[:32],
            seen=self._following(at),
        )
        return self._arriving(deployment, made, random)

    def _arriving(self, deployment: Deployment, made: Asked, random: Random) -> Asked:
        """Decide when the record can be seen: logs are late, those in storage also doubled or half-written."""
        chance = random.random()
        if deployment.log == "metrics":
            # A bucket filled late, but not so late that the next reading does not look at it again.
            following = self._following(made.at_ms + LATE_BUCKET)
            return replace(made, seen=following)
        if (deployment.log == "apim" and chance > 0.03) or chance > 0.07:
            return made
        if chance < 0.03:
            late = self._following(made.at_ms + int(random.random() * 44 * 3_600_000))
            return replace(made, seen=late)
        if chance < 0.05:
            return replace(made, again=made.seen + 1 + int(random.random() * 4))
        return replace(made, seen=made.seen + 1, halved=True)

    def _following(self, at_ms: int) -> int:
        """Return the first collection that comes after an instant."""
        return bisect_left(self._collects, at_ms)


def _is_over(deployment: Deployment, day: date) -> bool:
    """Whether Azure no longer answers: the model is retired, or its offer no longer subscribed to."""
    retired = deployment.retired is not None and day >= deployment.retired
    return retired or (deployment.unsubscribed is not None and day >= deployment.unsubscribed)
