"""Checks that what is stored was said by members: M2, from the log alone.

Who joined and who left is in the log, so each message's author was a member at its seq, or not.
"""

from collections.abc import Iterable, Mapping, Sequence

from tests.faults.history import Row
from tests.faults.verdict import Anomaly, Findings

Members = Mapping[int, Iterable[int]]  # of each channel, before its first entry


def check_members(rows: Sequence[Row], members: Members, found: Findings) -> dict[int, set[int]]:
    """Walk each channel's log from its first members on; returns who is in it at the end."""
    now = {channel: set(users) for channel, users in members.items()}
    for row in sorted(rows, key=lambda row: (row.channel, row.seq)):
        inside = now.setdefault(row.channel, set())
        if row.kind == "join":
            inside.add(row.target or row.user)
        elif row.kind == "leave":
            inside.discard(row.target or row.user)
        elif row.user not in inside:
            found.add(
                Anomaly(
                    "M2-stranger",
                    row.channel,
                    row.seq,
                    expected="an author who is a member",
                    found=f"{row.kind} by user {row.user}",
                )
            )
    return now
