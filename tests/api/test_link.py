"""The link over plain ASGI: frames in order, an event each, bounded; its end is the socket's."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from rtchat import protocol
from rtchat.api.asgi import Event
from rtchat.api.link import AsgiLink
from rtchat.tasks import Tasks

FRAME = protocol.frame({"x": "x" * 92})  # 100 bytes of JSON and 2 of header
SIZE = len(FRAME)
HIGH, LOW = 5 * SIZE, 2 * SIZE


def numbered(*numbers: int) -> bytes:
    return b"".join(protocol.pong(n) for n in numbers)


class Server:
    """Takes events while it is `open`; what it took is in `texts`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None
        self.texts: list[str] = []

    async def send(self, event: Event) -> None:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        assert event.keys() == {"type", "text"}
        assert event["type"] == "websocket.send"
        self.texts.append(event["text"])

    def took(self, *numbers: int) -> bool:
        return self.texts == [f'{{"t":"pong","ref":{n}}}' for n in numbers]


class Notes:
    """Whoever is told of a link, and calls `then` when it goes on."""

    def __init__(self, notes: list[str], then: Callable[[], object] = lambda: None) -> None:
        self._notes = notes
        self._then = then

    def take(self, text: str) -> bool:
        return False

    def paused(self) -> None:
        self._notes.append("pause")

    def resumed(self) -> None:
        self._notes.append("resume")
        self._then()

    def lost(self) -> None:
        self._notes.append("lost")


class Watched(AsgiLink):
    """A link that notes when it paused and resumed."""

    def __init__(self, server: Server, tasks: Tasks) -> None:
        super().__init__(server.send, tasks, high_bytes=HIGH, low_bytes=LOW)
        self.notes: list[str] = []
        self.listener = Notes(self.notes)

    async def flush(self) -> None:
        """Nobody waits for ever here."""
        async with asyncio.timeout(2):
            await super().flush()


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    made = Tasks("test")
    yield made
    await made.close()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def link(server: Server, tasks: Tasks) -> Watched:
    return Watched(server, tasks)


async def test_frames_go_in_order_one_event_each(link: Watched, server: Server):
    link.write(numbered(1))
    link.write(numbered(2, 3))
    await link.flush()
    link.write(numbered(4))
    await link.flush()
    assert server.took(1, 2, 3, 4)


async def test_writing_never_waits(link: Watched, server: Server):
    """Nothing is sent before the writer lets the loop turn."""
    server.open.clear()
    link.write(numbered(1))
    assert server.texts == []


async def test_flush_waits_for_the_server_to_take_everything(link: Watched, server: Server):
    server.open.clear()
    link.write(numbered(1, 2))
    flushing = asyncio.get_running_loop().create_task(link.flush())
    await asyncio.sleep(0.01)
    assert not flushing.done()
    server.open.set()
    await flushing
    assert server.took(1, 2)


async def test_it_tells_what_was_taken(link: Watched, server: Server):
    """By the server; what is lost with the link never was."""
    server.open.clear()
    link.write(FRAME)
    link.write(FRAME)
    assert link.taken() == 0
    server.open.set()
    await link.flush()
    assert link.taken() == 2 * SIZE
    server.open.clear()
    link.write(FRAME)
    link.abort()
    await link.flush()
    assert link.taken() == 2 * SIZE


async def test_flushing_nothing_is_at_once(link: Watched):
    await link.flush()


async def test_the_marks_tell_when_to_stop_and_when_to_go_on(link: Watched, server: Server):
    """Once each: behind the high mark, and when no more than the low one is left."""
    server.open.clear()
    for _ in range(5):
        link.write(FRAME)
    assert link.notes == []
    link.write(FRAME)
    link.write(FRAME)
    assert link.notes == ["pause"]
    server.open.set()
    await link.flush()
    assert link.notes == ["pause", "resume"]
    assert len(server.texts) == 7


async def test_it_resumes_at_the_low_mark_and_not_before(server: Server, tasks: Tasks):
    link = Watched(server, tasks)
    left: list[int] = []
    link.listener = Notes(link.notes, lambda: left.append(10 - len(server.texts)))
    server.open.clear()
    for _ in range(10):
        link.write(FRAME)
    server.open.set()
    await link.flush()
    assert left == [LOW // SIZE]


async def test_it_can_pause_again(link: Watched, server: Server):
    for _ in range(2):
        server.open.clear()
        for _ in range(6):
            link.write(FRAME)
        server.open.set()
        await link.flush()
    assert link.notes == ["pause", "resume"] * 2


async def test_what_is_written_while_resuming_is_sent(server: Server, tasks: Tasks):
    """As the hub does, which catches up then."""
    link = Watched(server, tasks)
    link.listener = Notes(link.notes, lambda: link.write(numbered(1)))
    for _ in range(6):
        link.write(FRAME)
    await link.flush()
    await link.flush()
    assert server.texts[-1] == '{"t":"pong","ref":1}'


async def test_abort_sends_nothing_more_and_lets_nobody_wait(link: Watched, server: Server):
    server.open.clear()
    link.write(numbered(1))
    await asyncio.sleep(0)
    flushing = asyncio.get_running_loop().create_task(link.flush())
    link.abort()
    link.write(numbered(2))
    await flushing
    await asyncio.sleep(0)
    server.open.set()
    link.write(numbered(3))
    await link.flush()
    assert server.texts == []


async def test_abort_may_be_repeated(link: Watched):
    link.abort()
    await asyncio.sleep(0)
    link.abort()
    await link.flush()


async def test_a_client_that_has_gone_ends_it_quietly(
    link: Watched, server: Server, caplog: pytest.LogCaptureFixture
):
    """ASGI servers raise OSError then."""
    server.error = ConnectionResetError()
    link.write(numbered(1))
    await link.flush()
    await asyncio.sleep(0)
    link.write(numbered(2))
    await link.flush()
    assert server.texts == []
    assert caplog.records == []


@pytest.mark.parametrize("paused", [True, False])
async def test_that_a_paused_client_has_gone_is_told(link: Watched, server: Server, paused: bool):
    """Whoever waits for it to resume need not."""
    server.open.clear()
    for _ in range(6 if paused else 1):
        link.write(FRAME)
    server.error = ConnectionResetError()
    server.open.set()
    await link.flush()
    await asyncio.sleep(0)
    assert link.notes == (["pause", "lost"] if paused else [])


async def test_an_error_of_the_server_is_logged_and_lets_nobody_wait(
    link: Watched, server: Server, caplog: pytest.LogCaptureFixture
):
    server.error = RuntimeError("sent after the close")
    link.write(numbered(1))
    await link.flush()
    await asyncio.sleep(0.01)
    assert [record.getMessage() for record in caplog.records] == ["task failed"]


@pytest.mark.parametrize("turns", [0, 1])
async def test_it_ends_with_its_owner(server: Server, turns: int):
    """Before it has sent anything, or even begun to."""
    tasks = Tasks("test")
    link = Watched(server, tasks)
    server.open.clear()
    link.write(numbered(1))
    for _ in range(turns):
        await asyncio.sleep(0)
    await tasks.close()
    await link.flush()
    assert len(tasks) == 0


async def test_a_released_link_leaves_no_task(server: Server):
    """Whichever way the socket ended."""
    tasks = Tasks("test")
    link = Watched(server, tasks)
    link.write(numbered(1))
    await link.flush()
    link.release()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(tasks) == 0
