"""`python -m bench.peers`: which peers can be run here; `install` fetches those on Node."""

import argparse
import sys

from bench.peers.listing import PEERS
from bench.peers.node import INSTALL_S, SocketIONode, WsNode, cache_directory
from bench.peers.peer import PeerError


def main() -> int:
    """List or install; status 1 when something cannot be installed."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument(
        "what",
        nargs="?",
        choices=["list", "install"],
        default="list",
        help=f"install: npm packages into {cache_directory()} (at most {INSTALL_S:g} s each)",
    )
    if parser.parse_args().what == "install":
        return _install()
    width = max(map(len, PEERS))
    for key, peer in PEERS.items():
        reason = peer.available()
        print(f"{key:{width}}  {peer.version() if reason is None else f'left out: {reason}'}")
    return 0


def _install() -> int:
    failed = 0
    for peer in (SocketIONode(), WsNode()):
        try:
            peer.install()
        except PeerError as error:
            failed = 1
            print(f"{peer.name}: {error}", file=sys.stderr)
        else:
            print(f"{peer.name}: {peer.version()}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
