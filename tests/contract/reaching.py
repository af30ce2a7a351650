"""How to reach each limit that is counted, on a real server: a recipe for each.

Owns: the table of recipes. Most are those of documented errors and closes; a recipe returns the pod
that is to have counted it.
"""

from rtchat.errors import Close, Code
from tests.contract import provoking_frames, provoking_rest, reaching_strictly as strictly
from tests.contract.reaching_strictly import BY_OPERATION, Reach, Recipe
from tests.pods import Pod

# --- what documented errors and closes reach


def by_error(operation: str, code: Code, status: int) -> Recipe:
    """The recipe of an operation's error."""

    async def recipe(reach: Reach) -> Pod:
        asking = provoking_rest.recipe_of(operation, code, status)
        assert asking is not None
        reply = await asking(reach.world, BY_OPERATION[operation])
        assert (reply.status, reply.json["code"]) == (status, code), reply
        return reach.world.full if code is Code.OVERLOADED else reach.world.pod

    return recipe


def by_frame(t: str, code: Code, *, strict: bool = False) -> Recipe:
    """The recipe of a command's error."""

    async def recipe(reach: Reach) -> Pod:
        asking = provoking_frames.recipe_of(t, code)
        assert asking is not None
        world = reach.strictly if strict else reach.world
        assert (await asking(world, t))["code"] == code
        return world.pod

    return recipe


def by_close(close: Close) -> Recipe:
    """The recipe of a close."""

    async def recipe(reach: Reach) -> Pod:
        assert await provoking_frames.CLOSES[close](reach.world) == close
        return reach.world.pod

    return recipe


# --- the table


def rate(operation: str) -> Recipe:
    return by_error(operation, Code.RATE_LIMITED, 429)


RECIPES: dict[str, Recipe] = {
    "access_token_s": by_error("GET /users/me", Code.TOKEN_EXPIRED, 401),
    "session_s": strictly.after_its_session,
    "sessions_per_user": strictly.signing_in_twice,
    "fresh_sign_in_s": by_error("POST /auth/password", Code.FORBIDDEN, 403),
    "password_min_chars": strictly.registering_shortly,
    "password_max_bytes": by_error("POST /auth/login", Code.TOO_LONG, 422),
    "password_queue": strictly.many_passwords_at_once,
    "account_failures_max": strictly.guessing_one_account,
    "address_failures_max": strictly.guessing_at_one_address,
    "sso_state_s": by_error("GET /auth/oauth/{provider}/callback", Code.BAD_MESSAGE, 400),
    "sso_code_s": by_error("POST /auth/oauth/exchange", Code.NOT_FOUND, 404),
    "sso_flows_max": strictly.beginning_again_and_again,
    "sso_calls_max": strictly.beginning_at_two,
    "sso_call_timeout_ms": strictly.beginning("slow", Code.UNAVAILABLE),
    "sso_answer_max_bytes": strictly.beginning("huge", Code.UNAVAILABLE),
    "user_sends_factor": rate("POST /channels/{id}/messages"),
    "user_reads_per_second": rate("GET /users"),
    "user_changes_per_minute": rate("PATCH /users/me"),
    "user_creations_per_minute": rate("POST /channels"),
    "user_connects_per_second": rate("GET /ws"),
    "user_floods_per_minute": strictly.after_a_flood,
    "subs_per_second": by_frame("sub", Code.RATE_LIMITED),
    "user_subs_per_second": by_frame("sub", Code.RATE_LIMITED, strict=True),
    "ephemerals_per_second": by_frame("typing", Code.RATE_LIMITED),
    "ephemerals_burst": by_frame("read", Code.RATE_LIMITED),
    "read_marks_max": by_frame("read", Code.OVERLOADED),
    "address_connects_per_second": strictly.connecting_too_often,
    "address_registers_per_minute": rate("POST /auth/register"),
    "address_logins_per_minute": rate("POST /auth/login"),
    "user_password_changes_per_minute": rate("POST /auth/password"),
    "user_refreshes_per_minute": rate("POST /auth/refresh"),
    "address_sso_per_minute": rate("GET /auth/oauth/{provider}"),
    "content_max_chars": by_error("POST /channels/{id}/messages", Code.TOO_LONG, 422),
    "name_max_chars": by_error("POST /channels", Code.TOO_LONG, 422),
    "emoji_max_chars": by_frame("react", Code.TOO_LONG),
    "reactions_max": strictly.reacting_with_another,
    "dm_max_members": strictly.making("dm"),
    "new_channel_max_members": strictly.making("public"),
    "body_max_bytes": by_error("POST /channels", Code.TOO_LARGE, 413),
    "body_read_s": strictly.a_body_without_an_end,
    "header_max_bytes": by_error("GET /users/me", Code.TOO_LARGE, 431),
    "connections_max": by_error("GET /users/me", Code.OVERLOADED, 503),
    "connections_per_user": by_frame("auth", Code.OVERLOADED),
    "connections_per_address": strictly.one_more_connection_from_there,
    "sockets_per_address": strictly.one_more_from_there,
    "guests_max": strictly.as_a_guest_too_many,
    "frame_max_bytes": by_close(Close.TOO_BIG),
    "auth_deadline_ms": strictly.a_guest_who_says_nothing,
    "heartbeat_timeout_s": strictly.mute,
    "subs_max": strictly.more_channels_than_one_follows,
    "sends_per_second": by_frame("send", Code.RATE_LIMITED),
    "sends_burst": by_frame("send", Code.RATE_LIMITED),
    "errors_per_second": strictly.erring,
    "errors_burst": strictly.erring,
    "commands_per_second": strictly.talking_on_and_on,
    "control_frames_per_second": by_close(Close.FLOOD),
    "fragments_max": by_close(Close.PROTOCOL_ERROR),
    "slow_deadline_ms": by_close(Close.TOO_SLOW),
    "queue_max_rows": by_frame("send", Code.OVERLOADED),
    "queue_max_bytes": strictly.much_behind_a_lock,
    "write_timeout_ms": strictly.behind_a_lock,
    "acquire_timeout_ms": strictly.behind_a_locked_table,
    "query_timeout_ms": strictly.behind_a_locked_table,
}
# What a server reaches seldom, and where it is seen that it is counted.
ELSEWHERE = {
    "connect_timeout_ms": "store/test_database_links",
    "cache_timeout_ms": "cache/test_redis_faults",
    "drain_s": "test_drain",
}
