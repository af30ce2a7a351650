"""The crowd and the checker against servers that somebody else runs, restarts and breaks.

    python -m tests.faults.against ws://127.0.0.1:8080/ws --seconds 120

Puts people and channels of its own into the database, lets them talk through that URL (several: one
by lot at each connect), and in the end compares what everybody saw with the log: lost 0, doubled 0.
Meanwhile restart pods, kill them, stop Redis. RTCHAT_DATABASE_URL and RTCHAT_SECRET_KEY (or the
variables with _FILE) are those of the pods; the people stay in the database, so do not run it on
one that matters. Exit status: 0 if every promise was kept, 1 if not; the history is then in
`--keep`.
"""

import asyncio
import random
import sys
from pathlib import Path

import click
import uvloop

from rtchat import settings
from rtchat.config import Config
from tests.faults import text
from tests.faults.crowd import Crowd, Load
from tests.faults.history import ACK, read_log
from tests.faults.run import QUIET_S, judged, of_crowd, texts

TELL_S = 5.0


async def watch(
    config: Config, urls: tuple[str, ...], load: Load, seconds: float, seed: int, kept: Path
) -> bool:
    """Talk for so long, then check. Whether every promise was kept."""
    rng = random.Random(seed)
    crowd = Crowd(
        config.database_url,
        lambda: rng.choice(urls),
        texts(),
        load,
        rng.randrange(1 << 30),
        config.secret_key,
    )
    try:
        await crowd.begin()
        click.echo(f"{len(crowd.chatters)} people talk for {seconds:g} s; restart what you like")
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left_s := end - loop.time()) > 0:
            await asyncio.sleep(min(TELL_S, left_s))
            click.echo(progress(crowd))
    finally:
        await crowd.finish(QUIET_S)
    rows, heads = of_crowd(crowd, *await read_log(config.database_url))
    verdict, figures = judged(crowd, rows, heads)
    click.echo(text.render(verdict, figures))
    if not verdict.ok:
        crowd.history.save(kept, rows, heads)
        click.echo(f"kept in {kept}", err=True)
    return verdict.ok


def progress(crowd: Crowd) -> str:
    """One line: who is there, what was acked, what is not known yet."""
    there = sum(bool(chatter.session) for chatter in crowd.chatters)
    acked = sum(event[0] == ACK for event in crowd.history.events)
    unknown = sum(len(chatter.pending) for chatter in crowd.chatters)
    return f"connected {there} of {len(crowd.chatters)}  acked {acked:,}  unanswered {unknown}"


@click.command(help=__doc__)
@click.argument("urls", nargs=-1, required=True, metavar="URL…")
@click.option("--seconds", type=float, default=120, show_default=True, help="Of talk.")
@click.option("--clients", type=click.IntRange(2), default=60, show_default=True)
@click.option("--channels", type=click.IntRange(3), default=10, show_default=True)
@click.option("--rate", type=float, default=200, show_default=True, help="Sends a second, in all.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), default=Path("faults-failed"))
def main(
    urls: tuple[str, ...],
    seconds: float,
    clients: int,
    channels: int,
    rate: float,
    seed: int,
    keep: Path,
) -> None:
    """Run it."""
    config, _ = settings.load()
    if not (config.database_url and config.secret_key):
        raise click.UsageError("RTCHAT_DATABASE_URL and RTCHAT_SECRET_KEY, as the pods have them")
    keep.mkdir(exist_ok=True)
    load = Load(clients=clients, channels=channels, sends_per_second=rate)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        kept = runner.run(watch(config, urls, load, seconds, seed, keep / f"against-{seed}.gz"))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
