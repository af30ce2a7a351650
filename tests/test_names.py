"""What may be a name or a text: nothing that hides, nothing that cannot be stored as it is."""

import unicodedata

import pytest
from hypothesis import given, settings, strategies as st

from rtchat.errors import ChatError
from rtchat.names import check_emoji, check_storable, check_text, clean_name, is_email

PROPERTY = settings(max_examples=100, deadline=None, derandomize=True)
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"  # one picture of three, with joiners


def name_refusal(name: str, max_chars: int = 80) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        clean_name(name, max_chars, "name")
    return caught.value.code.value, caught.value.field


def text_refusal(text: str, max_chars: int = 4000) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        check_text(text, max_chars, "content")
    return caught.value.code.value, caught.value.field


# --- names


@pytest.mark.parametrize(
    "name", ["Ada", "x", "O'Neil-Smith 2", "Чат", "聊天", "مرحبا", "नमस्ते", "<b>&amp;", FAMILY]
)
def test_names_of_all_scripts_stay_as_they_are(name: str):
    assert clean_name(name, 80) == name


@pytest.mark.parametrize("blank", [" ", "\t", "\n", "\u00a0", "\u3000", "\u2003", "\u2028"])
def test_outer_blanks_are_dropped(blank: str):
    assert clean_name(f"{blank}Ada L{blank}{blank}", 80) == "Ada L"


def test_names_that_look_the_same_are_the_same():
    """In NFC, so that of two spellings of é there is one."""
    assert clean_name("Jose\u0301", 80) == clean_name("Jos\u00e9", 80) == "Jos\u00e9"


@pytest.mark.parametrize("name", ["", " ", "\t\n", "\u200d", "\u0301", "\u200d\u0301 \u00a0\u0301"])
def test_a_name_has_something_to_see(name: str):
    assert name_refusal(name) == ("bad_field", "name")


CONTROLS = (0x00, 0x07, 0x09, 0x0A, 0x0D, 0x1B, 0x7F, 0x85)
HIDDEN = (0xAD, 0x200B, 0x200E, 0x202E, 0x2028, 0x2029, 0x2066, 0xFEFF, 0xD800, 0xDFFF, 0xE0041)


@pytest.mark.parametrize("character", [chr(c) for c in CONTROLS + HIDDEN])
def test_a_name_has_no_characters_that_hide_or_reorder(character: str):
    assert name_refusal(f"Ad{character}min") == ("bad_field", "name")


def test_a_name_is_bounded_in_code_points_once_it_is_clean():
    assert clean_name("  " + "\U0001f44d" * 80 + " ", 80) == "\U0001f44d" * 80
    assert clean_name("e\u0301" * 80, 80) == "\u00e9" * 80
    assert name_refusal("x" * 81) == ("too_long", "name")


def test_the_field_at_fault_is_the_callers():
    with pytest.raises(ChatError) as caught:
        clean_name("", 80, "title")
    assert caught.value.field == "title"


@PROPERTY
@given(st.text(max_size=30))
def test_a_clean_name_is_clean(name: str):
    """Cleaning again changes nothing, and all of it can be seen, stored and printed in a line."""
    try:
        clean = clean_name(name, 20)
    except ChatError:
        return
    assert clean_name(clean, 20) == clean
    assert 0 < len(clean) <= 20
    assert unicodedata.is_normalized("NFC", clean)
    assert clean.splitlines() == [clean]
    check_storable(clean, "name")


# --- texts


@pytest.mark.parametrize(
    "text",
    ["x", " x ", "\n.\n", "\u202e\u200b", "\x07", "\\N\\.\t", "a\u0301" * 1000, "\U0010ffff",
     FAMILY, "x" * 4000, "\U0001f44d" * 4000],
)  # fmt: skip
def test_a_text_is_almost_anything(text: str):
    """1 to 4000 characters, not only white space, no NUL: stored exactly as sent (contract §2)."""
    check_text(text, 4000, "content")


@pytest.mark.parametrize("text", ["", " ", "\n\t\r ", "\u00a0\u3000\u2028"])
def test_a_text_is_not_only_white_space(text: str):
    assert text_refusal(text) == ("bad_field", "content")


