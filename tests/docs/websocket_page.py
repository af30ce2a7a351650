"""docs/websocket.md: its tables of frames, codes and limits, and its transcript.

Owns: how a message of the AsyncAPI document becomes a table. The words are those of the document.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rtchat.api.asyncapi import document as asyncapi, name_of, tag_of
from rtchat.api.walk import FIRST, SECOND, Walk
from rtchat.commands import COMMANDS
from rtchat.config import Config
from rtchat.errors import ERRORS, Code
from rtchat.events import ENTRIES, EVENTS
from tests.docs.fields import Fields, words_of
from tests.docs.sections import code, codes, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "websocket.md"
NESTED = {
    "Hello": {
        "User": "`user` is an object:",
        "Limits": "`limits` is an object:",
    },
    "Ok": {"Head": "Each value in `ch` is an object with one of these:"},
    "Added": {"Channel": "`channel` is an object, as `GET /channels/{id}` has it:"},
}
IN_ALL = ("ch", "seq", "ts")  # fields of every entry


def document() -> str:
    """The page."""
    return filled(
        PAGE,
        {
            "commands": commands,
            "events": events,
            "entries": entries,
            "error-codes": error_codes,
            "close-codes": close_codes,
            "first-connection": lambda: _transcript(FIRST),
            "second-connection": lambda: _transcript(SECOND),
        },
    )


def _described() -> dict[str, Any]:
    return asyncapi(Config())


# --- frames


def commands() -> str:
    """What a client sends."""
    described = _described()
    return "".join(_command(kind, described) for kind in COMMANDS)


def _command(kind: Any, described: Any) -> str:
    operation = described["operations"][tag_of(kind)]
    answers = " or ".join(code(tag_of(answer)) for answer in kind.answers)
    answered = f"Answered with {answers}, or with" if answers else "Not answered, or with"
    errors = codes(_by_table(operation["x-error-codes"]))
    made = _frame(kind, described, without=("t", "ref"))
    return f"{made}{answered} `error`: {errors}.\n\n"


def _by_table(names: list[str]) -> list[str]:
    """Codes in the order of their table."""
    return [c.value for c in Code if c.value in names]


def events() -> str:
    """What a server sends besides entries."""
    described = _described()
    return "".join(_frame(kind, described) for kind in EVENTS if kind not in ENTRIES)


def entries() -> str:
    """The entries of a log: what all have, and what each has besides."""
    described = _described()
    schemas = described["components"]["schemas"]
    first = schemas[ENTRIES[0].__name__]["properties"]
    made = table("in every entry", "type", "meaning")
    made += "".join(row(code(n), _type(first[n]), _words("", n, first[n])) for n in IN_ALL)
    made += "\n" + table("entry", "meaning", "fields besides")
    lines = []
    for kind in ENTRIES:
        message = described["components"]["messages"][name_of(kind)]
        summary = message["summary"].removeprefix("Log entry: ")
        made += row(code(tag_of(kind)), summary, _besides(kind.__name__, schemas))
        lines += [_line(example["payload"]) for example in message["examples"]]
    return f"{made}\n```json\n" + "\n".join(lines) + "\n```\n"


def _besides(kind: str, schemas: Any) -> str:
    schema = schemas[kind]
    fields = []
    for name, field in schema["properties"].items():
        if name not in ("t", *IN_ALL):
            optional = "" if name in schema["required"] else "optional, "
            words = _words(kind, name, field).rstrip(".")
            fields.append(f"{code(name)} ({optional}{_type(field)}): {words}.")
    return " ".join(fields)


def _frame(kind: Any, described: Any, without: tuple[str, ...] = ("t",)) -> str:
    message = described["components"]["messages"][name_of(kind)]
    schemas = described["components"]["schemas"]
    made = f"#### `{tag_of(kind)}`\n\n{message['summary']}\n\n"
    if rows := _fields(kind.__name__, schemas, without):
        made += table("field", "", "type", "meaning") + rows + "\n"
    for name, title in NESTED.get(kind.__name__, {}).items():
        made += f"{title}\n\n" + table("field", "", "type", "meaning")
        made += _fields(name, schemas) + "\n"
    # One of each form that it comes in.
    shown = {tuple(e["payload"]): _line(e["payload"]) for e in message["examples"]}
    return f"{made}```json\n" + "\n".join(shown.values()) + "\n```\n\n"


def _fields(kind: str, schemas: Any, without: tuple[str, ...] = ()) -> str:
    schema = schemas[kind]
    rows = []
    for name, field in schema["properties"].items():
        if name not in without:
            needed = "" if name in schema.get("required", ()) else "optional"
            rows.append(row(code(name), needed, _type(field), _words(kind, name, field)))
    return "".join(rows)


def _words(kind: str, name: str, field: Mapping[str, Any]) -> str:
    words = words_of(kind, name, field)
    assert words, (kind, name)
    return words


def _type(field: Mapping[str, Any]) -> str:
    return Fields(_described()["components"]["schemas"]).type_of(field)


# --- codes


def error_codes() -> str:
    """Every code that a frame may have."""
    found = _described()["x-error-codes"]
    rows = [
        row(code(name), "yes" if about["retry"] else "no", about["description"])
        for name, about in found.items()
    ]
    assert all(about["retry"] == ERRORS[Code(name)].retry for name, about in found.items())
    return table("code", "retry", "meaning") + "".join(rows)


def close_codes() -> str:
    """Every close code."""
    found = _described()["x-close-codes"]
    rows = [row(number, about["do"], about["description"]) for number, about in found.items()]
    return table("code", "what to do", "meaning") + "".join(rows)


# --- the transcript


def _transcript(walk: Walk) -> str:
    lines = []
    for command, answers in walk:
        lines.append(f"> {_line(msgspec.to_builtins(command, str_keys=True))}\n")
        lines += [f"< {_line(msgspec.to_builtins(a, str_keys=True))}\n" for a in answers]
    return f"```\n{''.join(lines)}```\n"


def _line(frame: Mapping[str, Any]) -> str:
    """A frame in one line, `ref` where people put it."""
    first = {name: frame[name] for name in ("t", "ref") if name in frame}
    return json.dumps({**first, **frame}, ensure_ascii=False, separators=(",", ":"))
