"""The tables of codes are those of the contract (§4)."""

import pytest

from rtchat.errors import CLOSES, ERRORS, ChatError, Close, Code, spread_ms

# Copied from the contract, row by row: codes, HTTP status, retry.
CONTRACT = [
    ("bad_json, bad_message, unknown_type", 400, False),
    ("unauthorized, token_expired", 401, False),
    ("forbidden", 403, False),
    ("not_found", 404, False),
    ("method_not_allowed", 405, False),
    ("conflict, nonce_conflict", 409, False),
    ("too_large", 413, False),
    ("unsupported_media_type", 415, False),
    ("bad_field, too_long, unsupported", 422, False),
    ("rate_limited", 429, True),
    ("overloaded, unavailable, draining", 503, True),
    ("internal", 500, True),
]
ROWS = [(code, status, retry) for codes, status, retry in CONTRACT for code in codes.split(", ")]


@pytest.mark.parametrize(("code", "status", "retry"), ROWS)
def test_a_code_has_the_contracts_status_and_retry(code: str, status: int, retry: bool):
    info = ERRORS[Code(code)]
    assert (info.status, info.retry) == (status, retry)


def test_there_are_the_contracts_codes_and_no_others():
    assert {code.value for code in Code} == {code for code, _, _ in ROWS}
    assert ERRORS.keys() == set(Code)


def test_every_code_has_words_for_people():
    assert len({info.title for info in ERRORS.values()}) == len(ERRORS)
    assert all(info.title and info.title.isprintable() for info in ERRORS.values())
    assert all(len(info.meaning) > 40 for info in ERRORS.values())
    assert CLOSES.keys() == set(Close)
    assert all(info.do and info.meaning.endswith(".") for info in CLOSES.values())


@pytest.mark.parametrize(
    ("close", "number"),
    [
        (Close.NOT_AUTHENTICATED, 4001),
        (Close.FORBIDDEN, 4003),
        (Close.SESSION_REVOKED, 4004),
        (Close.FLOOD, 4008),
        (Close.PROTOCOL_ERROR, 4009),
        (Close.OVER_CAPACITY, 4101),
        (Close.TOO_SLOW, 4102),
        (Close.DRAINING, 4201),
        (Close.TOKEN_EXPIRED, 4202),
        (Close.UNSUPPORTED_DATA, 1003),
        (Close.BAD_TEXT, 1007),
        (Close.TOO_BIG, 1009),
        (Close.RESTART, 1012),
    ],
)
def test_close_codes_are_the_contracts(close: Close, number: int):
    assert close == number


def test_the_hundreds_of_a_close_code_tell_the_client_what_to_do():
    """40xx: stay away, 41xx: back off, 42xx: come back; all others are RFC 6455's."""
    rfc_6455 = {1002, 1003, 1007, 1009, 1011, 1012}
    assert all(code // 100 in (40, 41, 42) or code in rfc_6455 for code in Close)


def test_an_error_without_words_of_its_own_has_its_codes_title():
    assert ChatError(Code.NOT_FOUND).message == ERRORS[Code.NOT_FOUND].title
    assert str(ChatError(Code.NOT_FOUND)) == ERRORS[Code.NOT_FOUND].title


def test_an_error_carries_what_the_client_needs():
    error = ChatError(Code.RATE_LIMITED, "Slower.", field="content", after_ms=750)
    assert (error.code, error.message) == (Code.RATE_LIMITED, "Slower.")
    assert (error.field, error.after_ms) == ("content", 750)
    assert str(error) == "Slower."


def test_who_is_sent_away_together_is_told_to_come_back_at_different_times():
    """Never sooner than asked for, and not later than twice that."""
    times = [spread_ms(1000) for _ in range(500)]
    assert 1000 <= min(times) < 1100
    assert 1900 < max(times) <= 2000
