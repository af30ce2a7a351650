"""One message through a running rtchat, from outside: what a deployment is asked first.

    python .ci/smoke.py http://localhost:8080

Two people register. One writes; the other hears it live, and reads it again over REST. What is for
operators must not be there at that address. Exit status 0: all of that is so. It leaves
two users and a channel, so it is for installations that are thrown away.
"""

import asyncio
import secrets

import click
import httpx2

from rtchat.client import Client, ClientError, Msg, Renewing, Rest
from rtchat.client.calls import endpoints

WITHIN_S = 30.0
OPERATORS = "/metrics"


class SmokeError(Exception):
    """What was not as it should be."""


async def converse(url: str) -> str:
    """Send one message from one person to another; returns what was seen."""
    socket_url, rest_url = endpoints(url)
    content, mark = secrets.token_hex(16), secrets.token_hex(4)
    async with Rest(rest_url) as rest:
        ann, bob = [
            await rest.register(f"{name}-{mark}@example.org", secrets.token_urlsafe(24), name)
            for name in ("Ann", "Bob")
        ]
        channel = await rest.as_user(ann.access_token).create_channel(f"smoke-{mark}")
        await rest.as_user(bob.access_token).join(channel.id)
        async with (
            Client(socket_url, tokens=Renewing(rest, ann)) as writes,
            Client(socket_url, tokens=Renewing(rest, bob)) as hears,
        ):
            await hears.subscribe([channel.id])
            ack = await writes.send(channel.id, content)
            heard = await anext(event async for event in hears.events() if isinstance(event, Msg))
        page = await rest.as_user(bob.access_token).history(channel.id)
    if (heard.seq, heard.content) != (ack.seq, content):
        raise SmokeError(f"acked as {ack.seq}, but what came is {heard}")
    if [(one.seq, one.content) for one in page.items] != [(ack.seq, content)]:
        raise SmokeError(f"acked as {ack.seq}, but what is kept is {page.items}")
    return f"channel {channel.id}, entry {ack.seq}: acked, heard and kept"


async def has_operators_path(url: str) -> bool:
    """Whether this address knows what is for operators; 401 would be an answer, too."""
    async with httpx2.AsyncClient(base_url=endpoints(url)[1]) as http:
        return (await http.get(OPERATORS)).status_code != httpx2.codes.NOT_FOUND


async def ask(url: str) -> str:
    """All of it, within a time; returns what was seen."""
    async with asyncio.timeout(WITHIN_S):
        seen = await converse(url)
        if await has_operators_path(url):
            raise SmokeError(f"{OPERATORS} is for operators, and answered here")
    return seen


@click.command(help=__doc__)
@click.argument("url")
def main(url: str) -> None:
    """Ask, and tell."""
    try:
        click.echo(asyncio.run(ask(url)))
    except (SmokeError, ClientError, TimeoutError) as error:
        raise click.ClickException(str(error) or f"no answer within {WITHIN_S:g} s") from error


if __name__ == "__main__":
    main()
