"""The full-screen form: keys in, cells out. What is shown is decided elsewhere.

Owns: the layout (beside a list of channels where there are 72 columns, without it where there are
not) and what each key does. prompt_toolkit draws only what has changed. Must never: wait for the
server in a key's handler, or draw a text that did not go through `lines`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    Dimension,
    Float,
    FloatContainer,
    HSplit,
    Layout,
    UIContent,
    UIControl,
    VSplit,
    Window,
)
from prompt_toolkit.layout.menus import CompletionsMenu
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import Output
from prompt_toolkit.styles import Style

from rtchat.client import ClientError
from rtchat.terminal import commands, lines
from rtchat.terminal.completing import Words
from rtchat.terminal.finding import WrongError
from rtchat.terminal.lines import Line
from rtchat.terminal.talk import Talk
from rtchat.terminal.view import View

REDRAW_S = 0.5  # for what changes by itself: who types, how the connection stands
FRAME_S = 1 / 30  # between two drawings, whatever comes
COMPOSER_ROWS = 5
LINES_MAX = 100
# After Esc: how long a key may follow for Alt, and the rest of a key's sequence.
ALT_S, ESC_S = 0.3, 0.05
STYLE = Style.from_dict({
    "title": "reverse", "status": "ansibrightblack", "typing": "italic", "panel": "ansicyan",
    "divider": "ansibrightblack", "event": "ansibrightblack", "time": "ansibrightblack",
    "deleted": "ansibrightblack italic", "pending": "ansibrightblack", "failed": "ansired",
    "online": "ansigreen", "reactions": "ansiyellow", "me": "bold",
    "current": "reverse", "unread": "bold", "channel": "",
    "name0": "bold ansiblue", "name1": "bold ansigreen", "name2": "bold ansimagenta",
    "name3": "bold ansicyan", "name4": "bold ansiyellow", "name5": "bold ansired",
})  # fmt: skip


class _Lines(UIControl):
    """Lines that are made for the size there is."""

    def __init__(self, made: Callable[[int, int], list[Line]]) -> None:
        self._made = made

    def create_content(self, width: int, height: int) -> UIContent:
        """What is drawn now."""
        made = self._made(width, height)

        def line(number: int) -> StyleAndTextTuples:
            return [(f"class:{style}", text) for style, text in made[number]]

        return UIContent(get_line=line, line_count=len(made), show_cursor=False)


class Screen:
    """The application on a terminal."""

    def __init__(
        self, talk: Talk, *, source: Input | None = None, output: Output | None = None
    ) -> None:
        self._talk = talk
        self._state = talk.state
        self._view = View(talk.state)
        self.forget = False  # /logout
        self._lines: asyncio.Queue[str] = asyncio.Queue(LINES_MAX)  # typed, and not done yet
        self._doing = ""
        self._panel_of: list[str] = []  # which one is shown, from where on, and how long it is
        self._panel_start = self._panel_size = self._panel_page = 0
        self._words = Words(talk.state)
        self._composer: Buffer = Buffer(
            multiline=True,
            completer=self._words,
            complete_while_typing=Condition(lambda: self._composer.text.startswith("/")),
            on_text_changed=self._typed,
        )
        self.app: Application[None] = Application(
            layout=Layout(self._layout(), focused_element=self._composer),
            key_bindings=self._keys(),
            style=STYLE,
            full_screen=True,
            refresh_interval=REDRAW_S,
            min_redraw_interval=FRAME_S,
            input=source,
            output=output,
        )
        self.app.timeoutlen, self.app.ttimeoutlen = ALT_S, ESC_S

    def draw(self) -> None:
        """There is something new."""
        self.app.invalidate()

    def end(self) -> None:
        """Give the terminal back."""
        if self.app.is_running and not self.app.is_done:
            self.app.exit()

    # --- how it looks

    @property
    def _columns(self) -> int:
        return self.app.output.get_size().columns

    def _layout(self) -> FloatContainer:
        wide = Condition(lambda: self._columns >= lines.WIDE)
        panel = Condition(lambda: bool(self._state.panel))
        listed = VSplit([
            Window(_Lines(lambda width, _: lines.channel_list(self._state, width)),
                   width=lines.LIST),
            Window(char="│", width=1, style="class:divider"),
        ])  # fmt: skip
        messages = HSplit([
            Window(_Lines(lambda width, _: [lines.title(self._state, width)]), height=1),
            Window(_Lines(self._view.lines)),
            ConditionalContainer(
                Window(_Lines(self._panel), height=self._panel_rows, style="class:panel"), panel
            ),
            Window(_Lines(lambda width, _: [self._status(width)]), height=1),
            Window(
                BufferControl(self._composer, [BeforeInput("> ", "class:me")]),
                height=Dimension(min=1, max=COMPOSER_ROWS),
                wrap_lines=True,
                dont_extend_height=True,
            ),
        ])  # fmt: skip
        return FloatContainer(
            VSplit([ConditionalContainer(listed, wide), messages]),
            [Float(CompletionsMenu(max_height=8), xcursor=True, ycursor=True)],
        )

    def _panel(self, width: int, height: int) -> list[Line]:
        if self._panel_of is not self._state.panel:  # another one
            self._panel_of, self._panel_start = self._state.panel, 0
        self._panel_page = height - 1
        return lines.panel(self._state, width, height, self._panel_start)

    def _panel_rows(self) -> Dimension:
        width = self._columns - (lines.LIST + 1 if self._columns >= lines.WIDE else 0)
        most = max(1, self.app.output.get_size().rows - 6)
        self._panel_size = sum(len(lines.wrapped(text, width)) for text in self._state.panel)
        return Dimension.exact(min(self._panel_size, most))

    def _status(self, width: int) -> Line:
        client = self._talk.client
        words = "connected" if client.connected else "connection lost, coming back…"
        words += f" as {self._state.me.name}" if client.connected else ""
        if unsent := self._talk.unsent:
            words = f"{words}; {unsent} on the way or failed"
        if self._doing:
            words = f"{lines.cells(self._doing)} …; {words}"
        if not self._view.following:
            words = f"reading back, End: newest; {words}"
        return lines.status(self._state, words, self._talk.now, width)

    # --- what keys do

    def _typed(self, composer: Buffer) -> None:
        text = composer.text
        if text.strip() and not commands.is_command(text):
            self._talk.typing()

    def _enter(self) -> None:
        text = self._composer.text
        if not text.strip():
            self._state.panel = []
            return
        if self._lines.full():
            self._state.panel = ["wait: what you typed before is still being done"]
            return
        self._composer.append_to_history()
        self._composer.reset()
        self._lines.put_nowait(text)

    async def take_lines(self) -> None:
        """Do what was typed, one line after the other: behind a `/join` one speaks there."""
        while True:
            text = await self._lines.get()
            self._doing = text.partition(" ")[0] if commands.is_command(text) else ""
            try:
                await self._line(text)
            except (ClientError, WrongError) as error:
                self._state.panel = [str(error)]
            except commands.QuitError as quit_:
                self.forget = quit_.forget
                self.end()
            self._doing = ""
            self.draw()

    async def _line(self, text: str) -> None:
        if commands.is_command(text):
            await commands.run(self._talk, text.rstrip())
        else:
            self._state.panel = []
            self._talk.say(commands.message_of(text))
            self._view.follow()

    def _complete(self) -> None:
        composer, asked = self._composer, CompleteEvent(completion_requested=True)
        found = list(self._words.get_completions(composer.document, asked))
        if len(found) == 1:
            composer.cancel_completion()
            composer.apply_completion(found[0])
        elif composer.complete_state is not None:
            composer.complete_next()
        elif found:
            composer.start_completion(insert_common_part=True)

    def _scroll(self, rows: int) -> None:
        if self._state.panel and self._panel_size > self._panel_page + 1:
            last = self._panel_size - self._panel_page
            by = self._panel_page if rows < 0 else -self._panel_page
            self._panel_start = min(max(0, self._panel_start + by), last)
        elif rows < 0:
            self._view.down(-rows)
            if self._view.following:
                self._talk.seen()
        elif self._view.up(rows):
            self._talk.start(self._talk.older())

    def _turn(self, by: int, *, news: bool = False) -> None:
        """Show the next channel, or the one before."""
        listed = self._state.listed()
        at = next((i for i, r in enumerate(listed) if r.id == self._state.current), -1)
        for step in range(1, len(listed) + 1):
            room = listed[(at + by * step) % len(listed)]
            if not news or room.unread:
                self._talk.start(self._talk.open(room))
                return

    def _newest(self) -> None:
        self._view.follow()
        self._talk.seen()

    def _close_panel(self) -> None:
        self._state.panel = []

    def _leave(self) -> None:
        if not self._lines.full():
            self._lines.put_nowait("/quit")

    def _cancel(self) -> None:
        if self._composer.text:
            self._composer.reset()
        else:
            self._leave()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        empty = Condition(lambda: not self._composer.text)
        page = self._page
        actions: tuple[tuple[tuple[str, ...], Callable[[], Any], Any], ...] = (
            (("enter",), self._enter, True),
            (("escape", "enter"), lambda: self._composer.insert_text("\n"), True),
            (("tab",), self._complete, True),
            (("pageup",), lambda: self._scroll(page()), True),
            (("pagedown",), lambda: self._scroll(-page()), True),
            (("s-up",), lambda: self._scroll(1), True),
            (("s-down",), lambda: self._scroll(-1), True),
            (("end",), self._newest, empty),
            (("c-n",), lambda: self._turn(1), True),
            (("c-p",), lambda: self._turn(-1), True),
            (("c-g",), lambda: self._turn(1, news=True), True),
            (("escape",), self._close_panel, True),
            (("c-d",), self._leave, empty),
            (("c-c",), self._cancel, True),
        )
        for names, action, when in actions:
            keys.add(*names, filter=when)(_handler(action))
        return keys

    def _page(self) -> int:
        return max(1, self._view.rows - 2)


def _handler(action: Callable[[], Any]) -> Callable[[KeyPressEvent], None]:
    def handle(_: KeyPressEvent) -> None:
        action()

    return handle
