"""`rtchat openapi`, `asyncapi`, `config`: the interface for programs, settings for people."""

from typing import Any

import click

from rtchat import settings
from rtchat.cli.outcome import load


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 document of the REST interface, with the limits of these settings."""
    from rtchat.api.openapi import document

    _print(document(load()[0]))


@click.command()
def asyncapi() -> None:
    """Print the AsyncAPI 3.0 document of the WebSocket, with the limits of these settings."""
    from rtchat.api.asyncapi import document

    _print(document(load()[0]))


def _print(document: dict[str, Any]) -> None:
    import msgspec

    click.echo(msgspec.json.encode(document))


@click.command("config")
def show_config() -> None:
    """Show each setting: its value, where it came from, what it means. Secrets are masked."""
    config, sources = load()
    for name in settings.NAMES:
        value = getattr(config, name)
        shown = ("••••••" if value else "") if settings.is_secret(name) else value
        click.echo(f"{settings.PREFIX}{name.upper()}={shown}  (from {sources[name]})")
        click.echo(f"    {settings.describe(name)}")
