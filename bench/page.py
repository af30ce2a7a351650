"""`python -m bench page`: what the chat page takes and gives, in a real browser.

Three questions, each with rows of its own. `weigh`: what loading the page transfers, before
compression, and from whom. `type`: from the Enter of a message to its ack on the page. `watch`:
somebody looks at a channel in which so many messages a second are said; frames a second and memory
are taken in windows. The browser has no graphics card here: it draws on the same cores.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import click

from bench.crowd import Person
from bench.onlooker import Onlooker
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import PRESENCE, Rig, rig
from rtchat.client import Client, Options, Rest
from tests.chromium import launched, missing

SENDERS = 10
WINDOW_S = 10.0
WARMUP_S = 30.0  # until the list is full: 100 a second fill it in 3 s, and scripts get compiled
SAID = "What is said in a busy room, number {}: about as long as people write."

COLUMNS = (
    Column("part", "part"),
    Column("at_s", "at s"),
    Column("per_second", "messages/s"),
    Column("frames_per_s", "frames/s", "{:.1f}"),
    Column("worst_frames_per_s", "worst second", "{:.0f}"),
    Column("longest_frame_ms", "longest frame ms", "{:.0f}"),
    Column("heap_mb", "heap MB", "{:.1f}"),
    Column("browser_mb", "browser MB"),
    Column("nodes", "nodes"),
    Column("p50_ms", "Enter to ack p50 ms", "{:.1f}"),
    Column("p95_ms", "p95", "{:.1f}"),
    Column("max_ms", "max", "{:.1f}"),
    Column("kb", "KB before compression", "{:.2f}"),
    Column("requests", "requests"),
    Column("strangers", "other hosts"),
)


async def weigh(onlooker: Onlooker) -> dict[str, Any]:
    """What coming to the page again, signed in, transfers."""
    return {"part": "weigh", **await onlooker.weighed()}


async def type_messages(onlooker: Onlooker, count: int) -> dict[str, Any]:
    """From Enter to ack, one message after another."""
    took = sorted(
        [await onlooker.types(f"A message that is typed, number {n}") for n in range(count)]
    )
    return {
        "part": "type",
        "p50_ms": took[len(took) // 2],
        "p95_ms": took[int(len(took) * 0.95)],
        "max_ms": took[-1],
    }


async def watch(
    onlooker: Onlooker,
    it: Rig,
    channel: int,
    *,
    per_second: float,
    seconds: float,
    window_s: float = WINDOW_S,
) -> AsyncGenerator[dict[str, Any]]:
    """A row for each window, after the first half a minute."""
    people = await asyncio.to_thread(it.people, SENDERS)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(_client(it, person)) for person in people]
        for person in people:
            async with Rest(it.url, token=person.token) as rest:
                await rest.join(channel)
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(_talk(clients, channel, per_second))
            await asyncio.sleep(min(WARMUP_S, seconds))
            loop = asyncio.get_running_loop()
            begun = loop.time()
            while loop.time() - begun < seconds:
                row = await onlooker.window(window_s)
                at_s = loop.time() - begun
                yield {
                    "part": "watch",
                    "at_s": at_s,
                    "per_second": row.pop("messages_per_s"),
                    **row,
                }
            talking.cancel()


def _client(it: Rig, person: Person) -> Client:
    options = Options(proxy=None)
    return Client(it.url, tokens=person.token, on_event=lambda _: None, window=64, options=options)


async def _talk(clients: Sequence[Client], channel: int, per_second: float) -> None:
    """Say so much, each in turn, in an open loop: late messages are made up for."""
    loop = asyncio.get_running_loop()
    begun, number = loop.time(), 0
    async with asyncio.TaskGroup() as group:
        while True:
            while number < (loop.time() - begun) * per_second:
                client = clients[number % len(clients)]
                group.create_task(client.send(channel, SAID.format(number)))
                number += 1
            await asyncio.sleep(0.005)


async def _measure(
    it: Rig, outcome: Outcome, *, typed: int, per_second: float, seconds: float
) -> None:
    async with launched() as browser:
        onlooker = Onlooker(browser, it.url)
        channel = await onlooker.comes_in()
        say("what the page weighs")
        outcome.add(await weigh(onlooker))
        say(f"{typed} messages, typed")
        outcome.add(await type_messages(onlooker, typed))
        if seconds:
            say(f"{per_second:g} messages a second for {seconds:g} s")
            rows = watch(onlooker, it, channel, per_second=per_second, seconds=seconds)
            async with contextlib.aclosing(rows):
                async for row in rows:
                    outcome.add(row)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--typed", default=200, show_default=True, type=click.IntRange(20),
              help="Messages that are typed.")  # fmt: skip
@click.option("--rate", default=100.0, show_default=True, type=click.FloatRange(1),
              help="Messages a second in the channel that is looked at.")  # fmt: skip
@click.option("--seconds", default=600.0, show_default=True, type=click.FloatRange(0),
              help="How long one looks at it; 0: not at all.")  # fmt: skip
@bench_options
def main(
    typed: int,
    rate: float,
    seconds: float,
    json_path: Path | None,
    thresholds: Sequence[Threshold],
) -> None:
    """What the chat page takes and gives, in a real browser."""
    if why := missing():
        raise click.ClickException(f"{why} (pip install 'rtchat[bench,browser]')")
    outcome = Outcome("page", "what the chat page takes and gives", COLUMNS)
    with failures_told(), rig(settings=PRESENCE) as it, asyncio.Runner() as runner:
        runner.run(_measure(it, outcome, typed=typed, per_second=rate, seconds=seconds))
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
