"""The replay, on real pods: it says that all is well when it is, and else what is wrong."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg
import orjson

from bench.irc import load
from bench.servers import Target
from bench.stage import Stage
from bench.verify import differences
from tests.pods import SECRET_KEY, Pod

HARD = [
    "plain",
    "  spaces around  ",
    "tab\tand 'single' and \"double\" quotes, \\backslashes\\ and \\n",
    "ünïcödé, é as e\u0301, ﬀ",
    "שלום עליכם, مرحبا, \u202eright to left\u202c",
    "👩‍👩‍👧‍👦 👍🏽 🇺🇦 𝔘",
    "\x01ACTION waves\x01 \x02bold\x0f \x1b[31m \x7f",
    "\u2028 and \u2029 and \x85 and \x0b are not the end",
    "zero\u200bwidth \ufeff \u00a0",
    "</script><b>&amp; %s {} $1 '; DROP TABLE messages; --",
    '{"t":"send"}',
    "\ud7ff \ue000 \ufffd \uffff \U0010ffff",
    "long " * 90,
]
NICKS = ["ann", "Ann", "bob|away", "[carol]", "d`ave"]


def write_days(folder: Path) -> None:
    """Two days, some 60 lines: one day quiet, one in which one person speaks a lot."""
    for day in range(2):
        lines = [
            f"[{10 + n // 60:02}:{n % 60:02}] <{NICKS[(n + day) % 5]}> {text}\n"
            for n, text in enumerate(HARD * 2)
        ]
        lines += [
            "=== eve has joined #ubuntu\n",
            f"[11:00] <{NICKS[day]}>\n",
            "[11:01]  * ann waves\n",
        ]
        lines += [f"[11:02] <d`ave> {n}\n" for n in range(8)]
        (folder / f"day-{day}.txt").write_text("".join(lines), newline="")


async def test_a_replay_ends_well(two_pods: tuple[Pod, Pod], tmp_path: Path) -> None:
    """The command, on servers that run already: status 0, and the figures of what was replayed."""
    write_days(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text(SECRET_KEY)
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench.replay", str(tmp_path), "--subscribe"],
        *["--url", two_pods[0].url, "--url", two_pods[1].url],
        *["--database-url", two_pods[0].database_url, "--secret-key-file", str(secret)],
        *["--json", str(tmp_path / "figures.json"), "--assert", "ack_max_ms>=0"],
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if not k.startswith("RTCHAT_")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await child.communicate()
    assert child.returncode == 0, output.decode()
    figures = orjson.loads((tmp_path / "figures.json").read_bytes())
    assert figures["ok"]
    assert (figures["days"], figures["people"], figures["messages"]) == (2, 5, 68)
    assert (figures["blank"], figures["other"]) == (2, 4)
    assert figures["observed"] == 2 * 68, "each pod's observer has each message"
    assert figures["followed"] == 2 * 5 * 34, "everybody talks on both days"


async def test_a_changed_message_is_found(two_pods: tuple[Pod, Pod], tmp_path: Path) -> None:
    """One byte that is changed in the database, one row that is missing: both are told."""
    write_days(tmp_path)
    days = load(tmp_path)
    urls = tuple(pod.url for pod in two_pods)
    target = Target("pods", urls, two_pods[0].database_url, SECRET_KEY)
    stage = Stage(target, days, subscribe=True)
    database = await asyncpg.connect(target.database_url)
    async with stage.set():
        await stage.talk(speed=None)
        await stage.arrive()
        for day in days:
            assert differences(await stage.outcome(day)) == []
        channel = stage.channels[days[0].name]
        spaces = stage.sent[days[0].name][1].said
        await database.execute(
            "UPDATE messages SET content = rtrim(content) WHERE channel_id = $1 AND seq = $2",
            channel,
            spaces.seq,
        )
        found = differences(await stage.outcome(days[0]))
        assert (
            f"stored, message 2: expected {spaces}, found {spaces._replace(text='  spaces around')}"
            in found[0]
        )
        await database.execute(
            "DELETE FROM messages WHERE channel_id = $1 AND seq = $2", channel, spaces.seq
        )
        found = differences(await stage.outcome(days[0]))
        assert "stored, message 2" in found[0]
        assert differences(await stage.outcome(days[1])) == []
    await database.close()


async def test_minutes_are_kept_at_a_speed(pod: Pod, tmp_path: Path) -> None:
    """At N times real time a line does not come before its minute."""
    (tmp_path / "day.txt").write_text("[10:00] <ann> one\n[10:00] <bob> two\n[10:05] <ann> three\n")
    days = load(tmp_path)
    target = Target("pod", (pod.url,), pod.database_url, SECRET_KEY)
    stage = Stage(target, days, subscribe=False)
    async with stage.set():
        assert await stage.talk(speed=600) >= 0.5
        await stage.arrive()
        assert differences(await stage.outcome(days[0])) == []
