"""The habits that no linter knows, as tests: small files, small functions, a test for every module.

A module's tests have its name (`rtchat/bus/shards.py`: `tests/bus/test_shards.py`), or stand in
`COVERED_BY`, because what the module does shows only together with others.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_MAX = 400
FUNCTION_LINES_MAX = 70  # its docstring not counted

COVERED_BY = {
    # One request or one socket, from end to end.
    "api/asgi": "contract/test_rest_http",
    "api/call": "contract/test_rest_auth",
    "api/conversation": "contract/test_ws_commands",
    "api/ws": "contract/test_ws_handshake",
    "api/handlers/auth": "contract/test_rest_sessions",
    "api/handlers/channels": "contract/test_rest_channels",
    "api/handlers/health": "contract/test_rest_health",
    "api/handlers/members": "contract/test_rest_members",
    "api/handlers/messages": "contract/test_rest_messages",
    "api/handlers/metrics": "contract/test_metrics",
    "api/families": "contract/test_metrics",
    "api/metrics": "contract/test_metrics",
    "api/handlers/sso": "oidc/test_sign_in",
    "api/handlers/users": "contract/test_rest_users",
    "api/handlers/ws": "contract/test_handshake_rows",
    "config/kinds": "test_config",
    "config/ephemeral": "test_config",
    "config/sign_in": "test_config",
    "auth/sessions": "contract/test_rest_sessions",
    "auth/sso/flow": "oidc/test_callback",
    "auth/sso/people": "oidc/test_linking",
    "chat": "contract/test_authorization",
    # Tables, read by what they serve.
    "commands": "test_protocol",
    "events": "test_protocol_frames",
    "config/rates": "api/test_rates",
    "api/routes": "api/test_router",
    "api/types": "api/test_http",
    # The terminal client's parts, with a screen or without.
    "terminal/completing": "terminal/test_screen",
    "terminal/finding": "terminal/test_commands",
    "terminal/program": "terminal/test_screen",
    "terminal/signing": "terminal/test_screen",
    "terminal/talk": "terminal/test_commands",
    # What the documents are made of, in the documents.
    "api/examples": "docs/test_examples",
    "api/samples": "docs/test_examples",
    "api/walk": "docs/test_walk",
    "api/handlers/docs": "web/test_docs",
    "api/handlers/documents": "docs/test_served",
    "paths": "embedding/test_mounted",
    # Parts of one machine.
    "cli/outcome": "test_cli",
    "operate/doctor": "cli/test_diagnosis",
    "operate/people": "cli/test_people",
    "operate/places": "cli/test_places",
    "store/condition": "operate/test_postgres",
    "store/following": "operate/test_tail",
    "store/operator": "cli/test_people",
    "committer": "test_writer_faults",
    "ephemeral/crowd": "ephemeral/test_presence",
    "ephemeral/outlet": "ephemeral/test_teller",
    "bus/hearing": "bus/test_redis_faults",
    "bus/link": "bus/test_redis",
    "bus/node": "bus/test_redis",
    "connection": "test_connections",
    "server/refusal": "server/test_http",
    "server/tcp": "server/test_websocket",
    "server/upgrade": "server/test_websocket",
    "store/identities": "oidc/test_linking",
    "store/migrate": "store/test_schema",
    "store/once": "test_cli",
    # Whole processes.
    "app": "integration/test_flow",
    "server/worker": "server/test_workers",
    "dev": "integration/test_dev",
    # The client's parts, each a few lines, and the client with them.
    "client/backoff": "client/test_parts",
    "client/connection": "client/test_client",
    "client/dialer": "client/test_comeback",
    "client/errors": "client/test_client",
    "client/events": "client/test_parts",
    "client/model": "client/test_parts",
    "client/reader": "client/test_comeback",
    "client/calls": "client/test_parts",
    "client/renewing": "client/test_comeback",
    "client/stream": "client/test_client",
    "client/subscriptions": "client/test_comeback",
    "client/wire": "client/test_parts",
}


SOURCES = {
    file.relative_to(ROOT).as_posix(): file.read_text()
    for folder in ("rtchat", "tests", "bench", "migrations")
    for file in sorted((ROOT / folder).rglob("*.py"))
}
TREES = {path: ast.parse(text) for path, text in SOURCES.items()}
MODULES = {
    path.removeprefix("rtchat/").removesuffix(".py")
    for path in SOURCES
    if path.startswith("rtchat/") and Path(path).stem not in ("__init__", "__main__")
}


def has_test(name: str) -> bool:
    return (ROOT / "tests" / f"{name}.py").exists()


def own_test(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return f"{folder}/test_{name}" if folder else f"test_{name}"


def test_every_module_has_its_test():
    without = {module for module in MODULES if not has_test(own_test(module))}
    assert without == COVERED_BY.keys()


@pytest.mark.parametrize("module", COVERED_BY)
def test_what_is_covered_elsewhere_is_covered_there(module: str):
    assert has_test(COVERED_BY[module])


def test_files_are_small():
    long = {path: len(text.splitlines()) for path, text in SOURCES.items()}
    assert {path: lines for path, lines in long.items() if lines > LINES_MAX} == {}


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def test_functions_fit_on_a_page():
    """All but migrations, which are lists of statements."""
    long = [
        f"{path}: {node.name}, {lines_of(node)} lines"
        for path, tree in TREES.items()
        if not path.startswith("migrations/versions/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and lines_of(node) > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_every_module_says_what_it_is():
    assert [path for path, tree in TREES.items() if ast.get_docstring(tree) is None] == []


def test_nothing_is_left_for_later():
    later = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    found = [
        f"{path}:{token.start[0]}"
        for path, text in SOURCES.items()
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and later.search(token.string)
    ]
    assert found == []


def test_no_module_has_a_name_that_says_nothing():
    nothing = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}
    assert [path for path in SOURCES if Path(path).stem in nothing] == []


def imports(path: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def test_nothing_is_mocked():
    """What a test needs is real, or a part of the package that keeps the same promises."""
    assert [path for path in SOURCES if "unittest.mock" in imports(path)] == []


def test_the_package_does_not_know_its_tests():
    outside = re.compile(r"(tests|bench|pytest|hypothesis)(\.|$)")
    package = [path for path in SOURCES if path.startswith("rtchat/")]
    assert [path for path in package if any(map(outside.match, imports(path)))] == []
