"""No secret is in the repository: not a key, not a token, not a password in what deploys it."""

import os
import re
from pathlib import Path

import pytest

from rtchat.settings import NAMES, PREFIX, is_secret

ROOT = Path(__file__).parents[1]
KEPT = {".github", ".ci", ".gitignore", ".dockerignore"}
LEFT_OUT = {"venv", "__pycache__", "node_modules", "dist", "build"}  # and hidden: of git and tools

# What keys and tokens look like, by who gives them out.
SHAPES = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/]{20}",
    "JWT": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub": r"\b(?:gh[pousr]_\w{36}|github_pat_\w{22,})",
    "GitLab": r"\bglpat-[\w-]{20}",
    "Google": r"\bAIza[\w-]{35}\b|\bGOCSPX-[\w-]{20,}",
    "Microsoft": r"8Q~[\w~.-]{34}",
    "Slack": r"\bxox[abprs]-[\w-]{10,}",
    "Stripe": r"\b[rs]k_live_\w{20,}",
    "PyPI": r"\bpypi-AgEIcHlwaS[\w-]{20,}",
}
# In what deploys, a secret's name is followed by a reference to it, never by the secret.
DEPLOYS = re.compile(r"(^|/)(Dockerfile|docker-compose[\w.-]*|.*\.(ya?ml|toml|env|ini|cfg))$")
GIVEN = re.compile(
    r"""(?<![\w{])(?P<name>\w*(?:PASSWORD|SECRET|TOKEN|PRIVATE_KEY)\w*)["']?"""
    r"""[ \t]*[:=][ \t]*["']?(?P<value>[^\s"'#]+)""",
    re.IGNORECASE,
)
# What stands there all the same, and why it opens nothing.
NONE = {
    ".github/workflows/ci.yml": ["POSTGRES_PASSWORD=rtchat"],  # of a service of the runner's own
    "k8s/secrets.example.yaml": ["token=change-me"],  # a sample, which rtchat refuses
}
OPEN = {name for name in NAMES if not is_secret(name)}  # settings that only sound like it
REFERENCE = re.compile(r"^(\$\{?|/|\{\{|<|>|\||&|\*|\[|\{$|true$|false$|null$|read$|write$|none$)")


def files() -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f in KEPT or not (f.startswith(".") or f in LEFT_OUT)]
        found += [Path(folder, n) for n in names if not n.startswith(".") or n in KEPT]
    return [path for path in found if path.stat().st_size < 2_000_000]


def findings(text: str) -> list[str]:
    return [kind for kind, shape in SHAPES.items() if re.search(shape, text)]


def values(text: str) -> list[str]:
    return [
        f"{m['name']}={m['value']}"
        for m in GIVEN.finditer(text)
        if not REFERENCE.match(m["value"])
        and not m["name"].upper().endswith(("_FILE", "NAME"))
        and m["name"].removeprefix(PREFIX).lower() not in OPEN
    ]


def test_no_key_and_no_token_is_in_the_repository() -> None:
    """S-66, in every file."""
    found = {}
    for path in files():
        kinds = findings(path.read_bytes().decode(errors="replace"))
        if kinds:
            found[str(path.relative_to(ROOT))] = kinds
    assert found == {}


def test_what_deploys_names_secrets_and_holds_none() -> None:
    """Docker, Kubernetes, workflows and package settings."""
    deploying = [p for p in files() if DEPLOYS.search(str(p.relative_to(ROOT)))]
    assert ROOT / "pyproject.toml" in deploying
    found = {str(p.relative_to(ROOT)): values(p.read_text()) for p in deploying}
    assert {name: given for name, given in found.items() if given} == NONE


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN " + "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHKm" + "q" * 20,
        "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N",
        "ghp_" + "a" * 36,
        "AKIA" + "Z" * 16,
    ],
    ids=["private key", "JWT", "GitHub", "AWS"],
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert findings(f"x = '{text}'") != []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("POSTGRES_PASSWORD: hunter2", True),
        ('RTCHAT_SECRET_KEY="k9-of-32-bytes"', True),
        ("POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:?}", False),
        ("RTCHAT_SECRET_KEY_FILE: /run/secrets/rtchat", False),
        ("secretName: rtchat", False),
        ("token: ${{ secrets.GITHUB_TOKEN }}", False),
    ],
)
def test_a_reference_is_told_from_a_secret(text: str, found: bool) -> None:
    assert bool(values(text)) is found
