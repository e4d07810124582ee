"""Charges in the store: pulls replace, nothing adds up twice, nothing is attributed by a guess."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from monitor.domain.records import Charge, MeterClass
from monitor.store.attribution import attribute, map_resource, unattributed, unmap_resource
from monitor.store.billed import billed, known
from monitor.store.charges import CostPull, PullResult, Seen, last_seen, record_pull
from monitor.store.engine import reading, writing
from monitor.store.tables import charge, cost_day, deployment, source, workspace

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
LARGE = "/subscriptions/s/resourcegroups/rg/providers/microsoft.saas/resources/mistral-large-2407-1f2e"


def charged(
    day: int,
    cost: str,
    *,
    resource: str = LARGE,
    scope: str = "sub-a",
    meter: MeterClass = "input",
    currency: str = "USD",
    quantity: str | None = "1000",
    unit: str = "1K",
) -> Charge:
    return Charge(
        charge_period_start=day,
        billed_cost=Decimal(cost),
        billing_currency=currency,
        meter=meter,
        meter_name=f"paygo-inference-{meter}-tokens",
        pricing_quantity=None if quantity is None else Decimal(quantity),
        pricing_unit=unit,
        consumed_quantity=None if quantity is None else Decimal(quantity),
        resource_id=resource,
        sub_account_id=scope,
        publisher_name="Mistral AI",
        model="mistral-large-2407",
        marketplace=True,
    )


class Store:
    """A store with one source, into which pulls are recorded hour after hour."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine, self.hours = engine, 0
        self.sources = [self._add_source("exports"), self._add_source("query")]

    def record(
        self,
        charges: Iterable[Charge],
        days: Iterable[tuple[str, int]] | None = None,
        *,
        fingerprint: str | None = None,
        from_source: int = 0,
        written: int | None = None,
        name: str = "export.csv",
        scope: str = "",
    ) -> PullResult:
        self.hours += 1
        kept = list(charges)
        counted = Counter(
            (scope or one.sub_account_id or one.billing_account_id, one.charge_period_start) for one in kept
        )
        pull = CostPull(
            source_id=self.sources[from_source],
            object=name,
            fingerprint=fingerprint or str(self.hours),
            written_at=self.hours if written is None else written,
            recorded_at=self.at(self.hours),
            charges=kept,
            days={place: counted[place] for place in (counted if days is None else days)},
            scope=scope,
        )
        with writing(self.engine) as connection:
            return record_pull(connection, pull)

    def at(self, hours: int) -> datetime:
        return NOON + timedelta(hours=hours)

    def days(self, as_of: datetime | None = None) -> list[tuple[str, int, int]]:
        """Return the scope, day and number of charges of every day that is known."""
        query = sa.select(cost_day.c.scope, cost_day.c.day, cost_day.c.rows).where(*known(cost_day, as_of))
        with reading(self.engine) as connection:
            return [tuple(row) for row in connection.execute(query.order_by(cost_day.c.day))]

    def costs(self, as_of: datetime | None = None) -> dict[int, Decimal]:
        """Return the cost of each day."""
        with reading(self.engine) as connection:
            sums: dict[int, Decimal] = {}
            for row in billed(connection, 0, 100_000, as_of):
                sums[row.day] = sums.get(row.day, Decimal(0)) + row.billed_cost
        return sums

    def add_deployment(self, name: str, saas_resource: str | None) -> int:
        with writing(self.engine) as connection:
            place = connection.scalar(sa.select(workspace.c.id))
            if place is None:
                made = sa.insert(workspace).values(name="w", recorded_from="settings").returning(workspace.c.id)
                place = connection.execute(made).scalar_one()
            values = {"workspace_id": place, "name": name, "region": "", "model": "", "created_at": 0}
            inserted = connection.execute(
                sa.insert(deployment)
                .values(**values, saas_resource=saas_resource, recorded_from="settings")
                .returning(deployment.c.id)
            )
            return int(inserted.scalar_one())

    def attribute(self) -> int:
        with writing(self.engine) as connection:
            return attribute(connection)

    def users(self) -> dict[str, int | None]:
        with reading(self.engine) as connection:
            return {row.resource_id: row.deployment_id for row in billed(connection, 0, 100_000)}

    def _add_source(self, name: str) -> int:
        counts = dict.fromkeys(("authority", "read", "stored", "duplicates", "ignored", "quarantined", "bytes"), 0)
        with writing(self.engine) as connection:
            inserted = connection.execute(
                sa.insert(source)
                .values(name=name, kind="cost-export", yields="charges", **counts)
                .returning(source.c.id)
            )
            return int(inserted.scalar_one())


