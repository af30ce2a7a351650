"""What a batch becomes: numbers without holes, and one entry for each nonce (contract §1.3, §1.4).

Who may do what under the lock is in test_batch_rules.
"""

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.batch import Decision, Known, Ledger, Write, decide
from rtchat.model import ChannelType, Kind, Role
from tests.ledgers import (
    ADMIN,
    CH,
    MEMBER,
    NOW,
    OTHER,
    OWNER,
    PEOPLE,
    SECOND,
    STRANGER,
    add,
    book,
    drop,
    join,
    leave,
    outcome,
    outcomes,
    remove,
    rename,
    send,
    set_role,
)

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)


# --- numbers


def test_entries_are_numbered_without_holes_in_the_order_of_the_writes():
    writes = [send(MEMBER, content="a"), send(STRANGER), send(OTHER), send(MEMBER, content="b")]
    decision = decide(writes, book())
    assert [(e.seq, e.content) for e in decision.entries] == [(11, "a"), (12, "hi"), (13, "b")]
    assert [w.seq for w in writes] == [11, None, 12, 13]
    assert decision.heads == {CH: 13}


def test_each_channel_has_its_own_numbers():
    decision = decide([send(MEMBER), send(MEMBER, channel=SECOND), send(MEMBER)], book())
    assert [(e.channel_id, e.seq) for e in decision.entries] == [(CH, 11), (SECOND, 1), (CH, 12)]
    assert decision.heads == {CH: 12, SECOND: 1}


def test_an_entry_holds_what_was_asked_at_the_databases_time():
    write = send(MEMBER, "n", "text")
    (entry,) = decide([write], book()).entries
    assert (entry.channel_id, entry.kind, entry.user_id) == (CH, Kind.MESSAGE, MEMBER)
    assert (entry.content, entry.nonce, entry.target) == ("text", "n", None)
    assert entry.ts == write.ts == NOW


def test_what_is_refused_or_changes_nothing_stores_nothing():
    decision = decide([send(STRANGER), join(MEMBER)], book())
    assert decision.empty
    assert decision == Decision()


def test_the_outcome_of_an_earlier_try_is_forgotten():
    """Its transaction was rolled back; meanwhile the author has joined."""
    write, ledger = send(STRANGER), book()
    assert outcomes(ledger, write) == ["forbidden"]
    ledger.roles[CH, STRANGER] = Role.MEMBER
    assert outcomes(ledger, write) == ["stored"]


def test_a_channel_that_another_pod_holds_locked_is_passed_over():
    """Its writes stay as they were, and the others go on."""
    ledger = book()
    ledger.locked = {SECOND}
    writes = [send(MEMBER), send(MEMBER, channel=SECOND), send(STRANGER)]
    decision = decide(writes, ledger)
    assert decision.passed_over == [writes[0], writes[2]]
    assert [outcome(w) for w in writes] == ["no entry", "stored", "no entry"]
    assert decision.heads == {SECOND: 1}


def test_a_channel_that_does_not_exist_is_not_passed_over():
    """It cannot be locked, and never could."""
    write = send(MEMBER, channel=404)
    assert decide([write], book()).passed_over == []
    assert outcome(write) == "not_found"


# --- idempotency


def known(kind: Kind = Kind.MESSAGE, content: str | None = "hi", *, changed: bool = False) -> Known:
    """A first copy: the entry with seq 5."""
    return Known(5, 99, kind, content, None, changed)


def with_known(first: Known, user: int = MEMBER, nonce: str = "n") -> Ledger:
    ledger = book()
    ledger.known[CH, user, nonce] = first
    return ledger


def test_a_known_nonce_is_answered_with_its_first_entry():
    write = send(MEMBER, "n")
    decision = decide([write], with_known(known()))
    assert (outcome(write), write.seq, write.ts) == ("dup", 5, 99)
    assert decision.empty


@pytest.mark.parametrize("channel_type", ChannelType)
def test_a_known_nonce_comes_before_every_other_check(channel_type: ChannelType):
    """Its author has been removed since, and may perhaps not even see the channel."""
    ledger = book(channel_type)
    assert outcomes(ledger, send(STRANGER, "n"))[0] in ("forbidden", "not_found")
    ledger.known[CH, STRANGER, "n"] = known()
    assert outcomes(ledger, send(STRANGER, "n")) == ["dup"]


@pytest.mark.parametrize(
    ("first", "write"),
    [
        (known(content="other"), send(MEMBER, "n")),
        (known(Kind.RENAME, "name"), send(MEMBER, "n", "name")),
        (known(Kind.RENAME, "name", changed=True), send(MEMBER, "n", "name")),
        (known(Kind.RENAME, "other"), rename(ADMIN, "name", "n")),
        (known(content="other"), send(STRANGER, "n")),
    ],
)
def test_a_nonce_that_was_used_for_something_else_is_a_conflict(first: Known, write: Write):
    decision = decide([write], with_known(first, write.user_id))
    assert write.error is not None
    assert (write.error.code.value, write.error.field) == ("nonce_conflict", "nonce")
    assert decision.empty


def test_content_that_was_edited_or_blanked_since_cannot_conflict():
    """Nobody knows any more what was sent at first."""
    ledger = with_known(known(content="", changed=True))
    assert outcomes(ledger, send(MEMBER, "n")) == ["dup"]


