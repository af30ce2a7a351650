"""rtchat.js and what it is declared to be; and scripts as they are served.

Needs TypeScript, one of the programs of `tests/checks/node`.
"""

import json
import re
from pathlib import Path

from rtchat import web
from tests.checks.node import answered, needs_node, run
from tests.pods import ROOT

FOLDER = Path(web.__file__).parent
COMPILER = "typescript/bin/tsc"
OPTIONS = {
    "target": "es2024",
    "lib": ["es2024", "dom", "dom.iterable"],
    "module": "esnext",
    "moduleResolution": "bundler",
    "strict": True,
    "noEmit": True,
    "allowJs": True,
    "checkJs": True,
    "types": [],
}
# What is declared is what is there: each class is good where the declared one is wanted.
MATCH = """
import * as declared from "{web}/rtchat.js"
import {{ Client }} from "{web}/client/client.js"
import {{ Refused }} from "{web}/client/refused.js"
import {{ Rest }} from "{web}/client/rest.js"
import {{ Session }} from "{web}/client/session.js"

type Like<Class> = Omit<Class, "addEventListener">
declare const client: Client, refused: Refused, rest: Rest, session: Session
export const told: [
  Like<declared.Client>, declared.Refused, declared.Rest, Like<declared.Session>
] = [client, refused, rest, session]
export const names: [keyof typeof declared] extends
  ["Client" | "Refused" | "Rest" | "Session"] ? true : false = true
"""


def compiled(folder: Path, *files: Path) -> str:
    """What the compiler says of these files."""
    config = folder / "tsconfig.json"
    told = {"compilerOptions": OPTIONS, "files": [str(file) for file in files]}
    config.write_text(json.dumps(told))
    return run(COMPILER, "--project", config).stdout


@needs_node
def test_types_hold_and_are_the_declared_ones(tmp_path: Path):
    """And the compiler would say so if they were not: of a lie, which is compiled as well."""
    match, lie = tmp_path / "match.ts", tmp_path / "lie.ts"
    match.write_text(MATCH.format(web=FOLDER.as_posix()))
    lie.write_text(match.read_text().replace("= [client,", "= [session,"))
    folders = ("client", "chat")
    parts = [file for folder in folders for file in sorted((FOLDER / folder).glob("*.js"))]
    scripts = [FOLDER / "rtchat.js", *parts]
    told = compiled(tmp_path, match, lie, FOLDER / "rtchat.d.ts", *scripts)
    errors = [line for line in told.splitlines() if "error TS" in line]
    assert [Path(error.partition("(")[0]).name for error in errors] == ["lie.ts"]


def test_what_is_exported_is_declared():
    exported = re.findall(r"export \{ (\w+) \}", (FOLDER / "rtchat.js").read_text())
    declared = re.findall(r"^export class (\w+)", (FOLDER / "rtchat.d.ts").read_text(), re.M)
    assert sorted(exported) == sorted(declared)


@needs_node
def test_scripts_lose_their_comments_and_nothing_else(tmp_path: Path):
    pairs = []
    for number, asset in enumerate(web.ASSETS):
        if asset.file.startswith("vendor/") or not asset.file.endswith(".js"):
            continue
        version = f"?v={web.version().decode()}"
        text = web.read(asset).decode().replace(version, "")
        assert "@param" not in text
        assert "Must never" not in text
        served = tmp_path / f"{number}.js"
        served.write_text(text)
        pairs.append([str(FOLDER / asset.file), str(served)])
    assert len(pairs) > 10
    assert answered(run(ROOT / "tests/web/served.cjs", json.dumps(pairs))) == []
