"""`python -m bench profile`: where a loaded pod's time goes, by slice.

py-spy (in the extra `bench`) takes the pod's stacks some hundred times a second, C frames included,
while the load of `ingest` or `fanout` is on it. Each sample counts for the slice that its innermost
known frame belongs to; what matches none is told as such. Sampling stops the pod for a moment each
time: the shares hold, the rate beside them is lower than without.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bench import fanout, ingest
from bench.load.process import LoadClient
from bench.outcome import Column, Outcome, Threshold, bench_options, failures_told, say
from bench.rig import Rig, load_client, rig

HERTZ = 250
LEAD_S = 2.5  # connecting and warming up
OTHER = "the event loop and what is in no slice"
# Frames look like `Room._fan_out (rtchat/room.py:170)` or `uv__read (stream.c:1154)`. The innermost
# frame that matches a slice decides, but for COPY: inside it, it looks like any statement.
COPY = "COPY: rows encoded and sent"
_COPY = re.compile(r"LogWriter\._copy|copy_records_to_table|copy_to_table")
SLICES: dict[str, str] = {
    "the batch's other statements": (
        r"asyncpg/|rtchat/store/|CoreProtocol|BaseProtocol|_StatementCache|data_received \(protocol"
    ),
    "decided: order, rights, nonces": r"rtchat/batch\.py|rtchat/rules\.py",
    "written to clients": r"ServerLink|rtchat/room\.py|rtchat/rooms\.py|rtchat/server/link\.py",
    "frames made": (
        r"(entry|pack|frame|acks?|_envelope|_control) \(rtchat/protocol|rtchat/envelope\.py"
    ),
    "commands decoded, checked, queued": r"rtchat/(api|chat|names|limits|protocol|lane|connection)",
    "lanes and answers": r"rtchat/writer\.py",
    "frames read: header, mask, UTF-8": r"rtchat/server/|websockets/|uvicorn/",
    "bus": r"rtchat/bus/",
    "bytes read from sockets": r"uv__read|^read \(|recv",
    "asking what is ready": r"epoll_",
}
_PATTERNS = {name: re.compile(pattern) for name, pattern in SLICES.items()}

COLUMNS = (
    Column("work", "work"),
    Column("slice", "slice"),
    Column("share", "share", "{:.1%}"),
    Column("us_per_operation", "server µs/operation", "{:.2f}"),
)
Work = Callable[[Rig, LoadClient, float], dict[str, Any]]


def _ingest(it: Rig, client: LoadClient, seconds: float) -> dict[str, Any]:
    row = ingest.measure(it, client, senders=200, channels=50, in_flight=4, seconds=seconds)
    return {**row, "us": row["server_us_per_ack"]}


def _fanout(in_flight: int) -> Work:
    def measure(it: Rig, client: LoadClient, seconds: float) -> dict[str, Any]:
        row = fanout.measure(it, client, 500, in_flight, seconds)
        return {**row, "us": row["server_us_per_delivery"]}

    return measure


WORKS: dict[str, Work] = {
    "ingest, 200 senders, 4 in flight": _ingest,
    "fan-out to 500, 1 in flight": _fanout(1),
    "fan-out to 500, 64 in flight": _fanout(64),
}


def slice_of(stack: str) -> str:
    """The slice of one stack, outermost frame first, frames parted by semicolons."""
    if _COPY.search(stack):
        return COPY
    for frame in reversed(stack.split(";")):
        for name, pattern in _PATTERNS.items():
            if pattern.search(frame):
                return name
    return OTHER


def shares(collapsed: str) -> dict[str, float]:
    """The share of each slice in py-spy's collapsed stacks: `frame;frame;frame COUNT` a line."""
    counts: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        counts[slice_of(stack)] += int(count)
    total = sum(counts.values())
    return {name: count / total for name, count in counts.most_common()}


def sample(pid: int, seconds: float, path: Path) -> None:
    """Take the stacks of a process for so long."""
    program = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if program is None:
        raise click.ClickException("py-spy is not installed: pip install 'rtchat[bench]'")
    command = [program, "record", "--native", "--rate", str(HERTZ), "--duration", str(seconds)]
    done = subprocess.run(
        [*command, "--format", "raw", "--output", str(path), "--pid", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=seconds + 60,
    )
    if done.returncode:
        raise click.ClickException(f"py-spy: {done.stderr.strip()[-300:]}")


def profile(it: Rig, client: LoadClient, work: Work, seconds: int) -> list[dict[str, Any]]:
    """Put one kind of load on the first pod, and see where its time goes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "stacks"
        failed: list[BaseException] = []

        def watch() -> None:
            time.sleep(LEAD_S)
            try:
                sample(it.pods[0].pid, seconds, path)
            except BaseException as error:  # noqa: BLE001  told below, in the thread that can
                failed.append(error)

        watcher = threading.Thread(target=watch)
        watcher.start()
        row = work(it, client, LEAD_S + seconds)
        watcher.join()
        if failed:
            raise failed[0]
        found = shares(path.read_text())
    return [
        {"slice": name, "share": share, "us_per_operation": share * row["us"]}
        for name, share in found.items()
    ]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--work", "works", multiple=True, type=click.Choice(list(WORKS)), default=list(WORKS),
              help="What the pod is loaded with; may be given again.")  # fmt: skip
@click.option("--seconds", default=5, show_default=True, help="How long stacks are taken.")
@bench_options
def main(
    works: Sequence[str], seconds: int, json_path: Path | None, thresholds: Sequence[Threshold]
) -> None:
    """Where a loaded pod's time goes, by slice."""
    outcome = Outcome("profile", "where a loaded pod's CPU time goes", COLUMNS)
    if sys.platform != "linux":
        raise click.ClickException("py-spy sees C frames on Linux only")
    with failures_told():
        for work in works:
            say(work)
            with rig() as it, load_client() as client:
                for row in profile(it, client, WORKS[work], seconds):
                    outcome.add({"work": work, **row})
    outcome.finish(json_path, thresholds)


if __name__ == "__main__":
    main()