def test_the_same_nonce_twice_in_one_batch_makes_one_entry():
    writes = [send(MEMBER, "n"), send(MEMBER, "n"), send(MEMBER, "n", "other")]
    decision = decide(writes, book())
    assert [outcome(w) for w in writes] == ["stored", "dup", "nonce_conflict"]
    assert (writes[1].seq, writes[1].ts) == (11, NOW)
    assert len(decision.entries) == 1


def test_a_nonce_is_its_users_and_its_channels():
    writes = [send(MEMBER, "n"), send(OTHER, "n"), send(MEMBER, "n", channel=SECOND)]
    assert outcomes(book(), *writes) == ["stored", "stored", "stored"]


def test_the_nonce_of_a_refused_write_is_free():
    writes = [send(STRANGER, "n"), join(STRANGER), send(STRANGER, "n", "other")]
    assert outcomes(book(), *writes) == ["forbidden", "stored", "stored"]


def test_deleting_the_channel_ends_the_promise():
    ledger = with_known(known())
    ledger.channels[CH].deleted = True
    assert outcomes(ledger, send(MEMBER, "n")) == ["not_found"]


def test_the_log_is_searched_for_clients_nonces_only():
    """One that this pod made is new, until the answer to a COMMIT is lost."""
    assert send(MEMBER, "n").check
    assert not send(MEMBER).check


# --- the answer to COMMIT was lost: the same writes run again, and each finds itself


def run_again(ledger: Ledger, *writes: Write) -> Decision:
    """Decide, store, lose the answer, and decide again on what the database says by then."""
    for entry in decide(writes, ledger).entries:
        assert entry.nonce is not None
        ledger.known[CH, entry.user_id, entry.nonce] = Known(
            entry.seq, entry.ts, entry.kind, entry.content, entry.target
        )
    for write in writes:
        write.check = True
    ledger.now_ms += 1000
    return decide(writes, ledger)


def test_a_nonce_that_the_pod_made_is_no_dup_when_found_again():
    """Whoever asked sent it once."""
    write = send(MEMBER)
    assert run_again(book(), write).empty
    assert (outcome(write), write.seq, write.ts) == ("stored", 11, NOW)


def test_a_nonce_of_the_clients_is_found_again_too():
    write = send(MEMBER, "n")
    assert run_again(book(), write).empty
    assert (write.error, write.seq, write.ts) == (None, 11, NOW)


def test_a_hand_over_run_again_is_no_error():
    """It is done; an error with `retry: false` would say that it never will be (§1.5)."""
    write = set_role(OWNER, MEMBER, Role.OWNER)
    run_again(book(), write)
    assert outcome(write) == "no entry"


def test_an_admin_stepping_down_again_is_no_error():
    write = set_role(ADMIN, ADMIN, Role.MEMBER)
    run_again(book(), write)
    assert outcome(write) == "no entry"


def test_the_deletion_of_a_channel_finds_itself_again():
    """Or whoever deleted it would be told that it had not been there."""
    write = drop(OWNER)
    run_again(book(), write)
    assert (outcome(write), write.seq) == ("stored", 11)


people = st.sampled_from(PEOPLE)
writes_with_entries = st.one_of(
    st.builds(send, people, st.sampled_from([None, "n", "m"]), st.sampled_from(["a", "b"])),
    people.map(join),
    people.map(leave),
    people.map(rename),
    st.builds(remove, people, people),
    st.builds(add, people, people, st.sampled_from([Role.MEMBER, Role.ADMIN])),
)


@PROPERTY
@given(st.sampled_from(ChannelType), st.lists(writes_with_entries, max_size=12))
def test_whatever_was_stored_is_found_again(channel_type: ChannelType, writes: list[Write]):
    decide(writes, book(channel_type))
    first = [(w.seq, w.ts) for w in writes]
    again = run_again(book(channel_type), *writes)
    for write, (seq, ts) in zip(writes, first, strict=True):
        if seq is not None:
            assert (write.error, write.seq, write.ts) == (None, seq, ts)
    assert all(entry.ts > NOW for entry in again.entries)


set_roles = st.builds(set_role, people, people, st.sampled_from(Role))


@PROPERTY
@given(
    st.sampled_from(ChannelType),
    st.lists(writes_with_entries | set_roles | people.map(drop), max_size=20),
)
def test_the_log_tells_the_truth(channel_type: ChannelType, writes: list[Write]):
    """Replayed from its entries: no holes, every author a member, one owner at the end."""
    ledger = book(channel_type)
    roles = {user: role for (c, user), role in ledger.roles.items() if c == CH}
    decision = decide(writes, ledger)
    assert [e.seq for e in decision.entries] == list(range(11, 11 + len(decision.entries)))
    by_seq = {w.seq: w for w in writes if w.seq is not None and not w.dup}
    members = set(roles)
    for entry in decision.entries:
        assert by_seq[entry.seq].user_id == entry.user_id
        assert entry.user_id in members or (entry.kind, entry.target) == (Kind.JOIN, entry.user_id)
        if entry.kind is Kind.JOIN:
            assert entry.target not in members
            members.add(entry.target or 0)
        elif entry.kind is Kind.LEAVE:
            members.remove(entry.target or 0)
        assert entry.kind is not Kind.DROP or entry is decision.entries[-1]
    after = {user: decision.roles.get((CH, user), roles.get(user)) for user in PEOPLE}
    assert {user for user, role in after.items() if role} == members
    owners = [user for user, role in after.items() if role is Role.OWNER]
    assert len(owners) == (channel_type is not ChannelType.DM)
