"""The sockets of several workers: one port, and nobody else on it."""

import errno
import socket
from typing import Any

import pytest

from rtchat.server.listeners import SPREADS, bind, bind_all


def test_each_worker_listens_on_the_same_port():
    """Any free one, where none is named; nobody listens before a worker does."""
    places = bind_all("127.0.0.1", 0, 3)
    each = [one for place in places for one in place]
    assert {one.getsockname() for one in each} == {("127.0.0.1", each[0].getsockname()[1])}
    assert len({one.fileno() for one in each}) == (3 if SPREADS else 1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(each[0].getsockname())
    for one in each:
        one.listen()
    socket.create_connection(each[0].getsockname()).close()
    for one in each:
        one.close()


def test_every_address_of_a_name_is_bound_to_that_port():
    """As asyncio does it for one process: both families, each by itself."""
    bound = bind("", 0)
    assert len({one.getsockname()[1] for one in bound}) == 1
    assert len({one.family for one in bound}) == len(bound)
    for one in bound:
        one.close()


@pytest.mark.parametrize("workers", [2, 3])
def test_a_port_on_which_workers_listen_already_is_refused(workers: int):
    """They share it with each other and with no second server."""
    [[first], *others] = bind_all("127.0.0.1", 0, workers)
    first.listen()
    with pytest.raises(OSError, match="in use"):
        bind_all("127.0.0.1", first.getsockname()[1], workers)
    for one in (first, *(one for place in others for one in place)):
        one.close()


def test_an_address_that_is_not_ours_is_refused():
    with pytest.raises(OSError, match="assign"):
        bind_all("192.0.2.1", 0, 2)


class WithoutIPv6(socket.socket):
    """A socket of a kernel that was started with ipv6.disable=1."""

    def __init__(self, family: int = -1, *args: Any, **kwargs: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *args, **kwargs)


def test_a_family_that_the_kernel_lacks_is_passed_over(monkeypatch: pytest.MonkeyPatch):
    """As asyncio does; unless nothing is left."""
    monkeypatch.setattr(socket, "socket", WithoutIPv6)
    [[one]] = bind_all("", 0, 1)
    assert one.family == socket.AF_INET
    one.close()
    with pytest.raises(OSError, match="can be listened on"):
        bind("::1", 0)
