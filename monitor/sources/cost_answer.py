"""What one answer of a biller says, whatever way it came: the charges of whole days, and what was not understood."""

from collections.abc import Mapping

from msgspec import Struct, field

from monitor.domain.records import Charge

Place = tuple[str, int]
"""What an answer replaces: scope (monitor.domain.records.scope_of) and UTC day (days since 1970-01-01)."""

Known = Mapping[str, tuple[str, int]]
"""By the name of an answer, as it was recorded last: its fingerprint, and when it was written (ns since 1970)."""


class RejectedRow(Struct, frozen=True, kw_only=True):
    """A row for the quarantine: the file it is in, and its line (rows of Parquet count from 1; 0: the whole file)."""

    object: str
    position: int
    reason: str


class CostAnswer(Struct, frozen=True, kw_only=True):
    """One export or one answer to a query, read whole.

    `fingerprint` (hexadecimal) is the same only for an answer that says the same; `written_at`: when the biller gave
    it, in nanoseconds since 1970. `days`: the scopes and days it answers for, and how many charges each has: those of
    any of its rows, but not those of which it has rows to keep and could read none. `scope`: that of all its charges,
    where it is narrower than their subscription; else ''.
    """

    name: str
    fingerprint: str
    written_at: int
    bytes: int
    scope: str = ""
    charges: list[Charge] = field(default_factory=list)
    days: dict[Place, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    rejected: list[RejectedRow] = field(default_factory=list)

    @property
    def read(self) -> int:
        """The number of rows read."""
        return len(self.charges) + sum(self.ignored.values()) + len(self.rejected)
