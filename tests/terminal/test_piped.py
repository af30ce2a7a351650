"""`rtchat chat` without a terminal: lines in, lines out, and a status that scripts can rely on."""

import re
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rtchat.server.launch import free_port
from rtchat.store.epoch import renew_at
from tests.cli.running import clean, running_in
from tests.pods import ROOT, Pod
from tests.terminal.conftest import Mortal, Someone, Someones, accounts
from tests.terminal.seat import PASSWORD

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d  (\d+)  (\w+): (.*)\n")


def chat(home: Path, *arguments: str) -> "AbstractContextManager[subprocess.Popen[str]]":
    """It, between pipes."""
    return running_in({**clean(), "XDG_STATE_HOME": str(home)}, "chat", *arguments)


def done(home: Path, *arguments: str, text: str) -> tuple[int, list[tuple[str, str]], str]:
    """How it ends with this input: its status, who said what, and what went to standard error."""
    with chat(home, *arguments) as process:
        out, err = process.communicate(text, timeout=30)
    return process.returncode, [(who, words) for _, who, words in _LINE.findall(out)], err


def as_(who: Someone, text: str = "") -> dict[str, str]:
    return {"text": f"{PASSWORD}\n{text}"}


def test_lines_are_sent_as_they_are(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """In order, all but empty ones; commands are none; it ends when all is stored and printed."""
    ann, bob = someone("Ann"), someone("Bob")
    channel = bob.rest.create_channel("pipe")
    text = "one\n\n/quit\n  two \r\n\x1b[2Jthree"
    status, said, err = done(tmp_path, pod.url, "PIPE", "--email", ann.email, **as_(ann, text))
    assert (status, err) == (0, "")
    assert said == [
        ("Ann", "one"), ("Ann", "/quit"), ("Ann", "  two "), ("Ann", "\\x1b[2Jthree"),
    ]  # fmt: skip
    stored = [m.content for m in bob.rest.messages(channel.id)]
    assert stored == ["one", "/quit", "  two ", "\x1b[2Jthree"]
    assert list(tmp_path.iterdir()) == [], "with --email nothing is kept"


def test_it_follows(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """With --follow it goes on printing, until Ctrl+C, which is its end."""
    ann, bob = someone("Ann"), someone("Bob")
    channel = bob.rest.create_channel("follow", "public", [ann.id])
    bob.rest.send(channel.id, "before")
    with chat(tmp_path, pod.url, f"{channel.id}", "--email", ann.email, "--follow") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{PASSWORD}\nhello\n")
        process.stdin.close()
        assert process.stdout.readline().endswith("Ann: hello\n")
        bob.rest.send(channel.id, "hi\nAnn")
        assert process.stdout.readline().endswith("Bob: hi\\nAnn\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_server_that_is_killed_loses_no_line(mortal: Mortal, tmp_path: Path) -> None:
    """The line on its way is sent again, and none twice."""
    with accounts(mortal.pod) as make:
        ann = make("Ann")
        channel = ann.rest.create_channel("storm").id
        with chat(tmp_path, mortal.url, "storm", "--email", ann.email) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{PASSWORD}\n" + "".join(f"{n}\n" for n in range(20)))
            process.stdin.flush()
            process.stdout.readline()
            mortal.pod.kill()
            mortal.start()
            out, err = process.communicate("end\n", timeout=30)
        assert (process.returncode, err) == (0, "")
        words = [*map(str, range(20)), "end"]
        assert [text for _, _, text in _LINE.findall(out)] == words[1:]
        assert [m.content for m in ann.rest.messages(channel)] == words


def test_it_follows_over_another_history(mortal: Mortal, tmp_path: Path) -> None:
    """As after a restored backup: it goes on behind the end of that."""
    with accounts(mortal.pod) as make:
        ann = make("Ann")
        channel = ann.rest.create_channel("again").id
        with chat(tmp_path, mortal.url, "again", "--email", ann.email) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{PASSWORD}\nbefore\n")
            process.stdin.flush()
            assert process.stdout.readline().endswith("Ann: before\n")
            mortal.pod.kill()
            renew_at(mortal.pod.database_url)
            mortal.start()
            ann.rest.send(channel, "meanwhile, or live")
            process.stdin.write("after\n")
            process.stdin.close()
            assert process.stdout.read().endswith("Ann: after\n")
            assert process.wait(30) == 0


def test_who_is_removed_is_told_so(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """And still sees what was said before, however much of it comes at once."""
    ann, bob = someone("Ann"), someone("Bob")
    channel = bob.rest.create_channel("out", "private", [ann.id]).id
    with chat(tmp_path, pod.url, f"{channel}", "--email", ann.email) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{PASSWORD}\nhello\n")
        process.stdin.flush()
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        bob.rest.send(channel, "good bye")
        bob.rest.remove_member(channel, ann.id)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.read().endswith("Bob: good bye\n")
        assert process.wait(30) == 2
        assert process.stderr is not None
        assert process.stderr.read() == (
            "rtchat: the server sends us away: no member of the channel any more\n"
        )


def test_what_is_wrong_ends_with_2(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """And nothing behind a line that was refused is sent."""
    ann = someone("Ann")
    channel = ann.rest.create_channel("wrong").id
    who = ("--email", ann.email)
    for arguments, text, words in (
        ((pod.url, "wrong", *who), f"{PASSWORD}\nfine\n{'x' * 4001}\nnever\n", "too_long"),
        ((pod.url, "wrong", *who), "wrong password\nnever\n", "unauthorized"),
        ((pod.url, "no such channel", *who), f"{PASSWORD}\nnever\n", "no channel"),
        ((pod.url, "wrong", *who), f"{PASSWORD}\nne\0ver\n", "line 1 of the input has a NUL"),
        ((pod.url, "wrong"), "never\n", "no sign-in is kept"),
        ((pod.url,), "never\n", "name the channel"),
        (("ftp://x", "wrong", *who), f"{PASSWORD}\n", "ftp://x"),
        (("nowhere", "wrong", *who), f"{PASSWORD}\n", "is no URL"),
        ((pod.url, "wrong", "--register"), "", "--email says who"),
        ((pod.url, "wrong", *who, "--register"), f"{PASSWORD}\n", "conflict"),
    ):
        status, _, err = done(tmp_path, *arguments, text=text)
        assert status == 2, (arguments, err)
        assert words in err
        assert "Traceback" not in err
        assert PASSWORD not in err
    assert [m.content for m in ann.rest.messages(channel)] == ["fine"]


def test_what_is_wrong_ends_it_while_the_input_goes_on(
    pod: Pod, someone: Someones, tmp_path: Path
) -> None:
    """As behind `tail -f`: with its status and its words, and not with an abort."""
    ann = someone("Ann")
    channel = ann.rest.create_channel("goes on").id
    with chat(tmp_path, pod.url, f"{channel}", "--email", ann.email) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(f"{PASSWORD}\n{'x' * 4001}\n")
        process.stdin.flush()
        assert process.wait(30) == 2
        assert process.stderr.read() == "rtchat: refused: too_long: At most 4000 characters.\n"


def test_no_channel_is_guessed(pod: Pod, someone: Someones, tmp_path: Path) -> None:
    """A name that was left empty is no direct message's, and one that two channels have is none's:
    what a script says goes where it was meant to, or nowhere."""
    ann, eve = someone("Ann"), someone("Eve")
    dm = eve.rest.create_channel(None, "dm", [ann.id])
    theirs = eve.rest.create_channel("deploys", "private", [ann.id])
    mine = ann.rest.create_channel("deploys", "private")
    for channel, words in (("", "no channel"), ("deploys", f"{theirs.id}, {mine.id}")):
        status, _, err = done(
            tmp_path, pod.url, channel, "--email", ann.email, **as_(ann, "the key is 4711\n")
        )
        assert status == 2
        assert words in err
    for one in (dm, theirs, mine):
        assert list(ann.rest.messages(one.id)) == []
    status, said, _ = done(
        tmp_path, pod.url, f"{mine.id}", "--email", ann.email, **as_(ann, "the key is 4711\n")
    )
    assert (status, said) == (0, [("Ann", "the key is 4711")])


def test_a_server_that_is_not_there_ends_with_3(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    status, _, err = done(tmp_path, url, "x", "--email", "a@example.org", text=f"{PASSWORD}\n")
    assert status == 3
    assert url in err
    assert "Traceback" not in err


@pytest.mark.parametrize("line", [b"\xff\n", b"ok\n\xc3("])
def test_input_that_is_no_utf_8_ends_with_2(
    pod: Pod, someone: Someones, tmp_path: Path, line: bytes
) -> None:
    ann = someone("Ann")
    ann.rest.create_channel(f"bytes of {ann.id}")
    environment = {**clean(), "XDG_STATE_HOME": str(tmp_path)}
    arguments = ("chat", pod.url, f"bytes of {ann.id}", "--email", ann.email)
    ended = subprocess.run(
        [sys.executable, "-m", "rtchat", *arguments], cwd=ROOT, env=environment,
        input=PASSWORD.encode() + b"\n" + line, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    assert b"of the input is no UTF-8" in ended.stderr
