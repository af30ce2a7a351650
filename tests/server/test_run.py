"""How the process ends when a client, or a task, or a second signal is in the way."""

import asyncio
import signal
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from rtchat.app import App
from rtchat.config import Config
from rtchat.server.run import Server, uvicorn_config
from tests.faults.test_slow_clients import channel_of, follow, talk
from tests.people import People
from tests.pods import Pods
from tests.raw import CLOSE, frame, raw
from tests.sockets import wire
from tests.world import SECRET


@pytest.mark.skipif(sys.platform != "linux", reason="SO_RCVBUF is not kept so small elsewhere")
async def test_who_says_goodbye_and_reads_nothing_does_not_disturb_the_end(
    database_url: str, pods: Pods
) -> None:
    """Its answer waits in a full buffer while the pod stops: it is cut, and the exit is clean."""
    pod = await pods.start(database_url, sends_per_second=0)
    async with People(database_url) as people:
        ann = await people.new("ann")
        room = await channel_of(pod, ann)
        async with raw(pod.port, rcvbuf=4096) as stuck:
            await follow(pod, ann, room, stuck)
            async with wire(pod.ws_url, ann) as sender:
                await talk(sender, room, 900, 3000)
            await stuck.send(frame(CLOSE, (1000).to_bytes(2)))
            await asyncio.sleep(0.3)
            pod.signal(signal.SIGTERM)
            assert await pod.ended(40) == 0
    assert "Traceback" not in pod.log()
    assert pod.events("stopping")


class Interrupted(Server):
    """Gets its second signal at the last moment of stopping."""

    async def _stop(self, sockets: Any) -> None:
        await super()._stop(sockets)
        self.handle_exit(signal.SIGTERM, None)
        self.handle_exit(signal.SIGINT, None)


async def test_a_second_signal_that_comes_too_late_does_no_harm(database_url: str) -> None:
    """What it would have cut has ended."""
    config = msgspec.structs.replace(
        Config(), database_url=database_url, secret_key=SECRET, port=0, lanes=1
    )
    app = App(config)
    server = Interrupted(uvicorn_config(app, config), app, shutdown_s=8)
    failures: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    try:
        serving = loop.create_task(server.serve())
        while not server.started:
            assert not serving.done()
            await asyncio.sleep(0.01)
        server.should_exit = True
        await serving
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(before)
    assert failures == []


STUBBORN = """
import asyncio, time
from rtchat.app import App
from rtchat.config import Config
from rtchat.server import run

class Broken(run.Server):
    async def serve(self, sockets=None):
        self._asked_at = time.monotonic() - self._shutdown_s
        self.task = asyncio.get_running_loop().create_task(resist())
        await asyncio.sleep(0)
        raise RuntimeError("it breaks")

async def resist():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            print("no", flush=True)

run.Server = Broken
run.run(App(Config()), Config())
"""


def test_a_task_that_resists_does_not_keep_the_process_though_serving_broke() -> None:
    """The watchdog ends it, with 1."""
    done = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, timeout=30)
    assert done.returncode == 1, done.stderr
    assert done.stdout == b"no\n"
