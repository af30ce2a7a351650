"""What the pages are made of: nothing foreign, nothing inline, and vendored files as published."""

import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from rtchat import web

FOLDER = Path(web.__file__).parent
OURS = sorted(
    file
    for file in FOLDER.rglob("*")
    if file.is_file() and file.suffix not in (".py", ".pyc") and "vendor" not in file.parts
)
PAGES = [asset for asset in web.ASSETS if asset.media_type == web.HTML]
SCRIPTS = [
    asset
    for asset in web.ASSETS
    if asset.file.endswith(".js") and not asset.file.startswith("vendor/")
]
MANIFEST = json.loads((FOLDER / "vendor/manifest.json").read_text())

# Names of XML vocabularies, which nobody fetches.
NAMES = {"http://www.w3.org/2000/svg"}


def text_of(asset: web.Asset) -> str:
    return web.read(asset).decode()


# --- vendored files


def test_vendored_files_are_as_published():
    found = {
        file.relative_to(FOLDER / "vendor").as_posix(): hashlib.sha256(
            file.read_bytes()
        ).hexdigest()
        for file in (FOLDER / "vendor").rglob("*")
        if file.is_file() and file.name not in ("manifest.json", ".gitattributes")
    }
    listed = {
        path: digest for kept in MANIFEST["packages"] for path, digest in kept["files"].items()
    }
    assert found == listed


@pytest.mark.parametrize("kept", MANIFEST["packages"], ids=lambda kept: kept["name"])
def test_a_vendored_package_tells_its_version_and_licence(kept: dict[str, Any]):
    assert re.fullmatch(r"\d+\.\d+\.\d+", kept["version"])
    assert kept["licence"] == "Apache-2.0"
    assert kept["integrity"].startswith("sha512-")
    assert any(path.endswith("/LICENSE") for path in kept["files"])


def test_vendored_files_are_served_to_the_byte():
    for asset in web.ASSETS:
        if asset.file.startswith("vendor/"):
            assert web.read(asset) == (FOLDER / asset.file).read_bytes()


# --- the table


def test_every_file_is_served_and_every_asset_has_its_file():
    assert {asset.file for asset in web.ASSETS if not asset.file.startswith("vendor/")} == {
        file.relative_to(FOLDER).as_posix() for file in OURS
    }
    assert all((FOLDER / asset.file).is_file() for asset in web.ASSETS)
    assert len({asset.path for asset in web.ASSETS}) == len(web.ASSETS)


def references(asset: web.Asset) -> set[str]:
    """Every URL that a page or script of ours loads, as it stands there."""
    text = text_of(asset)
    if asset.media_type == web.HTML:
        return set(re.findall(r'(?:href|src)="([^"#]+)"', text))
    names = r'^(?:import|export) *\{[^"]*from *"([^"]+)"|^import *"([^"]+)"'
    later = r'import\("([^"]+)"\)|new URL\("([^"]+\.(?:js|css)[^"]*)"'
    return {url for found in re.findall(f"{names}|{later}", text, re.M) for url in found if url}


@pytest.mark.parametrize("asset", [*PAGES, *SCRIPTS], ids=lambda asset: asset.path)
def test_what_is_referred_to_is_there_and_carries_the_version(asset: web.Asset):
    mark = f"?v={web.version().decode()}"
    known = {asset.path for asset in web.ASSETS}
    for url in references(asset):
        assert not url.startswith("/"), "the server may be mounted below a prefix"
        path = urljoin(asset.path, url.removesuffix(mark))
        if path in known - {page.path for page in PAGES}:
            assert url.endswith(mark)
        else:
            assert path in ("/", "/docs", "/docs/ws", "/openapi.json", "/asyncapi.json")


def test_the_version_is_of_the_content():
    assert re.fullmatch(rb"[0-9a-f]{8}", web.version())
    etags = {web.served(asset).etag for asset in web.ASSETS}
    assert len(etags) == len(web.ASSETS)


def test_nothing_is_read_before_it_is_asked_for():
    code = (
        "import sys\nopened = []\n"
        "sys.addaudithook(lambda name, args: name == 'open' and opened.append(str(args[0])))\n"
        "import rtchat.web, rtchat.api.handlers.docs\n"
        "print([path for path in opened if '/web/docs/' in path or '/web/vendor/' in path])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- what a strict policy allows


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_no_file_of_ours_names_another_host(file: Path):
    found = set(re.findall(r"(?:[a-z]+:)?//[\w.-]+[\w./-]*", file.read_text()))
    schemes = {url for url in found if "://" in url}
    hosts = {url for url in found - schemes if re.match(r"//\w+\.\w", url)}
    assert schemes - NAMES == set()
    assert hosts == set()


class Inline(HTMLParser):
    """Finds what a page brings along itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


@pytest.mark.parametrize("asset", PAGES, ids=lambda asset: asset.path)
def test_pages_have_nothing_inline(asset: web.Asset):
    parser = Inline()
    parser.feed(text_of(asset))
    assert parser.found == []


@pytest.mark.parametrize("asset", SCRIPTS, ids=lambda asset: asset.path)
def test_scripts_put_in_text_and_no_markup(asset: web.Asset):
    code = "\n".join(
        line for line in text_of(asset).splitlines() if not line.lstrip().startswith(("*", "/*"))
    )
    markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc"
    evaluated = r"\beval\(|new Function|javascript:|\.style\b"
    assert re.findall(f"{markup}|{evaluated}", code) == []


def parts(policy: bytes) -> dict[str, str]:
    return dict(part.split(" ", 1) for part in policy.decode().split("; "))


def test_the_policy_of_the_chat_is_stricter():
    docs, chat = parts(web.PAGE_CSP), parts(web.CHAT_CSP)
    assert chat == docs | {
        "img-src": "'self'",
        "worker-src": "'self'",
        "manifest-src": "'self'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "rtchat",
    }


def test_the_policy_is_strict():
    assert parts(web.PAGE_CSP) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
