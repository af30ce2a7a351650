"""The servers that rtchat is compared with: they run, and the load client counts what they send."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import jwt
import pytest

from bench.load.process import LoadClient
from bench.peers import measure
from bench.peers.listing import PEERS
from bench.peers.node import WsNode
from bench.peers.peer import Peer, PeerError, Running, serving
from bench.peers.python import SECRET_KEY
from rtchat.server.launch import free_port

Start = Callable[[Peer], Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a peer, or skips the test with the reason why it cannot be run here."""
    with ExitStack() as stack:

        def begin(peer: Peer) -> Running:
            if reason := peer.available():
                pytest.skip(f"{peer.name} cannot be run here: {reason}")
            return stack.enter_context(peer.start())

        yield begin


@pytest.mark.parametrize("key", PEERS)
def test_every_member_gets_every_message_once(key: str, start: Start, load: LoadClient) -> None:
    it = start(PEERS[key])
    for in_flight in (1, 8):
        row = measure.fanout(it, load, members=3, in_flight=in_flight, seconds=0.3, warmup_s=0.1)
        assert row["missing"] == 0, "of those in flight from the first moment on"
        if PEERS[key].stores:
            assert row["stored"] >= max(in_flight, row["delivered"] / 3)


def test_the_peer_that_stores_acks_what_is_stored(start: Start, load: LoadClient) -> None:
    it = start(PEERS["fastapi_store"])
    row = measure.ingest(it, load, senders=6, channels=2, in_flight=4, seconds=0.3, warmup_s=0.1)
    assert (row["lost"], row["unanswered"]) == (0, 0)
    assert row["stored"] == row["sent_in_all"] >= 6 * 4
    assert row["delivered_per_s"] == 0, "nobody listens"


def test_the_peer_that_stores_gives_a_page_to_members_only(start: Start) -> None:
    it = start(PEERS["fastapi_store"])
    measure.seed(it, channel=7, user=42, messages=60)
    url = f"{it.url}/channels/7/messages"

    def ask(user: int, key: str = SECRET_KEY) -> httpx2.Response:
        token = jwt.encode({"sub": str(user)}, key, algorithm="HS256")
        return httpx2.get(f"{url}?limit=50", headers={"Authorization": f"Bearer {token}"})

    page = ask(42).json()
    assert [item["id"] for item in page["items"]] == list(range(11, 61))
    assert page["hasMore"] is True
    assert set(page["items"][0]) == {"id", "channelId", "userId", "content", "timestamp"}
    assert ask(43).status_code == 403
    assert ask(42, key="another key of thirty-two bytes or more").status_code == 401


def test_a_peer_that_is_not_installed_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    peer = WsNode()
    assert peer.available() == "node is not on PATH"
    with pytest.raises(PeerError, match="npm is not on PATH"):
        peer.install()
    node = tmp_path / "node"
    node.touch(mode=0o755)
    assert "python -m bench.peers install" in (peer.available() or "")


def test_a_server_that_ends_at_once_is_told_with_its_log() -> None:
    with (
        pytest.raises(PeerError, match=r"ended with 3:\n  no such room"),
        serving(["sh", "-c", "echo no such room; exit 3"], free_port(), cores=()),
    ):
        pytest.fail("it does not serve")


def test_every_peer_says_what_it_does_and_does_not() -> None:
    assert [key for key, peer in PEERS.items() if not (peer.does and peer.does_not)] == []
    assert [key for key, peer in PEERS.items() if peer.stores] == ["fastapi_store"]
