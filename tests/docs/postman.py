"""The Postman collection and its environment, made of the OpenAPI document and the examples' story.

Owns: which variables a run keeps (tokens, ids), so that it goes through on a server where others
have been; and what each request is tested for: the status, the type and the schema that stand in
the document. Ids of Postman's own are derived from names: files change only with the interface.
"""

import json
import uuid
from typing import Any

from rtchat.api.examples import BROWSER, STORY
from rtchat.api.openapi import document as openapi
from rtchat.api.samples import Example
from rtchat.config import Config

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:rtchat:postman")
# Ids of the story, by where they stand; the first request that makes one keeps it.
IN_PATH = {
    "/auth/sessions": {"id": "{{sessionId}}"},
    "/channels": {"id": "{{channelId}}", "userId": "{{bobId}}", "seq": "{{seq}}"},
    "/auth/oauth": {"provider": "{{provider}}"},
    "/auth/identities": {"provider": "{{provider}}"},
}
KEPT = {
    "register": {"token": "accessToken", "refreshToken": "refreshToken"},
    "register-bob": {"bob": "accessToken", "bobId": "user.id"},
    "login": {"token": "accessToken", "refreshToken": "refreshToken"},
    "refresh": {"token": "accessToken", "refreshToken": "refreshToken"},
    "sessions": {"sessionId": "items[1].id"},
    "create": {"channelId": "id"},
    "send": {"seq": "seq"},
}
VALUES = {
    "$TOKEN": "{{token}}", "$BOB": "{{bob}}", "$REFRESH": "{{refreshToken}}", "$CODE": "{{code}}",
    "$STATE": "{{state}}", "$COOKIE": "{{cookie}}", "ann@": "ann-{{run}}@", "bob@": "bob-{{run}}@",
}  # fmt: skip
DESCRIPTION = """\
Made of the OpenAPI document: run it from top to bottom against an rtchat server (`rtchat dev`). It
makes two accounts of its own each time, signs in, and tests each answer against its schema. The
folder "{browser}" needs a provider and a browser; without them its requests answer with errors.
"""
# A name for this run, so that its accounts are there for the first time.
BEGIN = """\
if (!pm.environment.get("run") || pm.info.requestName === "{first}") {{
  pm.environment.set("run", pm.variables.replaceIn("{{{{$randomUUID}}}}"));
}}"""


def collection() -> str:
    """The collection, as Postman v2.1 has it."""
    described = openapi(Config())
    first = next(iter(STORY.values()))[0]
    made = {
        "info": {
            "_postman_id": str(_NAMESPACE),
            "name": "rtchat",
            "description": DESCRIPTION.format(browser=BROWSER),
            "schema": SCHEMA,
        },
        "auth": _bearer("{{token}}"),
        "event": [_event("prerequest", BEGIN.format(first=first.title))],
        "item": [
            {"name": name, "item": [_request(e, described, name == BROWSER) for e in examples]}
            for name, examples in STORY.items()
        ],
    }
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def environment() -> str:
    """What differs between servers."""
    made = {
        "id": str(uuid.uuid5(_NAMESPACE, "environment")),
        "name": "rtchat dev",
        "values": [
            {"key": "baseUrl", "value": "http://localhost:8000", "type": "default"},
            {"key": "provider", "value": "corp", "type": "default"},
        ],
    }
    return json.dumps(made, indent=2) + "\n"


def _request(e: Example, described: Any, in_browser: bool) -> dict[str, Any]:
    operation = described["paths"][e.path][e.method.lower()]
    path = e.path.format(**_in_path(e))
    raw = "{{baseUrl}}" + path + (f"?{_filled(e.query)}" if e.query else "")
    request: dict[str, Any] = {
        "method": e.method,
        "description": operation["description"],
        "header": [],
        "url": {"raw": raw, "host": ["{{baseUrl}}"], "path": path.split("/")[1:]},
    }
    if e.query:
        pairs = (pair.partition("=") for pair in _filled(e.query).split("&"))
        request["url"]["query"] = [{"key": key, "value": value} for key, _, value in pairs]
    if e.who != "$TOKEN":
        request["auth"] = {"type": "noauth"} if e.who is None else _bearer(VALUES[e.who])
    if e.cookie:
        request["header"].append({"key": "Cookie", "value": VALUES[e.cookie]})
    if e.body is not None:
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": _body(e)}
    return {
        "name": e.title,
        "id": str(uuid.uuid5(_NAMESPACE, e.name)),
        "protocolProfileBehavior": {"followRedirects": False},
        "request": request,
        "event": [_event("test", _tests(e, operation, described, in_browser))],
    }


def _in_path(e: Example) -> dict[str, str]:
    for begin, names in IN_PATH.items():
        if e.path.startswith(begin):
            return {name: names[name] for name in e.at}
    return {}


def _filled(text: str) -> str:
    for name, value in VALUES.items():
        text = text.replace(name, value)
    return text


def _body(e: Example) -> str:
    """The body, with what this run knows by other numbers."""
    body = dict(e.body)
    for name in body.keys() & {"userId", "members"}:
        body[name] = ["{{bobId}}"] if name == "members" else "{{bobId}}"
    return _filled(json.dumps(body, indent=2).replace('"{{bobId}}"', "{{bobId}}"))


def _bearer(token: str) -> dict[str, Any]:
    return {"type": "bearer", "bearer": [{"key": "token", "value": token, "type": "string"}]}


def _event(listen: str, script: str) -> dict[str, Any]:
    return {
        "listen": listen,
        "script": {"type": "text/javascript", "exec": script.split("\n")},
    }


# --- tests


def _tests(e: Example, operation: Any, described: Any, in_browser: bool) -> str:
    if in_browser:  # documented is all that can be said of it without a person
        statuses = json.dumps([int(status) for status in operation["responses"]])
        return (
            'pm.test("status is documented", () => '
            f"pm.expect(pm.response.code).to.be.oneOf({statuses}));"
        )
    lines = [f'pm.test("status {e.status}", () => pm.response.to.have.status({e.status}));']
    content = operation["responses"][str(e.status)].get("content", {})
    for media_type, kind in content.items():
        lines.append(
            f'pm.test("{media_type}", () => pm.expect(pm.response.headers.get("Content-Type"))'
            f'.to.include("{media_type}"));'
        )
        if e.answer is not None:
            schema = json.dumps(_inlined(kind["schema"], described))
            lines.append(f'pm.test("schema", () => pm.response.to.have.jsonSchema({schema}));')
    for name, where in KEPT.get(e.name, {}).items():
        lines.append(f'pm.environment.set("{name}", pm.response.json().{where});')
    return "\n".join(lines)


def _inlined(node: Any, described: Any) -> Any:
    """A schema without references, which Postman's validator would look for elsewhere."""
    if isinstance(node, list):
        return [_inlined(item, described) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _inlined(described["components"]["schemas"][name], described)
    kept = {k: v for k, v in node.items() if k not in ("description", "title", "x-settings")}
    return {key: _inlined(value, described) for key, value in kept.items()}
