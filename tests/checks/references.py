"""What a document refers to, and whether its examples are what its schemas say; without node.

Owns: walking an OpenAPI or AsyncAPI document. A place in it is a JSON Pointer (RFC 6901).
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import jsonschema_rs

NAME = "urn:document"


def places(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document, and where it stands."""
    yield at, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from places(value, f"{at}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, f"{at}/{index}")


def references(document: Any) -> dict[str, str]:
    """Every `$ref`, by the place where it stands."""
    return {
        at: node["$ref"]
        for at, node in places(document)
        if isinstance(node, dict) and isinstance(node.get("$ref"), str)
    }


def dangling(document: Any) -> dict[str, str]:
    """The references that lead to nothing in the document."""
    here = {f"#{at}" for at, _ in places(document)}
    return {at: ref for at, ref in references(document).items() if unquote(ref) not in here}


class Schemas:
    """The schemas of one document; a schema is named by its place."""

    def __init__(self, document: Any, draft: int) -> None:
        self._draft = draft
        self._resources = jsonschema_rs.Registry([(NAME, document)], draft=draft)
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def errors(self, at: str, value: Any) -> list[str]:
        """What is wrong with a value, as the schema there says."""
        if at not in self._validators:
            kind = {
                jsonschema_rs.Draft7: jsonschema_rs.Draft7Validator,
                jsonschema_rs.Draft202012: jsonschema_rs.Draft202012Validator,
            }[self._draft]
            self._validators[at] = kind(
                {"$ref": f"{NAME}#{quote(at)}"}, registry=self._resources, validate_formats=True
            )
        return [error.message for error in self._validators[at].iter_errors(value)]


def examples(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Every example: where it stands, the place of its schema, and its value."""
    for at, node in places(document):
        if not isinstance(node, dict):
            continue
        schema = next((f"{at}/{key}" for key in ("schema", "payload") if key in node), at)
        if "example" in node and "schema" in node:
            yield f"{at}/example", schema, node["example"]
        found = node.get("examples")
        if isinstance(found, dict) and "schema" in node:
            for name, example in found.items():
                yield f"{at}/examples/{name}", schema, example["value"]
        elif isinstance(found, list):
            for index, example in enumerate(found):
                value = example["payload"] if "payload" in node else example
                yield f"{at}/examples/{index}", schema, value


def wrong_examples(document: Any, draft: int) -> tuple[dict[str, list[str]], int]:
    """What is wrong with examples, by their places; and how many were looked at."""
    schemas = Schemas(document, draft)
    found = {at: schemas.errors(schema, value) for at, schema, value in examples(document)}
    return {at: errors for at, errors in found.items() if errors}, len(found)
