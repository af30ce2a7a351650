"""Reading a channel's history page by page."""

from dataclasses import dataclass

import pytest

from tests.contract.rest import JSON, Caller, answer, is_message, problem

pytestmark = pytest.mark.usefixtures("calm")


@dataclass(frozen=True, slots=True)
class Log:
    """A channel with messages and other entries, and the messages as they were answered."""

    channel: JSON
    messages: list[JSON]

    @property
    def seqs(self) -> list[int]:
        return [message["seq"] for message in self.messages]


@pytest.fixture(scope="module")
async def log(ann: Caller, bob: Caller) -> Log:
    """Sixty messages; every tenth entry is no message."""
    channel = await ann.makes("public", bob)
    messages = []
    for number in range(60):
        if number % 10 == 5:
            answer(await ann.patch(f"/channels/{channel['id']}", {"name": f"name {number}"}))
        messages.append(await ann.says(channel, f"message {number}"))
    return Log(channel, messages)


async def page(reader: Caller, log: Log, **query: object) -> tuple[list[int], bool]:
    """A page's seqs, and whether there is more."""
    body = await reader.reads(log.channel, **query)
    assert set(body) == {"items", "hasMore"}
    for message in body["items"]:
        is_message(message)
    seqs = [message["seq"] for message in body["items"]]
    assert seqs == sorted(seqs), "in seq order, always"
    return seqs, body["hasMore"]


async def test_the_newest_page_is_the_default(bob: Caller, log: Log):
    """50 messages, and there are more."""
    assert await page(bob, log) == (log.seqs[-50:], True)


async def test_a_page_holds_messages_as_they_were_answered(bob: Caller, log: Log):
    """The same fields, the same values; other entries are left out, so seqs may skip."""
    body = await bob.reads(log.channel, limit=200)
    assert body == {"items": log.messages, "hasMore": False}
    assert len(log.messages) == 60
    assert log.seqs[-1] == 66


async def test_the_first_page_is_after_nothing(bob: Caller, log: Log):
    """`after=0` begins at the beginning."""
    assert await page(bob, log, after=0) == (log.seqs[:50], True)
    assert await page(bob, log, after=0, limit=60) == (log.seqs, False)
    assert await page(bob, log, after=0, limit=59) == (log.seqs[:59], True)


@pytest.mark.parametrize("limit", [1, 7, 20, 60, 61, 200])
async def test_walking_back_finds_every_message_once(bob: Caller, log: Log, limit: int):
    """`before` the first of a page is the page that comes before it."""
    found: list[int] = []
    query: dict[str, int] = {}
    more = True
    while more:
        seqs, more = await page(bob, log, limit=limit, **query)
        assert len(seqs) == limit or not more
        found = seqs + found
        query = {"before": seqs[0]}
    assert found == log.seqs
    assert await page(bob, log, limit=limit, **query) == ([], False)


@pytest.mark.parametrize("limit", [1, 7, 20, 60, 61, 200])
async def test_walking_forward_finds_every_message_once(bob: Caller, log: Log, limit: int):
    """`after` the last of a page is the page that comes after it."""
    found: list[int] = []
    after, more = 0, True
    while more:
        seqs, more = await page(bob, log, limit=limit, after=after)
        assert len(seqs) == limit or not more
        found += seqs
        after = seqs[-1]
    assert found == log.seqs
    assert await page(bob, log, limit=limit, after=after) == ([], False)


async def test_bounds_need_not_be_messages(bob: Caller, log: Log):
    """Any seq will do: one of another entry, 0, or one that is not there yet."""
    other = next(seq for seq in range(1, 66) if seq not in log.seqs)
    older = [seq for seq in log.seqs if seq < other]
    newer = [seq for seq in log.seqs if seq > other]
    assert await page(bob, log, before=other) == (older, False)
    assert await page(bob, log, after=other, limit=200) == (newer, False)
    assert await page(bob, log, before=0) == ([], False)
    assert await page(bob, log, before=1) == ([], False)
    assert await page(bob, log, before=2**53 - 1) == (log.seqs[-50:], True)
    assert await page(bob, log, after=66) == ([], False)
    assert await page(bob, log, after=2**53 - 1) == ([], False)


async def test_an_empty_channel_has_an_empty_page(ann: Caller):
    channel = await ann.makes()
    assert await ann.reads(channel) == {"items": [], "hasMore": False}


async def test_a_new_member_reads_all_of_it(eve: Caller, log: Log):
    """History is whole for every member, whenever they joined."""
    answer(await eve.post(f"/channels/{log.channel['id']}/join"))
    assert await page(eve, log, limit=200) == (log.seqs, False)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"}, {"limit": "-1"}, {"limit": "201"}, {"limit": "1000000000"},
        {"limit": "abc"}, {"limit": ""}, {"limit": "1.5"}, {"limit": "1e1"}, {"limit": "\u0661"},
        {"limit": "1_0"}, {"limit": " 5"}, {"limit": "+5"}, {"limit": "0x5"}, {"limit": "05x"},
        {"limit": "null"}, {"limit": str(2**64)},
        {"before": "-1"}, {"before": "abc"}, {"before": ""}, {"before": str(2**53)},
        {"before": str(2**63)}, {"before": str(2**64)}, {"before": "9" * 400}, {"before": "1e3"},
        {"before": "1.0"}, {"before": "null"}, {"before": "17:5"},
        {"after": "-1"}, {"after": "abc"}, {"after": ""}, {"after": str(2**63)},
        {"after": "1'; --"}, {"after": "\u0661"}, {"after": "true"},
    ],
    ids=lambda query: f"B-H24 {ascii(query)[:40]}",
)  # fmt: skip
async def test_a_page_says_what_is_wrong_with_it(ann: Caller, log: Log, query: dict[str, str]):
    """B-H24: 422 and the parameter."""
    response = await ann.get(f"/channels/{log.channel['id']}/messages", **query)
    problem(response, "bad_field", field=next(iter(query)))


async def test_a_page_is_before_or_after(ann: Caller, log: Log):
    """At most one of them, and each once."""
    path = f"/channels/{log.channel['id']}/messages"
    problem(await ann.get(path, before=5, after=1), "bad_field")
    problem(await ann.get(path, before=0, after=0), "bad_field")
    for name in ("before", "after", "limit"):
        response = await ann.http.get(f"{path}?{name}=1&{name}=2", headers=ann.person.headers)
        problem(response, "bad_field", field=name)


async def test_unknown_parameters_are_ignored(bob: Caller, log: Log):
    """Adding a parameter is compatible, so an old server passes over a new one."""
    assert await page(bob, log, order="asc", offset=3) == (log.seqs[-50:], True)
