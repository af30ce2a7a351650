"""The people of one room, as the pods have told of them. Plain values of `presence`, which decides.

Must never: outlive its room's use; a crowd costs 0.5 KB, with a hundred people 9.
"""

from dataclasses import dataclass, field

DOUBTFUL = ""  # in the place of a pod: no pod has this name


@dataclass(slots=True)
class There:
    """What another pod has told of a room."""

    whole_at: float  # when it last told its whole list, or began
    users: set[int] = field(default_factory=set)
    subscribers: int = 0


class Crowd:
    """The people of one room."""

    __slots__ = ("elsewhere", "gone", "hears", "here")

    def __init__(self) -> None:
        self.here: set[int] = set()  # whom this pod tells the room of
        self.elsewhere: dict[str, There] = {}  # by pod
        self.gone: dict[int, None] = {}  # who went last: for those who were not told in time
        self.hears = False  # whether the room is open here

    def knows(self, user: int) -> bool:
        """Whether the room was told that he is online, and not that he is gone."""
        return user in self.here or any(user in there.users for there in self.elsewhere.values())

    def known(self, users: set[int]) -> set[int]:
        """Those of `users` who are online."""
        return (users & self.here).union(
            *(users & there.users for there in self.elsewhere.values())
        )

    def everybody(self) -> set[int]:
        """Who is online."""
        return self.here.union(*(there.users for there in self.elsewhere.values()))


@dataclass(slots=True)
class Draft:
    """What the next word says of a room."""

    online: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    whole: bool = False
    asks: bool = False