@pytest.mark.parametrize("text", ["x" * 4001, " " * 4001, "\U0001f44d" * 4001])
def test_a_text_is_bounded_in_code_points(text: str):
    assert text_refusal(text) == ("too_long", "content")


@pytest.mark.parametrize("text", ["\0", "a\0b", "\ud800", "é\udc00", "\udc00\ud800"])
def test_what_postgresql_cannot_keep_is_refused(text: str):
    assert text_refusal(text) == ("bad_field", "content")
    with pytest.raises(ChatError) as caught:
        check_storable(text, "nonce")
    assert (caught.value.code.value, caught.value.field) == ("bad_field", "nonce")


@PROPERTY
@given(st.text())
def test_what_is_storable_has_a_form_in_utf_8_without_nul(text: str):
    check_storable(text.replace("\0", ""), "content")


# --- reactions

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


def emoji_refusal(text: str) -> tuple[str, str | None]:
    with pytest.raises(ChatError) as caught:
        check_emoji(text, 16)
    return caught.value.code.value, caught.value.field


@pytest.mark.parametrize(
    "emoji",
    ["👍", "👍🏽", "❤️", "❤", "☺️", "ℹ️", "©️", "™", "〰️", "㊙️", "Ⓜ️", "‼️", "↔️", "⏸️", "⭐", "🅱️", "🆗",
     "🈂️", "1️⃣", "#⃣", "*️⃣", "🇩🇪", "🏳️‍🌈", "🏴‍☠️", SCOTLAND, "👩🏽‍🔬", "👁️‍🗨️", FAMILY,
     "👩🏻‍❤️‍💋‍👨🏿", "🧑🏿‍🦽‍➡️", "🫩", "🀄", "🃏", "🪿", "🟰"],
)  # fmt: skip
def test_an_emoji_is_one_picture_flag_or_keycap(emoji: str):
    check_emoji(emoji, 16)


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1", "#", "é", "聊", ":+1:", "<b>", "&", "👍👍", "👍 ", " 👍", "👍\n", "👍a",
     "a👍", "\0", "\u200d", "\ufe0f", "👍\u200d", "\u200d👍", "👍\u200b", "👍\u202e", "👍\ud800",
     "\u20e3", "a\u20e3", "⠓", "⠓\u200d⠑", "❶", "①", "🄷", "🅷", "🇩", "🇭🇪🇱🇱", "🇩🇪\u200d🇫🇷",
     "𝐡", "$", "€", "→", "∞", "👍\U000e0068\U000e0069\U000e007f", SCOTLAND[:-1]],
)  # fmt: skip
def test_an_emoji_carries_no_words_and_nothing_that_hides(text: str):
    assert emoji_refusal(text) == ("bad_field", "emoji")


def test_an_emoji_is_bounded_in_code_points():
    assert emoji_refusal("👍" * 17) == ("too_long", "emoji")
    check_emoji("👍\u200d" * 7 + "👍🏽", 16)


@PROPERTY
@given(st.text(min_size=1, max_size=4))
def test_no_emoji_has_letters_digits_or_blanks(text: str):
    """But for the keycaps' digits and the symbols that Unicode counts among the letters."""
    try:
        check_emoji(text, 16)
    except ChatError:
        return
    assert not any(c.isspace() or (c.isalnum() and c not in "ℹⓂ") for c in text if c > "9")


# --- addresses


@pytest.mark.parametrize(
    "address",
    ["a@b", "ann@example.org", "o'neil+chat@sub.example", "用户@例子.广告", "ü@ö.example"],
)
def test_an_address_is_something_at_a_host(address: str):
    assert is_email(address)


@pytest.mark.parametrize(
    "address",
    [
        "", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n", "a@b\0", "a\x1f@b", "a\x7f@b", "a\x92@b",
        "a\u202e@b", "a\ufeff@b", "a\u200b@b", "a@b\u2800", "x" * 65 + "@b", "a@" + "b" * 190,
    ],
)  # fmt: skip
def test_an_address_has_nothing_that_hides(address: str):
    assert not is_email(address)
