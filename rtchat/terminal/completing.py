"""What Tab offers: commands, one's channels, and people who are known. Never asks the server."""

from collections.abc import Iterable

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from rtchat.terminal import commands, lines
from rtchat.terminal.state import State


class Words(Completer):
    """Commands, channels and people."""

    def __init__(self, state: State) -> None:
        self._state = state

    def get_completions(self, document: Document, _: CompleteEvent) -> Iterable[Completion]:
        """What may stand at the cursor."""
        text = document.text_before_cursor
        if not commands.is_command(text):
            return
        name, blank, rest = text[1:].partition(" ")
        if not blank:
            found = [f"{n} " if commands.COMMANDS[n].usage else n for n in commands.COMMANDS]
            yield from _beginning(found, name)
            return
        takes = commands.COMMANDS[name].takes if name in commands.COMMANDS else ""
        state = self._state
        if takes == "channel":
            names = [r.channel.name for r in state.listed() if r.channel.name]
            yield from _beginning(names, rest)
        elif takes == "person":
            others = [state.name(user) for user in state.names if user != state.me.id]
            yield from _beginning(sorted(others), rest.rpartition(",")[2].lstrip())


def _beginning(words: Iterable[str], typed: str) -> Iterable[Completion]:
    for word in words:
        if word.casefold().startswith(typed.casefold()):
            yield Completion(word, start_position=-len(typed), display=lines.cells(word))
