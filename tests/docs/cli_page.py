"""docs/cli.md: every verb with its arguments and options, and the statuses, as in the code."""

from collections.abc import Iterator
from pathlib import Path

import click

from rtchat.cli import main
from rtchat.cli.outcome import MEANINGS
from rtchat.terminal.commands import COMMANDS
from tests.docs.sections import code, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def document() -> str:
    """The page."""
    return filled(PAGE, {"statuses": statuses, "commands": commands, "verbs": verbs})


def statuses() -> str:
    """What each exit status means."""
    made = table("status", "meaning")
    return made + "".join(row(code(int(status)), words) for status, words in MEANINGS.items())


def commands() -> str:
    """What may be typed in `rtchat chat`."""
    made = table("command", "what it does")
    for name, command in COMMANDS.items():
        made += row(code(f"/{name} {command.usage}".rstrip()), command.words)
    return made


def verbs() -> str:
    """Each verb: how it is called, what it does, its options."""
    return "\n".join(_verb(words, command) for words, command in leaves(main))


def leaves(
    group: click.Group, before: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every verb, as it is typed; a group that does something by itself among them."""
    for name in group.list_commands(click.Context(group)):
        command = group.commands[name]
        if isinstance(command, click.Group):
            if command.invoke_without_command:
                yield (*before, name), command
            yield from leaves(command, (*before, name))
        else:
            yield (*before, name), command


def _verb(words: tuple[str, ...], command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    usage = " ".join(["rtchat", *words, *map(_value, arguments)])
    text = "\n\n".join(" ".join(part.split()) for part in (command.help or "").split("\n\n"))
    made = f"### `{usage}`\n\n{text}\n"
    if options:
        made += "\n" + table("option", "default", "meaning")
        made += "".join(map(_option, options))
    return made


def _option(option: click.Option) -> str:
    name = option.opts[0] if option.is_flag else f"{option.opts[0]} {_value(option)}"
    kind, words = option.type, option.help or ""
    if isinstance(kind, click.IntRange | click.FloatRange) and option.metavar != "N|auto":
        span = f"{kind.min:g}" if kind.max is None else f"{kind.min:g} to {kind.max:.16g}"
        words += f" ({span}{' or more' if kind.max is None else ''})"
    default = option.default
    plain = isinstance(default, str | int | float) and not option.is_flag and default != ""
    return row(code(name), code(default) if plain else "", words)


def _value(param: click.Parameter) -> str:
    """What stands for a value; in words of our own, for click's change with its versions."""
    if param.metavar is not None:
        return param.metavar
    if isinstance(param.type, click.Choice):
        return "|".join(map(str, param.type.choices))
    if isinstance(param.type, click.IntRange | click.FloatRange):
        return "N"
    return "DIRECTORY" if isinstance(param.type, click.Path) else "TEXT"
