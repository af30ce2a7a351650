"""The provider's server: any number of realms, each an issuer, found by the path before its parts.

    GET  /{realm}/.well-known/openid-configuration
    GET  /{realm}/authorize     a page: whom to sign in as, or to say no
    POST /{realm}/consent       what that page sends; back to the app with a code
    POST /{realm}/token         code, PKCE verifier and client secret for tokens
    GET  /{realm}/jwks
    PUT  /control/{realm}       misbehave so from now on; GET: what was asked of it

A realm below `entra/` is a tenant of Microsoft's: `common` and `organizations` issue for all.
"""

import asyncio
import base64
import hashlib
import html
import json
import secrets
import time
from collections import Counter
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from tests.oidc.signing import JSON, Keys, half_hash, sign

PARTS = ("/.well-known/openid-configuration", "/authorize", "/consent", "/token", "/jwks")
CLIENT_ID, CLIENT_SECRET = "rtchat at the provider", "hush & hush/+%"
TENANT = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
ACCOUNTS: dict[str, JSON] = {
    "Ann": {"sub": "ann-1", "name": "Ann", "email": "ann@idp.example", "email_verified": True},
    "Bob": {"sub": "bob-2", "name": "Bob", "email": "bob@idp.example", "email_verified": True},
}
CHUNK = b"x" * 65_536


class Realm:
    """One issuer: keys, codes that wait to be redeemed, and how it misbehaves."""

    def __init__(self, base: str, path: str) -> None:
        self.path = f"{base}/{path}"
        self.issuer = self.path
        self.is_entra = path.startswith("entra/")
        if self.is_entra:
            tenant = path.split("/")[1]
            tenant = {"common": "{tenantid}", "organizations": "{tenantid}"}.get(tenant, tenant)
            tenant = CONSUMERS if tenant == "consumers" else tenant
            self.issuer = f"{base}/entra/{tenant}/v2.0"
        # What its keys say of themselves: at Microsoft, of which tenants they are; here, of any.
        self.key_marks = {"issuer": f"{base}/entra/{{tenantid}}/v2.0"} if self.is_entra else {}
        self.keys = Keys()
        self.tricks: JSON = {}
        self.asked: Counter[str] = Counter()
        self.sent_bytes = 0
        self.authorizations: dict[str, JSON] = {}
        self.codes: dict[str, JSON] = {}

    def document(self) -> JSON:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.path}/authorize",
            "token_endpoint": f"{self.path}/token",
            "jwks_uri": f"{self.path}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "PS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": ["sub", "iss", "aud", "at_hash"],
            **self.tricks.get("discovery", {}).get("says", {}),
        }

    # --- what somebody does at it

    def authorize(self, query: JSON) -> tuple[int, str]:
        """The page to choose on; 400 for a request that is not as OAuth and PKCE want it."""
        sound = (
            query.get("client_id") == CLIENT_ID
            and query.get("response_type") == "code"
            and "openid" in query.get("scope", "").split()
            and query.get("code_challenge_method") == "S256"
            and len(query.get("code_challenge", "")) == 43
            and len(query.get("state", "")) >= 22
            and len(query.get("nonce", "")) >= 22
            and urlsplit(query.get("redirect_uri", "")).path.endswith("/callback")
        )
        if not sound:
            return 400, "<h1>bad request</h1>"
        ticket = secrets.token_urlsafe()
        self.authorizations[ticket] = query
        buttons = "".join(
            f"<form method=post action={self.path}/consent>"
            f"<input type=hidden name=ticket value={ticket}>"
            f'<input type=hidden name=claims value="{html.escape(json.dumps(claims))}">'
            f"<button>{name}</button></form>"
            for name, claims in [*ACCOUNTS.items(), ("Cancel", None)]
        )
        return 200, f"<!doctype html><title>provider</title><h1>Who are you?</h1>{buttons}"

    def consent(self, form: JSON) -> str:
        """Where the browser goes from the page: back to the app."""
        query = self.authorizations.pop(form["ticket"])
        claims = json.loads(form["claims"])
        answer = {"state": query["state"]}
        if claims is None:
            answer |= {"error": "access_denied", "error_description": "<b>no</b>"}
        else:
            answer["code"] = secrets.token_urlsafe()
            self.codes[answer["code"]] = {**query, "claims": claims}
        answer |= self.tricks.get("callback", {})
        told = {name: value for name, value in answer.items() if value is not None}
        return f"{query['redirect_uri']}?{urlencode(told)}"

    # --- what the app does

    def redeem(self, form: JSON, authorization: str) -> tuple[int, JSON]:
        """Tokens for a code, once, for whoever asked for it and knows the verifier."""
        if not self._is_client(form, authorization):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).rstrip(b"=").decode() != asked["code_challenge"]
        ):
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        trick = self.tricks.get("id_token", {})
        access_token = secrets.token_urlsafe()
        now = int(time.time())
        usual = {"iss": self._issuer_of(asked["claims"]), "aud": CLIENT_ID, "nonce": asked["nonce"]}
        times = {"iat": now, "exp": now + 300}
        at_hash = {"at_hash": half_hash(access_token, trick.get("alg", "RS256"))}
        if self.is_entra:  # which announces it, and sends it from its authorization endpoint only
            at_hash = {}
        claims = {**usual, **times, **at_hash, **asked["claims"], **trick.get("claims", {})}
        for name, seconds in trick.get("later", {}).items():
            claims[name] = now + seconds
        claims = {name: value for name, value in claims.items() if value != "absent"}
        token = sign(self.keys, claims, {"secret": CLIENT_SECRET, **trick})
        answer = {"access_token": access_token, "token_type": "Bearer", "id_token": token}
        answer |= self.tricks.get("token", {}).get("says", {})
        return 200, {name: value for name, value in answer.items() if value != "absent"}

    def _is_client(self, form: JSON, authorization: str) -> bool:
        if authorization.startswith("Basic "):
            pair = base64.b64decode(authorization[6:]).decode()
            client_id, _, secret = pair.partition(":")
            # RFC 6749 §2.3.1 has both form-encoded; many clients do not.
            given = [(client_id, secret), (unquote(client_id), unquote(secret))]
            return (CLIENT_ID, CLIENT_SECRET) in given
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, CLIENT_SECRET)

    def _issuer_of(self, claims: JSON) -> str:
        return self.issuer.replace("{tenantid}", claims.get("tid", TENANT))


