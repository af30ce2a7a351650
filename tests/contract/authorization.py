"""Who may do what, written down a second time: the contract's table (§2), and how one tries it.

Owns: every operation on a channel with its route, its command and its row of the table; everybody
who may stand to a channel in some way; fresh channels, put into the database ready to be used.
Independent of `rtchat.rules` on purpose. Nothing here asserts anything.
"""

import secrets
from dataclasses import dataclass
from typing import Any, NamedTuple

import asyncpg

from tests.contract.rest import JSON, Caller
from tests.sockets import Wire

MISSING = 999_999_999
YES, NO = "yes", "forbidden"
HIDDEN = "not_found"

# Contract §2, row by row: outsiders of a public channel, members, admins, owners.
ROWS: dict[str, tuple[str, str, str, str]] = {
    "see the channel": (YES, YES, YES, YES),
    "join": (YES, YES, YES, YES),
    "leave": (YES, YES, YES, "conflict"),  # "an owner leaves after handing over"
    "take part": (NO, YES, YES, YES),  # history, sub, send, read, typing, list members, edit own …
    "add members": (NO, YES, YES, YES),
    "manage": (NO, NO, YES, YES),  # others' messages, removals, names, admins, the end
    "hand over": (NO, NO, NO, YES),
    "act on an owner": (NO, NO, NO, NO),  # "nobody acts on an owner"
    "edit others'": (NO, NO, NO, NO),  # an edit is its author's
}
ROLES = ("outsider", "member", "admin", "owner")

CHANNEL = "/channels/{id}"
MEMBERS = f"{CHANNEL}/members"
MEMBER = f"{MEMBERS}/{{userId}}"
MESSAGES = f"{CHANNEL}/messages"
MESSAGE = f"{MESSAGES}/{{seq}}"


@dataclass(frozen=True)
class Operation:
    """One thing that one may want of a channel.

    `on` is whom or whose message it is about: a field of `Cast`, or "self". `dm` is what a member
    of a dm is answered, where that is not what members of other channels are.
    """

    row: str
    method: str
    path: str
    done: int
    body: JSON | None = None
    on: str = "other"
    command: str | None = None
    dm: str | None = None


SILENT = {"read", "typing"}  # commands that are not answered where they go well
# A command that is no route stands beside one of its row.
OPERATIONS: dict[str, Operation] = {
    "see": Operation("see the channel", "GET", CHANNEL, 200),
    "join": Operation("join", "POST", f"{CHANNEL}/join", 200, dm="unsupported"),
    "leave": Operation("leave", "POST", f"{CHANNEL}/leave", 204, dm="unsupported"),
    "list members": Operation("take part", "GET", MEMBERS, 200, command="typing"),
    "history": Operation("take part", "GET", MESSAGES, 200, command="sub"),
    "read one": Operation("take part", "GET", MESSAGE, 200, command="read"),
    "send": Operation("take part", "POST", MESSAGES, 201, {"content": "hi"}, command="send"),
    "edit own": Operation(
        "take part", "PATCH", MESSAGE, 200, {"content": "hm"}, on="self", command="edit"
    ),
    "edit others'": Operation(
        "edit others'", "PATCH", MESSAGE, 200, {"content": "hm"}, command="edit"
    ),
    "delete own": Operation("take part", "DELETE", MESSAGE, 204, on="self", command="del"),
    "delete others'": Operation("manage", "DELETE", MESSAGE, 204, command="del"),
    "delete an owner's": Operation("manage", "DELETE", MESSAGE, 204, on="owner", command="del"),
    # Of the WebSocket only; over REST its message is read.
    "react": Operation("take part", "GET", MESSAGE, 200, command="react"),
    "add a member": Operation(
        "add members", "POST", MEMBERS, 201, {}, on="newcomer", dm="unsupported"
    ),
    "add an admin": Operation(
        "manage", "POST", MEMBERS, 201, {"role": "admin"}, on="newcomer", dm="unsupported"
    ),
    "make an admin": Operation("manage", "PATCH", MEMBER, 200, {"role": "admin"}),
    "unmake an admin": Operation("manage", "PATCH", MEMBER, 200, {"role": "member"}, on="deputy"),
    "lower an owner": Operation(
        "act on an owner", "PATCH", MEMBER, 200, {"role": "member"}, on="owner"
    ),
    "hand over": Operation("hand over", "PATCH", MEMBER, 200, {"role": "owner"}),
    "remove a member": Operation("manage", "DELETE", MEMBER, 204, dm="unsupported"),
    "remove an admin": Operation("manage", "DELETE", MEMBER, 204, on="deputy", dm="unsupported"),
    "remove an owner": Operation(
        "act on an owner", "DELETE", MEMBER, 204, on="owner", dm="unsupported"
    ),
    "remove oneself": Operation("leave", "DELETE", MEMBER, 204, on="self", dm="unsupported"),
    "rename": Operation("manage", "PATCH", CHANNEL, 200, {"name": "renamed"}),
    "delete the channel": Operation("manage", "DELETE", CHANNEL, 204),
}


class Stance(NamedTuple):
    """How somebody stands to a channel; `role` is "nobody" for who is not signed in."""

    channel: str
    role: str

    def __str__(self) -> str:
        return f"{self.channel}-{self.role}"


STANCES = [
    *[Stance(channel, role) for channel in ("public", "private") for role in ("nobody", *ROLES)],
    *[Stance("dm", role) for role in ("nobody", "outsider", "member")],
    *[Stance("deleted", role) for role in ("outsider", "member", "owner")],
    *[Stance("missing", role) for role in ("nobody", "outsider")],
]


