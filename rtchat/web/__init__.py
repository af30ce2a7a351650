"""The pages for people, the chat and those to read and try the interface: which, and their bytes.

Owns: the table of pages and assets, and the policy that a page lives under. Must never: read a file
at import (a pod that nobody asks for a page keeps none in memory), or name another host: a page
works in an office without the internet, and tells nobody that it was opened.

Pages and scripts refer to each other by relative paths, for the server may be mounted below a
prefix. What refers to an asset is served with the assets' digest behind it, `page.css?v=…`: a
browser may then keep it for ever, and a new release, or an edit, is another URL. Comments and
blanks of our scripts and styles stay here (`lean`): a third of a script is for its readers.
"""

import functools
import gzip
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from rtchat.web import lean

_HERE = Path(__file__).parent

# Swagger UI 5.35 sets styles by script, which `style-src` leaves alone; its icons are data URLs.
PAGE_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# What others write is shown here: nothing that makes markup or code of a text gets any, but for the
# one policy of rtchat.js, which names its worker.
CHAT_CSP = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    b" connect-src 'self'; worker-src 'self'; manifest-src 'self';"
    b" require-trusted-types-for 'script'; trusted-types rtchat;"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# A worker lives under the policy that came with its own script.
WORKER_CSP = b"default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'"

HTML = "text/html; charset=utf-8"
_CSS = "text/css; charset=utf-8"
_JS = "text/javascript; charset=utf-8"
_SVG = "image/svg+xml"
_MANIFEST = "application/manifest+json"
_TEXT = "text/plain; charset=utf-8"


class Asset(NamedTuple):
    """A file that is served: under which path, as what, and which file below this folder."""

    path: str
    media_type: str
    file: str


CHAT_PAGE = Asset("/", HTML, "chat/index.html")
REST_PAGE = Asset("/docs", HTML, "docs/index.html")
WEBSOCKET_PAGE = Asset("/docs/ws", HTML, "docs/ws.html")
WORKER = Asset("/client/worker.js", _JS, "client/worker.js")
ASSETS: tuple[Asset, ...] = (
    CHAT_PAGE,
    REST_PAGE,
    WEBSOCKET_PAGE,
    Asset("/chat/chat.css", _CSS, "chat/chat.css"),
    Asset("/chat/forms.css", _CSS, "chat/forms.css"),
    Asset("/chat/chat.webmanifest", _MANIFEST, "chat/chat.webmanifest"),
    Asset("/chat/app.js", _JS, "chat/app.js"),
    Asset("/chat/channels.js", _JS, "chat/channels.js"),
    Asset("/chat/chat.js", _JS, "chat/chat.js"),
    Asset("/chat/composer.js", _JS, "chat/composer.js"),
    Asset("/chat/connection.js", _JS, "chat/connection.js"),
    Asset("/chat/details.js", _JS, "chat/details.js"),
    Asset("/chat/dialogs.js", _JS, "chat/dialogs.js"),
    Asset("/chat/dom.js", _JS, "chat/dom.js"),
    Asset("/chat/format.js", _JS, "chat/format.js"),
    Asset("/chat/forms.js", _JS, "chat/forms.js"),
    Asset("/chat/kept.js", _JS, "chat/kept.js"),
    Asset("/chat/list.js", _JS, "chat/list.js"),
    Asset("/chat/log.js", _JS, "chat/log.js"),
    Asset("/chat/main.js", _JS, "chat/main.js"),
    Asset("/chat/newcomer.js", _JS, "chat/newcomer.js"),
    Asset("/chat/notices.js", _JS, "chat/notices.js"),
    Asset("/chat/opened.js", _JS, "chat/opened.js"),
    Asset("/chat/people.js", _JS, "chat/people.js"),
    Asset("/chat/picker.js", _JS, "chat/picker.js"),
    Asset("/chat/row.js", _JS, "chat/row.js"),
    Asset("/chat/rows.js", _JS, "chat/rows.js"),
    Asset("/chat/sidebar.js", _JS, "chat/sidebar.js"),
    Asset("/chat/signin.js", _JS, "chat/signin.js"),
    Asset("/chat/tools.js", _JS, "chat/tools.js"),
    Asset("/docs/icon.svg", _SVG, "docs/icon.svg"),
    Asset("/docs/page.css", _CSS, "docs/page.css"),
    Asset("/docs/rest.css", _CSS, "docs/rest.css"),
    Asset("/docs/ws.css", _CSS, "docs/ws.css"),
    Asset("/docs/account.js", _JS, "docs/account.js"),
    Asset("/docs/console.js", _JS, "docs/console.js"),
    Asset("/docs/document.js", _JS, "docs/document.js"),
    Asset("/docs/dom.js", _JS, "docs/dom.js"),
    Asset("/docs/frames.js", _JS, "docs/frames.js"),
    Asset("/docs/link.js", _JS, "docs/link.js"),
    Asset("/docs/rest.js", _JS, "docs/rest.js"),
    Asset("/docs/samples.js", _JS, "docs/samples.js"),
    Asset("/docs/session.js", _JS, "docs/session.js"),
    Asset("/docs/transcript.js", _JS, "docs/transcript.js"),
    Asset("/docs/ws.js", _JS, "docs/ws.js"),
    Asset("/rtchat.js", _JS, "rtchat.js"),
    Asset("/rtchat.d.ts", _TEXT, "rtchat.d.ts"),
    Asset("/client/backoff.js", _JS, "client/backoff.js"),
    Asset("/client/client.js", _JS, "client/client.js"),
    Asset("/client/engine.js", _JS, "client/engine.js"),
    Asset("/client/follows.js", _JS, "client/follows.js"),
    Asset("/client/link.js", _JS, "client/link.js"),
    Asset("/client/locks.js", _JS, "client/locks.js"),
    Asset("/client/outbox.js", _JS, "client/outbox.js"),
    Asset("/client/pace.js", _JS, "client/pace.js"),
    Asset("/client/places.js", _JS, "client/places.js"),
    Asset("/client/reach.js", _JS, "client/reach.js"),
    Asset("/client/refused.js", _JS, "client/refused.js"),
    Asset("/client/rest.js", _JS, "client/rest.js"),
    Asset("/client/session.js", _JS, "client/session.js"),
    Asset("/client/store.js", _JS, "client/store.js"),
    Asset("/client/tokens.js", _JS, "client/tokens.js"),
    WORKER,
    Asset("/client/writes.js", _JS, "client/writes.js"),
    Asset("/docs/swagger-ui.css", _CSS, "vendor/swagger-ui/swagger-ui.css"),
    Asset("/docs/swagger-ui-bundle.js", _JS, "vendor/swagger-ui/swagger-ui-bundle.js"),
)

