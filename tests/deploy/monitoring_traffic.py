"""A little of everything that a pod counts and that a test can bring about in half a second."""

import secrets

import httpx2

from tests.contract.rest import Caller
from tests.people import Person
from tests.pods import Pod
from tests.sockets import wire

PASSWORD = {"email": "sight@example.org", "password": "a long horse, correct"}


async def register(http: httpx2.AsyncClient) -> None:
    """Make the account that signs in by password."""
    made = await http.post("/auth/register", json={**PASSWORD, "name": "Sight"})
    assert made.status_code == 201, made.text


async def move(pod: Pod, http: httpx2.AsyncClient, person: Person, channel: int) -> None:
    """Sign in, say something with a known nonce too, catch up, meet a limit, and leave."""
    signed_in = await http.post("/auth/login", json=PASSWORD)
    assert signed_in.status_code == 200, signed_in.text
    await Caller(http, person).get(f"/channels/{channel}")
    async with wire(pod.ws_url, person) as hearing, wire(pod.ws_url, person) as saying:
        await hearing.send({"t": "sub", "ref": 1, "ch": {str(channel): 0}})
        await hearing.until(t="ok", ref=1)
        said = {"t": "send", "ch": channel, "content": "x", "nonce": secrets.token_hex(4)}
        for ref in (1, 2):
            await saying.send({**said, "ref": ref})
            await saying.until(t="ack", ref=ref)
        await saying.send({"t": "send", "ref": 3, "ch": channel, "content": "x" * 5000})
        await saying.until(t="error", ref=3)
