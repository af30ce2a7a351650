"""Runs the provider: `python -m tests.oidc [PORT]`; it says on standard output where it listens."""

import socket
import sys

import uvicorn

from tests.oidc.provider import Provider


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9400))
    listener.listen()  # before it is told: who reads it may connect at once
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
    config = uvicorn.Config(Provider(url), log_level="warning", ws="none", lifespan="off")
    uvicorn.Server(config).run(sockets=[listener])


main()