@pytest.fixture
def store(engine: sa.Engine) -> Store:
    return Store(engine)


def test_a_charge_comes_back_with_every_digit(store: Store) -> None:
    written = "12345678.12345678901234567891"
    store.record([charged(1, written), charged(1, "-0.00000000000000000001")])
    assert store.costs() == {1: Decimal("12345678.12345678901234567890")}
    with reading(store.engine) as connection:
        assert connection.scalars(sa.select(charge.c.billed_cost_text).order_by(charge.c.id)).first() == written


def test_equal_rows_of_one_pull_are_both_kept(store: Store) -> None:
    assert store.record([charged(1, "0.5"), charged(1, "0.5")]).stored == 2
    assert store.costs() == {1: Decimal(1)}


def test_the_same_pull_again_changes_nothing(store: Store) -> None:
    store.record([charged(1, "1")], fingerprint="f", written=7)
    assert store.record([charged(1, "1")], fingerprint="f", written=7) == PullResult(stored=0, duplicates=1)
    assert store.costs() == {1: Decimal(1)}
    assert store.costs(as_of=store.at(1)) == {1: Decimal(1)}
    with reading(store.engine) as connection:
        assert last_seen(connection, store.sources[0]) == {"export.csv": Seen("f", 7)}


def test_cumulative_exports_of_one_month_do_not_add_up(store: Store) -> None:
    for last in range(1, 5):
        store.record([charged(day, f"{day}.1") for day in range(1, last + 1)])
    assert store.costs() == {day: Decimal(f"{day}.1") for day in range(1, 5)}


def test_a_restated_day_replaces_what_was_known_and_both_stay(store: Store) -> None:
    store.record([charged(1, "10"), charged(2, "20")])
    store.record([charged(2, "21")])
    assert store.costs() == {1: Decimal(10), 2: Decimal(21)}
    assert store.costs(as_of=store.at(1)) == {1: Decimal(10), 2: Decimal(20)}
    assert store.costs(as_of=store.at(2)) == store.costs()
    assert store.costs(as_of=store.at(0)) == {}


def test_two_pulls_of_one_instant_do_not_both_count(store: Store) -> None:
    store.record([charged(1, "10")])
    store.hours = 0
    store.record([charged(1, "11")], fingerprint="later")
    assert store.costs() == store.costs(as_of=store.at(1)) == {1: Decimal(11)}


def test_content_that_returns_is_a_new_answer(store: Store) -> None:
    for cost in ("1", "2", "1"):
        assert store.record([charged(1, cost)], fingerprint=cost).stored == 1
    assert store.costs() == {1: Decimal(1)}
    assert store.costs(as_of=store.at(2)) == {1: Decimal(2)}


def test_an_answer_written_earlier_that_comes_later_is_kept_and_never_counted(store: Store) -> None:
    store.record([charged(2, "20")], written=9, name="b")
    assert store.record([charged(1, "10"), charged(2, "19")], written=8, name="a").stored == 2
    assert store.costs() == store.costs(as_of=store.at(2)) == {1: Decimal(10), 2: Decimal(20)}
    assert store.days() == [("sub-a", 1, 1), ("sub-a", 2, 1)]
    with reading(store.engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(charge)) == 3


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a"), ("a", "B"), ("B", "a")])
def test_of_two_answers_written_at_once_the_one_with_the_later_name_counts(
    store: Store, names: tuple[str, str]
) -> None:
    for name in names:
        store.record([charged(1, str(ord(name)))], written=1, name=name)
    assert store.costs() == {1: Decimal(max(map(ord, names)))}


def test_one_object_read_in_another_way_replaces_what_it_said(store: Store) -> None:
    store.record([charged(1, "1")], written=1, fingerprint="models")
    store.record([charged(1, "1"), charged(1, "5")], written=1, fingerprint="all")
    assert store.costs() == {1: Decimal(6)}
    store.record([charged(1, "1")], written=1, fingerprint="models")
    assert store.costs() == {1: Decimal(1)}


