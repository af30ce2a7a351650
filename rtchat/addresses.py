"""Addresses of clients: what counts as one, and whom to believe about them. Pure.

Must never: believe an address because a client sent it. `X-Forwarded-For` (de facto; RFC 7239 has
its successor) is a list to which each proxy appends whom it heard. So it is read from its end, as
long as whoever appended is a proxy of ours; what stands further left is anybody's words.

Why not uvicorn's `ProxyHeadersMiddleware`: it takes for an address whatever text stands there,
and under `*` the leftmost one, which the client has chosen.
"""

import ipaddress
from collections.abc import Iterable, Sequence

ENTRIES_MAX = 32  # proxies in a row that are believed; more of them are no setup but an attack
ANY_PEER = "any-peer"  # instead of addresses: whoever connects is a proxy of ours

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def counted_as(address: str) -> str | int:
    """What limits count an address as: for IPv6 its first half, of which one customer has 2^64."""
    if ":" not in address:
        return address
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(ip.ipv4_mapped) if ip.ipv4_mapped is not None else int(ip) >> 64


def parse(text: str) -> Address | None:
    """Read an address as proxies write it, with or without a port; None: it is none.

    With a zone (`fe80::1%eth0`) it means nothing elsewhere, so it is none.
    """
    text = text.strip(" \t")
    if text.startswith("["):
        text, bracket, port = text[1:].partition("]")
        if not bracket or (port and not (port[0] == ":" and port[1:].isdecimal())):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not port.isdecimal():
            return None
    if "%" in text or len(text) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"):
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def of_this_machine(host: str) -> bool:
    """Whether this host is the machine itself (RFC 6761 §6.3 for the name)."""
    found = parse(host)
    return host == "localhost" or (found is not None and found.is_loopback)


class Proxies:
    """The proxies whose word counts: addresses and networks, or any peer."""

    def __init__(self, listed: str) -> None:
        """`listed`: comma-separated addresses and networks, or `any-peer`. Raises ValueError."""
        entries = [entry.strip() for entry in listed.split(",") if entry.strip()]
        self._any_peer = entries == [ANY_PEER]
        if "*" in entries:
            raise ValueError(
                f"* would believe whatever anybody says; where nobody but your proxies can connect,"
                f" say {ANY_PEER}"
            )
        self._networks = [] if self._any_peer else [ipaddress.ip_network(one) for one in entries]

    def __bool__(self) -> bool:
        return self._any_peer or bool(self._networks)

    def trusts_peer(self, peer: str) -> bool:
        """Whether whoever connected is a proxy of ours."""
        if self._any_peer:
            return True
        address = parse(peer)
        return address is not None and self._contains(address)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address of the client that a trusted peer speaks for: the last that is no proxy.

        `forwarded_for`: the values of all headers of that name, in order. What is no address ends
        the search: then the last proxy that can be named is the client.
        """
        found = peer
        for text in _from_the_end(forwarded_for):
            address = parse(text)
            if address is None:
                break
            found = str(address)
            if not self._contains(address):
                break
        return found

    def _contains(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _from_the_end(values: Sequence[str]) -> Iterable[str]:
    left = ENTRIES_MAX
    for value in reversed(values):
        for entry in reversed(value.rsplit(",", left)[-left:]):
            yield entry
            left -= 1
            if not left:
                return
