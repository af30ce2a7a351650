"""The OpenAPI document, judged by the specification, by its own schemas, and by a linter."""

import copy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from rtchat.api.openapi import document
from rtchat.config import Config
from tests.checks.node import needs_node, redocly
from tests.checks.references import dangling, references, wrong_examples


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    """The document of a server whose settings nobody changed."""
    return document(Config())


def faults(openapi: dict[str, Any]) -> list[str]:
    found = OpenAPIV31SpecValidator(openapi).iter_errors()
    return [f"{'/'.join(map(str, error.path))}: {error.message}" for error in found]


def test_it_is_as_the_specification_says(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"].startswith("3.1.")
    assert faults(openapi) == []


def test_what_it_refers_to_is_there(openapi: dict[str, Any]) -> None:
    assert len(references(openapi)) > 50
    assert dangling(openapi) == {}


def test_its_examples_are_what_its_schemas_say(openapi: dict[str, Any]) -> None:
    wrong, count = wrong_examples(openapi, jsonschema_rs.Draft202012)
    assert wrong == {}
    assert count > 50


@needs_node
def test_the_linter_finds_nothing(openapi: dict[str, Any], tmp_path: Path) -> None:
    assert redocly(openapi, tmp_path) == []


@needs_node
def test_the_linter_is_strict(openapi: dict[str, Any], tmp_path: Path) -> None:
    """A mistake of each tool's own kind is found, so silence means something."""
    worse = copy.deepcopy(openapi)
    worse["components"]["schemas"]["Unused"] = {"type": "object", "required": ["nothing"]}
    assert faults(worse) == []
    rules = {problem.partition(" ")[0] for problem in redocly(worse, tmp_path)}
    assert rules >= {"no-unused-components", "no-required-schema-properties-undefined"}


def test_the_validator_is_strict(openapi: dict[str, Any]) -> None:
    worse = copy.deepcopy(openapi)
    worse["paths"]["/users/me"]["get"]["response"] = {}
    assert len(faults(worse)) > 0
