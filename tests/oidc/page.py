"""A small page that signs in by a provider and then opens a socket, and the server of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PAGE = """<!doctype html><meta charset=utf-8><title>chat</title><p id=state>start</p><nav></nav>
<script>
const server = "SERVER", say = text => document.getElementById("state").textContent = text
async function begin() {
  const answer = await (await fetch(server + "/auth/providers")).json()
  for (const {title, url} of answer.items) {
    const button = document.createElement("button")
    button.textContent = "Sign in with " + title
    button.onclick = () => location.href = url
    document.querySelector("nav").append(button)
  }
}
async function goOn(code) {
  history.replaceState(null, "", "/")
  const answer = await fetch(server + "/auth/oauth/exchange", {
    method: "POST", credentials: "include", headers: {"content-type": "application/json"},
    body: JSON.stringify({code})})
  const session = await answer.json()
  if (!answer.ok) return say("refused: " + session.code)
  const socket = new WebSocket(server.replace("http", "ws") + "/ws")
  socket.onopen = () => socket.send(JSON.stringify({t: "auth", ref: 1, token: session.accessToken}))
  socket.onmessage = event => {
    const frame = JSON.parse(event.data)
    say(frame.t + " " + (frame.user ? frame.user.name : frame.code))
  }
}
const told = new URLSearchParams(location.search)
if (told.has("error")) say("error: " + told.get("error"))
told.has("code") ? goOn(told.get("code")) : begin()
</script>"""


@asynccontextmanager
async def served(server_url: str, port: int) -> AsyncIterator[None]:
    """Answer every request at this port with the page."""
    page = PAGE.replace("SERVER", server_url).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + b"connection: close\r\n\r\n" + page)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield
