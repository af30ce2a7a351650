"""Tests as documents and tables name them: `tests/path/test_file.py::test_name[id]`.

Owns: whether there is such a test. Files are read, not imported: a test of the faults need not be
collected to be named.
"""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
REFERENCE = re.compile(r"(tests/[\w/]+\.py)::(\w+)(?:\[([^\]]+)\])?")


@functools.cache
def _names(path: str) -> tuple[frozenset[str], frozenset[str]]:
    """The tests of a file, and every string in it, of which ids are made."""
    tree = ast.parse((ROOT / path).read_text())
    tests = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }
    # A stateful test of hypothesis is made from its machine: TestRooms = Machine.TestCase
    tests |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id.startswith("Test")
    }
    strings = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return frozenset(tests), frozenset(strings)


def missing_test(reference: str) -> str:
    """Why there is no such test; empty where there is one."""
    found = REFERENCE.fullmatch(reference)
    if found is None:
        return f"{reference} names no test"
    path, name, parameter = found.groups()
    if not (ROOT / path).is_file():
        return f"there is no {path}"
    tests, strings = _names(path)
    if name not in tests:
        return f"{path} has no {name}"
    # An id is a literal, or some of several parameters' ids joined by hyphens.
    ids = (parameter == s or parameter.endswith(f"-{s}") for s in strings) if parameter else (True,)
    if not any(ids):
        return f"{path} has no {parameter!r} for {name}"
    return ""
