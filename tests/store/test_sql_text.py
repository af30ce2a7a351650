"""S-48: no statement is put together from what somebody sent; values are parameters.

A rule over the sources, by their syntax trees: what is spliced into SQL is a constant of its module
or the number of an enum; each other splice stands below with its reason, and one that is gone is
missed. And what is handed to the driver is a literal, a constant, or one of the names below.
"""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_tidy import TREES

SQL = re.compile(
    r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM|COPY|LOCK|GRANT|REVOKE|CREATE|DROP|ALTER|TRUNCATE"
    r"|SET LOCAL|BEGIN|COMMIT|WHERE|FROM|ORDER BY|LIMIT|JOIN|VALUES|RETURNING)\b"
)
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*|int\(Kind\.[A-Z]+\)")
DRIVER = {
    "execute", "executemany", "fetch", "fetchrow", "fetchval", "fetchmany", "prepare", "cursor",
    "copy_records_to_table", "copy_from_query",
}  # fmt: skip

REASONS = {
    # Splices.
    ("store/log.py", "setting"): "one of four literals, at import",
    ("store/log.py", "config.lock_wait_ms"): "a whole number within limits",
    ("store/log.py", "config.query_timeout_ms"): "a whole number within limits",
    ("store/log.py", "config.idle_in_transaction_ms"): "a whole number within limits",
    ("store/log.py", "column"): "one of two literals, of the loop around it",
    ("store/log.py", "int(kind)"): "the number of a kind, of the loop around it",
    ("store/log.py", "heads"): "what `_heads` made, by the two below",
    ("store/log.py", "','.join(map(str, ids))"): "whole numbers that the log's rows gave",
    ("store/log.py", "','.join(map(str, seqs))"): "whole numbers that the log's rows gave",
    ("store/log.py", "ids"): "channels' ids, each made a whole number by its type's decoder",
    ("store/log.py", "'' if wait else 'SKIP LOCKED'"): "one of two literals",
    ("store/messages.py", "compare"): "one of two literals",
    ("store/messages.py", "order"): "one of two literals",
    ("store/sessions.py", "column"): "one of two literals, of the loop around it",
    ("store/privileges.py", "schema"): "quoted by quote_ident; a command of the operator's",
    ("store/privileges.py", "name"): "quoted by quote_ident; a command of the operator's",
    ("store/privileges.py", "table"): "of the module's table of privileges",
    ("store/privileges.py", "', '.join(granted)"): "of the module's table of privileges",
    # Statements.
    ("store/log.py", "self._begin + lock"): "`_begin` and `_LOCK`, above",
    ("store/database.py", "sql"): "the one way to the pool; its callers are under this rule",
}
# No SQL, though its words are English ones too.
PROSE = {"role", "' and '.join(standing.excess)"}


def literal(node: ast.JoinedStr) -> str:
    return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def spliced(tree: ast.AST) -> Iterator[ast.expr]:
    """What is put into texts that look like SQL: by f-strings, `format`, `%` or `+`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) and SQL.search(literal(node)):
            yield from (p.value for p in node.values if isinstance(p, ast.FormattedValue))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of = node.func.value
            if node.func.attr == "format" and not is_prose(of):
                yield from (*node.args, *(keyword.value for keyword in node.keywords))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if is_sql(one) and not is_sql(other):
                    yield other


def is_sql(node: ast.expr) -> bool:
    if isinstance(node, ast.JoinedStr):
        return bool(SQL.search(literal(node)))
    return isinstance(node, ast.Constant) and bool(SQL.search(str(node.value)))


def is_prose(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and not is_sql(node)


def statements(tree: ast.AST) -> Iterator[ast.expr]:
    """What is handed to the driver as a statement, but for literals."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in DRIVER
            and node.args
            and not isinstance(node.args[0], ast.Constant | ast.JoinedStr)
        ):
            yield node.args[0]


STORE = {
    path.removeprefix("rtchat/"): tree
    for path, tree in TREES.items()
    if path.startswith("rtchat/store/")
}


def unexplained(path: str, tree: ast.AST) -> set[tuple[str, str]]:
    found = {ast.unparse(part) for part in (*spliced(tree), *statements(tree))}
    return {(path, part) for part in found - PROSE if not CONSTANT.fullmatch(part)}


def test_nothing_is_spliced_into_a_statement_but_constants():
    assert set().union(*(unexplained(*item) for item in STORE.items())) == REASONS.keys()


@pytest.mark.parametrize(
    "source",
    [
        'connection.fetch(f"SELECT * FROM users WHERE name = {name}")',
        'connection.fetch("SELECT * FROM users WHERE name = " + name)',
        'connection.fetch("SELECT * FROM users WHERE name = %s" % name)',
        'connection.fetch("SELECT * FROM users WHERE name = {}".format(name))',
        'connection.execute(f"SET LOCAL x = {name}")',
        'sql = f"UPDATE users SET name = {name!r}"',
        "connection.execute(name)",
        "connection.fetchval(_FIND.format(by=name))",
    ],
)
def test_the_rule_sees_what_it_forbids(source: str):
    assert ("x.py", "name") in unexplained("x.py", ast.parse(source))


def test_elsewhere_no_statement_is_put_together_at_all():
    """SQL is spoken in the store only; a private server makes a database of a constant name."""
    outside = {
        (path, ast.unparse(part))
        for path, tree in TREES.items()
        if path.startswith("rtchat/") and not path.startswith("rtchat/store/")
        for part in spliced(tree)
        if any(is_sql(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr))
    }
    assert {part for part in outside if not CONSTANT.fullmatch(part[1])} == set()
