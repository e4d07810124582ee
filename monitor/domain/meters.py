"""What a billed meter counts, and how large one unit of it is.

Publishers name token meters `paygo-inference-input-tokens`, `paygo-inf-output-tokens`,
`paygo-inference-cache-hit-tokens`, `paygo-finetuned-model-inference-hosting`, usually behind a product and a plan;
Azure's own models use `Inp`, `Outp` and `cached Inp`. A meter that says none of this is `other`, and stays.
"""

import re
from decimal import Decimal
from functools import lru_cache

from monitor.domain.records import MeterClass

_OFFER = re.compile(
    r"paygo-(finetuned-model-)?inf(erence)?-|paygo-(finetune|finetuning|finetuned|fine-tun)", re.IGNORECASE
)
_WORD = re.compile(r"[a-z]+")

_HOSTING = {"hosting", "hosted"}
_INFERENCE = {"inference", "inf"}
_TUNING = {"training", "finetuning", "finetune", "finetuned"}
_CACHE = {"cache", "cached"}
_INPUT = {"input", "inp", "prompt"}
_OUTPUT = {"output", "outp", "completion"}


def is_model_meter(meter_name: str) -> bool:
    """Whether a meter's name alone proves that a pay-as-you-go model offer is billed."""
    return _OFFER.search(meter_name) is not None


@lru_cache(maxsize=4096)
def classify(meter_name: str) -> MeterClass:
    """Return what the meter counts; what a fine-tuned model reads and writes is input and output like any other's."""
    words = _WORD.findall(meter_name.lower())
    said = set(words)
    tuned = bool(said & _TUNING) or ("fine" in said and bool(said & {"tuning", "tuned"}))
    named: list[tuple[MeterClass, bool]] = [
        ("hosting", bool(said & _HOSTING)),
        ("fine-tuning", tuned and not said & _INFERENCE and not said & (_INPUT | _OUTPUT)),
        ("cache", bool(said & _CACHE)),
        ("input", bool(said & _INPUT)),
        ("output", bool(said & _OUTPUT)),
    ]
    return next((meter for meter, fits in named if fits), "other")


_SCALES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_SCALE_WORDS = {"thousand": 10**3, "tsd": 10**3, "million": 10**6, "mio": 10**6, "billion": 10**9}

# Groups of exactly three digits can only be thousands; a plain space between numbers means two numbers ("1 1 Hour").
_BLOCK = re.compile(
    r"(?P<count>\d{1,3}(?:[.,'\u00a0\u202f]\d{3})+|\d+)"
    r"(?:(?P<scale>[kmb])(?![a-z0-9])|\s?(?P<spaced>[kmb])(?=\s+tokens?\b)|\s*(?P<word>thousand|tsd|million|mio|billion)\.?(?=\s+\w))?"
    r"(?![a-z0-9]|[.,]\d)"
)

_SINGLE = {
    *("callingminutes", "days", "gb", "gb / month", "hour", "hours", "mb/month", "minute", "minutes", "minute(s)"),
    *("call", "month", "months", "page", "pages", "print job", "privacy subject rights request", "request", "requests"),
    *("text", "token", "tokens", "unassigned", "unit", "units"),
}
"""Units that say no number and mean one."""

_MISPRINTED = {"10000s": 1}
"""Unit names whose number is not the block, as Microsoft's own list of pricing units resolves them."""


@lru_cache(maxsize=4096)
def block_size(unit: str) -> Decimal | None:
    """Return how many single units a quoted unit holds: "1K" 1000, "per 1m tokens" 1000000; None if not known.

    Source of the forms and of the exceptions: PricingUnits.csv of Microsoft's FinOps toolkit.
    """
    said = unit.strip().casefold().removeprefix("per ").strip()
    if said in _SINGLE or said in _MISPRINTED:
        return Decimal(_MISPRINTED.get(said, 1))
    found = _BLOCK.match(said)
    if found is None:
        return None
    scale = _SCALES[found["scale"] or found["spaced"] or ""] * _SCALE_WORDS.get(found["word"] or "", 1)
    size = int(re.sub(r"\D", "", found["count"])) * scale
    return Decimal(size) if size else None
