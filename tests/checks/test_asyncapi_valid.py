"""The AsyncAPI document, judged by the project's own parser, a linter, and its own schemas."""

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from rtchat.api.asyncapi import document
from rtchat.config import Config
from tests.checks.node import SETTINGS, answered, needs_node, redocly, run
from tests.checks.references import dangling, references, wrong_examples

# 3.1 adds nothing that is needed here, and what draws pages and makes clients reads 3.0.
NEWER = "asyncapi-latest-version"


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    """The document of a server whose settings nobody changed."""
    return document(Config())


def judged(asyncapi: dict[str, Any], at: Path) -> tuple[bool, list[str]]:
    """Whether the parser takes it, and what it says of it."""
    path = at / "asyncapi.json"
    path.write_text(json.dumps(asyncapi))
    answer = answered(run(SETTINGS / "asyncapi.cjs", path))
    found = [one for one in answer["found"] if one["code"] != NEWER]
    return answer["valid"], [f"{one['code']} at {one['path']}: {one['message']}" for one in found]


@needs_node
def test_the_parser_takes_it_without_a_word(asyncapi: dict[str, Any], tmp_path: Path) -> None:
    assert asyncapi["asyncapi"] == "3.0.0"
    assert judged(asyncapi, tmp_path) == (True, [])


@needs_node
def test_the_parser_is_strict(asyncapi: dict[str, Any], tmp_path: Path) -> None:
    worse = copy.deepcopy(asyncapi)
    first = next(iter(worse["components"]["schemas"].values()))
    first["type"] = "nothing"
    valid, found = judged(worse, tmp_path)
    assert not valid
    assert any("nothing" in one or "allowed values" in one for one in found)


@needs_node
def test_the_linter_finds_nothing(asyncapi: dict[str, Any], tmp_path: Path) -> None:
    assert redocly(asyncapi, tmp_path) == []


def test_what_it_refers_to_is_there(asyncapi: dict[str, Any]) -> None:
    assert len(references(asyncapi)) > 50
    assert dangling(asyncapi) == {}


def test_every_message_has_an_example(asyncapi: dict[str, Any]) -> None:
    messages = asyncapi["components"]["messages"]
    assert len(messages) > 20
    assert [name for name, message in messages.items() if not message.get("examples")] == []


def test_its_examples_are_what_its_schemas_say(asyncapi: dict[str, Any]) -> None:
    """AsyncAPI's schemas are of JSON Schema's draft 7."""
    wrong, count = wrong_examples(asyncapi, jsonschema_rs.Draft7)
    assert wrong == {}
    assert count > 20
