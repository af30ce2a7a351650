"""Messages that are edited and deleted."""

import pytest

from tests.contract.rest import JSON, Caller, answer, is_message, is_time, no_content, problem

pytestmark = pytest.mark.usefixtures("calm")

MISSING = 999_999_999
BAD_CONTENTS: list[object] = ["", " ", "a\0b", "x" * 4001, None, 1, []]


@pytest.fixture
async def channel(ann: Caller, bob: Caller) -> JSON:
    """A channel of ann and bob."""
    return await ann.makes("private", bob)


def path_of(message: JSON) -> str:
    return f"/channels/{message['channelId']}/messages/{message['seq']}"


async def test_an_edited_message_is_answered_as_it_is_now(ann: Caller, bob: Caller, channel: JSON):
    """200 and the Message: same id, seq and timestamp, new content, `editedAt`."""
    message = await ann.says(channel, "helo")
    edited = answer(await ann.patch(path_of(message), {"content": "hello"}))
    is_message(edited)
    assert edited == message | {"content": "hello", "editedAt": edited["editedAt"]}
    assert is_time(edited["editedAt"]) >= is_time(message["timestamp"])
    for reader in (ann, bob):
        assert answer(await reader.get(path_of(message))) == edited
        assert (await reader.reads(channel))["items"] == [edited]


async def test_an_edit_is_an_entry_of_the_log(ann: Caller, channel: JSON):
    """One more seq, and no more messages."""
    message = await ann.says(channel, "helo")
    answer(await ann.patch(path_of(message), {"content": "hello"}))
    assert (await ann.sees(channel))["lastSeq"] == message["seq"] + 1
    assert [m["seq"] for m in (await ann.reads(channel))["items"]] == [message["seq"]]


async def test_an_edit_with_a_nonce_is_made_once(ann: Caller, channel: JSON):
    """The retry changes nothing, even after another edit; other content is a conflict."""
    message = await ann.says(channel, "one")
    body = {"content": "two", "nonce": "e-1"}
    answer(await ann.patch(path_of(message), body))
    answer(await ann.patch(path_of(message), {"content": "three"}))
    head = (await ann.sees(channel))["lastSeq"]
    assert answer(await ann.patch(path_of(message), body))["content"] == "three"
    assert (await ann.sees(channel))["lastSeq"] == head
    other = body | {"content": "four"}
    problem(await ann.patch(path_of(message), other), "nonce_conflict", field="nonce")


async def test_a_retried_send_finds_its_message_after_an_edit(ann: Caller, channel: JSON):
    """The nonce of the send names the message still."""
    message = await ann.says(channel, "one", nonce="s-1")
    edited = answer(await ann.patch(path_of(message), {"content": "two"}))
    body = {"content": "one", "nonce": "s-1"}
    again = answer(await ann.post(f"/channels/{channel['id']}/messages", body), 200)
    assert (again["id"], again["content"]) == (edited["id"], "two")


@pytest.mark.parametrize("content", BAD_CONTENTS, ids=lambda value: ascii(value)[:20])
async def test_an_edit_says_what_is_wrong_with_it(ann: Caller, channel: JSON, content: object):
    """The limits of content are those of sending."""
    message = await ann.says(channel, "hi")
    problem(
        await ann.patch(path_of(message), {"content": content}), "bad_field", "too_long",
        field="content",
    )  # fmt: skip
    problem(await ann.patch(path_of(message), {}), "bad_field", field="content")
    assert answer(await ann.get(path_of(message))) == message


async def test_a_deleted_message_keeps_its_place(ann: Caller, bob: Caller, channel: JSON):
    """204; it is there still, without its content, with `deletedAt`."""
    message = await ann.says(channel, "oops")
    no_content(await ann.delete(path_of(message)))
    for reader in (ann, bob):
        response = await reader.get(path_of(message))
        gone = answer(response)
        is_message(gone)
        assert "oops" not in response.text
        assert gone == message | {"content": "", "deletedAt": gone["deletedAt"]}
        assert (await reader.reads(channel))["items"] == [gone]
    assert (await ann.sees(channel))["lastSeq"] == message["seq"] + 1


async def test_deleting_twice_is_no_second_deletion(ann: Caller, channel: JSON):
    """B-H27: 204 or 404, and no further entry in the log."""
    message = await ann.says(channel, "oops")
    no_content(await ann.delete(path_of(message)))
    head = (await ann.sees(channel))["lastSeq"]
    assert (await ann.delete(path_of(message))).status_code in (204, 404)
    assert (await ann.sees(channel))["lastSeq"] == head


async def test_a_deleted_message_is_not_edited(ann: Caller, channel: JSON):
    """Nothing brings its content back, or puts other content there."""
    message = await ann.says(channel, "oops")
    no_content(await ann.delete(path_of(message)))
    response = await ann.patch(path_of(message), {"content": "back again"})
    problem(response, "not_found", "conflict", "forbidden")
    assert answer(await ann.get(path_of(message)))["content"] == ""


async def test_a_deleted_message_is_not_unread(ann: Caller, bob: Caller, channel: JSON):
    """What cannot be read is not waiting to be read."""
    message = await ann.says(channel, "oops")
    assert (await bob.sees(channel))["unread"] == 1
    no_content(await ann.delete(path_of(message)))
    assert (await bob.sees(channel))["unread"] == 0


async def test_only_messages_are_edited_and_deleted(ann: Caller, channel: JSON):
    """404 for a seq that is missing, or an entry of another kind."""
    renamed = answer(await ann.patch(f"/channels/{channel['id']}", {"name": "other"}))
    for seq in (renamed["lastSeq"], MISSING):
        path = f"/channels/{channel['id']}/messages/{seq}"
        problem(await ann.patch(path, {"content": "x"}), "not_found")
        problem(await ann.delete(path), "not_found")
