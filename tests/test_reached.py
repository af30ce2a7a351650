"""The counters of limits: which there are, and that the code names and counts each.

That each is really counted is seen on servers, in `tests/contract/test_reached_limits.py`.
"""

import ast
from collections.abc import Iterable, Iterator

import pytest

from rtchat.api.rates import RATES
from rtchat.config import Config
from rtchat.reached import Reached, counted
from tests.docs.limits_page import closes_at, errors_at
from tests.test_tidy import TREES

COUNTED = set(counted())
CODE = {
    path: tree
    for path, tree in TREES.items()
    if path.startswith("rtchat/") and not path.startswith(("rtchat/config/", "rtchat/client/"))
}


def test_what_is_told_by_a_code_is_counted_and_nothing_else():
    told = {name for name in Config.__struct_fields__ if errors_at(name) or closes_at(name)}
    assert told == COUNTED
    assert {"content_max_chars", "auth_deadline_ms", "cache_timeout_ms"} <= COUNTED
    assert not {"batch_max_rows", "header_read_s", "lanes", "secret_key"} & COUNTED


def test_all_are_there_from_the_start():
    assert Reached().counts == dict.fromkeys(counted(), 0)


def test_one_or_several_rise():
    reached = Reached()
    reached.count()
    assert not any(reached.counts.values())
    reached.count("sends_per_second", "sends_burst")
    reached.count("sends_burst")
    there = {name: count for name, count in reached.counts.items() if count}
    assert there == {"sends_per_second": 1, "sends_burst": 2}


@pytest.mark.parametrize("name", ["", "lanes", "nothing", "RTCHAT_SUBS_MAX"])
def test_what_is_no_limit_is_a_mistake(name: str):
    reached = Reached()
    with pytest.raises(AssertionError):
        reached.count(name)
    assert reached.counts.keys() == COUNTED


# --- that the code names them


def texts(node: ast.AST | None) -> Iterator[str]:
    """The texts that an expression may be; not those that only decide which."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from texts(part)
        case ast.IfExp(body=one, orelse=other):
            yield from texts(one)
            yield from texts(other)


def named(trees: Iterable[ast.AST]) -> set[str]:
    """The settings that the code names where it makes an error, or counts, or keeps for either."""
    found = {text for tree in trees for node in ast.walk(tree) for text in texts(node)}
    return found & COUNTED


def counts(trees: Iterable[ast.AST]) -> set[str]:
    """The texts that are given as the limit of an error, or to be counted at once."""
    found: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)):
        values = [word.value for word in node.keywords if word.arg == "limit"]
        called = ast.unparse(node.func)
        if called.endswith("reached.count"):
            values += node.args
        found |= {text for value in values for text in texts(value)}
    return found


def test_each_is_named_by_the_code_that_tells_of_it():
    assert COUNTED - named(CODE.values()) == set()


def test_the_code_counts_no_others():
    assert counts(CODE.values()) - {""} <= COUNTED


def test_every_rate_of_the_table_is_counted_by_its_setting():
    assert {setting for line in RATES.values() for setting in line.settings} <= COUNTED


def forgetful(tree: ast.Module, limit: str) -> ast.Module:
    """The module without this limit."""

    class Forgets(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            return ast.Constant("") if node.value == limit else node

    forgets: ast.Module = Forgets().visit(ast.parse(ast.unparse(tree)))
    return forgets


@pytest.mark.parametrize("limit", ["content_max_chars", "fragments_max", "queue_max_bytes"])
def test_a_count_that_is_forgotten_is_noticed(limit: str):
    left = [forgetful(tree, limit) for tree in CODE.values()]
    assert COUNTED - named(left) == {limit}


def test_a_name_that_is_none_is_noticed():
    told = ast.parse('raise ChatError(Code.TOO_LONG, limit="content_max")')
    direct = ast.parse('self._reached.count("too_slow" if slow else "subs_max")')
    assert counts([told, direct]) == {"content_max", "too_slow", "subs_max"}
