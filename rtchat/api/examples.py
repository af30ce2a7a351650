"""One example, or more, of each operation: a story that begins on an empty server.

Owns: the requests and answers that documents, samples and the Postman collection show. The tests
run the story in three languages and compare (tests/docs/test_examples.py): what stands here is what
comes. Ids are those of an empty server; moments and tokens are others each time.
"""

from msgspec.structs import replace

from rtchat.api import types
from rtchat.api.router import Route
from rtchat.api.samples import SHOWN, Example
from rtchat.auth.sessions import Session
from rtchat.errors import Code
from rtchat.model import Channel, ChannelType, LiveSession, Member, Message, Role, User

T = "2026-01-31T12:00:00.000Z"
EXPIRES = "2026-03-02T12:00:00.000Z"
URL = "http://localhost:8000"  # the server's public address, where an answer names it

ANN = User(id=1, name="Ann", status="", last_active=T, email="ann@example.org")
BUSY = replace(ANN, status="in a meeting")
BOB = User(id=2, name="Bob", status="", last_active=T)
CAL = User(id=3, name="Cal", status="", last_active=T, email="cal@example.org")
SESSION = Session(
    user=ANN, access_token=SHOWN["$TOKEN"], expires_in=900, refresh_token=SHOWN["$REFRESH"]
)
GENERAL = Channel(
    id=1, name="general", type=ChannelType.PUBLIC, created_by=1, created_at=T, updated_at=T,
    role=Role.OWNER, last_seq=0, read_seq=0, unread=0,
)  # fmt: skip
LOBBY = replace(GENERAL, name="lobby", last_seq=1)
DM = replace(GENERAL, id=2, name=None, type=ChannelType.DM, role=Role.MEMBER)
HELLO = Message(id="1:5", channel_id=1, seq=5, user_id=1, content="hello", timestamp=T, nonce="a1")
EDITED = replace(HELLO, content="hello, all", edited_at=T)


def _member(user: User, role: Role) -> Member:
    return Member(user=replace(user, email=BOB.email), role=role, joined_at=T)


def _session(number: str, *, current: bool = False) -> LiveSession:
    return LiveSession(
        id=number, created_at=T, refreshed_at=T, expires_at=EXPIRES, agent="curl/8.5.0",
        current=current,
    )  # fmt: skip


KEPT = {"TOKEN": "accessToken", "REFRESH": "refreshToken"}
BROWSER = "Single sign-on"  # the part of the story that takes a browser
PASSWORD = "correct horse"  # noqa: S105  of nobody

