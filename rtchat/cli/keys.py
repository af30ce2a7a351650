"""`rtchat key`: keys that sign access tokens."""

import click


@click.group()
def key() -> None:
    """Keys that sign access tokens."""


@key.command()
@click.option(
    "--alg",
    type=click.Choice(("EdDSA", "RS256", "ES256", "HS256")),
    default="EdDSA",
    help="What it signs with; of HS256 there is no public half.",
)
def new(alg: str) -> None:
    """Print a fresh key: for RTCHAT_SIGNING_KEY_FILE, or of HS256 for RTCHAT_SECRET_KEY_FILE."""
    from rtchat.auth import keys

    click.echo(keys.new(alg).rstrip())
