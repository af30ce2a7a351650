"""`rtchat channel`: which channels there are, and who is in one."""

import click

from rtchat.cli.outcome import (
    Status,
    after_option,
    at_database,
    columns,
    fail,
    limit_option,
    more,
)
from rtchat.cli.people import shown, when


@click.group()
def channel() -> None:
    """Look at channels; rtchat tail follows one."""


@channel.command("list")
@click.option("--query", default="", help="The beginning of a name.")
@limit_option
@after_option
def list_channels(query: str, limit: int, after: int | None) -> None:
    """List channels: id, type, name, members, the head of the log."""
    from rtchat.operate import places

    found = at_database(lambda url: places.listing(url, query, limit + 1, after or 0))
    rows = [["id", "type", "name", "members", "head", "made"]]
    rows += [
        [
            str(one.id),
            one.type,
            shown(one.name),
            str(one.members),
            str(one.last_seq),
            when(one.created_at),
        ]
        for one in found[:limit]
    ]
    click.echo("\n".join(columns(rows)))
    more(len(found) > limit, limit, rows[-1][0])


@channel.command()
@click.argument("which", metavar="ID|NAME")
@limit_option
@after_option
def show(which: str, limit: int, after: int | None) -> None:
    """Show one channel and its members, those who may do most first."""
    from rtchat.operate import places
    from rtchat.operate.people import UnknownError

    try:
        place, members = at_database(lambda url: places.shown(url, which, limit + 1, after or 0))
    except UnknownError as error:
        fail(str(error), Status.WRONG)
    rows = [
        ["id", str(place.id)],
        ["type", place.type],
        ["name", shown(place.name)],
        ["made", when(place.created_at)],
        ["deleted", when(place.deleted_at) if place.deleted_at else "no"],
        ["head", str(place.last_seq)],
        ["members", str(place.members)],
    ]
    click.echo("\n".join(columns(rows)))
    if members:
        listed = [[str(m["user_id"]), m["role"], shown(m["name"])] for m in members[:limit]]
        click.echo("\n" + "\n".join(columns([["user", "role", "name"], *listed])))
        more(len(members) > limit, limit, listed[-1][0])
