"""`python -m bench.replay FOLDER`: days of IRC as users, joins and messages on a real server.

Each day becomes a channel, each nick a user with a socket of its own. Within a channel a line waits
for the ack of the line above it; channels run side by side. An observer on each pod follows every
channel from its first entry on; with --subscribe everybody follows the channels they talk in. At
the end each line must be stored once, in order, byte for byte, and each onlooker must have seen
exactly that.

Exit status: 0 all of it holds; 1 something differs (the first difference is said); 2 the command
line or the folder is wrong; 3 a server does not start; 99 a threshold was missed.
"""

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import click
import uvloop

from bench import servers
from bench.irc import Day, FormatError, everybody, load
from bench.outcome import Threshold, bench_options, judge
from bench.replayed import Figures, percentiles
from bench.servers import StartError, Target
from bench.stage import Stage
from bench.verify import differences
from rtchat.client import ClientError
from rtchat.server.launch import LaunchError
from tests.pods import PodError

HELD_S = 0.001  # a line that left later than this was held back for the server's rate


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--on", type=click.Choice(["dev", "pods"]), default="dev", help="What to start.")
@click.option("--url", "urls", multiple=True, help="A running server instead; once for each pod.")
@click.option("--database-url", help="With --url: where its users are written.")
@click.option(
    "--secret-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="With --url: the file with what it signs tokens with.",
)
@click.option("--subscribe", is_flag=True, help="Everybody follows the channels they talk in.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="So many times real time, by the minutes of the logs; else as fast as acks allow.",
)
@bench_options
def main(
    folder: Path,
    on: str,
    urls: tuple[str, ...],
    database_url: str | None,
    secret_key_file: Path | None,
    subscribe: bool,
    speed: float | None,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """Replay the days of IRC in FOLDER, and check that nothing was lost, doubled or changed."""
    try:
        days = load(folder)
    except FormatError as error:
        _fail(str(error), 2)
    if urls and not (database_url and secret_key_file):
        _fail("--url needs --database-url and --secret-key-file", 2)
    servers.raise_file_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what we started ends too
    try:
        with _target(on, urls, database_url, secret_key_file) as target:
            figures = uvloop.run(replay(target, days, subscribe=subscribe, speed=speed))
    except (StartError, LaunchError, PodError) as error:
        _fail(str(error), 3)
    print("\n".join(figures.lines()))
    if json_path is not None:
        figures.write(json_path)
    for problem in figures.problems[:10]:
        print(f"DIFFERS    {problem}")
    if figures.problems:
        sys.exit(1)
    print("verified   each line is stored once, in order, byte for byte, and was delivered so")
    judge([figures.as_row()], thresholds)


def _fail(message: str, status: int) -> NoReturn:
    print(f"replay: {message}", file=sys.stderr)
    sys.exit(status)


def _target(
    on: str, urls: tuple[str, ...], database_url: str | None, secret_key_file: Path | None
) -> contextlib.AbstractContextManager[Target]:
    if urls and database_url and secret_key_file:
        secret = secret_key_file.read_text().strip()
        return contextlib.nullcontext(Target(", ".join(urls), urls, database_url, secret))
    return servers.dev() if on == "dev" else servers.pods()


async def replay(
    target: Target, days: list[Day], *, subscribe: bool = False, speed: float | None = None
) -> Figures:
    """Run it and check it; whatever is wrong stands in `problems`."""
    stage = Stage(target, days, subscribe=subscribe)
    figures = Figures(
        server=target.name,
        days=len(days),
        people=len(everybody(days)),
        blank=sum(day.blank for day in days),
        other=sum(day.other for day in days),
        speed=speed,
    )
    async with stage.set():
        try:
            figures.seconds = round(await stage.talk(speed), 2)
        except* ClientError as group:
            figures.problems += [f"not sent: {error!r}" for error in _leaves(group)]
        await stage.arrive()
        for day in days:
            figures.problems += differences(await stage.outcome(day))
        figures.counts = stage.counts()
    _measure(figures, stage)
    return figures


def _leaves(group: BaseExceptionGroup) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _measure(figures: Figures, stage: Stage) -> None:
    sent = [(stage.channels[day], one) for day, lines in stage.sent.items() for one in lines]
    figures.setup, figures.joins, figures.messages = stage.setup, stage.joins, len(sent)
    figures.ack_ms = percentiles([s.answered - s.sent for _, s in sent])
    held = [s.sent - s.given for _, s in sent]
    figures.held_ms = percentiles([s for s in held if s > HELD_S])
    figures.delivery_ms = percentiles(
        [
            observer.arrived[channel, s.said.seq] - s.sent
            for observer in stage.observers
            for channel, s in sent
            if (channel, s.said.seq) in observer.arrived
        ]
    )
    figures.observed = sum(len(o.arrived) for o in stage.observers)
    figures.followed = sum(f.delivered for f in stage.followers.values())


if __name__ == "__main__":
    main()