class Provider:
    """The ASGI app."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._realms: dict[str, Realm] = {}

    def _realm(self, path: str) -> Realm:
        if path not in self._realms:
            self._realms[path] = Realm(self._url, path)
        return self._realms[path]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        path = scope["path"]
        body = await _body(receive)
        if path.startswith("/control/"):
            await self._control(self._realm(path.removeprefix("/control/")), body, send)
            return
        part = next((part for part in PARTS if path.endswith(part)), None)
        if part is None:
            await _answer(send, 404, {"error": "no such path"})
            return
        realm = self._realm(path.removesuffix(part).strip("/"))
        name = "discovery" if "well-known" in part else part.strip("/")
        realm.asked[name] += 1
        trick = realm.tricks.get(name, {})
        if "redirect" in trick:
            await _answer(send, 302, None, location=trick["redirect"])
        elif "body" in trick:
            await _misbehave(realm, trick["body"], receive, send)
        else:
            await _serve(realm, name, scope, body, send)

    async def _control(self, realm: Realm, body: bytes, send: Any) -> None:
        if body:
            realm.tricks = json.loads(body)
            realm.asked.clear()
            realm.sent_bytes = 0
        if realm.tricks.pop("rotate", False):
            realm.keys.rotate()
        await _answer(send, 200, {"asked": dict(realm.asked), "sent_bytes": realm.sent_bytes})


async def _serve(realm: Realm, name: str, scope: Any, body: bytes, send: Any) -> None:
    """The parts of a provider, as they should be."""
    status: int
    told: Any
    if name == "discovery":
        await _answer(send, 200, realm.document())
    elif name == "jwks":
        await _answer(
            send, 200, realm.keys.public({**realm.key_marks, **realm.tricks.get("keys", {})})
        )
    elif name == "authorize":
        query = {k: v[-1] for k, v in parse_qs(scope["query_string"].decode()).items()}
        status, told = realm.authorize(query)
        await _answer(send, status, told)
    elif name == "consent":
        await _answer(send, 303, None, location=realm.consent(dict(parse_qsl(body.decode()))))
    else:
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode()
        status, told = realm.redeem(dict(parse_qsl(body.decode())), authorization)
        await _answer(send, status, told)


async def _misbehave(realm: Realm, how: str, receive: Any, send: Any) -> None:
    if how == "malformed":
        await _answer(send, 200, b'{"issuer": "http')
    elif how == "deep":
        await _answer(send, 200, b"[" * 100_000)
    elif how == "error":
        await _answer(send, 500, {"error": "boom"})
    elif how == "compressed":
        await _answer(send, 200, b"\x1f\x8b", **{"content-encoding": "gzip"})
    else:  # "huge": 1 GB as fast as it is read; "slow": a byte now and then
        await _start(send, 200, {"content-type": "application/json"})
        part, count, pause_s = (CHUNK, 16_384, 0.0) if how == "huge" else (b" ", 600, 0.1)
        async with asyncio.TaskGroup() as group:
            gone = group.create_task(receive())  # the next event is the client's leaving
            for _ in range(count):
                if gone.done():
                    return
                realm.sent_bytes += len(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})
                await asyncio.sleep(pause_s)
            gone.cancel()
        await send({"type": "http.response.body"})


async def _body(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            return body


async def _answer(send: Any, status: int, told: Any, **headers: str) -> None:
    if isinstance(told, str):
        body, kind = told.encode(), "text/html; charset=utf-8"
    else:
        kind = "application/json"
        body = (
            told if isinstance(told, bytes) else b"" if told is None else json.dumps(told).encode()
        )
    await _start(send, status, {"content-type": kind, "content-length": str(len(body)), **headers})
    await send({"type": "http.response.body", "body": body})


async def _start(send: Any, status: int, headers: dict[str, str]) -> None:
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
