"""Words between pods: read as they were written, refused as anything else, dropped by old pods."""

import pytest
from hypothesis import given, strategies as st

from rtchat.envelope import BadEnvelopeError, Envelope
from rtchat.ephemeral import word as words
from rtchat.ephemeral.word import Word
from rtchat.model import ID_MAX

IDS = st.integers(1, ID_MAX)
PEOPLE = st.lists(IDS, max_size=5)
WORDS = st.builds(
    Word,
    origin=st.text(min_size=1, max_size=64),
    typing=PEOPLE,
    read=st.lists(st.tuples(IDS, st.integers(0, ID_MAX)), max_size=5),
    online=PEOPLE,
    gone=PEOPLE,
    whole=st.booleans(),
    asks=st.booleans(),
    subscribers=st.integers(0, ID_MAX),
)


@given(IDS, WORDS)
def test_a_word_is_read_as_it_was_written(channel: int, word: Word):
    assert words.parse(words.encode(channel, word)) == (channel, word)


@given(IDS, WORDS)
def test_who_knows_no_words_takes_one_for_an_envelope_of_the_past(channel: int, word: Word):
    """Its last seq is below every cursor, also that of a room that is not open yet (-1)."""
    place, last = Envelope.place(words.encode(channel, word))
    assert (place, last) == (channel, -1)


@given(st.binary(max_size=100))
def test_anything_else_is_refused(data: bytes):
    for text in (data, bytes([words.VERSION]) + data[:10]):
        with pytest.raises(ValueError, match="no word"):
            words.parse(text)


@given(IDS, WORDS, st.data())
def test_a_damaged_word_is_refused_or_a_word(channel: int, word: Word, data: st.DataObject):
    whole = words.encode(channel, word)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        place, read = words.parse(damaged)
    except ValueError:
        return
    assert 0 < place <= ID_MAX
    assert all(0 < user <= ID_MAX for user in (*read.typing, *read.online, *read.gone))


def test_an_envelope_is_no_word():
    envelope = bytes(Envelope(17, 1, (1,), (), b"x"))
    with pytest.raises(ValueError, match="no word"):
        words.parse(envelope)
    with pytest.raises(BadEnvelopeError):
        Envelope.parse(words.encode(17, Word("pod")))
