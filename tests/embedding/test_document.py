"""docs/embedding.md is true: its commands serve the chat, its code does what it says."""

import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import httpx2
import pytest

from rtchat.api.call import Services
from rtchat.settings import NAMES, PREFIX
from tests.contract.metrics import parse, value
from tests.embedding.conversation import follow, new_channel, talk, talk_to_the_end
from tests.embedding.document import DOCUMENT, FILES, TEXT, uvicorn_commands
from tests.embedding.outer import outer
from tests.people import People
from tests.pods import ROOT, SETTINGS
from tests.sockets import wire

COMMANDS = uvicorn_commands()
NOBODY = {"ROBOT_ID": "0"}


def prefix_of(command: list[str]) -> str:
    return "" if "rtchat.app:create_app" in command else "/chat"


def test_it_has_an_application_of_each_kind() -> None:
    assert [prefix_of(command) for command in COMMANDS] == ["/chat", "/chat", "", ""]
    kinds = {
        name for name, text in FILES.items() for kind in ("FastAPI(", "Starlette(") if kind in text
    }
    assert kinds == {"fastapi_app.py", "starlette_app.py", "metered_app.py"}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:4]))
async def test_what_it_tells_to_start_serves_the_chat(
    command: list[str], files: Path, database_url: str
) -> None:
    """From REST to resuming by a cursor, and to a clean end with sockets open."""
    options: dict[str, Any] = {"prefix": prefix_of(command), "environ": NOBODY}
    async with outer(command, database_url, files, **options) as server:
        await talk(server)
        await talk_to_the_end(server)
        if "--log-config" in command:
            lines = [json.loads(line) for line in server.log().splitlines()]
            assert {"started", "request", "connected", "stopping"} <= {x["event"] for x in lines}


async def test_endpoints_of_ones_own_act_as_the_chat(files: Path, database_url: str) -> None:
    """They know whose a token is, and write as a user: stored, delivered, once for each nonce."""
    async with People(database_url) as people:
        ann, robot, eve = [await people.new(name) for name in ("ann", "robot", "eve")]
        environ = {"ROBOT_ID": str(robot.id)}
        async with (
            outer(
                ["fastapi_app:app"], database_url, files, prefix="/chat", environ=environ
            ) as server,
            httpx2.AsyncClient(base_url=server.root, timeout=20) as http,
            httpx2.AsyncClient(base_url=server.url, timeout=20) as chat,
        ):
            me = await http.get("/whoami", headers=ann.headers)
            assert me.json() == {"id": ann.id, "name": "ann"}
            bad = await http.get("/whoami", headers={"Authorization": "Bearer bad"})
            assert (bad.status_code, bad.json()["code"]) == (401, "unauthorized")

            channel = await new_channel(chat, ann, robot)
            path, query = "/orders/7/shipped", {"channel": channel}
            async with wire(server.ws_url, ann) as socket:
                await follow(socket, channel, None)
                for _ in range(2):
                    said = await http.post(path, params=query, headers=ann.headers)
                    assert said.json() == {"seq": 1}
                message = await socket.recv()
                assert (message["user"], message["content"]) == (robot.id, "Order 7 is on its way.")
                await socket.silence()
            elsewhere = {"channel": await new_channel(chat, eve)}
            refused = await http.post(path, params=elsewhere, headers=ann.headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_metrics_of_ones_own_have_the_chats_among_them(
    files: Path, database_url: str
) -> None:
    async with (
        People(database_url) as people,
        outer(["metered_app:app"], database_url, files, prefix="/chat", environ={}) as server,
        httpx2.AsyncClient(base_url=server.root, timeout=20) as http,
        wire(server.ws_url, await people.new("ann")),
    ):
        series = parse((await http.get("/metrics/")).text)
    assert value(series, "rtchat_connections") == 1
    assert value(series, "process_open_fds") > 3, "the application's own"


def test_ones_own_tests_have_the_chat_in_them(files: Path, database_url: str) -> None:
    environ = {"RTCHAT_DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_your_app.py"],
        cwd=files, env={**os.environ, **SETTINGS, **NOBODY, **environ},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert "1 passed" in done.stdout, done.stdout + done.stderr


# --- what others may rely on

ROW = re.compile(r"^\| `([\w.]+)(?:\(([\w, ]*)\))?` \| ", re.MULTILINE)
PUBLIC = ROW.findall(TEXT.partition("## Acting as the chat")[2].partition("\n## ")[0])


def resolve(name: str) -> Any:
    """What a dotted name stands for; `services.…` by the types of the parts."""
    first, *rest = name.split(".")
    if first != "services":
        return pkgutil.resolve_name(name)
    found = get_type_hints(Services)[rest[0]]
    for part in rest[1:]:
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("name", "parameters"), PUBLIC)
def test_what_is_public_is_there(name: str, parameters: str) -> None:
    """By this name, with these parameters."""
    found = resolve(name)
    if parameters and name.startswith("services."):
        named = [p for p in inspect.signature(found).parameters if p != "self"]
        assert ", ".join(named) == parameters


def test_enough_is_public() -> None:
    assert len(PUBLIC) > 20


# --- what it names


def test_named_settings_exist() -> None:
    named = {name.removesuffix("_FILE") for name in re.findall(r"RTCHAT_[A-Z_]*[A-Z]", TEXT)}
    assert named - {PREFIX + name.upper() for name in NAMES} == set()


def test_settings_without_effect_are_read_by_the_server_and_the_command_line_alone() -> None:
    text = TEXT.partition("Without effect are then:")[2].partition(". And")[0]
    listed = {n.removeprefix(PREFIX).lower() for n in re.findall(r"RTCHAT_[A-Z_]*[A-Z]", text)}
    # The last ones describe the server to whoever asks for `asyncapi.json`.
    outside = re.compile(
        r"rtchat/(server/|config/|cli|operate/|dev|prestop|settings|api/(asyncapi|schemas)\b)"
    )
    read: set[str] = set()
    for file in (ROOT / "rtchat").rglob("*.py"):
        if not outside.match(file.relative_to(ROOT).as_posix()):
            read |= set(re.findall(r"config\.(\w+)", file.read_text()))
    assert listed & read <= {"host"}  # which `on_listening` logs
    assert len(listed) > 10


def test_named_files_and_headings_exist() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = link.partition("#")
        file = (DOCUMENT.parent / path) if path else DOCUMENT
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
        slugs = {re.sub(r"[^\w -]", "", h).replace(" ", "-").lower() for h in headings}
        assert not anchor or anchor in slugs, link
