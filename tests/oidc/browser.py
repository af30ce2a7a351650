"""Somebody's browser, as far as a sign-in needs one: cookies, and links followed one by one.

Owns: what of a browser's behaviour counts here: it sends a cookie back to the host that set it, and
goes where it is sent, through the provider's page of consent. Which step is taken is the test's.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

JSON = dict[str, Any]
_TICKET = re.compile(r"name=ticket value=([\w-]+)")


class Browser:
    """One browser; the site `public_url` is at a pod, or for one request at another (`on`)."""

    def __init__(self, http: httpx2.AsyncClient, public_url: str, at: str) -> None:
        """`http` may be shared: cookies are kept here."""
        self._http = http
        self._public = public_url
        self._at = at
        self.cookie: str | None = None

    async def get(self, url: str, *, on: str | None = None) -> httpx2.Response:
        """Go to a page of the site, or to a foreign one."""
        return await self._ask("GET", url, on)

    async def post(self, path: str, body: Any, *, on: str | None = None) -> httpx2.Response:
        """What a script of the page does."""
        return await self._ask("POST", f"{self._public}{path}", on, json=body)

    async def _ask(self, method: str, url: str, on: str | None, **more: Any) -> httpx2.Response:
        own = url.startswith(f"{self._public}/")
        if own:
            url = (on or self._at) + url.removeprefix(self._public)
        headers = {"cookie": self.cookie} if own and self.cookie else {}
        headers |= more.pop("headers", {})
        response = await self._http.request(method, url, headers=headers, **more)
        self._http.cookies.clear()
        if own and "set-cookie" in response.headers:
            pair, _, rest = response.headers["set-cookie"].partition(";")
            self.cookie = None if "Max-Age=0" in rest else pair
        return response

    # --- the steps of a sign-in

    async def begins(self, provider: str, *, on: str | None = None, **query: str) -> str:
        """Press the button; returns where the provider is."""
        path = f"{self._public}/auth/oauth/{provider}"
        query_text = str(httpx2.QueryParams(query))
        response = await self.get(f"{path}?{query_text}" if query else path, on=on)
        assert response.status_code == 302, response.text
        return response.headers["location"]

    async def consents(self, url: str, claims: JSON | None) -> str:
        """Choose who to be at the provider, or say no (None); returns the way back."""
        page = await self._http.get(url)
        assert page.status_code == 200, page.text
        ticket = _TICKET.search(page.text)
        assert ticket is not None, page.text
        consent = url.partition("/authorize")[0] + "/consent"
        form = {"ticket": ticket[1], "claims": json.dumps(claims)}
        response = await self._http.post(consent, data=form)
        assert response.status_code == 303
        return response.headers["location"]

    async def arrives(
        self, provider: str, claims: JSON | None, *, on: str | None = None, **query: str
    ) -> "Landing":
        """From the button to the page that the sign-in ends on."""
        back = await self.consents(await self.begins(provider, on=on, **query), claims)
        return landed(await self.get(back, on=on))

    async def exchanges(self, code: str, *, on: str | None = None) -> httpx2.Response:
        """Trade the code that the page got."""
        return await self.post("/auth/oauth/exchange", {"code": code}, on=on)

    async def signs_in(self, provider: str, claims: JSON) -> JSON:
        """The whole way; the session."""
        landing = await self.arrives(provider, claims)
        assert landing.told.keys() == {"code"}, landing
        response = await self.exchanges(landing.told["code"])
        assert response.status_code == 200, response.text
        session: JSON = response.json()
        return session


class Landing:
    """Where a browser was sent, and what the page there is told."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.page = f"{parts.scheme}://{parts.netloc}{parts.path}"
        self.told = dict(parse_qsl(parts.query))

    def __repr__(self) -> str:
        return f"<Landing {self.url}>"


def landed(response: httpx2.Response) -> Landing:
    """Read the redirection of a callback."""
    assert response.status_code == 302, (response.status_code, response.text)
    return Landing(response.headers["location"])
