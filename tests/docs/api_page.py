"""docs/api.md: every operation, with what it takes and answers, and its examples."""

import json
from typing import Any

from rtchat.api.examples import EXAMPLES
from rtchat.api.openapi import TAGS, document as openapi
from rtchat.api.problems import PROBLEM
from rtchat.api.samples import Example, curl, javascript, python
from rtchat.config import Config
from rtchat.errors import ERRORS, Code

HEAD = """\
# The REST interface

Every operation with its examples, made from the route table; the same stands in `/openapi.json`
(`rtchat openapi`), which programs read, and at `/docs` on a running server, where it can be tried.
Live delivery is the WebSocket: [websocket.md](websocket.md). Errors: [errors.md](errors.md);
limits: [limits.md](limits.md).

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
    return "".join(parts).rstrip("\n") + "\n"


def _operation(method: str, path: str, operation: dict[str, Any], described: Any) -> str:
    made = [f"### {method} {path}\n\n", f"{operation['description']}\n\n"]
    if rows := [_parameter(p) for p in operation.get("parameters", ())]:
        made.append("".join(rows) + "\n")
    made.append(_answers(operation, described["components"]["responses"]))
    made += [_example(e) for e in EXAMPLES if (e.method, e.path) == (method, path)]
    return "".join(made)


def _parameter(p: dict[str, Any]) -> str:
    schema = p["schema"]
    words = [p.get("description", "")]
    words += [f"{schema['minimum']} to {schema['maximum']}."] if "maximum" in schema else []
    words += [f"One of {', '.join(map(_code, schema['enum']))}."] if "enum" in schema else []
    words += [f"Default {_code(schema['default'])}."] if "default" in schema else []
    where = "in the path" if p["in"] == "path" else "in the query"
    return f"- `{p['name']}` ({where}): {' '.join(filter(None, words))}\n"


def _code(value: Any) -> str:
    return f"`{value}`"


def _answers(operation: dict[str, Any], responses: dict[str, Any]) -> str:
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
