"""`rtchat doctor`: print what was found, line by line, and what of it must be mended."""

import sys
from collections.abc import Iterable

import click

from rtchat import settings
from rtchat.cli.outcome import Status
from rtchat.config import ConfigError
from rtchat.operate.finding import Cause, Finding, Level, worst
from rtchat.operate.terminal import printable

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document, for programs.")
def doctor(as_json: bool) -> None:
    """Look at all that a server needs, and say what is wrong, and how to mend it.

    The settings and secrets, PostgreSQL, Redis, this machine and its ports; nothing is changed.
    Warnings do not make it fail. Ends with 2 where a setting is wrong, with 3 where something else
    is.
    """
    from rtchat.operate import doctor as looks

    found: list[Finding] = []

    def look() -> Iterable[Finding]:
        try:
            return looks.examine(*settings.load())
        except ConfigError as error:
            return [looks.unreadable(str(error))]

    for finding in look():
        found.append(finding)
        if not as_json:
            _print(finding)
    cause = worst(found)
    status = {None: Status.WELL, Cause.SETTING: Status.WRONG, Cause.DEPENDENCY: Status.AWAY}[cause]
    if as_json:
        import json

        findings = [finding.as_dict() for finding in found]
        document = {"status": status, "findings": findings}
        click.echo(json.dumps(document, ensure_ascii=sys.stdout.isatty()))
    else:
        levels = [finding.level.value for finding in found]
        counts = ", ".join(f"{levels.count(level)} {level}" for level in _COLOURS)
        click.echo(f"\n{counts}")
    sys.exit(status)


def _print(finding: Finding) -> None:
    level = click.style(f"{finding.level.value:4}", fg=_COLOURS[finding.level.value])
    words = printable(f"{finding.seen}  ({finding.source})")
    click.echo(f"{level}  {finding.check:<14}  {words}")
    if finding.level is not Level.OK:
        click.echo(f"{'':6}mend: {printable(finding.mend)}")
