"""docs/python.md: the reference of the Python client, made from its signatures and docstrings.

Owns: which names stand where, and how a signature is written. Every public name of `rtchat.client`
stands in it once.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from rtchat import client
from rtchat.client import events, model, sync
from tests.docs.sections import code, filled, row, table

PAGE = Path(__file__).parents[2] / "docs" / "python.md"

CLASSES: tuple[type, ...] = (
    client.Client, client.Events, client.Options, client.Rest, client.Renewing,
)  # fmt: skip
ERRORS = (
    client.ClientError,
    client.RefusedError,
    client.OutcomeUnknownError,
    client.ClosedError,
    client.UnreachableError,
)
_MODULES = re.compile(r"\b(?:rtchat\.client\.\w+|collections\.abc|typing|ssl|httpx2|datetime)\.")


def document() -> str:
    """The page."""
    return filled(
        PAGE,
        {
            "classes": classes,
            "sync": blocking,
            "events": frames,
            "values": values,
            "errors": errors,
        },
    )


# --- classes


def classes() -> str:
    """Each class with its methods."""
    made = [_class(kind) for kind in CLASSES]
    made.append(f"### make_http\n\n{_method('make_http', client.make_http)}")
    return "\n".join(made)


def _class(kind: type) -> str:
    made = [f"### {kind.__name__}\n\n{_text(kind)}\n"]
    if kind is client.Events:  # nobody makes one, or calls it
        return made[0]
    made.append(f"```\n{_call(kind.__name__, kind).removesuffix(' -> None')}\n```\n")
    made += [_method(name, member) for name, member in _members(kind)]
    return "\n".join(made)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties in the order of the source, a base's first."""
    seen = set()
    for base in reversed(kind.__mro__[:-1]):
        for name, member in vars(base).items():
            documented = inspect.isroutine(member) or isinstance(member, property)
            if name.startswith("_") or not documented or name in seen:
                continue
            seen.add(name)
            yield name, member


def _method(name: str, member: Any) -> str:
    if isinstance(member, property):
        returns = _plain(inspect.signature(member.fget).return_annotation)  # type: ignore[arg-type]
        return f"**{code(name)}** → {code(returns)}: {_text(member.fget)}\n"
    awaited = "await " if inspect.iscoroutinefunction(member) else ""
    head, _, returns = _call(name, member).rpartition(" -> ")
    return f"**{code(awaited + head)}** → {code(returns)}: {_text(member)}\n"


def _call(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != "self"]
    text = str(signature.replace(parameters=kept))
    return f"{name}{_plain(text)}"


def _plain(annotation: object) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"'([A-Z]\w*)'|~(?=T\b)", r"\1", _MODULES.sub("", text))
    return re.sub(r"Msg \| Edit \|.*?UnknownEntry", "AnyEvent", text)


def _text(thing: Any) -> str:
    """A docstring, its paragraphs kept."""
    parts = (inspect.getdoc(thing) or "").split("\n\n")
    return "\n\n".join(" ".join(part.split()) for part in parts)


def blocking() -> str:
    """What is different without asyncio."""
    made = []
    for kind in (sync.Client, sync.Rest, sync.Renewing):
        made.append(f"### sync.{kind.__name__}\n\n{_text(kind)}\n")
        own = inspect.getmembers(kind, lambda m: inspect.isfunction(m) or isinstance(m, property))
        for name, member in own:
            if not name.startswith("_") and not hasattr(member, "__wrapped__"):
                made.append(_method(name, member))
    return "\n".join(made)


# --- structs


def frames() -> str:
    """The events of the WebSocket, in the order of the module."""
    kinds = [
        kind for kind in vars(events).values()
        if isinstance(kind, type) and kind.__name__ in client.__all__
        and issubclass(kind, msgspec.Struct) and kind.__module__ == events.__name__
    ]  # fmt: skip
    return _structs(kind for kind in kinds if kind not in (client.Event, client.Entry))


def values() -> str:
    """The values of REST."""
    return _structs(
        kind for kind in vars(model).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__[0] != "_"
    )  # fmt: skip


def _structs(kinds: Iterable[type]) -> str:
    made = table("name", "fields", "meaning")
    for kind in kinds:
        hints = typing.get_type_hints(kind)
        names = kind.__struct_fields__  # type: ignore[attr-defined]
        fields = ", ".join(f"{name}: {_plain(hints[name])}" for name in names)
        made += row(code(kind.__name__), code(fields), " ".join(_text(kind).split()))
    return made


def errors() -> str:
    """What is raised, and what it carries."""
    made = table("error", "made of", "meaning")
    for kind in ERRORS:
        carried = _call("", kind) if "__init__" in vars(kind) else ""
        fields = [] if not carried else re.findall(r"(\w+):", carried)
        made += row(
            code(kind.__name__), ", ".join(map(code, fields)), " ".join(_text(kind).split())
        )
    return made
