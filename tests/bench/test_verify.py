"""The verifier fails when it should: each way in which a replay can go wrong is told."""

from typing import Any

import pytest

from bench.verify import Channel, Run, Said, Seen, differences, digest

TEXTS = ["one", "two ", "דרע", "four", "one"]
LOG = [Said(seq, 7 + seq % 2, text) for seq, text in zip((1, 2, 4, 5, 7), TEXTS, strict=True)]
SEEN = [Seen(seq, next((said for said in LOG if said.seq == seq), None)) for seq in range(1, 8)]
RUN = Run(start=2, last=7, number=5, total=sum(digest(said) for said in LOG[2:]))


def channel(**changes: Any) -> Channel:
    """A channel of which all is well, but for the changes."""
    good = Channel(
        name="day",
        spoken=[(said.user, said.text) for said in LOG],
        acked=LOG,
        stored=LOG,
        observers=[SEEN, SEEN],
        followers={"ann": RUN},
    )
    return good._replace(**changes)


def test_all_is_well() -> None:
    """No difference, no report."""
    assert differences(channel()) == []


def swapped(items: list[Said]) -> list[Said]:
    """The third and fourth in each other's place."""
    return [*items[:2], items[3], items[2], *items[4:]]


CHANGED = [*LOG[:1], LOG[1]._replace(text="two"), *LOG[2:]]
TWICE = [*LOG[:4], LOG[3]._replace(seq=6), LOG[4]]


@pytest.mark.parametrize(
    ("changes", "report"),
    [
        ({"stored": LOG[:-1]}, "day, stored: only 4 of 5; missing: Said(seq=7"),
        ({"stored": CHANGED}, "day, stored, message 2: expected Said(seq=2, user=7, text='two ')"),
        ({"stored": TWICE}, "day, stored, message 5: expected Said(seq=7"),
        ({"stored": [*LOG, Said(8, 7, "more")]}, "day, stored: 6 for 5; too much: Said(seq=8"),
        ({"stored": swapped(LOG)}, "day, stored, message 3"),
        ({"acked": LOG[:-1]}, "day, said: only 4 of 5"),
        ({"acked": CHANGED}, "day, said, message 2"),
        ({"acked": swapped(LOG)}, "day, acks: Said(seq=4"),
        ({"spoken": [(1, "other")]}, "day, said, message 1: expected (1, 'other')"),
        ({"observers": [SEEN, SEEN[:-1]]}, "day, observer 2: delivered up to 6"),
        ({"observers": [SEEN[:2] + SEEN[3:]]}, "day, observer 1: expected seq 3, delivered 4"),
        ({"observers": [[*SEEN[:3], *SEEN[2:]]]}, "day, observer 1: expected seq 4, delivered 3"),
        (
            {"observers": [[SEEN[0], Seen(2, CHANGED[1]), *SEEN[2:]]]},
            "day, observer 1, message 2: expected Said(seq=2, user=7, text='two ')",
        ),
        ({"followers": {"ann": RUN._replace(last=6)}}, "day, ann: delivered up to 6"),
        ({"followers": {"ann": RUN._replace(number=4)}}, "day, ann: not a dense run: 4 entries"),
        ({"followers": {"ann": RUN._replace(broken="5 came after 3")}}, "5 came after 3"),
        ({"followers": {"ann": RUN._replace(total=1)}}, "day, ann: behind 2 other messages"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], report: str) -> None:
    """Lost, changed, doubled, moved, invented: the first place of each is in the report."""
    assert any(report in difference for difference in differences(channel(**changes)))
