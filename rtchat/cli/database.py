"""`rtchat migrate` and `epoch`: what an operator does to the database as its owner."""

import click

from rtchat.cli.outcome import at_database, database, fail_at, load
from rtchat.errors import StartError


@click.command()
@click.option("--grant", metavar="ROLE", help="Database role of the server, to get what it needs.")
def migrate(grant: str | None) -> None:
    """Bring the database to the newest schema; safe to run from several places at once.

    With --grant, a role that is there already gets exactly what `rtchat serve` needs, and loses
    what else it had on rtchat's tables. Name it each time: a migration may bring new tables.
    """
    config, sources = load()
    url, source = database(config, sources, owner=True)
    from rtchat import logs
    from rtchat.store import migrate as migrations, once, privileges

    logs.configure(config.log_level, config.log_format)
    try:
        once.reach(url)  # what Alembic's layers say of a URL would quote it
        migrations.upgrade(url)
        click.echo("the database has the newest schema")
        if grant is not None:
            privileges.grant_at(url, grant)
            click.echo(f"the role {grant} may do what the server needs, and no more")
    except (migrations.MigrationError, StartError) as error:
        fail_at(error, source)


@click.group(invoke_without_command=True)
@click.pass_context
def epoch(context: click.Context) -> None:
    """Print the epoch: the name of the log's present history."""
    if context.invoked_subcommand is None:
        from rtchat.store import epoch as epochs

        click.echo(at_database(epochs.read_at, owner=True))


@epoch.command()
def renew() -> None:
    """Replace the epoch by a fresh one; do this when the log may have lost acknowledged messages.

    That is: after a backup was restored, or a failover to a replica that was behind. Every pod
    notices within RTCHAT_HEAD_CHECK_MS, resets all subscriptions and sends its clients away once;
    they come back within seconds and read anew what there is. Nothing in the log changes.
    """
    from rtchat.store import epoch as epochs

    before, now = at_database(epochs.renew_at, owner=True)
    click.echo(f"the epoch was {before} and is {now}")
    click.echo(
        "every pod notices within RTCHAT_HEAD_CHECK_MS, and its clients start over", err=True
    )
