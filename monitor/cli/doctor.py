"""`doctor`: what is wrong, and what to do about it."""

import click
from msgspec.structs import asdict

from monitor.cli import output
from monitor.cli.collect import format_option
from monitor.cli.invocation import Invocation, Verb
from monitor.cli.status import DONE, FOUND

MARKS = {"well": "ok", "note": "note", "wrong": "WRONG"}


@click.command("doctor", cls=Verb)
@format_option
@click.pass_obj
def doctor_command(invocation: Invocation, form: str) -> int:
    """Check settings, store and sources; name the remedy of whatever is wrong. Status 1 if something is."""
    from monitor.doctor import examine

    findings = list(examine(invocation.settings(), now=invocation.now))
    if form == "json":
        output.as_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            line = f"{MARKS[finding.state]:<6}{finding.subject}: {finding.what}"
            click.echo(output.cell(f"{line}: {finding.remedy}" if finding.remedy else line))
    return FOUND if any(finding.state == "wrong" for finding in findings) else DONE
