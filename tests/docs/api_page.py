"""docs/api.md: every operation, with what it takes and answers, and its examples.

Owns: which answers are described once, at the end, and how the fields of a body become lines.
"""

import json
from typing import Any

from rtchat.api.examples import EXAMPLES
from rtchat.api.openapi import TAGS, document as openapi
from rtchat.api.problems import PROBLEM
from rtchat.api.samples import Example, curl, javascript, python
from rtchat.config import Config
from rtchat.errors import ERRORS, Code
from tests.docs.fields import Fields, default, optional, words_of
from tests.docs.sections import code, row, table

# Described once, at the end.
OBJECTS = (
    "User", "Session", "LiveSession", "Channel", "Member", "Message", "Reaction", "Provider",
    "LinkedIdentity", "Problem",
)  # fmt: skip

HEAD = """\
# The REST interface

Every operation with its examples, made from the route table; the same stands in `/openapi.json`
(`rtchat openapi`), which programs read, and at `/docs` on a running server, where it can be tried.
Live delivery is the WebSocket: [websocket.md](websocket.md). Errors: [errors.md](errors.md);
limits: [limits.md](limits.md).

Each operation has its parameters and the fields of its body, the statuses of its answers and what
is in them; [objects](#objects) that come in several answers are described once, at the end. A body
is `application/json`; optional fields may be null or left out, unknown ones are ignored. Every
error is a [Problem](#problem). Several things have another name on the WebSocket: a
[table](websocket.md#frames) has both.

The examples are one story, told on an empty server; each goes on from those before. The tests run
it in all three languages and compare what comes with what stands here (only moments and tokens are
others each time). What goes before the first:

```sh
API=http://localhost:8000
field() { python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }
```

```python
import httpx2  # comes with rtchat; httpx takes the same calls

API = "http://localhost:8000"
http = httpx2.Client(base_url=API)
```

```js
const API = "http://localhost:8000";
let answer, data, TOKEN, REFRESH, BOB, COOKIE;
```

"""
LANGUAGES = (("curl", "sh", curl), ("Python", "python", python), ("JavaScript", "js", javascript))


def document() -> str:
    """The page."""
    described = openapi(Config())
    parts = [HEAD]
    for name, words in TAGS.values():
        parts.append(f"## {name}\n\n{words}\n\n")
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [name]:
                    parts.append(_operation(method.upper(), path, operation, described))
    parts.append(_objects(described["components"]["schemas"]))
    return "".join(parts).rstrip("\n") + "\n"


def _operation(method: str, path: str, operation: dict[str, Any], described: Any) -> str:
    made = [f"### {method} {path}\n\n", f"{operation['description']}\n\n"]
    fields = Fields(described["components"]["schemas"], OBJECTS)
    if rows := [_parameter(p) for p in operation.get("parameters", ())]:
        made.append("".join(rows) + "\n")
    if "requestBody" in operation:
        made.append(_body(operation["requestBody"]["content"]["application/json"], fields))
    made.append(_answers(operation, described["components"]["responses"], fields))
    made += [_example(e) for e in EXAMPLES if (e.method, e.path) == (method, path)]
    return "".join(made)


def _parameter(p: dict[str, Any]) -> str:
    schema = p["schema"]
    words = [p.get("description", "")]
    words += [f"{schema['minimum']} to {schema['maximum']}."] if "maximum" in schema else []
    words += [f"One of {', '.join(map(code, schema['enum']))}."] if "enum" in schema else []
    words += [f"Default {code(schema['default'])}."] if "default" in schema else []
    where = "in the path" if p["in"] == "path" else "in the query"
    return f"- `{p['name']}` ({where}): {' '.join(filter(None, words))}\n"


def _body(content: dict[str, Any], fields: Fields) -> str:
    """A line for each field; of several bodies, by `type`, one after the other."""
    schema = content["schema"]
    kinds = [part["$ref"].rpartition("/")[2] for part in _bodies(schema)]
    made = []
    for kind in kinds:
        found = fields.schemas[kind]
        names = [name for name in found["properties"] if len(kinds) == 1 or name != "type"]
        if len(kinds) > 1:
            [tag] = found["properties"]["type"]["enum"]
            made.append(f'With `"type": "{tag}"`: {_first_down(found["description"])}\n\n')
        made += [_field(kind, name, found, fields) for name in names]
        made.append("\n")
    return "".join(made)


