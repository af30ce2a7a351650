"""The rules under the lock: who may do what (contract §2), and in which order it counts."""

from collections.abc import Callable

import pytest

from rtchat.batch import Write, decide
from rtchat.model import ChannelType, Kind, Role
from tests.ledgers import (
    ADMIN,
    CH,
    MEMBER,
    NOBODY,
    OTHER,
    OWNER,
    STRANGER,
    add,
    book,
    drop,
    join,
    leave,
    log_of,
    outcome,
    outcomes,
    react,
    remove,
    rename,
    send,
    set_role,
)

# --- the table

WISHES: dict[str, Callable[[int], Write]] = {
    "send": send,
    "react": react,
    "react no longer": lambda user: react(user, on=False),
    "join": join,
    "leave": leave,
    "add": lambda user: add(user, NOBODY),
    "add an admin": lambda user: add(user, NOBODY, Role.ADMIN),
    "remove": lambda user: remove(user, OTHER),
    "rename": rename,
    "make admin": lambda user: set_role(user, OTHER, Role.ADMIN),
    "delete": drop,
    "hand over": lambda user: set_role(user, OTHER, Role.OWNER),
}

# Not a member: of a public channel, of a private one. Then member, admin and owner of either.
TABLE = {
    "send": "forbidden not_found stored stored stored",
    "react": "forbidden not_found stored stored stored",
    "react no longer": "forbidden not_found stored stored stored",
    "join": "stored not_found no_change no_change no_change",
    "leave": "no_change not_found stored stored conflict",
    "add": "forbidden not_found stored stored stored",
    "add an admin": "forbidden not_found forbidden stored stored",
    "remove": "forbidden not_found forbidden stored stored",
    "rename": "forbidden not_found forbidden stored stored",
    "make admin": "forbidden not_found forbidden done done",
    "delete": "forbidden not_found forbidden stored stored",
    "hand over": "forbidden not_found forbidden forbidden done",
}
PUBLIC, PRIVATE, DM = ChannelType.PUBLIC, ChannelType.PRIVATE, ChannelType.DM
COLUMNS = [
    (0, PUBLIC, STRANGER),
    (1, PRIVATE, STRANGER),
    *[(2 + i, t, user) for t in (PUBLIC, PRIVATE) for i, user in enumerate((MEMBER, ADMIN, OWNER))],
]
CELLS = [(name, t, user, TABLE[name].split()[i]) for name in TABLE for i, t, user in COLUMNS]


def answer(name: str, channel_type: ChannelType, user: int) -> str:
    """`stored`, `done` without an entry, `no_change`, or the code of the error."""
    ledger, write = book(channel_type), WISHES[name](user)
    ledger.users.add(NOBODY)
    decision = decide([write], ledger)
    if write.error is not None or write.seq is not None:
        assert decision.empty is (write.error is not None)
        return outcome(write)
    return "no_change" if decision.empty else "done"


@pytest.mark.parametrize(("name", "channel_type", "user", "expected"), CELLS)
def test_a_cell_of_the_table(name: str, channel_type: ChannelType, user: int, expected: str):
    assert answer(name, channel_type, user) == expected


@pytest.mark.parametrize("name", TABLE)
def test_a_dm_is_not_there_for_others(name: str):
    assert answer(name, DM, STRANGER) == "not_found"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("send", "stored"),
        ("react", "stored"),
        ("join", "unsupported"),
        ("leave", "unsupported"),
        ("add", "unsupported"),
        ("add an admin", "unsupported"),
        ("remove", "unsupported"),
        ("rename", "forbidden"),
        ("make admin", "forbidden"),
        ("delete", "forbidden"),
        ("hand over", "forbidden"),
    ],
)
def test_the_people_of_a_dm_are_fixed_and_equal(name: str, expected: str):
    assert answer(name, DM, MEMBER) == expected


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("channel_type", [PRIVATE, DM])
def test_what_may_not_be_seen_answers_as_if_it_did_not_exist(name: str, channel_type: ChannelType):
    """In every word."""
    hidden, missing, deleted = (WISHES[name](STRANGER) for _ in range(3))
    gone = book()
    gone.channels[CH].deleted = True
    decide([hidden], book(channel_type))
    missing.channel_id = 404
    decide([missing], book())
    decide([deleted], gone)
    errors = [w.error for w in (hidden, missing, deleted)]
    assert all(e is not None and e.code.value == "not_found" for e in errors)
    assert len({(e.message, e.field) for e in errors if e is not None}) == 1


