"""docs/errors.md: every error code and close code, and which operations and commands answer it."""

import json
from pathlib import Path
from typing import Any

from rtchat.api.asyncapi import document as asyncapi, tag_of
from rtchat.api.http import problem_of
from rtchat.api.routes import ROUTES
from rtchat.commands import COMMANDS, UNREADABLE
from rtchat.config import Config
from rtchat.errors import CLOSES, ERRORS, ChatError, Code
from tests.docs.sections import code, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def document() -> str:
    """The page."""
    return filled(
        PAGE,
        {
            "problem": problem,
            "frame": frame,
            "codes": lambda: (
                table("code", "status", "retry", "meaning") + "".join(map(_code, Code))
            ),
            "answers": lambda: (
                table("code", "REST", "WebSocket")
                + "".join(row(code(c.value), _operations(c), _commands(c)) for c in Code)
            ),
            "closes": closes,
        },
    )


def problem() -> str:
    """An error of REST."""
    _, _, body = problem_of(ChatError(Code.RATE_LIMITED, after_ms=1500))
    return _shown(json.loads(body))


def frame() -> str:
    """An error of the WebSocket."""
    examples = asyncapi(Config())["components"]["messages"]["error"]["examples"]
    return _shown(next(e["payload"] for e in examples if "after" in e["payload"]))


def closes() -> str:
    """The close codes."""
    made = table("code", "name", "what to do", "meaning")
    for close, info in CLOSES.items():
        name = close.name.lower().replace("_", " ")
        made += row(str(int(close)), name, info.do, info.meaning)
    return made


def _shown(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2)}\n```\n"


def _code(c: Code) -> str:
    info = ERRORS[c]
    more = " (414, 431)" if c is Code.TOO_LARGE else ""
    return row(code(c.value), f"{info.status}{more}", "yes" if info.retry else "no", info.meaning)


def _operations(c: Code) -> str:
    """The operations that answer with a code, or those that do not where they are fewer."""
    every = [f"{route.method} {route.path.replace(':word', '')}" for route in ROUTES]
    answering = {name for name, route in zip(every, ROUTES, strict=True) if c in route.codes}
    if c is Code.METHOD_NOT_ALLOWED:
        return "every path, to other methods"
    others = [name for name in every if name not in answering]
    if not others:
        return "every operation"
    if len(others) <= len(every) // 3:
        return f"every operation but {_list(others)}"
    return _list([name for name in every if name in answering])


def _commands(c: Code) -> str:
    every = [tag_of(command) for command in COMMANDS]
    answering = [tag for tag, command in zip(every, COMMANDS, strict=True) if c in command.errors]
    found = ["every command"] if answering == every else [code(tag) for tag in answering]
    found += ["a text that is no command"] if c in UNREADABLE else []
    in_ok = asyncapi(Config())["components"]["schemas"]["Head"]["properties"]["error"]["enum"]
    found += ["a channel in `ok`"] if c.value in in_ok else []
    return ", ".join(found)


def _list(names: list[str]) -> str:
    return ", ".join(map(code, names))
