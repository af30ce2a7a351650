"""What a newcomer copies out of the README works on a new server."""

import asyncio
import json
import re
import sys

import pytest

from rtchat import protocol
from tests import documented
from tests.docs.fenced import ROOT, blocks
from tests.docs.shells import Bash, missing
from tests.pods import Pod

URL = "localhost:8000"


def test_the_two_commands_are_there() -> None:
    run, test, _ = blocks("README.md", "sh")
    assert run == "pip install -e '.[dev]' && rtchat dev\n"
    assert test == "pip install -e '.[test]' && pytest\n"


async def test_the_first_messages_by_curl_and_by_the_program(server: Pod) -> None:
    """The story by curl, then the program in Python, which goes on from there."""
    if why := missing(Bash):
        pytest.skip(why)
    *_, story = blocks("README.md", "sh")
    assert URL in story
    async with Bash() as bash:
        output = await bash.run(story.replace(URL, f"localhost:{server.port}"))
    first, page, again = map(json.loads, output.splitlines())
    shown = re.search(r"^# (\{.*\})$", story, re.MULTILINE)
    assert shown is not None
    assert {**first, "timestamp": "…"} == json.loads(shown[1])
    assert page == {"items": [first], "hasMore": False}
    assert again == first
    assert await said_by_the_program(server) == ["1 1 hello", "2 1 hello from Python"]


async def said_by_the_program(server: Pod) -> list[str]:
    """The first two lines that it prints."""
    (program,) = blocks("README.md", "python")
    code = program.replace(URL, f"localhost:{server.port}")
    assert code.count(f"localhost:{server.port}") == 2
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", code), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            return [(await process.stdout.readline()).decode().strip() for _ in range(2)]
    finally:
        process.kill()
        await process.wait()


def test_the_frames_that_are_shown_are_frames() -> None:
    """Each of the transcript, as far as it is not left out, is as the documents have it."""
    frames = documented.frames()
    (transcript,) = [block for block in blocks("README.md", "") if block.startswith('> {"t"')]
    shown = [line for line in transcript.splitlines() if "…" not in line]
    assert len(shown) == 6
    for line in shown:
        if line.startswith(">"):
            protocol.decode(line[2:])
        else:
            frames.check(json.loads(line[2:]))
