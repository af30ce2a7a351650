"""Three interpreters that run samples one after the other, as a reader would type them.

Owns: the processes. Each keeps its variables between samples, so that what one sample keeps is what
the next one uses.
"""

import asyncio
import json
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from typing import Any

PATIENCE_S = 20.0  # a sample takes some ms; Python imports an HTTP client first

_PYTHON = """
import contextlib, io, json, sys
names = {}
for line in sys.stdin:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(json.loads(line), names)
    print(json.dumps(said.getvalue()), flush=True)
"""
# Assignments to names that nobody declared stay, as they do where declarations came before.
_NODE = """
const lines = require("node:readline").createInterface({ input: process.stdin });
let said = [];
console.log = (...words) => said.push(words.join(" ") + "\\n");
const make = Object.getPrototypeOf(async function () {}).constructor;
(async () => {
  for await (const line of lines) {
    said = [];
    await make(JSON.parse(line))();
    process.stdout.write(JSON.stringify(said.join("")) + "\\n");
  }
})();
"""
_END = "end-of-this-sample"


class Shell(ABC):
    """One interpreter."""

    language: str
    begin: str  # what docs/api.md puts before the first sample; {api} is the server

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rtchat-samples-")
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Shell":
        self._process = await asyncio.create_subprocess_exec(
            *self.command(),
            cwd=self._folder.name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._folder.cleanup()

    @abstractmethod
    def command(self) -> list[str]:
        """What runs it."""

    @abstractmethod
    def wrap(self, code: str) -> str:
        """Code as it is sent."""

    @abstractmethod
    def assign(self, name: str, value: str) -> str:
        """Code that sets a variable."""

    @abstractmethod
    async def said(self, output: asyncio.StreamReader) -> str:
        """What the code printed."""

    async def run(self, code: str) -> str:
        """Run a sample; what it printed."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self.wrap(code).encode())
        await self._process.stdin.drain()
        async with asyncio.timeout(PATIENCE_S):
            return (await self.said(self._process.stdout)).strip()


class _LineShell(Shell):
    """One that takes a sample as a line of JSON, and answers with one."""

    def wrap(self, code: str) -> str:
        return json.dumps(code) + "\n"

    async def said(self, output: asyncio.StreamReader) -> str:
        line = await output.readline()
        assert line, f"{self.language} has ended"
        text: Any = json.loads(line)
        return str(text)


class Python(_LineShell):
    language = "Python"
    begin = 'import httpx2\n\nAPI = "{api}"\nhttp = httpx2.Client(base_url=API)'

    def command(self) -> list[str]:
        return [sys.executable, "-c", _PYTHON]

    def assign(self, name: str, value: str) -> str:
        return f"{name} = {value!r}"


class JavaScript(_LineShell):
    language = "JavaScript"
    begin = 'globalThis.API = "{api}";'

    def command(self) -> list[str]:
        return ["node", "-e", _NODE]

    def assign(self, name: str, value: str) -> str:
        return f"{name} = {json.dumps(value)};"


class Bash(Shell):
    language = "curl"
    begin = (
        "API={api}\n"
        """field() {{ python3 -c "import json,sys; print(json.load(sys.stdin)['$1'])"; }}"""
    )

    def command(self) -> list[str]:
        return ["bash", "-e", "-o", "pipefail"]

    def wrap(self, code: str) -> str:
        return f"{code}\necho\necho {_END}\n"

    def assign(self, name: str, value: str) -> str:
        return f"{name}='{value}'"

    async def said(self, output: asyncio.StreamReader) -> str:
        lines = []
        while (line := (await output.readline()).decode()).strip() != _END:
            assert line, "bash has ended"
            lines.append(line)
        return "".join(lines)


SHELLS: tuple[type[Shell], ...] = (Bash, Python, JavaScript)


def missing(shell: type[Shell]) -> str:
    """Why a shell cannot be run here; empty where it can."""
    programs = {Bash: ["bash", "curl"], JavaScript: ["node"]}.get(shell, [])
    absent = [program for program in programs if shutil.which(program) is None]
    return f"{' and '.join(absent)} is not installed" if absent else ""
