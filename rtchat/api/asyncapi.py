"""AsyncAPI 3.0 of the WebSocket, made of the types that decode commands and encode events.

Owns: how frames become messages and operations. Must never: describe a frame in words of its own;
they are the docstrings and fields of `commands` and `events`, and of the tables of errors and close
codes. Nothing is made at import time.

Operations are seen from the server, as AsyncAPI has it: it receives commands, and sends events.
"""

import inspect
from typing import Any
from urllib.parse import urlsplit

import msgspec

import rtchat
from rtchat.api.rates import Limited, described
from rtchat.api.schemas import address_of, schemas_of, structs_in
from rtchat.api.walk import frames_like
from rtchat.commands import COMMANDS, UNREADABLE, Del, Edit, React, Read, Send, Sub, Typing
from rtchat.config import Config
from rtchat.errors import CLOSES, ERRORS, Code
from rtchat.events import ENTRIES, EPHEMERAL, EVENTS, Bye, Error
from rtchat.protocol import SUBPROTOCOL

CHANNEL = "#/channels/socket"
_ANSWERS = {kind for command in COMMANDS for kind in command.answers} | {Error}
DESCRIPTION = """\
Frames of the WebSocket at `/ws`: text frames, one JSON object a frame, `t` tells which. `ch` is a
channel's id, `seq` an entry's place in its channel's log, `ts` milliseconds since 1970, `ref` the
client's own number of a command, which comes back in its answer. Operations are the server's: it
receives commands and sends events; a client does the reverse.

- The token comes in the handshake's `Authorization: Bearer` (a bad one: 401 before the upgrade), or
  in an `auth` frame, which then must be the first, within {auth_s:g} s. Never in the URL. A
  browser's `Origin` must be the server's own or on its list, or the handshake gets 403.
- **An ack means committed.** A write that got neither ack nor a final error may or may not be
  stored: send it again with its nonce; `dup` then says that the first try was.
- **Each subscription gets its channel's entries in the order of seq, none missing, none twice.**
  Keep the last seq as a cursor; after a close, `sub` from it, on any server: what was missed comes
  first. Drop an entry at or below the cursor.
- `epoch` names the history of the whole log. Where it changes, or a cursor is ahead of the head,
  `reset` comes: take `lastSeq` and history from REST, then `sub` from that.
- The server pings every {heartbeat_s} s and closes where no pong comes within {timeout_s} s.
- `typing`, `read` and `presence` are in no log: they may be lost, and are the first to be dropped.
- Ignore unknown fields, and events with an unknown `t`. An `error` leaves the socket open.
- A close code says what to do by its hundred: 40xx do not come back as you are, 41xx come back
  after a back-off, 42xx come back now, with jitter.
"""


_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token, in the handshake's header or else in the first frame, `auth`.",
}
_REF = {"location": "$message.payload#/ref", "description": "Of a command and its answer."}
_BINDING = {
    "method": "GET",
    "headers": {
        "type": "object",
        "properties": {
            "Authorization": {
                "type": "string",
                "description": "`Bearer` and an access token; or an `auth` frame comes first.",
            }
        },
    },
    "bindingVersion": "0.1.0",
}


def document(config: Config, root_path: str = "") -> dict[str, Any]:
    """Make the document."""
    frames = [*COMMANDS, *EVENTS]
    sent = set().union(*(structs_in(kind) for kind in EVENTS))
    _, schemas = schemas_of(frames, config, sent=sent)
    for kind in frames:
        schema = schemas[kind.__name__]
        schema["properties"] = _in_order(schema["properties"])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "rtchat",
            "version": rtchat.__version__,
            "description": DESCRIPTION.format(
                auth_s=config.auth_deadline_ms / 1000,
                heartbeat_s=config.heartbeat_s,
                timeout_s=config.heartbeat_timeout_s,
            ),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {"server": _server(config, root_path)},
        "channels": {
            "socket": {
                "address": "/ws",
                "title": "The WebSocket",
                "description": f"Its subprotocol, `{SUBPROTOCOL}`, may be asked for or not.",
                "servers": [{"$ref": "#/servers/server"}],
                "messages": {
                    name_of(kind): {"$ref": f"#/components/messages/{name_of(kind)}"}
                    for kind in frames
                },
                "bindings": {"ws": _BINDING},
            }
        },
        "operations": {**{tag_of(c): _command(c, config) for c in COMMANDS}, **_pushes()},
        "components": {
            "messages": {name_of(kind): _message(kind) for kind in frames},
            "schemas": schemas,
            "securitySchemes": {"token": _TOKEN},
        },
        "x-error-codes": _errors(),
        "x-close-codes": _closes(),
    }


