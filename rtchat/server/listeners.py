"""The sockets on which servers listen: several workers on one port, operators on another.

Owns: how a port is shared. Must never: let a second server in unnoticed. What a crash leaves of
these sockets is what its neighbours still hold of them.

On Linux each worker has a socket of its own (SO_REUSEPORT: the kernel spreads connects by a hash),
made by the supervisor, who keeps it open. Of 1,000 connects each of four workers took 227 to 272;
from one socket for all, 159 to 340: whoever wakes first takes it. With the supervisor holding them,
the queue of a worker that is killed waits for the next one: of some 20,000 connects, 64 at a time,
15 to 18 were cut, which that worker had accepted, and the longest took 0.25 s; with sockets that
died with it, 37 and 38. Elsewhere all connects go to one of such sockets: there, one is for all.
"""

import contextlib
import errno
import socket
import sys

from rtchat.config import Config
from rtchat.errors import StartError

SPREADS = sys.platform == "linux"


def bind_for(config: Config, workers: int = 1) -> list[list[socket.socket]]:
    """Bind what each worker listens on: the port of clients first, then, if there is one, its
    internal port. Raises StartError with the port that cannot be had."""
    try:
        if workers == 1:
            places = [bind(config.host, config.port)]
        else:
            places = bind_all(config.host, config.port, workers)
    except OSError as error:
        raise _not_had(config.host, config.port, error) from error
    for number, place in enumerate(places if config.internal_port else ()):
        port = config.internal_port + number
        try:
            place += bind(config.host, port)
        except OSError as error:
            for one in (one for each in places for one in each):
                one.close()
            raise _not_had(config.host, port, error) from error
    return places


def _not_had(host: str, port: int, error: OSError) -> StartError:
    return StartError(f"cannot listen on {host}:{port}: {error.strerror or error}")


def bind_all(host: str, port: int, workers: int) -> list[list[socket.socket]]:
    """Bind sockets for each worker, all to one port; none listens yet. Raises OSError."""
    if not SPREADS:
        one = bind(host, port)
        return [list(one) for _ in range(workers)]
    for probe in bind(host, port):  # without sharing: or a second server would not be noticed
        port = probe.getsockname()[1]
        probe.close()
    return [bind(host, port, share=True) for _ in range(workers)]


def bind(host: str, port: int, *, share: bool = False) -> list[socket.socket]:
    """Bind a socket for each address of `host`, as asyncio would."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with contextlib.ExitStack() as on_failure:
        bound: list[socket.socket] = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                one = on_failure.enter_context(socket.socket(family, kind, protocol))
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                continue  # a kernel without IPv6, whose addresses names have all the same
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            port = one.getsockname()[1]  # where it was any free one, it is the others' too
            bound.append(one)
        if not bound:
            raise OSError(errno.EAFNOSUPPORT, f"no address of {host!r} can be listened on")
        on_failure.pop_all()
        return bound
