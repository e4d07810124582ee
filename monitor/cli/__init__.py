"""The command line: one thin module per verb, imported only when that verb runs."""

from monitor.cli.application import application


def main() -> None:
    """Run `maas-monitor` on the process's arguments and exit with its status."""
    application()
