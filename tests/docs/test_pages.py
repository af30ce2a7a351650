"""The pages for people: what they link to, name and show exists.

Owns: how a page is read for that. What a page says of the code is checked where it is made
(`generated`), or by running it (`test_quickstart`, `test_readme`, `test_examples`, `test_walk`).
"""

import functools
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from rtchat.api.routes import INTERNAL_ROUTES, ROUTES
from rtchat.errors import Close
from rtchat.settings import NAMES, OTHER_PREFIXES, OTHER_VARIABLES, PREFIX

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / ".github").glob("*.md"), ROOT / "README.md"]
)
SOURCES = ("rtchat", "migrations", "tests", "bench")
# What Prometheus' client tells of any process.
PROCESS = frozenset(sample.name for family in REGISTRY.collect() for sample in family.samples)
# Of PostgreSQL and PgBouncer themselves.
POSTGRES = frozenset(
    {"synchronous_standby_names", "remote_apply", "max_prepared_statements", "pg_dump"}
)
RFC_6455 = frozenset({"1000", "1001", "1005", "1006", "1013"})  # which rtchat does not send
MOUNT = "/chat"  # where docs/embedding.md mounts the application

_FENCE = re.compile(r"^(```.*?\n)(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_SETTING = re.compile(r"RTCHAT_[A-Z_]*[A-Z]")
_WORD = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")
_OPERATION = re.compile(r"\b(GET|POST|PATCH|PUT|DELETE) (/[^\s`|)?,;]*)")
_FILE = re.compile(r"`((?:rtchat|tests|bench|docs|migrations)/[\w./-]+|[\w/]+\.py)`")
_CLOSE = re.compile(r"\bclose (?:code )?(\d{4})\b")
_MACHINE = re.compile(
    r"(?<![\w.])/(?:root|home|work|tmp|var/tmp|Users)/\w+|127\.0\.0\.1:(?!9400)\d+"
)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


for_every_page = pytest.mark.parametrize("page", PAGES, ids=named)


@functools.cache
def anchors(path: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: Counter[str] = Counter()
    made = set()
    for heading in _HEADING.findall(without_code(path.read_text())):
        text = _LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        made.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return frozenset(made)


def without_code(text: str) -> str:
    return _FENCE.sub("", text)


@for_every_page
def test_links_lead_somewhere(page: Path):
    broken = []
    for link in _LINK.findall(without_code(page.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"https?://|mailto:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert broken == []


@for_every_page
def test_settings_exist(page: Path):
    known = {PREFIX + name.upper() for name in NAMES} | set(OTHER_VARIABLES)
    found = {name.removesuffix("_FILE") for name in _SETTING.findall(page.read_text())}
    assert {name for name in found - known if not name.startswith(OTHER_PREFIXES)} == set()


@functools.cache
def words_of_the_code() -> frozenset[str]:
    files = [file for folder in SOURCES for file in (ROOT / folder).rglob("*.py")]
    files += [ROOT / "pyproject.toml"]
    return frozenset(word for file in files for word in re.findall(r"\w+", file.read_text()))


@for_every_page
def test_codes_settings_and_names_exist(page: Path):
    """Every word with an underscore in it, whatever it is the name of."""
    text = without_code(page.read_text())
    assert set(_WORD.findall(text)) - words_of_the_code() - POSTGRES - PROCESS == set()


@for_every_page
def test_close_codes_exist(page: Path):
    known = {str(int(close)) for close in Close} | RFC_6455
    assert set(_CLOSE.findall(page.read_text())) - known == set()


@for_every_page
def test_operations_exist(page: Path):
    known = {(route.method, nameless(route.path)) for route in [*ROUTES, *INTERNAL_ROUTES]}
    found = {(method, nameless(path)) for method, path in _OPERATION.findall(page.read_text())}
    assert found - known == set()


def nameless(path: str) -> str:
    """A path without the names, or values, of its parameters."""
    path = path.rstrip(".:\"'")
    path = path.removeprefix(MOUNT) if path.startswith(f"{MOUNT}/") else path
    return re.sub(r"\{[^}]*\}|(?<=/)\d+(?=/|$)|(?<=/oauth/)NAME", "{}", path)


@for_every_page
def test_files_exist(page: Path):
    """From the top of the checkout, or of the package."""
    found = _FILE.findall(without_code(page.read_text()))
    places = (ROOT, ROOT / "rtchat")
    assert [path for path in found if not any((p / path).exists() for p in places)] == []


@for_every_page
def test_json_is_json(page: Path):
    """What stands in a block of JSON is one value or several."""
    decoder = json.JSONDecoder()
    for fence, text in _FENCE.findall(page.read_text()):
        rest = text.strip() if fence.strip() == "```json" else ""
        while rest:
            _, end = decoder.raw_decode(rest)
            rest = rest[end:].strip()


@for_every_page
def test_no_machine_of_ours_is_named(page: Path):
    assert _MACHINE.findall(page.read_text()) == []


@for_every_page
def test_a_page_has_one_title(page: Path):
    lines = without_code(page.read_text()).splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.startswith("# ") for line in lines) == 1


def test_every_page_is_reached_from_the_readme():
    linked = {link.partition("#")[0] for link in _LINK.findall((ROOT / "README.md").read_text())}
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert pages - linked == set()


def test_the_architecture_places_every_module():
    text = (ROOT / "docs" / "architecture.md").read_text()
    reading_order = text[text.index("## Files in reading order") :]
    modules = {path.name for path in (ROOT / "rtchat").glob("*.py")} - {"__main__.py"}
    modules |= {f"{path.parent.name}/" for path in (ROOT / "rtchat").glob("*/__init__.py")}
    assert {m for m in modules if f"`rtchat/{m}" not in reading_order} == set()
