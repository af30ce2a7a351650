"""What a newcomer copies out of the README works on a new server."""

import asyncio
import json
import sys
from collections.abc import Iterator

import pytest

from tests.docs.fenced import ROOT, blocks
from tests.docs.shells import Bash, missing
from tests.pods import Pod, Pods
from tests.services import Databases

URL = "localhost:8000"


@pytest.fixture(scope="module")
def server(databases: Databases, pods: Pods) -> Iterator[Pod]:
    """A server on which nobody has ever been."""
    with databases.fresh() as url:
        pod = pods.spawn(url).wait()
        yield pod
        pod.kill()


def test_the_two_commands_are_there() -> None:
    run, test, _ = blocks("README.md", "sh")
    assert run == "pip install -e '.[dev]' && rtchat dev\n"
    assert test == "pip install -e '.[test]' && pytest\n"


async def test_the_first_message_by_curl(server: Pod) -> None:
    if why := missing(Bash):
        pytest.skip(why)
    *_, story = blocks("README.md", "sh")
    assert URL in story
    async with Bash() as bash:
        output = await bash.run(story.replace(URL, f"localhost:{server.port}"))
    decoder, found = json.JSONDecoder(), []
    while output:
        value, end = decoder.raw_decode(output)
        found.append(value)
        output = output[end:].strip()
    first, page, again = found
    assert {k: v for k, v in first.items() if k != "timestamp"} == {
        "id": "1:1", "channelId": 1, "seq": 1, "userId": 1, "content": "hello", "nonce": "1",
    }  # fmt: skip
    assert page == {"items": [first], "hasMore": False}
    assert again == first


async def test_the_program_in_python_goes_on_from_there(server: Pod) -> None:
    """Behind the story by curl, as in the README."""
    (program,) = blocks("README.md", "python")
    code = program.replace(URL, f"localhost:{server.port}")
    assert code.count(f"localhost:{server.port}") == 2
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", code), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            lines = [(await process.stdout.readline()).decode().strip() for _ in range(2)]
    finally:
        process.kill()
        await process.wait()
    assert lines == ["1 1 hello", "2 1 hello from Python"]