@pytest.mark.parametrize(("quantity", "kept"), [("9223372036854.775807", True), ("9223372036854.775808", False)])
def test_a_quantity_larger_than_the_store_can_count_is_not_known(store: Store, quantity: str, kept: bool) -> None:
    store.record([charged(1, "1", quantity=quantity), charged(2, "1", quantity="9e80")])
    with reading(store.engine) as connection:
        counted = [row.consumed_quantity for row in billed(connection, 1, 2)]
    assert counted == [Decimal(quantity) if kept else None, None]


def test_a_pull_of_another_source_replaces_too(store: Store) -> None:
    store.record([charged(1, "10")])
    store.record([charged(1, "10.5")], from_source=1)
    assert store.costs() == {1: Decimal("10.5")}


def test_other_scopes_and_other_days_stay_as_they_are(store: Store) -> None:
    store.record([charged(1, "1", scope="sub-a"), charged(1, "2", scope="sub-b"), charged(2, "4", scope="sub-a")])
    store.record([charged(1, "8", scope="sub-a")])
    assert store.costs() == {1: Decimal(10), 2: Decimal(4)}


def test_an_empty_pull_wipes_nothing(store: Store) -> None:
    store.record([charged(1, "10")])
    assert store.record([]).stored == 0
    assert store.costs() == {1: Decimal(10)}


def test_a_day_whose_rows_are_all_of_other_services_is_known_and_without_charges(store: Store) -> None:
    store.record([charged(1, "10")])
    store.record([], days=[("sub-a", 1), ("sub-a", 2)])
    assert store.costs() == {}
    assert store.days() == [("sub-a", 1, 0), ("sub-a", 2, 0)]
    assert store.days(as_of=store.at(1)) == [("sub-a", 1, 1)]


def test_a_charge_without_subscription_belongs_to_its_billing_account(store: Store) -> None:
    bought = Charge(
        charge_period_start=1,
        billed_cost=Decimal(5),
        billing_currency="EUR",
        meter="other",
        billing_account_id="account",
    )
    store.record([bought])
    assert store.days() == [("account", 1, 1)]


def test_sums_are_kept_apart_by_meter_and_currency_and_unknown_quantities_are_counted(store: Store) -> None:
    store.record(
        [
            charged(1, "1", meter="input", quantity="1500"),
            charged(1, "2", meter="input", quantity=None, unit="?"),
            charged(1, "4", meter="output", quantity=None, unit="?"),
            charged(1, "8", meter="input", currency="EUR", quantity="0.5"),
        ]
    )
    with reading(store.engine) as connection:
        rows = {(row.meter, row.currency): row for row in billed(connection, 1, 1)}
    assert {key: row.billed_cost for key, row in rows.items()} == {
        ("input", "USD"): Decimal(3),
        ("output", "USD"): Decimal(4),
        ("input", "EUR"): Decimal(8),
    }
    assert rows["input", "USD"].consumed_quantity == Decimal(1500)
    assert (rows["input", "USD"].rows, rows["input", "USD"].rows_without_quantity) == (2, 1)
    assert rows["output", "USD"].consumed_quantity is None
    assert rows["input", "EUR"].consumed_quantity == Decimal("0.5")
    assert rows["input", "USD"].recorded_at == store.at(1)


@pytest.mark.parametrize("said", [LARGE, LARGE.upper(), "Mistral-Large-2407-1F2E", " mistral-large-2407-1f2e "])
def test_the_settings_name_a_resource_by_its_id_or_its_last_part_in_any_case(store: Store, said: str) -> None:
    number = store.add_deployment("prod", said)
    store.record([charged(1, "1")])
    assert store.attribute() == 1
    assert store.users() == {LARGE: number}
    assert store.attribute() == 0


def test_what_was_said_by_hand_beats_the_settings_until_it_is_taken_back(store: Store) -> None:
    one, other = store.add_deployment("one", LARGE), store.add_deployment("other", None)
    store.record([charged(1, "1")])
    with writing(store.engine) as connection:
        map_resource(connection, LARGE.upper(), one, NOON)
        map_resource(connection, LARGE.upper(), other, NOON)
    store.attribute()
    assert store.users() == {LARGE: other}
    with writing(store.engine) as connection:
        assert unmap_resource(connection, LARGE)
        assert not unmap_resource(connection, LARGE)
    store.attribute()
    assert store.users() == {LARGE: one}


