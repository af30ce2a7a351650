"""A history notes what it is told, can be kept, and stands beside the log of a real pod."""

from pathlib import Path
from typing import Any

import httpx2

from tests.faults.checker import check
from tests.faults.corruptions import Run, gap
from tests.faults.history import History, read_log
from tests.faults.synthetic import World
from tests.people import People
from tests.pods import Pod
from tests.sockets import Wire, wire


def test_events_stand_in_order_with_their_moments():
    history = History()
    history.mark("begins")
    history.send(1, 101, 7, "n", "text", session=3)
    history.closed(1, 3)
    (_, first, *_), (_, second, *_), (_, third, *_) = history.events
    assert first <= second <= third
    assert [event[0] for event in history.events] == ["mark", "send", "closed"]
    assert history.events[1][2:] == (1, 101, 7, "n", "text", 3)


def test_a_text_received_often_is_kept_once():
    history = History()
    for client in range(3):
        history.received(client, client, 7, 1, "msg", 101, "".join(["some ", "text"]))
    texts = [event[8] for event in history.events]
    assert texts[0] is texts[1] is texts[2]


def test_a_kept_run_is_checked_again_with_the_same_outcome(tmp_path: Path):
    run = Run(1)
    gap(run)
    file = tmp_path / "run.gz"
    run.history.save(file, run.rows, run.heads)
    kept = History.load(file)
    assert kept.events == run.history.events
    assert (kept.rows, kept.heads) == (run.rows, run.heads)
    assert check(kept, kept.rows, kept.heads, ends=run.ends) == run.check()


def test_the_same_seed_makes_the_same_run():
    assert World(5).run(300).history.events == World(5).run(300).history.events


async def answer(socket: Wire, **frame: Any) -> dict[str, Any]:
    """Send a write; returns its ack or error."""
    await socket.send(frame)
    return (await socket.until(ref=frame["ref"]))[-1]


async def test_the_log_of_a_pod_is_what_its_sockets_showed(
    pod: Pod, people: People, http: httpx2.AsyncClient
):
    """Entries of many kinds, said, stored, delivered: the checker agrees with a real server."""
    ann, bob, eve = [await people.new(name) for name in ("ann", "bob", "eve")]
    made = {"name": "x", "type": "public", "members": [bob.id]}
    ch = (await http.post("/channels", json=made, headers=ann.headers)).json()["id"]
    history = History()
    history.person(1, bob.id)
    async with wire(pod.ws_url, ann) as says, wire(pod.ws_url, bob) as hears:
        ok = await hears.ask({"t": "sub", "ref": 1, "ch": {str(ch): None}})
        history.subscribed(1, 1, ch, ok["ch"][str(ch)]["head"])
        for nonce, text in [("a", "text 🙂"), ("b", "to be deleted"), ("c", "last"), ("d", " ")]:
            history.send(0, ann.id, ch, nonce, text, session=2)
            for dup in (False, True):
                said = await answer(says, t="send", ref=nonce, ch=ch, content=text, nonce=nonce)
                if said["t"] == "ack":
                    history.ack(0, ch, nonce, said["seq"], dup=dup)
                else:
                    assert said["retry"] is False
                    history.refused(0, ch, nonce, said["code"])
        assert (await answer(says, t="edit", ref=6, ch=ch, of=1, content="edited"))["seq"] == 4
        assert (await answer(says, t="del", ref=7, ch=ch, of=2))["seq"] == 5
        for number, on in enumerate((True, False)):
            nonce, emoji = f"r{number}", "👍"
            history.send(0, ann.id, ch, nonce, emoji, session=2)
            asked = {"ref": nonce, "ch": ch, "of": 1, "emoji": emoji, "on": on, "nonce": nonce}
            history.ack(0, ch, nonce, (await answer(says, t="react", **asked))["seq"], dup=False)
        await http.post(f"/channels/{ch}/join", headers=eve.headers)
        await http.patch(f"/channels/{ch}", json={"name": "y"}, headers=ann.headers)
        await http.post(f"/channels/{ch}/leave", headers=eve.headers)
        for entry in await hears.until(t="leave", user=eve.id):
            content = entry.get("content") or entry.get("name") or entry.get("emoji") or ""
            history.received(1, 1, ch, entry["seq"], entry["t"], entry["user"], content)
        history.end(1, 1, ch, 10)
    rows, heads = await read_log(pod.database_url)
    rows, heads = [row for row in rows if row.channel == ch], {ch: heads[ch]}
    kinds = ["msg", "msg", "msg", "edit", "del", *["react"] * 2, "join", "chan", "leave"]
    assert [row.kind for row in rows] == kinds
    verdict = check(history, rows, heads)
    assert verdict.anomalies == []
    assert (verdict.counts["acked"], verdict.counts["refused"]) == (5, 1)
    assert verdict.counts["received"] == 10