def _bodies(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The structs among which a body is one."""
    if "$ref" in schema:
        return [schema]
    parts: list[dict[str, Any]] = schema.get("allOf") or schema["anyOf"]
    return parts


def _field(kind: str, name: str, schema: dict[str, Any], fields: Fields) -> str:
    field = schema["properties"][name]
    where = " ".join(filter(None, ["in the body,", optional(schema, name)])).rstrip(",")
    words = [words_of(kind, name, field), default(field)]
    kind_of = fields.type_of(field).removesuffix(" or null")  # the head of the page says that
    text = " ".join(filter(None, [f"{_first_up(kind_of)}.", *words]))
    return f"- `{name}` ({where}): {text}\n"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first_down(text: str) -> str:
    return text[:1].lower() + text[1:]


def _content(operation: dict[str, Any], fields: Fields) -> str:
    """What is in the good answers: a named object, or its few fields."""
    schemas = [
        content["schema"]
        for status, answer in operation["responses"].items()
        if status < "300"
        for media, content in answer.get("content", {}).items()
        if media == "application/json"
    ]
    if not schemas or "$ref" not in schemas[0]:
        return ""
    assert all(schema == schemas[0] for schema in schemas)
    kind = schemas[0]["$ref"].rpartition("/")[2]
    if kind in OBJECTS:
        return f"In the answer: a {fields.type_of(schemas[0])}.\n"
    schema = fields.schemas[kind]
    inside = [
        f"{code(name)}, {fields.type_of(field)}" for name, field in schema["properties"].items()
    ]
    return f"In the answer: {'; '.join(inside)}. {' '.join(schema['description'].split())}\n"


def _objects(schemas: dict[str, Any]) -> str:
    fields = Fields(schemas, OBJECTS)
    made = [
        "## Objects\n\nFields that are marked optional are left out where they do not apply.\n\n"
    ]
    for kind in OBJECTS:
        schema = schemas[kind]
        made.append(f"### {kind}\n\n{' '.join(schema['description'].split())}\n\n")
        made.append(table("field", "", "type", "meaning"))
        for name, field in schema["properties"].items():
            words = words_of(kind, name, field)
            assert words, (kind, name)
            made.append(row(code(name), optional(schema, name), fields.type_of(field), words))
        made.append("\n")
    return "".join(made)


def _answers(operation: dict[str, Any], responses: dict[str, Any], fields: Fields) -> str:
    good = [
        f"{status} {words['description'].rstrip('.').lower()}"
        for status, words in operation["responses"].items()
        if "description" in words
    ]
    shared = [
        responses[answer["$ref"].rpartition("/")[2]]
        for answer in operation["responses"].values()
        if "$ref" in answer
    ]
    named = {code for answer in shared for code in answer["content"][PROBLEM]["examples"]}
    codes = [code for code in Code if code.value in named]
    errors = ", ".join(f"`{code.value}` ({ERRORS[code].status})" for code in codes)
    token = {1: "A token is needed. ", 2: "With a token or without. ", 0: ""}
    limits = [
        f"{limit['what']}: {limit['perSecond']:g} a second, {limit['burst']:g} at once,"
        f" of {limit['of']} (`{limit['setting']}`)"
        for limit in operation.get("x-rate-limits", ())
    ]
    lines = [f"{token[len(operation['security'])]}Answers: {'; '.join(good)}. Errors: {errors}.\n"]
    lines += [_content(operation, fields)]
    lines += [f"Limit of rate: {'; '.join(limits)}.\n"] if limits else []
    return "".join(lines) + "\n"


def _example(example: Example) -> str:
    made = [f"**{example.title}**\n\n"]
    for _, fence, write in LANGUAGES:
        made.append(f"```{fence}\n{write(example)}\n```\n\n")
    output = example.shown_output()
    if output.startswith("{"):
        output = json.dumps(json.loads(output), indent=2, ensure_ascii=False)
        made.append(f"```json\n{output}\n```\n\n")
    else:
        made.append(f"```\n{output}\n```\n\n")
    return "".join(made)
