"""The OpenAPI document is the route table's: what a route says is there, and nothing else."""

from typing import Any

import msgspec
import pytest

from rtchat.api.openapi import document, operation_id
from rtchat.api.problems import statuses_of
from rtchat.api.rates import RATES, Limited
from rtchat.api.router import Media, Route
from rtchat.api.routes import INTERNAL_ROUTES, ROUTES
from rtchat.config import Config
from rtchat.errors import Code

DOCUMENT = document(Config())


def operation(route: Route, of: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    found: dict[str, Any] = of["paths"][route.template][route.method.lower()]
    return found


def resolved(node: dict[str, Any], of: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    while "$ref" in node:
        place: Any = of
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part]
        node = place
    return node


# Methods of generated clients are called so: a name may come, none may change.
NAMES = """
authRegister authLogin authRefresh authLogout ssoProviders ssoBegin ssoFinish ssoExchange ssoLink
ssoIdentities ssoUnlink authChangePassword authSessions authEndSession authKeySet usersMe
usersUpdateMe usersFind channelsListing channelsCreate channelsGet channelsRename channelsDrop
channelsJoin channelsLeave membersListing membersAdd membersSetRole membersRemove messagesHistory
messagesSend messagesGet messagesEdit messagesDelete wsUpgradeRequired healthAlive healthReady
documentsOpenapi documentsAsyncapi docsChat docsRest docsWebsocket
"""
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")


def test_there_are_the_routes_and_no_others():
    there = {(m.upper(), path) for path, found in DOCUMENT["paths"].items() for m in found}
    assert there == {(route.method, route.template) for route in ROUTES}
    assert not there & {(route.method, route.template) for route in INTERNAL_ROUTES}


def test_operators_routes_are_there_where_they_are_served():
    made = document(Config(internal_token="for operators only"))
    for route in INTERNAL_ROUTES:
        found = operation(route, made)
        assert found["security"] == [{"operator": []}]
        assert "401" in found["responses"]
    assert "operator" in made["components"]["securitySchemes"]
    assert "operator" not in DOCUMENT["components"]["securitySchemes"]


def test_operations_have_names_of_their_own():
    assert len({operation_id(route) for route in ROUTES}) == len(ROUTES)
    assert {operation_id(route) for route in ROUTES} == set(NAMES.split())


@each_route
def test_an_operation_says_what_its_handler_says(route: Route):
    made = operation(route)
    first = (route.handler.__doc__ or "").split("\n")[0]
    assert made["description"].startswith(first)
    assert made["summary"] == first.rstrip(".")
    assert made["operationId"] == operation_id(route)
    assert [tag["name"] for tag in DOCUMENT["tags"]].count(made["tags"][0]) == 1


@each_route
def test_an_operation_has_its_routes_answers_and_errors(route: Route):
    responses = operation(route)["responses"]
    statuses = {s for code in route.codes for s in statuses_of(code)}
    assert {int(status) for status in responses} == statuses | route.answers.keys()
    told: set[Code] = set()
    for status, answer in responses.items():
        content = resolved(answer).get("content", {})
        if problem := content.get("application/problem+json"):
            if "allOf" in problem["schema"]:
                only = problem["schema"]["allOf"][1]["properties"]
                assert only["status"] == {"const": int(status)}
                assert only["code"]["enum"] == sorted(problem["examples"])
                told |= {Code(name) for name in only["code"]["enum"]}
        elif int(status) in route.answers and not isinstance(route.answers[int(status)], Media):
            assert (content == {}) is (route.answers[int(status)] is None)
    assert told == route.codes


@each_route
def test_an_operation_takes_what_its_route_takes(route: Route):
    made = operation(route)
    parameters = {(p["in"], p["name"]) for p in made.get("parameters", [])}
    query = msgspec.structs.fields(route.query) if route.query else ()
    assert parameters == {
        *(("path", name.removesuffix(":word")) for name in route.parameters),
        *(("query", field.encode_name) for field in query),
        *([("cookie", route.reads.name)] if route.reads else []),
    }
    assert ("requestBody" in made) is (route.body is not None)
    bearer: dict[str, list[str]] = {"bearer": []}
    expected = {True: [bearer], False: [], None: [{}, bearer]}
    assert made["security"] == expected[route.auth]


@each_route
def test_an_operation_tells_its_limits(route: Route):
    told = operation(route).get("x-rate-limits", [])
    names = [limit for limit in (route.limit, *route.spends) if limit is not None]
    assert [one["what"] for one in told] == [str(name) for name in names]
    for one, name in zip(told, names, strict=True):
        assert one["setting"] == f"RTCHAT_{RATES[name].settings[0].upper()}"
        assert one["perSecond"] > 0 < one["burst"]


def test_limits_are_those_of_the_configuration():
    config = Config(content_max_chars=77, body_max_bytes=9999, user_reads_per_second=7)
    made = document(config)
    send = made["components"]["schemas"]["SendMessage"]["properties"]["content"]
    assert send["maxLength"] == 77
    post = made["paths"]["/channels/{id}/messages"]["post"]
    assert "9999" in post["requestBody"]["description"]
    read = made["paths"]["/channels/{id}/messages"]["get"]["x-rate-limits"]
    assert (read[0]["what"], read[0]["perSecond"]) == (Limited.READS, 7)


def test_a_path_parameter_is_described():
    made = operation(next(r for r in ROUTES if r.path == "/channels/{id}/messages/{seq}"))
    assert [p["name"] for p in made["parameters"]] == ["id", "seq"]
    for parameter in made["parameters"]:
        assert parameter["required"] is True
        assert parameter["description"]
        assert parameter["schema"]["minimum"] == 1


@each_route
def test_a_good_answer_tells_its_headers(route: Route):
    for status in route.answers:
        told = set(operation(route)["responses"][str(status)]["headers"])
        assert told <= DOCUMENT["components"]["headers"].keys()
        assert ("Set-Cookie" in told) is (route.sets is not None)
        assert ("Location" in told) is (status == 302)
        assert ("ETag" in told) is isinstance(route.answers.get(200), Media)


def test_what_a_query_leaves_out_has_its_default():
    made = operation(next(r for r in ROUTES if r.path == "/channels" and r.method == "GET"))
    schemas = {p["name"]: p["schema"] for p in made["parameters"]}
    assert schemas["scope"]["default"] == "mine"
    assert (schemas["limit"]["default"], schemas["limit"]["maximum"]) == (50, 200)
    assert not any(p.get("required") for p in made["parameters"])


def test_answers_lead_to_where_they_go_on():
    created = DOCUMENT["paths"]["/channels"]["post"]["responses"]["201"]["links"]
    assert created["messagesSend"] == {
        "operationId": "messagesSend",
        "parameters": {"id": "$response.body#/id"},
    }
    sent = DOCUMENT["paths"]["/channels/{id}/messages"]["post"]["responses"]["201"]["links"]
    assert sent["messagesEdit"]["parameters"] == {
        "id": "$response.body#/channelId",
        "seq": "$response.body#/seq",
    }


def test_it_says_where_the_server_is():
    assert document(Config())["servers"] == [{"url": "/"}]
    assert document(Config(), "/chat")["servers"] == [{"url": "/chat"}]
    public = Config(public_url="https://chat.example/chat")
    assert document(public, "/chat")["servers"] == [{"url": "https://chat.example/chat"}]
