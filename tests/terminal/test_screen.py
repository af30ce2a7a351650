"""`rtchat chat` at a real terminal: what people see of each other, whatever happens."""

import re
import stat
from pathlib import Path

from tests.pods import Pod
from tests.terminal.conftest import Mortal, Someone, Someones, accounts
from tests.terminal.seat import HARMLESS, PASSWORD, Seat, seated

ESC, PAGE_UP, PAGE_DOWN, END = "\x1b", "\x1b[5~", "\x1b[6~", "\x1b[F"
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*([@-~]))?|[\x07\x0e\x0f\x7f-\x9f]")


def is_harmless(told: bytes) -> bool:
    """Whether a terminal was told only what draws."""
    found = _CONTROL.finditer(told.decode(errors="replace"))
    return all(one[1] is not None and one[1] in HARMLESS for one in found)


def test_two_people_talk(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """From signing up to a conversation, one of them in a window of 40 columns."""
    bob = someone("Bob")
    who = ("--email", "ann-terminal@example.org", "--register", "--name", "Ann")
    with (
        seated(tmp_path / "a", pod.url, *who, columns=100) as a,
        seated(tmp_path / "b", pod.url, "--email", bob.email, columns=40, rows=14) as b,
    ):
        a.signs_in(new=True).sees("you are in no channel yet", "connected as Ann")
        b.signs_in().sees("you are in no channel yet")
        a.line("/create Tea time").sees("#Tea time")
        b.line("/join tea time").sees("#Tea time")
        a.sees("· Bob joined")
        a.line("hello Bob, this is more than what fits into one of your lines: 日本語 👍")
        b.sees(
            "Ann ",
            "  hello Bob, this is more than what fits",
            "  into one of your lines: 日本語 👍",
        )
        b.line("//shrug").sees("  /shrug")
        a.sees("● Bob" if "● Bob" in a.text else "Bob ", "  /shrug")
        a.line("/edit hello Bob").sees("hello Bob (edited)")
        b.sees("hello Bob (edited)")
        b.line("/react 👍").sees("  👍 1")
        a.sees("  👍 1").line("/react #2 🎉")
        b.sees("  🎉 1").line("/react 👍").until(lambda: "👍 1" not in b.text)
        b.line("/delete").sees("(deleted)")
        a.sees("(deleted)").until(lambda: "👍 1" not in a.text)
        a.line("/rename Coffee").sees("named it Coffee")
        b.sees("#Coffee")
        b.line("/members").sees("Ann (owner)", "Bob")
        b.line("/nonsense").sees("there is no /nonsense: /help has the")
        b.type(ESC).until(lambda: "nonsense" not in b.text)
        a.line(f"/dm {bob.email}").sees("@Bob")
        a.line("between us").sees("between us")
        b.sees("1 unread elsewhere")
        b.type("\x07").sees("@Ann", "between us")
        b.until(lambda: "unread" not in b.text)
        b.line("/leave").sees("unsupported")
        b.line("/quit")
        assert b.ended() == 0
        assert is_harmless(a.told)
        assert is_harmless(b.told)


def test_the_next_start_needs_no_password(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """What is kept is for its user alone, and no password; /logout ends it."""
    ann = someone("Ann")
    channel = ann.rest.create_channel("Keys")
    ann.rest.send(channel.id, "where was I?")
    for again in range(3):
        who = () if again else ("--email", ann.email)
        with seated(tmp_path / "home", pod.url, *who) as a:
            if not again:
                a.signs_in()
            a.sees("where was I?", "connected as Ann")
            if again == 1:  # a second one at the same time: on its own, and not kept
                with seated(tmp_path / "home", pod.url, "--email", ann.email) as other:
                    other.sees("another `rtchat chat` has the sign-in").signs_in().sees(
                        "where was I?"
                    )
            a.line("/logout" if again == 2 else "/quit")
            assert a.ended() == 0
        files = [f for f in (tmp_path / "home").rglob("*") if f.is_file()]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert not [file for file in files if PASSWORD in file.read_text()]
    with seated(tmp_path / "home", pod.url) as a:
        a.sees("Address:")
    assert len(list(ann.rest.all_sessions())) == 2, "registered, and the other one"


def test_hostile_content_stays_content(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """No sequence reaches the terminal; nothing leaves its line, or hides what stands beside."""
    ann, eve = someone("Ann"), someone("Eve {0} %s")
    channel = ann.rest.create_channel("<b>{0}</b>", "public", [eve.id])
    for text in (
        "\x1b]0;owned\x07 \x1b]52;c;b3du\x1b\\", "\x1b[2J\x1b[H gone", "\x9b31m red \x90q\x9c",
        "over\rwritten \b\b\b", "right\u202eelttil", "<script>{0}</script> %s \\x1b",
        "W" * 300, "\u0301" * 50, "👩‍👩‍👧 family", "end of it",
    ):  # fmt: skip
        eve.rest.send(channel.id, text)
    with seated(
        tmp_path / "a", pod.url, channel.name or "", "--email", ann.email, columns=40, rows=40
    ) as a:
        a.signs_in().sees("Eve {0} %s", "end of it", "\\x1b[2J\\x1b[H gone", "\\x9b31m red")
        a.sees("over\\rwritten \\x08", "right\\u202eelttil", "<script>{0}</script> %s")
        assert a.count("W") == 300
        a.line("/channels").sees("<b>{0}</b>")
        a.type("\x1b\x1b").line("\x1b]0;mine\x07")
        assert is_harmless(a.told)
        assert "end of it" in a.text


def test_a_server_that_is_killed_loses_nothing(mortal: Mortal, tmp_path: Path) -> None:
    """What is typed meanwhile is on its way, then stored, each once and in order."""
    with accounts(mortal.pod) as make:
        ann, bob = make("Ann"), make("Bob")
        channel = ann.rest.create_channel("Storm", "public", [bob.id]).id
        _in_the_storm(mortal, ann, bob, channel, tmp_path)


def _in_the_storm(mortal: Mortal, ann: Someone, bob: Someone, channel: int, tmp_path: Path) -> None:
    with (
        seated(tmp_path / "a", mortal.url, "--email", ann.email, columns=60) as a,
        seated(tmp_path / "b", mortal.url, "--email", bob.email, columns=40) as b,
    ):
        a.signs_in().sees("#Storm", "connected")
        b.signs_in().sees("#Storm", "connected")
        for number in range(3):
            a.line(f"before {number}")
        b.sees("before 0")
        mortal.pod.kill()
        for number in range(3):
            a.line(f"meanwhile {number}")
        a.sees("connection lost", "meanwhile 2 …", "on the way or failed")
        a.line("/quit").sees("messages are not stored yet")
        mortal.start()
        b.sees("meanwhile 2", "connected")
        a.until(lambda: "…" not in a.text and "connected" in a.text)
        words = [f"{when} {n}" for when in ("before", "meanwhile") for n in range(3)]
        for seat in (a, b):
            assert [line.strip() for line in seat.lines if line.strip() in words] == words
        with_rest = [m.content for m in ann.rest.messages(channel)]
        assert with_rest == words
        a.line("/quit")
        assert a.ended() == 0


def test_what_is_refused_says_why(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    ann, bob = someone("Ann"), someone("Bob")
    channel = bob.rest.create_channel("Gate", "private", [ann.id])
    with seated(tmp_path / "a", pod.url, "--email", ann.email, columns=60) as a:
        a.signs_in().sees("&Gate")
        a.type("x" * 4001).type("\r").sees("✗ not sent", "/retry")
        a.line("/discard").until(lambda: "xxx" not in a.text)
        bob.rest.remove_member(channel.id, ann.id)
        a.sees("you are not in &Gate any more")


def test_scrolling_back_through_history(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """Page by page to the first message; what comes meanwhile moves nothing."""
    ann, bob = someone("Ann"), someone("Bob")
    channel = ann.rest.create_channel("Long", "public", [bob.id])
    for number in range(150):
        bob.rest.send(channel.id, f"message {number:03}")
    with seated(tmp_path / "a", pod.url, "Long", "--email", ann.email, columns=40) as a:
        a.signs_in().sees("message 149")
        for _ in range(40):
            if "message 000" in a.text:
                break
            before = a.text
            a.type(PAGE_UP).until(lambda: a.text != before)  # noqa: B023  called at once
        a.sees("message 000", "reading back")
        before = a.text
        bob.rest.send(channel.id, "news")
        a.resize(50, 24)
        a.sees("message 000")
        a.resize(40, 24)
        a.until(lambda: a.text == before, before)
        a.type(END).sees("news").until(lambda: "reading back" not in a.text)


def test_it_gives_the_terminal_back(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """At SIGTERM and at Ctrl+C, too: the other screen is left, and the cursor is there."""
    ann = someone("Ann")
    ann.rest.create_channel("End")
    for leave in (Seat.terminated, Seat.interrupted):
        with seated(tmp_path / "a", pod.url, "--email", ann.email) as a:
            if not (tmp_path / "a" / ".local").exists():
                a.signs_in()
            a.sees("connected as Ann")
            leave(a)
            assert a.ended() == 0
            assert a.told.rindex(b"\x1b[?1049l") > a.told.rindex(b"\x1b[?1049h")
            assert a.told.rindex(b"\x1b[?25h") > a.told.rindex(b"\x1b[?25l")


def test_what_is_typed_at_once_is_done_in_order(
    pod: Pod, someone: Someones, tmp_path: Path
) -> None:
    """As when it is pasted: behind a /join one speaks there, however long that takes."""
    ann, bob = someone("Ann"), someone("Bob")
    ann.rest.create_channel("Start")
    other = bob.rest.create_channel("Elsewhere then")
    with seated(tmp_path / "a", pod.url, "Start", "--email", ann.email, columns=60) as a:
        a.signs_in().sees("#Start", "connected")
        a.type("/join elsewhere then\rfirst\r/edit first!\r/create Third one\rin the third\r")
        a.sees("#Third one", "  in the third").until(lambda: "…" not in a.text)
        assert [m.content for m in bob.rest.messages(other.id)] == ["first!"]


def test_completion(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """Of commands, channels and people who are known."""
    ann, bob = someone("Ann"), someone("Bob Marley")
    ann.rest.create_channel("Alpha", "public", [bob.id])
    ann.rest.create_channel("Beta")
    with seated(tmp_path / "a", pod.url, "Alpha", "--email", ann.email, columns=60) as a:
        a.signs_in().sees("#Alpha", "connected")
        a.type("/jo\t").sees("> /join")
        a.type("B\t").sees("> /join Beta").type("\r").sees("#Beta", "connected")
        a.until(lambda: "> /join" not in a.text)
        a.line("/join Alpha").line("/members").sees("  Bob Marley")
        a.type("/dm bob m\t").sees("/dm Bob Marley")
