"""A tenant's life on this machine, one line a day: python -m tests.azure.tenant [--small] [--store URL]."""

import argparse
import logging
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.azure.parts import azurite
from tests.azure.tenant.contend import contend
from tests.azure.tenant.run import living
from tests.azure.tenant.shape import SMALL, Tenant


def main() -> int:
    """Live through the tenant's days, then let four processes pull its costs at once; return 1 if anything differs."""
    asked = argparse.ArgumentParser(prog="python -m tests.azure.tenant", description=__doc__)
    asked.add_argument("--small", action="store_true", help="4 workspaces and 10 days instead of 20 and 40")
    asked.add_argument("--store", help="URL of an empty store; default: a SQLite file that is removed in the end")
    options = asked.parse_args()
    # The libraries warn of every refusal; what matters is told below.
    logging.disable(logging.WARNING)
    tenant, started = SMALL if options.small else Tenant(), monotonic()
    print(f"{tenant.workspaces} workspaces, {tenant.size} deployments, {tenant.days} days from {tenant.first} on")
    with tempfile.TemporaryDirectory() as folder, azurite() as storage:
        store = options.store or f"sqlite:///{folder}/tenant.db"
        wrong = 0
        with living(tenant, storage, store, Path(folder)) as run:
            for day in run.days():
                print(day.in_words(), *(f"    {one}" for one in day.wrong), sep="\n", flush=True)
                wrong += len(day.wrong)
            everything = [one for number in range(len(tenant.collects)) for one in run.asked_again(number)]
            print(f"as of each of the {len(tenant.collects)} collections once more: {len(everything)} wrong")
            print(*everything, *run.summary(), sep="\n")
        together = contend(Tenant(), Path(folder), f"sqlite:///{folder}/together.db")
        print(together.in_words(), *together.wrong, sep="\n")
    wrong += len(everything) + len(together.wrong)
    print(f"{'every answer was true' if not wrong else f'{wrong} answers were WRONG'}; {monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
