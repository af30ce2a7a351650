"""An example in three languages: a line of curl, of Python, of JavaScript, from one description.

Owns: how a request is written in each. A text `$NAME` stands for a variable that an earlier example
has kept. Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

# What stands in the documents for a variable's value.
SHOWN = {
    "$TOKEN": "eyJhbGciOi…",
    "$BOB": "eyJhbGciOj…",
    "$REFRESH": "cmVmcmVzaC…",
    "$COOKIE": "rtchat-sso=YnJvd3Nlcg…",
    "$CODE": "Y29kZS1vZi…",
    "$STATE": "c3RhdGUtb2…",
}
_VARIABLE = re.compile(r"\$([A-Z]+)")


@dataclass(frozen=True, kw_only=True)
class Example:
    """One request and its answer, in a story that begins on an empty server."""

    name: str
    title: str
    op: str  # method and path, as in the route table without the kinds of parameters
    at: Mapping[str, int | str] = field(default_factory=dict)  # what stands in the path
    query: str = ""
    body: Any = None
    who: str | None = "$TOKEN"  # the variable with the bearer token; None: nobody
    cookie: str | None = None
    status: int = 200
    answer: Any = None  # a struct; None: no body, or one that is too long to show
    keeps: Mapping[str, str] = field(default_factory=dict)  # variable: field, or "cookie"

    @property
    def method(self) -> str:
        """The method."""
        return self.op.partition(" ")[0]

    @property
    def path(self) -> str:
        """The path, with its parameters' names."""
        return self.op.partition(" ")[2]

    @property
    def url(self) -> str:
        """The path with what stands in it, and the query."""
        path = self.path.format(**self.at)
        return f"{path}?{self.query}" if self.query else path

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers."""
        made = {}
        if self.who is not None:
            made["authorization"] = f"Bearer {self.who}"
        if self.cookie is not None:
            made["cookie"] = self.cookie
        return made

    @property
    def redirects(self) -> bool:
        """Whether the answer says where to go."""
        return 300 <= self.status < 400

    @property
    def shows_body(self) -> bool:
        """Whether the answer's body is what is to be seen."""
        return self.answer is not None and not self.redirects

    def shown_body(self) -> Any:
        """The body as the documents show it."""
        text = json.dumps(self.body)
        for name, value in SHOWN.items():
            text = text.replace(name, value)
        return json.loads(text)

    def shown_answer(self) -> Any:
        """The answer's JSON as the documents show it."""
        return msgspec.to_builtins(self.answer)

    def shown_output(self) -> str:
        """What each sample prints."""
        if self.redirects:
            return f"{self.status} {self.answer}"
        if self.answer is None:
            return str(self.status)
        return msgspec.json.encode(self.answer).decode()


def code_samples(example: Example) -> list[dict[str, str]]:
    """The samples as `x-codeSamples` has them."""
    return [
        {"lang": "Shell", "label": "curl", "source": curl(example)},
        {"lang": "Python", "label": "Python", "source": python(example)},
        {"lang": "JavaScript", "label": "JavaScript", "source": javascript(example)},
    ]


# --- curl

_SHOWING = r"-sw '\n'"  # or the shell's prompt stands behind the answer


def curl(e: Example) -> str:
    """For bash; `field` is defined once, in docs/api.md."""
    lines = [f'curl {_SHOWING if e.shows_body else "-s"} "$API{e.url}"']
    if e.method != "GET" and (e.body is None or e.method != "POST"):
        lines[0] += f" -X {e.method}"
    lines += [f'-H "{name}: {value}"' for name, value in e.headers.items()]
    if e.body is not None:
        lines.append("-H 'content-type: application/json'")
        text = json.dumps(e.body, ensure_ascii=False, separators=(",", ":"))
        lines.append("-d '" + _VARIABLE.sub(r"""'"$\1"'""", text) + "'")
    if "cookie" in e.keeps.values():
        lines.append("-D headers.txt")
    if e.redirects:
        lines.append(r"-o /dev/null -w '%{http_code} %{redirect_url}\n'")
    elif e.answer is None:
        lines.append(r"-o /dev/null -w '%{http_code}\n'")
    kept = {name: where for name, where in e.keeps.items() if where != "cookie"}
    made = " \\\n  ".join(lines)
    if kept:
        made += " | tee answer.json"
    for name, where in e.keeps.items():
        if where == "cookie":
            made += f"\n{name}=$(sed -n 's/^set-cookie: \\([^;]*\\).*/\\1/p' headers.txt)"
        else:
            made += f"\n{name}=$(field {where} < answer.json)"
    return made