STORY: dict[str, tuple[Example, ...]] = {
    "Sign-in": (
        Example(
            name="register", title="Make an account", op="POST /auth/register",
            body={"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}, who=None,
            status=201, answer=SESSION, keeps=KEPT,
        ),
        Example(
            name="register-bob", title="Make another one, to talk to",
            op="POST /auth/register", who=None,
            body={"email": "bob@example.org", "password": PASSWORD, "name": "Bob"}, status=201,
            answer=replace(
                SESSION, user=replace(BOB, email="bob@example.org"), access_token=SHOWN["$BOB"]
            ),
            keeps={"BOB": "accessToken"},
        ),
        Example(
            name="login", title="Sign in", op="POST /auth/login",
            body={"email": "ann@example.org", "password": PASSWORD}, who=None,
            answer=SESSION, keeps=KEPT,
        ),
        Example(
            name="refresh", title="Get another access token", op="POST /auth/refresh",
            body={"refreshToken": "$REFRESH"}, who=None, answer=SESSION, keeps=KEPT,
        ),
        Example(
            name="sessions", title="See where one is signed in", op="GET /auth/sessions",
            answer=types.Sessions(items=[_session("3", current=True), _session("1")], next=None),
        ),
        Example(
            name="end-session", title="End one of them", op="DELETE /auth/sessions/{id}",
            at={"id": 1}, status=204,
        ),
        Example(
            name="change-password", title="Change the password", op="POST /auth/password",
            body={"currentPassword": PASSWORD, "newPassword": "battery staple"}, status=204,
        ),
        Example(
            name="keys", title="The keys that tokens are signed with (none: a secret signs)",
            op="GET /.well-known/jwks.json", who=None, answer=types.KeySet(keys=[]),
        ),
    ),
    "Users": (
        Example(name="me", title="Who am I", op="GET /users/me", answer=ANN),
        Example(
            name="update-me", title="Set a status", op="PATCH /users/me",
            body={"status": "in a meeting"}, answer=BUSY,
        ),
        Example(
            name="find-user", title="Find somebody by the beginning of a name",
            op="GET /users", query="q=bo&limit=5", answer=types.Users(items=[BOB]),
        ),
    ),
    "Channels": (
        Example(
            name="create", title="Make a public channel", op="POST /channels",
            body={"name": "general", "type": "public"}, status=201, answer=GENERAL,
        ),
        Example(
            name="create-dm", title="Begin a conversation", op="POST /channels",
            body={"type": "dm", "members": [2]}, status=201, answer=DM,
        ),
        Example(
            name="create-dm-again", title="Find it again", op="POST /channels",
            body={"type": "dm", "members": [2]}, answer=DM,
        ),
        Example(
            name="channels", title="One's channels", op="GET /channels", query="scope=mine",
            answer=types.Channels(items=[GENERAL, DM], next=None),
        ),
        Example(
            name="channel", title="Look at one", op="GET /channels/{id}", at={"id": 1},
            answer=GENERAL,
        ),
        Example(
            name="rename", title="Give it another name", op="PATCH /channels/{id}",
            at={"id": 1}, body={"name": "lobby"}, answer=LOBBY,
        ),
        Example(
            name="join", title="Join it, as Bob", op="POST /channels/{id}/join",
            at={"id": 1}, who="$BOB",
            answer=replace(LOBBY, role=Role.MEMBER, last_seq=2, read_seq=2),
        ),
        Example(
            name="leave", title="Leave it, as Bob", op="POST /channels/{id}/leave",
            at={"id": 1}, who="$BOB", status=204,
        ),
    ),
    "Members": (
        Example(
            name="add-member", title="Make Bob a member", op="POST /channels/{id}/members",
            at={"id": 1}, body={"userId": 2}, status=201, answer=_member(BOB, Role.MEMBER),
        ),
        Example(
            name="add-member-again", title="Again: nothing changes",
            op="POST /channels/{id}/members", at={"id": 1}, body={"userId": 2},
            answer=_member(BOB, Role.MEMBER),
        ),
        Example(
            name="set-role", title="Make him an admin",
            op="PATCH /channels/{id}/members/{userId}",
            at={"id": 1, "userId": 2}, body={"role": "admin"},
            answer=_member(BOB, Role.ADMIN),
        ),
        Example(
            name="members", title="Who is in it", op="GET /channels/{id}/members",
            at={"id": 1},
            answer=types.Members(
                items=[_member(BUSY, Role.OWNER), _member(BOB, Role.ADMIN)],
                next=None,
            ),
        ),
    ),
    "Messages": (
        Example(
            name="send", title="Write a message", op="POST /channels/{id}/messages",
            at={"id": 1}, body={"content": "hello", "nonce": "a1"}, status=201, answer=HELLO,
        ),
        Example(
            name="send-again", title="Again, with its nonce: the same message, not a second one",
            op="POST /channels/{id}/messages", at={"id": 1},
            body={"content": "hello", "nonce": "a1"}, answer=HELLO,
        ),
        Example(
            name="edit", title="Change it", op="PATCH /channels/{id}/messages/{seq}",
            at={"id": 1, "seq": 5}, body={"content": "hello, all", "nonce": "a2"}, answer=EDITED,
        ),
        Example(
            name="message", title="Read it", op="GET /channels/{id}/messages/{seq}",
            at={"id": 1, "seq": 5}, answer=EDITED,
        ),
        Example(
            name="history", title="Read the newest page",
            op="GET /channels/{id}/messages", at={"id": 1}, query="limit=50",
            answer=types.Messages(items=[EDITED], has_more=False),
        ),
        Example(
            name="delete", title="Delete it", op="DELETE /channels/{id}/messages/{seq}",
            at={"id": 1, "seq": 5}, status=204,
        ),
    ),
    "Tidying up": (
        Example(
            name="remove-member", title="Remove Bob",
            op="DELETE /channels/{id}/members/{userId}", at={"id": 1, "userId": 2}, status=204,
        ),
        Example(
            name="drop", title="Delete the channel", op="DELETE /channels/{id}",
            at={"id": 1}, status=204,
        ),
    ),
    # The browser brings CODE and STATE back from the provider.
    BROWSER: (
        Example(
            name="providers", title="Which providers there are", op="GET /auth/providers",
            who=None,
            answer=types.Providers(
                items=[types.Provider(name="corp", title="Corp", url=f"{URL}/auth/oauth/corp")]
            ),
        ),
        Example(
            name="sso-begin", title="Go to one", op="GET /auth/oauth/{provider}",
            at={"provider": "corp"}, query="next=/chat", who=None, status=302,
            answer="https://id.example/authorize?response_type=code&client_id=rtchat&state=…",
            keeps={"COOKIE": "cookie"},
        ),
        Example(
            name="sso-finish", title="Come back", op="GET /auth/oauth/{provider}/callback",
            at={"provider": "corp"}, query="code=$CODE&state=$STATE", who=None, cookie="$COOKIE",
            status=302, answer=f"{URL}/chat?code=…",
        ),
        Example(
            name="sso-exchange", title="Trade the code that the page got",
            op="POST /auth/oauth/exchange", body={"code": "$CODE"}, who=None, cookie="$COOKIE",
            answer=replace(SESSION, user=CAL), keeps=KEPT,
        ),
        Example(
            name="identities", title="One's identities", op="GET /auth/identities",
            answer=types.Identities(items=[types.LinkedIdentity(provider="corp", linked_at=T)]),
        ),
        Example(
            name="link", title="Link another one", op="POST /auth/oauth/{provider}/link",
            at={"provider": "corp"}, who="$BOB", query="next=/chat",
            answer=types.Linking(
                url="https://id.example/authorize?response_type=code&client_id=rtchat&state=…"
            ),
        ),
        Example(
            name="first-password", title="Set a first password",
            op="POST /auth/password", body={"newPassword": "battery staple"}, status=204,
        ),
        Example(
            name="unlink", title="Remove one (the last way in stays)",
            op="DELETE /auth/identities/{provider}", at={"provider": "corp"}, status=204,
        ),
    ),
    "The server": (
        Example(
            name="healthz", title="Does it live", op="GET /healthz", who=None,
            answer=types.Health(status="ok"),
        ),
        Example(
            name="readyz", title="Does it serve", op="GET /readyz", who=None,
            answer=types.Health(status="ready"),
        ),
        Example(
            name="ws", title="Without an upgrade", op="GET /ws", who=None, status=426,
            answer=types.Problem(
                type="urn:rtchat:error:bad_message", title="Upgrade Required", status=426,
                detail="This is where a WebSocket begins; ask for the upgrade to one.",
                code=Code.BAD_MESSAGE,
            ),
        ),
        Example(
            name="openapi", title="This interface, for programs", op="GET /openapi.json",
            who=None,
        ),
        Example(
            name="asyncapi", title="The frames of the WebSocket", op="GET /asyncapi.json",
            who=None,
        ),
        Example(
            name="chat", title="The chat, a page for people", op="GET /", who=None,
        ),
        Example(
            name="docs", title="A page to read and try this", op="GET /docs", who=None,
        ),
        Example(
            name="docs-ws", title="A page for the frames", op="GET /docs/ws", who=None,
        ),
        Example(
            name="logout", title="Sign out", op="POST /auth/logout",
            body={"refreshToken": "$REFRESH"}, who=None, status=204,
        ),
    ),
}  # fmt: skip
EXAMPLES: tuple[Example, ...] = tuple(example for part in STORY.values() for example in part)


def examples_of(route: Route) -> list[Example]:
    """A route's examples: at least one of those that are for everybody."""
    return [e for e in EXAMPLES if (e.method, e.path) == (route.method, route.template)]


def in_path(route: Route, name: str) -> int | str:
    """What stands for a parameter of a route's path in its first example."""
    return examples_of(route)[0].at[name]
