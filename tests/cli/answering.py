"""A server in a thread of its own that says what it is told to: what a stranger on a port may be.

Owns: one answer a path, the next one at each question where there are several; and where none is
left, the last.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Thread

Answer = tuple[int, bytes]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def answering(by_path: Mapping[bytes, Sequence[Answer]]) -> Iterator[int]:
    """The port of 127.0.0.1 on which it answers."""
    left = {path: list(told) for path, told in by_path.items()}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            told = left[head.split()[1]]
            status, body = told.pop(0) if len(told) > 1 else told[0]
            length = b"content-length: %d\r\nconnection: close" % len(body)
            writer.write(b"HTTP/1.1 %d OK\r\n%b\r\n\r\n%b" % (status, length, body))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    with served(serve) as port:
        yield port


@contextmanager
def served(serve: Serve) -> Iterator[int]:
    """The port of 127.0.0.1 on which this serves, in a loop and a thread of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
