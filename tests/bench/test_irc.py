"""Reading IRC logs: which lines are speech, by whom, when, and with exactly which text."""

from pathlib import Path

import pytest

from bench.irc import FormatError, Line, everybody, load, parse

CORPUS = Path(__file__).parents[2].parent / "shared" / "data" / "ubuntu-irc"


def test_speech_and_the_rest() -> None:
    """Joins, actions and notices are counted and left out; a speaker without a text is blank."""
    log = (
        "[08:36] <mole_> I'm having difficulty\n"
        "=== aisipos [~anton@example.org]  has joined #ubuntu\n"
        "[08:37]  * mole_ waves\n"
        "[08:37] -ChanServ(services)- welcome\n"
        "[08:37] <ann>\n"
        "[08:37] <ann>  \t\n"
        "\n"
        "[09:00] <[bob]^> hi\n"
    )
    day = parse("2005", log)
    assert day.lines == [Line(516, "mole_", "I'm having difficulty"), Line(540, "[bob]^", "hi")]
    assert (day.name, day.blank, day.other) == ("2005", 2, 3)


@pytest.mark.parametrize(
    "text",
    [
        " leading and trailing ",
        "tab\tinside",
        "<nick> in a text, [10:00] too",
        "\u2028 \x0b \x85 \x1c are no ends of lines here",
        "\x08overstruck",
        "שלום עליכם",
        "👩‍👩‍👧 é e\u0301",
        "'\"\\",
    ],
)
def test_texts_are_kept_as_they_are(text: str) -> None:
    """One space follows the nick; all behind it, up to the line feed, is the text."""
    assert parse("d", f"[10:00] <ann> {text}\n").lines == [Line(600, "ann", text)]


def test_windows_line_ends() -> None:
    """A carriage return before the line feed belongs to neither."""
    assert parse("d", "[10:00] <ann> hi\r\n").lines == [Line(600, "ann", "hi")]


def test_minutes_go_on_past_midnight() -> None:
    """A clock that falls by half a day is the next day; one that falls a little was set back."""
    log = "".join(f"[{t}] <ann> hi\n" for t in ("23:58", "23:57", "00:01", "12:30", "00:10"))
    assert [line.minute for line in parse("d", log).lines] == [1438, 1437, 1441, 2190, 2890]


def test_people_differ_by_case(tmp_path: Path) -> None:
    """Everybody once, over all days, in the order of their first lines; days come by name."""
    (tmp_path / "b.txt").write_text("[10:00] <Ann> hi\n[10:00] <bob> hi\n")
    (tmp_path / "a.txt").write_text("[10:00] <ann> hi\n[10:01] <bob> hi\n[10:02] <ann> hi\n")
    (tmp_path / "empty.txt").write_text("=== nobody speaks\n")
    days = load(tmp_path)
    assert [day.name for day in days] == ["a", "b"]
    assert days[0].nicks == ["ann", "bob"]
    assert everybody(days) == ["ann", "bob", "Ann"]


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    """A folder without speech, and a file that is not UTF-8, are refused by name."""
    with pytest.raises(FormatError, match="holds no"):
        load(tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"[10:00] <ann> caf\xe9\n")
    with pytest.raises(FormatError, match=r"latin\.txt"):
        load(tmp_path)


@pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no data in {CORPUS}")
def test_the_corpus_is_read_whole() -> None:
    """The 20 days of #ubuntu: 26 969 lines by 2 599 people, one of them without a text."""
    days = load(CORPUS)
    assert len(days) == 20
    assert sum(len(day.lines) + day.blank for day in days) == 26_969
    assert sum(day.blank for day in days) == 1
    assert len(everybody(days)) == 2_599