def test_a_channel_that_is_deleted_is_not_there_for_its_members_either():
    ledger = book()
    ledger.channels[CH].deleted = True
    assert outcomes(ledger, *(WISHES[name](OWNER) for name in TABLE)) == ["not_found"] * len(TABLE)


# --- what is stored


@pytest.mark.parametrize(
    ("write", "kind", "target"),
    [
        (send(MEMBER), Kind.MESSAGE, None),
        (react(MEMBER, 7), Kind.REACT, 7),
        (react(MEMBER, 7, on=False), Kind.UNREACT, 7),
        (join(STRANGER), Kind.JOIN, STRANGER),
        (leave(MEMBER), Kind.LEAVE, MEMBER),
        (add(MEMBER, STRANGER), Kind.JOIN, STRANGER),
        (remove(ADMIN, OTHER), Kind.LEAVE, OTHER),
        (rename(ADMIN), Kind.RENAME, None),
        (drop(OWNER), Kind.DROP, None),
    ],
)
def test_an_entry_tells_who_did_it_and_to_whom(write, kind: Kind, target: int | None):
    assert log_of(book(), write) == [(11, kind, write.user_id, target)]


def test_membership_changes_with_its_entry():
    decision = decide([join(STRANGER), leave(MEMBER), remove(ADMIN, OTHER)], book())
    assert decision.roles == {(CH, STRANGER): Role.MEMBER, (CH, MEMBER): None, (CH, OTHER): None}


def test_somebody_may_be_added_as_an_admin():
    assert decide([add(ADMIN, STRANGER, Role.ADMIN)], book()).roles == {(CH, STRANGER): Role.ADMIN}


def test_a_role_leaves_no_entry():
    decision = decide([set_role(ADMIN, OTHER, Role.ADMIN)], book())
    assert decision.entries == []
    assert decision.roles == {(CH, OTHER): Role.ADMIN}
    assert not decision.empty


def test_a_new_name_is_stored_with_its_entry():
    decision = decide([rename(ADMIN, "old"), rename(OWNER, "new")], book())
    assert decision.names == {CH: "new"}
    assert [(e.kind, e.content) for e in decision.entries] == [
        (Kind.RENAME, "old"), (Kind.RENAME, "new")
    ]  # fmt: skip


# --- others


def test_only_users_are_added():
    write = add(MEMBER, NOBODY)
    assert outcomes(book(), write) == ["not_found"]
    assert write.error is not None
    assert write.error.field == "userId"


def test_who_may_not_add_does_not_learn_who_exists():
    assert outcomes(book(), add(STRANGER, NOBODY)) == ["forbidden"]
    assert outcomes(book(PRIVATE), add(STRANGER, NOBODY)) == ["not_found"]


def test_adding_a_member_changes_nothing():
    """Not even a role: that is another operation."""
    decision = decide([add(ADMIN, OTHER, Role.ADMIN), add(MEMBER, OWNER)], book())
    assert decision.empty


@pytest.mark.parametrize("write", [remove(ADMIN, STRANGER), set_role(ADMIN, STRANGER, Role.ADMIN)])
def test_only_members_are_acted_upon(write):
    assert outcomes(book(), write) == ["not_found"]
    assert write.error is not None
    assert write.error.field == "userId"


