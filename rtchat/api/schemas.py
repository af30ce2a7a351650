"""JSON schemas of the types that serve requests and frames: what both documents describe.

Owns: making them true for one configuration: a bound that stands in a type by a setting's name
becomes the number, and the schema names the setting. Must never: describe what the types do not
say. Pure.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from rtchat.config import Config

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
_BOUNDS = ("maxLength", "minLength", "maxItems", "maxProperties")


def schemas_of(
    types: Iterable[Any], config: Config, *, sent: Iterable[type] = ()
) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each of `types`, and the components that they refer to.

    `sent` are the structs that only ever leave the server: there a field with a default is always
    there, unless it can be left out.
    """
    roots, components = msgspec.json.schema_components(list(types), ref_template=REF)
    for kind in sent:
        components[kind.__name__]["required"] = [*_tag(kind), *_always(kind)]
    return (
        [true_for(config, dict(root)) for root in roots],
        {name: true_for(config, schema) for name, schema in sorted(components.items())},
    )


def _tag(kind: Any) -> list[str]:
    field = kind.__struct_config__.tag_field
    return [] if field is None else [field]


def _always(kind: Any) -> list[str]:
    return [f.encode_name for f in msgspec.structs.fields(kind) if f.default is not UNSET]


def structs_in(kind: Any) -> set[type]:
    """The structs that a type reaches."""
    found: set[type] = set()
    waiting = [kind]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in found:
                found.add(kind)
                waiting += [field.type for field in msgspec.structs.fields(kind)]
        else:
            waiting += getattr(kind, "__args__", ())
    return found


def true_for(config: Config, node: Any) -> Any:
    """Put a configuration's numbers in the place of settings' names, and tidy what msgspec made."""
    if isinstance(node, list):
        return [true_for(config, item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: true_for(config, value) for key, value in node.items() if key not in _BOUNDS}
    made |= _bounds(config, node)
    if isinstance(made.get("description"), str):
        made["description"] = inspect.cleandoc(made["description"])
    if "type" not in made and all(isinstance(value, str) for value in made.get("enum", (0,))):
        made["type"] = "string"  # which generators of clients want, and msgspec leaves out
    if "$ref" in made and len(made) > 1:  # in AsyncAPI's draft of JSON Schema it stands alone
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made


def address_of(config: Config, root_path: str) -> str:
    """Where this server is, without a slash at the end: `public_url`, or this machine's port."""
    return (config.public_url or f"http://localhost:{config.port}{root_path}").rstrip("/")


def _bounds(config: Config, node: Mapping[str, Any]) -> Schema:
    made: Schema = {}
    settings: dict[str, str] = {}
    for key in _BOUNDS:
        bound = node.get(key)
        if isinstance(bound, str):  # "name" or "name - 1"
            name, _, less = bound.partition(" - ")
            settings[key] = f"RTCHAT_{name.upper()}"
            number = getattr(config, name)
            bound = number - int(less or 0) if number else None  # 0: no limit
        if bound is not None:
            made[key] = bound
    if settings:
        made["x-settings"] = settings
    return made
