"""Reads the files of one cost export, wherever they came from, into the answer that it is.

Either all of an export is read or nothing: half of one would erase the other half's days.
"""

from collections import Counter
from collections.abc import Sequence
from functools import reduce

from msgspec import Struct, structs

from monitor.domain.catalogue import Catalogue
from monitor.domain.records import Charge, Ignored, Rejected
from monitor.sources.cost_answer import CostAnswer, Place, RejectedRow
from monitor.sources.cost_numbers import Style
from monitor.sources.cost_rows import Include, RowReader, style_of
from monitor.sources.cost_tables import UnreadableError, open_table

OTHER_ROWS = "the manifest counts other rows than there are"


class RefusedError(Exception):
    """An export cannot be read as a whole, for a reason from a small fixed set; `at` is the file that is to blame."""

    def __init__(self, at: str, reason: str) -> None:
        self.at, self.reason = at, reason
        super().__init__(reason)


class Part(Struct, frozen=True):
    """One file of an export: its name where it came from, and where it lies on this machine."""

    name: str
    path: str


def read_parts(
    answer: CostAnswer, parts: Sequence[Part], include: Include, catalogue: Catalogue, rows: int | None = None
) -> CostAnswer:
    """Fill an empty answer from its parts and return it; RefusedError if one is damaged, OSError if it is not there.

    `rows`: how many there are to be, if anybody says so. Other counts are told and not refused: the sizes of the files
    prove that they are whole, and nothing documents what is counted.
    """
    at = answer.name
    try:
        # Decided once for all parts: what one part cannot prove another may.
        styles = []
        for part in parts:
            at = part.name
            with open_table(part.path) as table:
                styles.append(style_of(table))
        unread: set[Place] = set()
        for part in parts:
            at = part.name
            unread |= _read_part(part, reduce(Style.joined, styles), include, catalogue, answer)
    except UnreadableError as error:
        raise RefusedError(at, error.reason) from None
    for place in unread:
        if not answer.days.get(place, 1):
            del answer.days[place]
    if rows is not None and rows != answer.read:
        answer.rejected.append(RejectedRow(object=answer.name, position=0, reason=OTHER_ROWS))
    return answer


def refused(answer: CostAnswer, at: str, reason: str) -> CostAnswer:
    """Return the answer as one that says nothing, for a reason; `at` is the file that is to blame."""
    rejected = [RejectedRow(object=at, position=0, reason=reason)]
    return structs.replace(answer, rejected=rejected, charges=[], days={}, ignored={})


def _read_part(part: Part, style: Style, include: Include, catalogue: Catalogue, answer: CostAnswer) -> set[Place]:
    """Add the rows of one part to the answer; return the scopes and days of which it has rows that are unreadable."""
    unread = set()
    ignored: Counter[str] = Counter(answer.ignored)
    with open_table(part.path) as table:
        reader = RowReader(table.columns, style, include, catalogue)
        for position, row in table.rows:
            place, outcome = reader.read(row)
            if place is not None:
                answer.days.setdefault(place, 0)
            if place is not None and isinstance(outcome, Charge):
                answer.charges.append(outcome)
                answer.days[place] += 1
            elif isinstance(outcome, Ignored):
                ignored[outcome.reason] += 1
            elif isinstance(outcome, Rejected):
                answer.rejected.append(RejectedRow(object=part.name, position=position, reason=outcome.reason))
                unread.add(place)
    answer.ignored.update(ignored)
    return {place for place in unread if place is not None}