def test_sums_may_exceed_what_64_bits_hold_in_billionths(store: Store) -> None:
    costs = ["8999999999.999999999", "8999999999.99999999900000000001", "-0.5", "8999999999.999999999"]
    store.record([charged(1, cost, currency="IDR") for cost in costs])
    exact = Decimal("26999999999.49999999700000000001")
    with reading(store.engine) as connection:
        assert [row.billed_cost for row in billed(connection, 1, 1)] == [exact]
        assert [one.costs for one in unattributed(connection, 1, 1)] == [{"IDR": exact}]


def test_a_resource_that_nobody_names_is_unattributed_and_shown(store: Store) -> None:
    store.add_deployment("prod", "some-other-resource")
    store.record([charged(3, "1.5"), charged(1, "2.5", meter="output"), charged(2, "1", currency="EUR")])
    store.attribute()
    with reading(store.engine) as connection:
        (shown,) = unattributed(connection, 0, 10)
        assert unattributed(connection, 4, 10) == []
        assert unattributed(connection, 0, 10, as_of=NOON) == []
    assert (shown.resource_id, shown.first_day, shown.last_day, shown.rows) == (LARGE, 1, 3, 3)
    assert shown.costs == {"EUR": Decimal(1), "USD": Decimal(4)}
    assert shown.meter_names == {"paygo-inference-input-tokens", "paygo-inference-output-tokens"}
    assert (shown.publisher_names, shown.models) == ({"Mistral AI"}, {"mistral-large-2407"})
    assert shown.attribution is None


def test_two_deployments_that_name_one_resource_leave_it_unattributed_and_it_says_why(store: Store) -> None:
    store.add_deployment("one", LARGE)
    store.record([charged(1, "1")])
    store.attribute()
    assert store.users()[LARGE] is not None
    store.add_deployment("other", LARGE.upper())
    store.attribute()
    with reading(store.engine) as connection:
        (shown,) = unattributed(connection, 0, 10)
    assert shown.attribution == "named by several deployments"


def test_a_model_in_the_name_of_a_resource_attributes_nothing(store: Store) -> None:
    store.add_deployment("mistral-large-2407", None)
    store.record([charged(1, "1")])
    assert store.attribute() == 0
    assert store.users() == {LARGE: None}


def test_a_day_that_says_the_same_again_is_not_recorded_again(store: Store) -> None:
    store.record([charged(1, "1"), charged(2, "2")])
    assert store.record([charged(2, "2"), charged(1, "3")]) == PullResult(stored=1, duplicates=1)
    with reading(store.engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(charge)) == 3


def test_a_day_said_again_is_as_new_as_who_said_it_last(store: Store) -> None:
    store.record([charged(1, "1")], written=1)
    store.record([charged(1, "1")], written=3)
    store.record([charged(1, "9")], written=2)
    assert store.costs() == {1: Decimal(1)}


def test_the_charges_of_a_day_are_the_same_in_any_order(store: Store) -> None:
    charges = [charged(1, "1"), charged(1, "2"), charged(1, "2")]
    store.record(charges)
    assert store.record(charges[::-1]).duplicates == 3
    assert store.record(charges[:2]).stored == 2


@pytest.mark.parametrize("wider_first", [True, False])
def test_a_resource_group_s_charges_do_not_count_beside_those_of_its_whole_subscription(
    store: Store, wider_first: bool
) -> None:
    def wider() -> None:
        store.record([charged(1, "5"), charged(2, "7")], name="export")

    def narrow() -> None:
        store.record([charged(1, "2"), charged(3, "4")], name="group", scope="sub-a/resourcegroups/rg")

    for record in (wider, narrow) if wider_first else (narrow, wider):
        record()
    assert store.costs() == {1: Decimal(5), 2: Decimal(7), 3: Decimal(4)}
    wider()
    narrow()
    assert store.costs() == {1: Decimal(5), 2: Decimal(7), 3: Decimal(4)}


def test_a_group_whose_name_begins_like_a_subscription_s_stays(store: Store) -> None:
    store.record([charged(1, "2")], name="group", scope="other/resourcegroups/sub-a")
    store.record([charged(1, "5")], name="export")
    assert store.costs() == {1: Decimal(7)}