def tag_of(kind: type[Any]) -> str:
    """What `t` is in a frame."""
    tag: str = kind.__struct_config__.tag
    return tag


def name_of(kind: type[Any]) -> str:
    """A message's name; where client and server share a word: `edit`, and `edited`."""
    return kind.__name__[0].lower() + kind.__name__[1:]


def _server(config: Config, root_path: str) -> dict[str, Any]:
    url = urlsplit(address_of(config, root_path))
    server: dict[str, Any] = {
        "host": url.netloc,
        "protocol": "wss" if url.scheme == "https" else "ws",
        "security": [{"$ref": "#/components/securitySchemes/token"}],
    }
    return server | ({"pathname": url.path} if url.path else {})


def _message(kind: type[Any]) -> dict[str, Any]:
    summary, _, more = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    text = f"{summary} {more}".replace("\n", " ").strip()
    return {
        "name": tag_of(kind),
        "title": f"{tag_of(kind)} ({'client' if kind in COMMANDS else 'server'})",
        "summary": " ".join(text.split()),
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        **({"correlationId": _REF} if "ref" in kind.__struct_fields__ else {}),
        "examples": [
            {
                "name": f"example{i}",
                "payload": _in_order(msgspec.json.decode(msgspec.json.encode(frame))),
            }
            for i, frame in enumerate(frames_like(kind), 1)
        ],
    }


def _in_order(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame, or its fields, as people write it: `ref` behind `t`."""
    return {name: frame[name] for name in ("t", "ref") if name in frame} | frame


def _reference(kind: type[Any]) -> dict[str, str]:
    return {"$ref": f"{CHANNEL}/messages/{name_of(kind)}"}


def _command(kind: Any, config: Config) -> dict[str, Any]:
    return {
        "action": "receive",
        "channel": {"$ref": CHANNEL},
        "summary": inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        "messages": [_reference(kind)],
        "reply": {
            "channel": {"$ref": CHANNEL},
            "messages": [_reference(answer) for answer in (*kind.answers, Error)],
        },
        "x-error-codes": sorted(code.value for code in kind.errors),
        **({"x-rate-limits": limits} if (limits := _limits(kind, config)) else {}),
    }


def _limits(kind: Any, config: Config) -> list[dict[str, Any]]:
    """Whose rates a command takes from, the connection's first."""
    if kind is Sub:
        return [described(name, config) for name in (Limited.SUBS, Limited.USER_SUBS)]
    if kind in (Send, Edit, Del, React):
        return [described(name, config) for name in (Limited.OWN_SENDS, Limited.SENDS)]
    if kind in (Read, Typing):
        return [described(Limited.EPHEMERALS, config)]
    return []


def _pushes() -> dict[str, Any]:
    """What comes unasked."""
    known = {*_ANSWERS, *ENTRIES, *EPHEMERAL}
    return {
        "entries": {
            "action": "send",
            "channel": {"$ref": CHANNEL},
            "summary": "Entries of a subscribed channel's log, each with the next seq.",
            "messages": [_reference(kind) for kind in ENTRIES],
        },
        "notices": {
            "action": "send",
            "channel": {"$ref": CHANNEL},
            "summary": "What a connection is told besides.",
            "messages": [_reference(kind) for kind in EVENTS if kind not in known],
        },
        "ephemeral": {
            "action": "send",
            "channel": {"$ref": CHANNEL},
            "summary": "What is told and not kept: it has no place in a log, and may be lost.",
            "messages": [_reference(kind) for kind in EPHEMERAL],
        },
        "unreadable": {
            "action": "send",
            "channel": {"$ref": CHANNEL},
            "summary": "The answer to a frame that is no command. Before `auth`, and with `bye`"
            " where the server stops, a close follows.",
            "messages": [_reference(kind) for kind in (Error, Bye)],
            "x-error-codes": sorted(code.value for code in UNREADABLE),
        },
    }


def _errors() -> dict[str, Any]:
    """Every code that an `error`, or a channel in an `ok`, may have."""
    codes = set(UNREADABLE).union(*(command.errors for command in COMMANDS))
    codes |= {Code.NOT_FOUND, Code.FORBIDDEN}
    return {
        code.value: {"retry": ERRORS[code].retry, "description": ERRORS[code].meaning}
        for code in Code
        if code in codes
    }


def _closes() -> dict[str, Any]:
    return {
        str(int(close)): {
            "name": close.name.lower(),
            "do": info.do,
            "description": info.meaning,
        }
        for close, info in CLOSES.items()
    }
