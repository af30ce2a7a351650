"""One REST request, from scope to answer: match, authenticate, decode, handle, log."""

import logging
import secrets
import time

from rtchat.api.asgi import (
    Receive,
    Scope,
    Send,
    address_of,
    client_of,
    header,
    is_internal,
    path_of,
)
from rtchat.api.call import Call, Services
from rtchat.api.http import JSON, Disconnected, Responder, decode, parse_query, read_body
from rtchat.api.router import Media, Route, Router
from rtchat.api.routes import ASSETS, internal, public
from rtchat.api.types import Problem
from rtchat.auth.sessions import Sessions
from rtchat.auth.tokens import Identity
from rtchat.errors import ChatError, Code
from rtchat.headers import AnswerHeaders

log = logging.getLogger(__name__)

# Probes ask every few seconds for ever; their lines would bury the others. So would those of what a
# page loads, and of metrics, where all is well.
QUIET_PATHS = frozenset({"/healthz", "/readyz"})
QUIET_WHEN_WELL = frozenset({"/metrics", *(asset.path for asset in ASSETS)})


GONE = 499  # as nginx has it: nobody waits for an answer any more


class Rest:
    """Answers HTTP requests by the route table."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._headers = AnswerHeaders(services.config)
        self._router = Router([*public(services.config), *ASSETS])
        self._internal = Router(internal(services.config))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Whatever fails is answered and logged here."""
        started = time.perf_counter()
        request_id = secrets.token_hex(8)
        responder = Responder(scope, receive, send, request_id, self._headers)
        responder.last = self._services.drain.begun
        path = path_of(scope)
        known = _Known()
        try:
            await self._handle(scope, path, receive, responder, known)
        except Disconnected:
            self._count(scope["method"], GONE, time.perf_counter() - started, known)
            return
        except ChatError as error:
            known.code = error.code
            await responder.problem(error, drain_bytes=self._services.config.body_drain_bytes)
            self._services.reached.count(*error.limits)
        except Exception:
            log.exception("request failed", extra={"request": request_id})
            if not responder.status:
                known.code = Code.INTERNAL
                text = f"Request {request_id} failed."
                await responder.problem(ChatError(Code.INTERNAL, text, after_ms=1000))
        took_s = time.perf_counter() - started
        self._count(scope["method"], responder.status, took_s, known)
        well = responder.status < 400
        if path not in QUIET_PATHS and not (well and path in QUIET_WHEN_WELL):
            line = {
                "request": request_id,
                "method": scope["method"],
                "path": path,
                "route": known.route.template if known.route else None,
                "status": responder.status,
                "ms": round(took_s * 1000, 1),
                "user": known.user_id,
                "client": client_of(scope),
            }
            if known.code is not None:
                line["code"] = known.code
            log.info("request", extra=line)

    def _count(self, method: str, status: int, took_s: float, known: "_Known") -> None:
        """Count a request. By its route, for what clients make up is without an end."""
        asked, route = self._services.asked, known.route
        if route is None:
            asked.requests["", "", status] += 1
        else:
            asked.requests[method, route.template, status] += 1
            if not route.reserved:  # probes are fast, a drain slow, and neither is a client's
                asked.request_seconds.observe(took_s)
        if known.code is not None:
            asked.request_errors[known.code] += 1

    async def _handle(
        self, scope: Scope, path: str, receive: Receive, responder: Responder, known: "_Known"
    ) -> None:
        """Answer by the route."""
        router = self._internal if is_internal(scope) else self._router
        if (scope["method"], path) == ("OPTIONS", "*"):  # RFC 9110 §9.3.7: of the whole server
            await responder.allow({"HEAD", "OPTIONS", *router.methods})
            return
        routes, ids, words = router.match(path)
        methods = _methods(routes)
        if scope["method"] == "OPTIONS":
            await responder.allow(methods)
            return
        route = routes.get("GET" if scope["method"] == "HEAD" else scope["method"])
        if route is None:
            known.code = Code.METHOD_NOT_ALLOWED
            await responder.problem(ChatError(Code.METHOD_NOT_ALLOWED), methods=methods)
            return
        known.route = route
        call = Call(self._services, scope, ids=ids, words=words, bearer=_bearer(scope))
        self._identify(call, route)
        known.user_id = call.identity.user_id if call.identity else None
        if route.limit is not None:
            await self._services.rates.spend(route.limit, known.user_id, address_of(scope))
        if route.query is not None:
            call.query = parse_query(scope, route.query)
        if route.decoder is not None:
            call.body = decode(
                route.decoder, await read_body(scope, receive, self._services.config)
            )
        status, answer = await route.handler(call)
        if isinstance(answer, Problem):
            known.code = answer.code
        kind = route.answers[status]
        media_type = kind.media_type.encode() if isinstance(kind, Media) else JSON
        await responder.answer(status, answer, call.headers, media_type)

    def _identify(self, call: Call, route: Route) -> None:
        """Find out who asks, as far as the route wants to know. Raises ChatError."""
        try:
            call.identity = identify(call.scope, self._services.sessions)
        except ChatError as error:
            if route.auth:
                raise
            call.refusal = error  # a stale token must not stand in the way of its own renewal
        if route.operator:
            call.require_operator()


class _Known:
    """What is known of a request by its end, for the log: who asked for what, and why not."""

    __slots__ = ("code", "route", "user_id")

    def __init__(self) -> None:
        self.code: Code | None = None
        self.route: Route | None = None
        self.user_id: int | None = None


def identify(scope: Scope, sessions: Sessions) -> Identity:
    """Whom the bearer token speaks for. Raises ChatError where there is no good one."""
    token = _bearer(scope)
    if not token:
        raise ChatError(Code.UNAUTHORIZED)
    return sessions.authenticate(token)


def _bearer(scope: Scope) -> str:
    """The token of the `Authorization` header; empty where there is none."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else ""


def _methods(routes: dict[str, Route]) -> set[str]:
    return set(routes) | {"OPTIONS"} | ({"HEAD"} if "GET" in routes else set())
