"""A bot that answers commands, each exactly once, whatever is killed in between.

    export BOT_EMAIL=bot@example.org BOT_PASSWORD='correct horse'
    python bot.py http://localhost:8000 general bot.json

It answers `!ping`, `!time`, `!echo TEXT` and `!help` in one channel. How that is exactly once:

- Each answer has a nonce that is made of the command's channel, seq and epoch (another history uses
  the same seqs again). A nonce is stored once, for ever, so an answer that is sent again, after a
  lost ack or by the next process, finds the first.
- The cursor (the seq of the last entry that is done with) and the epoch are in a file, written
  after the answer is acknowledged. A crash before that answers again, which is harmless; one after
  that does not. So nothing is answered twice, and nothing is left out.
- What the second process would say may differ (`!time`): then the server says `nonce_conflict`,
  which means that the command has its answer.

An entry is skipped where its author has deleted it meanwhile. After a `Reset` (the server's log has
another history, as after a restored backup) it goes on where the client does, at the log's end.
"""

import json
import os
import sys
import time
from pathlib import Path

from rtchat.client import Entry, Msg, RefusedError, Reset
from rtchat.client.sync import Client, Renewing, Rest

SAVE_EVERY = 100  # entries without a command: read again after a crash, which costs little


def answer(text: str) -> str | None:
    """What to say to a message; None: nothing."""
    command, _, rest = text.partition(" ")
    if command == "!ping":
        return "pong"
    if command == "!time":
        return time.strftime("it is %H:%M:%S")
    if command == "!echo":
        return rest.strip() or "…"
    if command == "!help":
        return "!ping, !time, !echo TEXT"
    return None


class Place:
    """How far the bot has come, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        kept = json.loads(path.read_text()) if path.exists() else {}
        self.epoch: str | None = kept.get("epoch")
        self.seq: int | None = kept.get("seq")  # None: begin at the end of the log

    def save(self, epoch: str | None, seq: int) -> None:
        """Note it; half a file is never there."""
        self.epoch, self.seq = epoch, seq
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps({"epoch": epoch, "seq": seq}))
        new.replace(self._path)


def reply(client: Client, msg: Msg, epoch: str) -> None:
    """Answer a message, once; returns when that is stored."""
    text = None if msg.deleted or msg.user == client.hello.user.id else answer(msg.content)
    if text is None:
        return
    try:
        client.send(msg.ch, text, nonce=f"bot:{epoch[:8]}:{msg.ch}:{msg.seq}")
    except RefusedError as error:
        if error.code != "nonce_conflict":  # else it was answered, in other words
            print(f"no answer to {msg.seq}: {error}", file=sys.stderr)


def run(url: str, name: str, path: Path) -> None:
    """Answer, until the end."""
    with Rest(url) as rest:
        session = rest.login(os.environ["BOT_EMAIL"], os.environ["BOT_PASSWORD"])
        mine = rest.as_user(session.access_token)
        channel = next(c.id for c in mine.all_channels("public") if c.name == name)
        mine.join(channel)
        place = Place(path)
        with Client(url, tokens=Renewing(rest, session)) as client:
            heads = client.subscribe({channel: place.seq}, epoch=place.epoch)
            epoch = client.hello.epoch  # of what comes out until a Reset does
            if place.seq is None:
                place.save(epoch, heads[channel])
            print("ready", flush=True)
            for event in client.events():
                if isinstance(event, Reset) and event.last_seq is not None:
                    epoch = event.epoch or client.hello.epoch
                    place.save(epoch, event.last_seq)
                elif isinstance(event, Entry):
                    if isinstance(event, Msg):
                        reply(client, event, epoch)
                    command = isinstance(event, Msg) and event.content.startswith("!")
                    if command or event.seq >= (place.seq or 0) + SAVE_EVERY:
                        place.save(epoch, event.seq)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
