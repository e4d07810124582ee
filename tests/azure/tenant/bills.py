"""What Azure charges the tenant, and from when to when each row of it stands in Cost Management.

Usage reaches the biller in blocks of a few hours, 8 to 30 hours late; estimates are renewed every four hours, each time
anew for the whole period. A block booked on the wrong day is moved later; some days are rated again in the first days
of the next month; one is refunded.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random

from tests.azure.tenant.shape import PRICES, Deployment, Tenant
from tests.azure.tenant.traffic import DAY_MS, Asked, Traffic

BLOCKS = 4
"""Parts of a day in which usage is reported."""
RENEWED = tuple(range(2, 24, 4))
"""The hours at which estimates are renewed."""
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
RATE = {"USD": Decimal(1), "EUR": Decimal("0.92")}

METERS = {
    "input": ("paygo-inference-input-tokens", "Inp glbl Tokens"),
    "output": ("paygo-inference-output-tokens", "Outp glbl Tokens"),
}


@dataclass(frozen=True, kw_only=True)
class Booking:
    """One row of the bill; it stands there from `known_from` until `known_until`. Quantity in units of 1,000."""

    deployment: int
    day: date
    meter: str
    quantity: Decimal
    cost: Decimal
    currency: str
    resource: str
    known_from: datetime
    known_until: datetime = FOREVER
    refund: bool = False

    def stands(self, at: datetime) -> bool:
        return self.known_from <= at < self.known_until


class Bills:
    """Every row that ever stands in the tenant's bill."""

    def __init__(self, tenant: Tenant, traffic: Traffic) -> None:
        self.tenant = tenant
        made = [
            booking
            for (number, day, block), (read, written) in sorted(_used(traffic.asked).items())
            for booking in self._block(tenant.deployments[number], day, block, read, written)
        ]
        self.bookings = [*made, *self._refund(made)]
        self.by_subscription: dict[str, list[Booking]] = defaultdict(list)
        for one in self.bookings:
            self.by_subscription[tenant.deployments[one.deployment].subscription].append(one)

    def standing(self, subscription: str, at: datetime) -> list[Booking]:
        """Return the rows of a subscription's bill at an instant."""
        return [one for one in self.by_subscription[subscription] if one.stands(at)]

    @property
    def changes(self) -> int:
        """How often a row was taken back."""
        return sum(one.known_until < FOREVER for one in self.bookings)

    def _block(self, deployment: Deployment, day: date, block: int, read: int, written: int) -> Iterator[Booking]:
        random = Random(f"{self.tenant.seed} bill {deployment.workspace} {deployment.name} {day} {block}")
        ended = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=(block + 1) * 24 // BLOCKS)
        known = _renewal(ended + timedelta(hours=8 + random.random() * 22))
        wrong = random.random() < 0.04
        if wrong:
            # It is booked on the day that it is reported on, which has begun by then.
            known = max(
                known, _renewal(ended.replace(hour=0) + timedelta(days=1 if block < BLOCKS - 1 else 0, hours=1))
            )
        rerated = random.random() < 0.05 and _closing(day) > known
        for meter, tokens in (("input", read), ("output", written)):
            if not tokens:
                continue
            right = _booking(deployment, day, meter, tokens, known)
            if wrong:
                moved = known + timedelta(hours=12 + 4 * int(random.random() * 6))
                following = day + timedelta(days=1)
                resource = deployment.resource(following)
                yield replace(right, day=following, resource=resource, known_until=moved)
                right = replace(right, known_from=moved)
            if rerated and right.known_from < _closing(day):
                yield replace(right, known_until=_closing(day))
                right = replace(right, cost=right.cost * Decimal("0.97"), known_from=_closing(day))
            yield right

    def _refund(self, made: Iterable[Booking]) -> Iterator[Booking]:
        """Give back half of what the first deployment's third day cost, some days later."""
        day = self.tenant.first + timedelta(days=2)
        for one in made:
            if (one.deployment, one.day, one.meter) == (0, day, "input") and one.known_until == FOREVER:
                known = _renewal(one.known_from + timedelta(days=3))
                yield replace(one, quantity=Decimal(0), cost=-one.cost / 2, known_from=known, refund=True)


def _used(asked: Iterable[Asked]) -> dict[tuple[int, date, int], tuple[int, int]]:
    """Sum what is billed by deployment, UTC day and block; requests that no record tells of are in it."""
    sums: dict[tuple[int, date, int], list[int]] = defaultdict(lambda: [0, 0])
    for one in asked:
        day = datetime.fromtimestamp(one.at_ms / 1000, UTC).date()
        total = sums[one.deployment, day, one.at_ms % DAY_MS * BLOCKS // DAY_MS]
        read, written = one.billed
        total[0] += read
        total[1] += written
    return {key: (total[0], total[1]) for key, total in sums.items()}


def _booking(deployment: Deployment, day: date, meter: str, tokens: int, known: datetime) -> Booking:
    price = Decimal(PRICES[deployment.model][meter == "output"]) / 1000 * RATE[deployment.currency]
    quantity = Decimal(tokens) / 1000
    return Booking(
        deployment=deployment.number,
        day=day,
        meter=meter,
        quantity=quantity,
        cost=quantity * price,
        currency=deployment.currency,
        resource=deployment.resource(day),
        known_from=known,
    )


def meter_name(deployment: Deployment, meter: str) -> str:
    """What the meter is called on the bill: the Marketplace names product, plan and meter, Azure its own."""
    offered, sold = METERS[meter]
    product = deployment.model.replace("-", " ").title()
    return f"{product} {sold}" if deployment.foundry else f"{product} - {deployment.plan} - {offered}"


def _renewal(at: datetime) -> datetime:
    """Return the first renewal of the estimates at or after an instant."""
    hour = next((hour for hour in RENEWED if hour >= at.hour + (at.minute or at.second or at.microsecond > 0)), None)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (timedelta(hours=hour) if hour is not None else timedelta(days=1, hours=RENEWED[0]))


def _closing(day: date) -> datetime:
    """Return when a day is rated for the last time: on the 4th of the following month."""
    following = (day.replace(day=1) + timedelta(days=32)).replace(day=4)
    return datetime(following.year, following.month, following.day, 10, tzinfo=UTC)
