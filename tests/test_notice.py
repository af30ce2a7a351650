"""Notices between pods: bytes and back, and nothing believed that is no notice."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from rtchat import notice
from rtchat.model import ID_MAX
from rtchat.notice import IDS_MAX, Added, Beat, HaveRead, Notice, Removed, Seek, SessionsEnded

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
ids = st.integers(1, ID_MAX)
origins = st.text(max_size=20)
notices: st.SearchStrategy[Notice] = st.one_of(
    st.builds(Added, origins, ids, st.lists(ids)),
    st.builds(
        Removed, origins, ids, st.lists(ids), st.integers(0, ID_MAX),
        st.sampled_from(["left", "removed", "deleted"]),
    ),
    st.builds(SessionsEnded, origins, st.lists(ids)),
    st.builds(HaveRead, origins, st.lists(st.tuples(ids, ids, st.integers(0, ID_MAX)))),
    st.builds(Beat, origins, st.booleans()),
    st.builds(Seek, origins, st.lists(st.tuples(ids, st.lists(ids)))),
)  # fmt: skip


def is_refused(data: bytes) -> bool:
    """Whether this is no notice. No exception but ValueError may come of it."""
    try:
        notice.parse(data)
    except ValueError:
        return True
    return False


@PROPERTY
@given(notices)
def test_parsing_inverts_encoding(sent: Notice):
    assert notice.parse(notice.encode(sent)) == sent


@PROPERTY
@given(st.binary(max_size=100))
def test_garbage_is_refused(data: bytes):
    assert is_refused(data)


@PROPERTY
@given(notices, st.data())
def test_a_notice_cut_short_or_damaged_never_crashes(sent: Notice, data: st.DataObject):
    whole = bytearray(notice.encode(sent))
    at = data.draw(st.integers(0, len(whole) - 1))
    assert is_refused(bytes(whole[:at]))
    whole[at] = data.draw(st.integers(0, 255))
    if not is_refused(bytes(whole)):
        found = notice.parse(bytes(whole))
        assert notice.parse(notice.encode(found)) == found


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        [],
        "added",
        ["unknown", "pod", 1, [2]],
        ["added", "pod", 1],
        ["added", "pod", 0, [2]],
        ["added", "pod", 2**53, [2]],
        ["added", "pod", 1, [0]],
        ["added", "pod", 1, ["2"]],
        ["added", "pod", 1, 2],
        ["added", 5, 1, [2]],
        ["added", "pod", 1, [2] * (IDS_MAX + 1)],
        ["removed", "pod", 1, [2], -1, "left"],
        ["removed", "pod", 1, [2], 5, "for no reason"],
        ["removed", "pod", 1, [2], 5, 5],
        ["sessions", "pod", [-1]],
        ["sessions", "pod", None],
    ],
)
def test_what_is_no_notice_is_refused(content: object):
    assert is_refused(msgspec.msgpack.encode(content))


def test_a_notice_may_be_as_long_as_said():
    assert not is_refused(notice.encode(SessionsEnded("pod", list(range(1, IDS_MAX + 1)))))


@pytest.mark.parametrize("depth", [10, 1000, 200_000])
def test_depth_never_crashes(depth: int):
    """What comes behind the fields that we know may be from a newer pod, or from anybody."""
    known = msgspec.msgpack.encode(["sessions", "pod", [1]])
    deeper = b"\x94" + known[1:] + b"\x91" * depth + b"\xc0"
    assert is_refused(deeper) or notice.parse(deeper) == SessionsEnded("pod", [1])