# --- Python


def python(e: Example) -> str:
    """With httpx2; `http` is made once, in docs/api.md."""
    arguments = [_python(e.url)]
    if e.headers:
        arguments.append(f"headers={_python(e.headers)}")
    if e.body is not None:
        arguments.append(f"json={_python(e.body)}")
    method = e.method.lower()
    made = f"answer = http.{method}({', '.join(arguments)})"
    if len(made) > 80:
        inside = "".join(f"    {argument},\n" for argument in arguments)
        made = f"answer = http.{method}(\n{inside})"
    made += "\n" + _python_print(e)
    for name, where in e.keeps.items():
        value = 'headers["set-cookie"].split(";")[0]' if where == "cookie" else f'json()["{where}"]'
        made += f"\n{name} = answer.{value}"
    return made


def _python_print(e: Example) -> str:
    if e.redirects:
        return 'print(answer.status_code, answer.headers["location"])'
    return "print(answer.status_code)" if e.answer is None else "print(answer.text)"


def _python(value: Any) -> str:
    """A literal; a variable in it is a name, or stands in an f-string."""
    match value:
        case dict():
            return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_python, value)) + "]"
        case str() if _VARIABLE.fullmatch(value):
            return value[1:]
        case str():
            text = json.dumps(value, ensure_ascii=False)
            return ("f" + _VARIABLE.sub(r"{\1}", text)) if _VARIABLE.search(value) else text
        case _:
            return repr(value)


# --- JavaScript


def javascript(e: Example) -> str:
    """With fetch, for browsers and Node; `answer` is declared once, in docs/api.md."""
    options = []
    if e.method != "GET":
        options.append(f'method: "{e.method}"')
    headers = dict(e.headers)
    if e.body is not None:
        headers["content-type"] = "application/json"
    if headers:
        options.append(f"headers: {_javascript(headers)}")
    if e.body is not None:
        options.append(f"body: JSON.stringify({_javascript(e.body)})")
    if e.redirects:
        options.append('redirect: "manual"')
    url = "`${API}" + _VARIABLE.sub(r"${\1}", e.url) + "`"
    inside = ", {\n" + "".join(f"  {option},\n" for option in options) + "}" if options else ""
    made = f"answer = await fetch({url}{inside});\n{_javascript_print(e)}"
    kept = {name: where for name, where in e.keeps.items() if where != "cookie"}
    if kept:
        made += f"\n({{ {', '.join(f'{w}: {n}' for n, w in kept.items())} }} = data);"
    for name, where in e.keeps.items():
        if where == "cookie":
            made += f'\n{name} = answer.headers.get("set-cookie").split(";")[0];'
    return made


def _javascript_print(e: Example) -> str:
    if e.redirects:
        return 'console.log(answer.status, answer.headers.get("location"));'
    if e.answer is None:
        return "console.log(answer.status);"
    return "data = await answer.json();\nconsole.log(JSON.stringify(data));"


def _javascript(value: Any) -> str:
    match value:
        case dict():
            inside = ", ".join(f"{_key(k)}: {_javascript(v)}" for k, v in value.items())
            return f"{{ {inside} }}"
        case list():
            return "[" + ", ".join(map(_javascript, value)) + "]"
        case str() if _VARIABLE.fullmatch(value):
            return value[1:]
        case str() if _VARIABLE.search(value):
            return "`" + _VARIABLE.sub(r"${\1}", value) + "`"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)
