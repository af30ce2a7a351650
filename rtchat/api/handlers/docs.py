"""The chat, the documentation pages and their assets: compressed, cached, under a strict policy.

Owns: the headers of pages and assets. Must never: read or compress on the event loop; what is
served is made once, in a thread, at the first request for it, and kept (2.5 MB for all of them).
"""

import asyncio
import re
from collections.abc import Callable, Hashable

from rtchat import web
from rtchat.api.asgi import Headers, header
from rtchat.api.call import Call
from rtchat.api.router import Answer, Handler

_FOR_EVER = b"public, max-age=31536000, immutable"
ASK_FIRST = b"no-cache"  # keep it, and ask each time whether it is still so
_NEVER = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")

KEPT_MAX = 128  # all pages and assets, and documents below a few mounts

_kept: dict[Hashable, web.Served] = {}


def serving(asset: web.Asset) -> Handler:
    """The handler that answers with an asset."""

    async def serve(call: Call) -> Answer:
        return await _answer(call, asset)

    return serve


async def chat(call: Call) -> Answer:
    """Show the chat: a page to sign in and talk."""
    return await _answer(call, web.CHAT_PAGE)


async def rest(call: Call) -> Answer:
    """Show REST: a page to read and try it."""
    return await _answer(call, web.REST_PAGE)


async def websocket(call: Call) -> Answer:
    """Show the WebSocket: a page to read its frames and try them."""
    return await _answer(call, web.WEBSOCKET_PAGE)


async def _answer(call: Call, asset: web.Asset) -> Answer:
    served = await kept(asset, lambda: web.served(asset))
    return hand_out(call, served, _headers(asset, served, call.scope["query_string"]))


async def kept(key: Hashable, make: Callable[[], web.Served]) -> web.Served:
    """What was made under this key; made in a thread the first time."""
    served = _kept.get(key)
    if served is None:
        served = await asyncio.to_thread(make)
        if len(_kept) >= KEPT_MAX:
            del _kept[next(iter(_kept))]
        _kept[key] = served
    return served


def hand_out(call: Call, served: web.Served, headers: Headers) -> Answer:
    """Answer with bytes: compressed where the client takes that, not at all where it has them."""
    call.headers += [
        (b"etag", served.etag),
        (b"vary", b"accept-encoding, origin"),
        *headers,
    ]
    if _is_known(header(call.scope, b"if-none-match") or "", served.etag.decode()):
        return 304, None
    if _takes_gzip(header(call.scope, b"accept-encoding") or ""):
        call.headers.append((b"content-encoding", b"gzip"))
        return 200, served.gzipped
    return 200, served.data


def _headers(asset: web.Asset, served: web.Served, query: bytes) -> Headers:
    # Another version in the URL is another pod's, in a rolling update: its bytes are not these.
    is_this = query == b"v=" + served.version and asset.media_type != web.HTML
    headers: Headers = [(b"cache-control", _FOR_EVER if is_this else ASK_FIRST)]
    if asset in web.POLICIES:
        headers.append((b"content-security-policy", web.POLICIES[asset]))
    if asset.media_type == web.HTML:  # no other page holds its window
        headers.append((b"cross-origin-opener-policy", b"same-origin"))
    return headers


def _is_known(if_none_match: str, etag: str) -> bool:
    """Whether the client has it already (RFC 9110 §13.1.2)."""
    return any(known.strip() in ("*", etag) for known in if_none_match.split(","))


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether the client says that it reads gzip (RFC 9110 §12.5.3)."""
    for choice in accept_encoding.lower().split(","):
        name, _, quality = choice.partition(";")
        if name.strip() == "gzip":
            return not _NEVER.fullmatch(quality)
    return False