def expected(name: str, stance: Stance) -> str:
    """What the contract answers: YES, or a code."""
    operation = OPERATIONS[name]
    unseen = stance.role == "outsider" and stance.channel != "public"
    if stance.role == "nobody":
        return "unauthorized"
    if stance.channel in ("deleted", "missing") or unseen:
        return HIDDEN
    if stance.channel == "dm" and operation.dm is not None:
        return operation.dm
    if name == "remove an owner" and stance.role == "owner":
        return "conflict"  # removing oneself is leaving
    return ROWS[operation.row][ROLES.index(stance.role)]


SIGNED_IN = ("owner", "admin", "deputy", "member", "other", "outsider", "newcomer")


@dataclass
class Cast:
    """The people of some scenes. All but the newcomer have written a message, also the outsider."""

    nobody: Caller
    owner: Caller
    admin: Caller
    deputy: Caller  # another admin
    member: Caller
    other: Caller  # another member
    outsider: Caller
    newcomer: Caller

    def authors(self) -> list[Caller]:
        """Those who have written, in the order of their messages' seqs."""
        return [self.owner, self.admin, self.deputy, self.member, self.other, self.outsider]

    def subject(self, name: str, actor: str) -> Caller:
        """Whom an operation is about."""
        on = OPERATIONS[name].on
        if on == "self":
            on = "other" if actor == "nobody" else actor
        found = getattr(self, on)
        assert isinstance(found, Caller)
        return found


_MAKE = """
WITH made AS (
  INSERT INTO channels (name, type, created_by, last_seq, dm_key)
  VALUES ($1, $2, $3, cardinality($6::bigint[]), $7) RETURNING id
), joined AS (
  INSERT INTO members (channel_id, user_id, role)
  SELECT made.id, m.person, m.role FROM made, unnest($4::bigint[], $5::text[]) AS m(person, role)
), said AS (
  INSERT INTO messages (channel_id, seq, kind, user_id, content, timestamp, nonce)
  SELECT made.id, s.seq, 1, s.author, 'said', now(), 'n' || s.seq
  FROM made, unnest($6::bigint[]) WITH ORDINALITY AS s(author, seq)
)
SELECT id FROM made
"""
_STATE = """
SELECT c.name, c.last_seq, c.deleted_at,
       (SELECT array_agg((m.user_id, m.role)::text ORDER BY m.user_id) FROM members m
        WHERE m.channel_id = c.id) AS members,
       (SELECT array_agg((l.seq, l.kind, l.content, l.edited_at, l.deleted_at)::text ORDER BY l.seq)
        FROM messages l WHERE l.channel_id = c.id) AS log
FROM channels c WHERE c.id = $1
"""


async def make_channel(sql: asyncpg.Connection, cast: Cast, kind: str) -> int:
    """Put a channel with members and messages into the database; "missing" makes none."""
    if kind == "missing":
        return MISSING
    dm = kind == "dm"
    roles = {cast.owner: "owner", cast.admin: "admin", cast.deputy: "admin"}
    insiders = [c for c in cast.authors() if c is not cast.outsider]
    channel_id: int = await sql.fetchval(
        _MAKE,
        None if dm else "a channel",
        "public" if kind == "deleted" else kind,
        cast.owner.id,
        [c.id for c in insiders],
        ["member" if dm else roles.get(c, "member") for c in insiders],
        [c.id for c in cast.authors()],
        secrets.token_hex(8) if dm else None,
    )
    if kind == "deleted":
        gone = await cast.owner.delete(f"/channels/{channel_id}")
        assert gone.status_code == 204, gone.text
    return channel_id


async def state(sql: asyncpg.Connection, channel_id: int) -> Any:
    """Everything that is stored of a channel, to be compared."""
    return await sql.fetchrow(_STATE, channel_id)


def request_of(name: str, cast: Cast, channel_id: int, actor: str) -> tuple[str, str, JSON | None]:
    """The request that an operation is."""
    operation, subject = OPERATIONS[name], cast.subject(name, actor)
    authors = cast.authors()
    seq = authors.index(subject) + 1 if subject in authors else 1
    body = operation.body
    if operation.path == MEMBERS and body is not None:
        body = {**body, "userId": subject.id}
    path = operation.path.format(id=channel_id, userId=subject.id, seq=seq)
    return operation.method, path, body


def command_of(name: str, cast: Cast, channel_id: int, actor: str) -> JSON:
    """The command that an operation is."""
    _, path, body = request_of(name, cast, channel_id, actor)
    command = OPERATIONS[name].command
    if command == "sub":
        return {"t": "sub", "ref": "it", "ch": {str(channel_id): None}}
    if command == "typing":
        return {"t": "typing", "ref": "it", "ch": channel_id}
    of = "seq" if command == "read" else "of"
    about: JSON = {} if command == "send" else {of: int(path.rpartition("/")[2])}
    about |= {"emoji": "👍", "on": True} if command == "react" else {}
    return {"t": command, "ref": "it", "ch": channel_id, **about, **(body or {})}


async def try_command(socket: Wire, frame: JSON) -> tuple[str, JSON]:
    """Send a command; returns YES or a code, and the frame that said it."""
    await socket.send(frame)
    if frame["t"] in SILENT:
        await socket.send({"t": "ping", "ref": "it"})
    answer = (await socket.until(ref="it"))[-1]
    if answer["t"] == "ok":
        (told,) = answer["ch"].values()
        return told.get("error", YES), answer
    return (YES if answer["t"] in ("ack", "pong") else answer["code"]), answer
