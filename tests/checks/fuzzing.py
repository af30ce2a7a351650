"""One run of Schemathesis: what it is given, and what it reports.

Owns: its command line. Who asks makes three runs, since some calls end the session of whoever asks:

    signed in   Ann, everything but those calls: once her session has ended, every answer is 401
    leaving     Cal and Dan, those calls only
    nobody      without a token, everything
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checks.scene import Scene, Words
from tests.people import Person
from tests.pods import ROOT

SETTINGS = Path(__file__).with_name("schemathesis.toml")
HOOKS = {"SCHEMATHESIS_HOOKS": "tests.checks.allowed", "PYTHONPATH": str(ROOT)}
PROGRAM = Path(sys.executable).with_name("schemathesis")
SEED = 7
# What ends sessions: of whoever asks, or all of them.
ENDING = ("/auth/logout", "/auth/sessions/{id}")


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for what: options of the program, and tables of its settings."""

    options: tuple[str, ...] = ()
    settings: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


def signed_in(scene: Scene) -> Asker:
    """Ann; and what she gets of her own, Bob must not get."""
    peers = [("ann", scene.ann), ("bob", scene.bob)]
    return Asker(
        tuple(option for path in ENDING for option in ("--exclude-path", path)),
        '[auth.wfc]\npath = "people.json"\nuser = "ann"\npeers = ["ann", "bob"]\n',
        {"people.json": json.dumps({"auth": [_known(name, who) for name, who in peers]})},
    )


def leaving(who: Person, path: str) -> Asker:
    """Somebody who only asks for what ends sessions."""
    return Asker(
        ("--include-path", path, "--phases", "examples,coverage,fuzzing"),  # nothing follows on it
        f"[auth.openapi.bearer]\nbearer = {json.dumps(who.token)}\n",
    )


def nobody() -> Asker:
    """No token at all."""
    return Asker()


def _known(name: str, who: Person) -> dict[str, Any]:
    header = {"name": "Authorization", "value": who.headers["Authorization"]}
    return {"name": name, "fixedHeaders": [header]}


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run."""

    status: int
    output: str
    told: dict[str, Any]

    @property
    def cases(self) -> int:
        """How many requests were made up."""
        number: int = self.told["test_cases"]["generated"]
        return number

    @property
    def failures(self) -> set[str]:
        """The kinds of what is wrong."""
        return {failure["type"] for failure in self.told["failures"]}

    @property
    def accepted(self) -> set[str]:
        """The operations of which a request was accepted."""
        return {
            operation
            for operation, phases in self.told["valid_rates"].items()
            if any(phase["accepted"] for phase in phases.values())
        }


def fuzz(
    url: str,
    asker: Asker,
    words: Words,
    at: Path,
    *,
    document: Path | None = None,
    examples: int,
    seconds: int | None = None,
) -> Report:
    """Run it against a server, in the folder `at`; with `seconds`, for so long, and at random.

    `document`: a file that is believed instead of the server's own.
    """
    at.mkdir(parents=True, exist_ok=True)
    (at / "settings.toml").write_text(f"{SETTINGS.read_text()}\n{_tables(words)}{asker.settings}")
    for name, text in asker.files.items():
        (at / name).write_text(text)
    luck = ["--seed", str(SEED)] if seconds is None else ["--max-time", str(seconds)]
    ended = subprocess.run(
        [
            PROGRAM, "--config-file", "settings.toml", "run", document or f"{url}/openapi.json",
            "--url", url, "--checks", "all", "--max-examples", str(examples), *luck,
            *asker.options, "--no-color", "--report", "json", "--report-json-path", "report.json",
        ],
        cwd=at,
        env={**os.environ, **HOOKS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )  # fmt: skip
    try:
        told = json.loads((at / "report.json").read_text())
    except OSError:
        raise AssertionError(f"it made no report:\n{ended.stdout}") from None
    return Report(ended.returncode, ended.stdout, told)


def _tables(words: Mapping[str, Sequence[int | str]]) -> str:
    return "".join(
        f"[dictionaries.{name}]\nvalues = {json.dumps(list(values))}\n"
        for name, values in words.items()
    )
