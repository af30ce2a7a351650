"""Reactions of a batch: what is stored in the end is what the entries say one after the other."""

import itertools
import random

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.batch import Op, Write, decide
from rtchat.errors import ChatError, Code
from rtchat.model import Kind
from rtchat.reactions import Reaction, Reactions
from tests.ledgers import CH, MEMBER, OTHER, OWNER, book, delete, outcomes, react

FIRST, SECOND = 1, 2  # messages of `book`
PEOPLE = (OWNER, MEMBER, OTHER)
EMOJIS = ("👍", "🎉", "❤️")
Standing = dict[Reaction, int]  # and since which seq


def stored(before: Standing, reactions: Reactions, deleted: set[tuple[int, int]]) -> Standing:
    """What the writer's statements make of it."""
    kept = {r: seq for r, seq in before.items() if r not in reactions.removed}
    kept = {r: seq for r, seq in kept.items() if r[:2] not in deleted}
    return reactions.added | kept


def folded(before: Standing, writes: list[Write]) -> Standing:
    """What a reader makes of the log: of a message, emoji and user the last entry counts."""
    standing = dict(before)
    for w in writes:
        if w.seq is None or w.target is None:
            continue
        reaction = (w.channel_id, w.target, w.content or "", w.user_id)
        if w.op is Op.REACT:
            standing.setdefault(reaction, w.seq)
        elif w.op is Op.UNREACT:
            standing.pop(reaction, None)
        else:
            standing = {r: s for r, s in standing.items() if r[:2] != (w.channel_id, w.target)}
    return standing


def read(before: Standing, writes: list[Write], most: int) -> Reactions:
    """As the writer reads: of each emoji one user more than the batch could take away."""
    reactions = Reactions(most)
    found = sorted(before)
    for (_, seq, _), group in itertools.groupby(found, key=lambda r: r[:3]):
        enough = 1 + sum(w.target == seq for w in writes)
        for reaction in list(group)[:enough]:
            reactions.stands(reaction)
    return reactions


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_what_is_stored_is_what_the_log_says(lots: random.Random):
    """Also where not all who reacted were read; and never more emoji than a message may have."""
    everybody = range(1, 9)
    before: Standing = {
        (CH, FIRST, lots.choice(EMOJIS[:2]), user): 3 for user in lots.sample(everybody, 5)
    }
    writes = [
        delete(MEMBER, SECOND)
        if lots.random() < 0.1
        else react(
            lots.choice(PEOPLE), lots.choice((FIRST, SECOND)), lots.choice(EMOJIS),
            on=lots.random() < 0.6,
        )
        for _ in range(8)
    ]  # fmt: skip
    ledger = book()
    ledger.reactions = read(before, writes, most=2)
    decision = decide(writes, ledger)
    assert decision.reactions in (ledger.reactions, None)
    standing = stored(before, ledger.reactions, decision.blanked)
    assert standing == folded(before, writes)
    for seq in (FIRST, SECOND):
        assert len({r[2] for r in standing if r[1] == seq}) <= 2
    exact = book()  # all read: the same answers
    exact.reactions = read(before, writes * 9, most=2)
    answers = [(w.seq, w.error and w.error.code) for w in writes]
    decide(writes, exact)
    assert [(w.seq, w.error and w.error.code) for w in writes] == answers


def test_each_reaction_is_an_entry_even_where_nothing_changes():
    ledger = book()
    writes = [react(MEMBER), react(MEMBER), react(MEMBER, on=False), react(MEMBER, on=False)]
    entries = decide(writes, ledger).entries
    kinds = [Kind.REACT, Kind.REACT, Kind.UNREACT, Kind.UNREACT]
    assert [(e.seq, e.kind) for e in entries] == list(zip(range(11, 15), kinds, strict=True))
    assert {(e.target, e.content, e.user_id) for e in entries} == {(FIRST, "👍", MEMBER)}


def test_a_message_has_so_many_different_emoji():
    """One more of those is none too many; one that nobody holds any longer makes room."""
    reactions = Reactions(2)
    reactions.stands((CH, FIRST, "👍", MEMBER))
    reactions.add((CH, FIRST, "🎉", MEMBER), 11)
    reactions.add((CH, FIRST, "👍", OTHER), 12)
    with pytest.raises(ChatError) as refused:
        reactions.add((CH, FIRST, "❤️", OTHER), 13)
    error = refused.value
    assert (error.code, error.field, error.limits) == (Code.TOO_LONG, "emoji", ("reactions_max",))
    reactions.add((CH, SECOND, "❤️", OTHER), 13)
    reactions.remove((CH, FIRST, "🎉", MEMBER))
    reactions.add((CH, FIRST, "❤️", OTHER), 15)


def test_only_a_message_that_stands_is_reacted_to():
    wanted = [react(MEMBER, 999), delete(MEMBER, FIRST), react(MEMBER), react(MEMBER, on=False)]
    assert outcomes(book(), *wanted) == ["not_found", "stored", "not_found", "not_found"]


def test_a_retry_finds_its_reaction_and_another_is_a_conflict():
    """Another emoji, another message, or its end; the nonce comes before every other check."""
    writes = [
        react(MEMBER, nonce="n"),
        delete(MEMBER, FIRST),
        react(MEMBER, nonce="n"),
        react(MEMBER, nonce="n", on=False),
        react(MEMBER, SECOND, nonce="n"),
        react(MEMBER, emoji="🎉", nonce="n"),
    ]
    assert outcomes(book(), *writes) == ["stored", "stored", "dup", *["nonce_conflict"] * 3]
