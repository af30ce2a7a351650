"""The settings of rates: how often users, addresses and connections may do what costs most.

Owns: a part of the one list of settings, `Config`. What each is for, what bursts go through and
where it is counted is in the table `api.rates.RATES`.
"""

from typing import Annotated

from msgspec import Meta

from rtchat.config.kinds import number
from rtchat.config.sign_in import SignIn


def _rate(of: str, doc: str, also: str = "", *, most: int = 10**6) -> Meta:
    return number(0, most, doc, f"{of}: `rate_limited`{also}")


class Rates(SignIn, frozen=True, kw_only=True):  # structs have one base each
    """What `Config` holds of rates. 0: no limit. Beyond: `rate_limited`."""

    user_sends_factor: Annotated[
        int,
        _rate("user", "a user's writes in a pod: so many times those of one connection", most=1000),
    ] = 10
    user_reads_per_second: Annotated[
        int, _rate("user", "a user's costliest reads in a pod: pages of history, lists, search")
    ] = 30
    user_changes_per_minute: Annotated[
        int, _rate("user", "a user's changes in a pod: of profile, channels, members")
    ] = 600
    user_creations_per_minute: Annotated[
        int, _rate("user", "channels and dms that a user makes in a pod")
    ] = 300
    user_connects_per_second: Annotated[
        int, _rate("user", "sockets that a user opens in a pod", ", close 4101")
    ] = 10
    user_floods_per_minute: Annotated[
        int,
        _rate(
            "user",
            "closes with 4008 or 4009; then a user waits to connect in a pod",
            ", close 4101",
        ),
    ] = 18
    subs_per_second: Annotated[
        int, _rate("socket", "channels that a connection subscribes to, again and again")
    ] = 200
    user_subs_per_second: Annotated[
        int, _rate("user", "the same of all connections of a user in a pod")
    ] = 1000
    ephemerals_per_second: Annotated[
        int, _rate("socket", "marks of reading and signs of typing of a connection")
    ] = 10
    ephemerals_burst: Annotated[
        int, number(1, 10**6, "of these at once, before that rate holds", "socket: `rate_limited`")
    ] = 40
    address_connects_per_second: Annotated[
        int, _rate("address", "sockets that an address opens in a pod, where proxies are trusted")
    ] = 50
    address_registers_per_minute: Annotated[
        int, _rate("address", "accounts that an address tries to make, on all pods")
    ] = 30
    address_logins_per_minute: Annotated[
        int, _rate("address", "sign-ins by password that an address tries, right or wrong")
    ] = 120
    user_password_changes_per_minute: Annotated[
        int, _rate("user", "password changes that a user tries in a pod")
    ] = 12
    user_refreshes_per_minute: Annotated[
        int, _rate("user", "refreshes of a user's sessions in a pod; each is stored")
    ] = 30
    address_sso_per_minute: Annotated[
        int, _rate("address", "steps of single sign-on that an address takes, on all pods")
    ] = 120
