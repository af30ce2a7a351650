"""What clients see has the contract's names (§2); times are RFC 3339, in UTC, with milliseconds."""

import re
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from rtchat.model import (
    ID_MAX,
    Channel,
    ChannelType,
    Kind,
    Member,
    Message,
    Role,
    User,
    rfc3339,
    rfc3339_from_ms,
)

AT = "2026-01-31T23:59:59.123Z"
PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
USER = User(id=42, name="Ada", status="", last_active=None)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (USER, "id name status lastActive"),
        (msgspec.structs.replace(USER, email="a@b"), "id name status lastActive email"),
        (
            Channel(
                id=1, name="n", type=ChannelType.PUBLIC, created_by=1, created_at=AT,
                updated_at=AT, role=None, last_seq=0, read_seq=None, unread=None,
            ),
            "id name type createdBy createdAt updatedAt role lastSeq readSeq unread",
        ),
        (Member(user=USER, role=Role.OWNER, joined_at=AT), "user role joinedAt"),
        (
            Message(id="17:5", channel_id=17, seq=5, user_id=42, content="hi", timestamp=AT),
            "id channelId seq userId content timestamp",
        ),
        (
            Message(
                id="17:5", channel_id=17, seq=5, user_id=42, content="hi", timestamp=AT,
                nonce="n", edited_at=AT, deleted_at=AT,
            ),
            "id channelId seq userId content timestamp nonce editedAt deletedAt",
        ),
    ],
)  # fmt: skip
def test_names_are_the_contracts(value: msgspec.Struct, names: str):
    """What is not set is left out; what is null is there."""
    assert msgspec.to_builtins(value).keys() == set(names.split())


def test_types_and_roles_are_the_contracts_words():
    assert [t.value for t in ChannelType] == ["public", "private", "dm"]
    assert [r.value for r in Role] == ["owner", "admin", "member"]


def test_the_numbers_of_kinds_are_stored_and_never_change():
    assert {kind.name: kind.value for kind in Kind} == {
        "MESSAGE": 1, "EDIT": 2, "DELETE": 3, "REACT": 4, "UNREACT": 5, "JOIN": 6, "LEAVE": 7,
        "RENAME": 8, "DROP": 9,
    }  # fmt: skip


def test_ids_are_exact_in_every_json_reader():
    assert ID_MAX == 2**53 - 1
    assert float(ID_MAX) == ID_MAX


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 31, 23, 59, 59, 123_999, UTC), AT),
        (datetime(2026, 1, 31, tzinfo=UTC), "2026-01-31T00:00:00.000Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_is_written_with_milliseconds(moment: datetime, text: str):
    assert rfc3339(moment) == text


@PROPERTY
@given(st.integers(0, 2**33 * 1000))
def test_milliseconds_survive_exactly(ms: int):
    """A message's `timestamp` on REST is the `ts` of its frame."""
    text = rfc3339_from_ms(ms)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) == timedelta(
        milliseconds=ms
    )
