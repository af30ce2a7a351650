"""One question to one address: bounded in time and bytes, and the token goes nowhere else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rtchat.operate import asking
from rtchat.operate.asking import Answer, NoAnswerError

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(
    answer: bytes, *, drip_s: float = 0, endless: bool = False
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that says this to everybody; its port, and the heads that it was sent."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heard.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            while drip_s or endless:
                writer.write(b"x" if drip_s else b"x" * 65_536)
                await writer.drain()
                await asyncio.sleep(drip_s)
            writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], heard


async def get(url: str, within_s: float = 5.0, address: str = "", token: str = "") -> Answer:
    async with asking.client() as http:
        return await asking.get(http, url, within_s, address, token)


async def test_a_name_is_asked_at_one_of_its_addresses():
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi") as (port, heard):
        answer = await get(f"http://pods.invalid:{port}/x", address="127.0.0.1", token="secret")
    assert answer == Answer(200, "hi")
    head = heard[0].decode().lower()
    assert head.startswith("get /x http/1.1\r\n")
    assert f"host: pods.invalid:{port}\r\n" in head
    assert "authorization: bearer secret\r\n" in head


async def test_a_redirect_is_an_answer_and_not_followed():
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (other, heard):
        away = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{other}/\r\ncontent-length: 0"
        async with server(f"{away}\r\n\r\n".encode()) as (port, _):
            answer = await get(f"http://127.0.0.1:{port}/", token="secret")
    assert (answer.status, heard) == (302, [])


@pytest.mark.parametrize(
    ("answer", "drip_s", "endless", "words"),
    [
        (b"", 0.02, False, "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\nx: ", 0.02, False, "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", 0.02, False, "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n", 0, True, "an answer without an end"),
        (b"+PONG\r\n", 0, False, "."),
        (b"", 0, False, "."),
    ],
    ids=["silent", "head without end", "slow body", "body without end", "no HTTP", "closes"],
)
async def test_what_is_no_answer_ends_in_time(
    answer: bytes, drip_s: float, endless: bool, words: str
):
    within_s = 10.0 if endless else 0.3
    async with server(answer, drip_s=drip_s, endless=endless) as (port, _):
        with pytest.raises(NoAnswerError, match=words) as failed:
            await get(f"http://127.0.0.1:{port}/", within_s)
    assert str(failed.value)
    assert not failed.value.refused


async def test_an_address_that_no_url_may_have_is_no_answer():
    """Whatever a resolver gives."""
    with pytest.raises(NoAnswerError):
        await get("http://127.0.0.1:1/", address="fe80::1]:80/")


async def test_each_question_has_a_connection_of_its_own():
    """Or only the first of several processes on a port would ever be met."""
    met = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:  # it would answer more questions
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        async with asking.client() as http:
            for _ in range(2):
                assert (await asking.get(http, url, 5.0)).text == "hi"
    assert len(met) == 2


async def test_a_port_where_nobody_listens_is_told_apart():
    with pytest.raises(NoAnswerError) as failed:
        await get("http://127.0.0.1:1/")
    assert failed.value.refused