# Of what runs or shows something; the rest has the policy of every answer: nothing at all.
POLICIES = {
    CHAT_PAGE: CHAT_CSP,
    REST_PAGE: PAGE_CSP,
    WEBSOCKET_PAGE: PAGE_CSP,
    WORKER: WORKER_CSP,
}

_LEAN = {_JS: lean.script, _CSS: lean.style, HTML: lean.page}

# A path to an asset in quotes, as it stands in our pages and scripts.
_REFERENCE = re.compile(rb'"([\w./-]+\.(?:css|js|svg|webmanifest))"')


class Served(NamedTuple):
    """An asset as it goes out: as it is and compressed, with its entity tag and the version."""

    data: bytes
    gzipped: bytes
    etag: bytes
    version: bytes


@functools.cache
def version() -> bytes:
    """The digest of all that is served here; what a URL of an asset carries."""
    digest = hashlib.sha256()
    for asset in ASSETS:
        digest.update(_raw(asset))
    return digest.hexdigest()[:8].encode()


@functools.cache
def read(asset: Asset) -> bytes:
    """The bytes of an asset. Reads the files the first time: 1.9 MB, 3 ms."""
    data = _raw(asset)
    if asset.file.startswith("vendor/"):
        return data  # to the byte as its publisher made it
    if asset.media_type in _LEAN:
        data = _LEAN[asset.media_type](data.decode()).encode()
    return _REFERENCE.sub(rb'"\1?v=%s"' % version(), data)


def served(asset: Asset) -> Served:
    """An asset as it goes out."""
    return packed(read(asset))


def packed(data: bytes) -> Served:
    """Bytes as they go out. Compresses, 40 ms for the largest: not for the event loop."""
    digest = hashlib.sha256(data).hexdigest()[:24]
    # Weak: it stands for both encodings, and If-None-Match asks for no more (RFC 9110 §13.1.2).
    return Served(data, gzip.compress(data, 6, mtime=0), f'W/"{digest}"'.encode(), version())


def _raw(asset: Asset) -> bytes:
    return (_HERE / asset.file).read_bytes()
