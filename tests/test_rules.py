"""The contract's table of who may do what (§2), cell by cell."""

import pytest

from rtchat.errors import ChatError, Code
from rtchat.model import ChannelType, Role
from rtchat.rules import Act, missing_channel, problem, require

PUBLIC, PRIVATE, DM = ChannelType.PUBLIC, ChannelType.PRIVATE, ChannelType.DM

# public, private: not a member; then member, admin and owner of either. None: allowed.
TABLE = {
    Act.SEE: (None, "not_found", None, None, None),
    Act.JOIN: (None, "not_found", None, None, None),
    Act.TAKE_PART: ("forbidden", "not_found", None, None, None),
    Act.ADD_MEMBER: ("forbidden", "not_found", None, None, None),
    Act.MANAGE: ("forbidden", "not_found", "forbidden", None, None),
    Act.HAND_OVER: ("forbidden", "not_found", "forbidden", "forbidden", None),
}
COLUMNS = [
    (0, PUBLIC, None),
    (1, PRIVATE, None),
    *[(i, t, role) for t in (PUBLIC, PRIVATE) for i, role in
      ((2, Role.MEMBER), (3, Role.ADMIN), (4, Role.OWNER))],
]  # fmt: skip
CELLS = [(act, t, role, TABLE[act][i]) for act in Act for i, t, role in COLUMNS]


def code(act: Act, channel_type: ChannelType, role: Role | None) -> str | None:
    found = problem(act, channel_type, role)
    return None if found is None else found.code.value


@pytest.mark.parametrize(("act", "channel_type", "role", "expected"), CELLS)
def test_a_cell_of_the_table(
    act: Act, channel_type: ChannelType, role: Role | None, expected: str | None
):
    assert code(act, channel_type, role) == expected


@pytest.mark.parametrize("act", Act)
def test_a_dm_is_not_there_for_others(act: Act):
    assert code(act, DM, None) == "not_found"


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (Act.SEE, None),
        (Act.TAKE_PART, None),
        (Act.JOIN, "unsupported"),
        (Act.ADD_MEMBER, "unsupported"),
        (Act.MANAGE, "forbidden"),
        (Act.HAND_OVER, "forbidden"),
    ],
)
def test_the_people_of_a_dm_are_members_whose_number_is_fixed(act: Act, expected: str | None):
    assert code(act, DM, Role.MEMBER) == expected


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("channel_type", [PRIVATE, DM])
def test_what_may_not_be_seen_answers_as_if_it_did_not_exist(act: Act, channel_type: ChannelType):
    """In every word."""
    found, missing = problem(act, channel_type, None), missing_channel()
    assert found is not None
    assert (found.code, found.message, found.field) == (
        missing.code, missing.message, missing.field
    )  # fmt: skip


def test_require_raises_what_problem_finds():
    require(Act.TAKE_PART, PRIVATE, Role.MEMBER)
    with pytest.raises(ChatError) as caught:
        require(Act.MANAGE, PUBLIC, Role.MEMBER)
    assert caught.value.code is Code.FORBIDDEN