def test_removing_oneself_is_leaving():
    assert log_of(book(), remove(MEMBER, MEMBER)) == [(11, Kind.LEAVE, MEMBER, MEMBER)]
    assert outcomes(book(), remove(OWNER, OWNER)) == ["conflict"]
    assert outcomes(book(DM), remove(MEMBER, MEMBER)) == ["unsupported"]


# --- owners


@pytest.mark.parametrize(
    "write",
    [
        remove(ADMIN, OWNER),
        set_role(ADMIN, OWNER, Role.MEMBER),
        set_role(ADMIN, OWNER, Role.ADMIN),
        set_role(OWNER, OWNER, Role.MEMBER),
    ],
)
def test_nobody_acts_on_an_owner(write):
    assert outcomes(book(), write) == ["forbidden"]


def test_ownership_is_handed_over_to_a_member():
    decision = decide([set_role(OWNER, MEMBER, Role.OWNER)], book())
    assert decision.roles == {(CH, MEMBER): Role.OWNER, (CH, OWNER): Role.ADMIN}
    assert outcomes(book(), set_role(OWNER, STRANGER, Role.OWNER)) == ["not_found"]


def test_an_owner_leaves_after_handing_over():
    hand_over = set_role(OWNER, MEMBER, Role.OWNER)
    assert outcomes(book(), leave(OWNER), hand_over, leave(OWNER)) == [
        "conflict", "no entry", "stored"
    ]  # fmt: skip


def test_a_former_owner_has_an_admins_rights_only():
    writes = [set_role(OWNER, MEMBER, Role.OWNER), set_role(OWNER, OTHER, Role.OWNER)]
    assert outcomes(book(), *writes, rename(OWNER)) == ["no entry", "forbidden", "stored"]


def test_an_admin_may_step_down():
    writes = [set_role(ADMIN, ADMIN, Role.MEMBER), rename(ADMIN)]
    assert outcomes(book(), *writes) == ["no entry", "forbidden"]


# --- order within one batch


@pytest.mark.parametrize("ending", [leave(MEMBER), remove(ADMIN, MEMBER)])
def test_nothing_slips_in_behind_a_removal(ending):
    """What the member sent before it counts, what comes behind it in the same batch does not."""
    writes = [send(MEMBER, content="before"), ending, send(MEMBER, content="behind")]
    assert outcomes(book(), *writes) == ["stored", "stored", "forbidden"]


def test_behind_a_removal_a_private_channel_is_not_there():
    assert outcomes(book(PRIVATE), leave(MEMBER), send(MEMBER)) == ["stored", "not_found"]


def test_a_retry_behind_a_removal_finds_what_was_stored_before_it():
    writes = [send(MEMBER, "n"), remove(ADMIN, MEMBER), send(MEMBER, "n")]
    assert outcomes(book(), *writes) == ["stored", "stored", "dup"]


def test_who_joins_may_send_at_once():
    assert outcomes(book(), send(STRANGER), join(STRANGER), send(STRANGER)) == [
        "forbidden", "stored", "stored"
    ]  # fmt: skip


def test_what_is_done_already_makes_no_second_entry():
    writes = [join(STRANGER), add(MEMBER, STRANGER), join(STRANGER), leave(STRANGER)]
    assert outcomes(book(), *writes, leave(STRANGER)) == [
        "stored", "no entry", "no entry", "stored", "no entry"
    ]  # fmt: skip


def test_two_removals_of_one_member_make_one_entry():
    assert outcomes(book(), remove(ADMIN, OTHER), remove(OWNER, OTHER)) == ["stored", "not_found"]


def test_the_tombstone_is_the_last_entry():
    writes = [send(MEMBER), drop(OWNER), send(MEMBER), rename(OWNER), drop(ADMIN), join(STRANGER)]
    decision = decide(writes, book())
    assert [outcome(w) for w in writes] == ["stored", "stored", *["not_found"] * 4]
    assert decision.dropped == {CH}
    assert [e.kind for e in decision.entries] == [Kind.MESSAGE, Kind.DROP]
    assert decision.heads == {CH: 12}
