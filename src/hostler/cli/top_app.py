"""The full screen of `hostler top`: a list, a pane with the last lines of one conversation, and keys.

Nothing here waits for the network: `feed` reads in the background, and what is asked of the server is asked in threads.
"""

import time
from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from hostler.cli.answering import answered
from hostler.cli.client import Client
from hostler.cli.executions import say_to
from hostler.cli.extras import PREFIX
from hostler.cli.feed import Feed, Peek
from hostler.cli.glance import Entry, lasted
from hostler.cli.problems import Problem
from hostler.cli.top_asking import Answer, Confirm, Help, Link, Say
from hostler.cli.top_list import NARROW, Listing, Pane
from hostler.cli.top_style import CSS

TICK = 0.1
"""Seconds between two looks for something new to draw."""
SETTLED = 0.25
"""Seconds after which a choice counts as made, so that the pane does not open what is only passed by."""
NOTHING: tuple[object, ...] = (-1, None, 0)
FOOT = "⏎ peek  w watch  a answer  s say  x stop  o link  / filter  ? help  q quit"


class Top(App[str]):
    """Shows all executions; what it returns is the one that is to be watched, or nothing."""

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", show=False),
        Binding("up,k", "move(-1)", show=False),
        Binding("pagedown,ctrl+d", "move(10)", show=False),
        Binding("pageup,ctrl+u", "move(-10)", show=False),
        Binding("home,g", "move(-100000)", show=False),
        Binding("end,G", "move(100000)", show=False),
        Binding("enter", "peek", show=False),
        Binding("w", "watch", show=False),
        Binding("a", "answer", show=False),
        Binding("s", "say", show=False),
        Binding("x", "stop", show=False),
        Binding("o", "link", show=False),
        Binding("slash", "filter", show=False),
        Binding("question_mark,h", "help", show=False),
        Binding("escape", "less", show=False),
        Binding("q", "leave", show=False),
        Binding("ctrl+c", "leave", show=False, priority=True),
    ]

    def __init__(self, client: Client, *, words: str = "", chosen: str = "") -> None:
        super().__init__(ansi_color=True)
        self.words = words
        self._chosen = chosen
        self._feed = Feed(Client(client.server))
        self._peek: Peek | None = None
        self._drawn: tuple[object, ...] = NOTHING
        self._moved = 0.0
        self._top = Static(id="head", markup=False)
        self._list = Listing(id="list")
        self._pane = Pane(id="peek")
        self._filter = Input(placeholder="words that must all be there", id="filter")

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield self._top
        with Vertical(id="body"):
            yield self._list
            yield self._pane
        yield self._filter
        yield Static(FOOT, id="foot", markup=False)

    def on_mount(self) -> None:
        """Begin to read and to draw."""
        self.theme = "ansi-dark"
        self._list.words, self._list.chosen = self.words, self._chosen
        self._pane.display = False
        self._filter.display = bool(self.words)
        self._filter.value = self.words
        self._list.focus()
        self._feed.start()
        self.set_interval(TICK, self._look)

    def on_unmount(self) -> None:
        """End what reads in the background."""
        if self._peek is not None:
            self._peek.stop()
            self._peek.join()
        self._feed.stop()

    def _look(self) -> None:
        """Draw what has changed since the last look; ages change every second."""
        if not self._list.is_attached:
            return
        peek = self._peek
        seen = (self._feed.version, (peek.version, peek.line) if peek else None, int(time.time()))
        if seen == self._drawn:
            self._follow_choice()
            return
        fed, self._drawn = seen[0] != self._drawn[0], seen
        if fed:
            self._list.take(self._feed.glance)
        self._list.ahead = self._feed.glance.ahead
        self._list.connecting = self._feed.line == "connecting"
        self._list.refresh()
        self._head()
        self._follow_choice()

    def _head(self) -> None:
        feed, text = self._feed, Text(no_wrap=True, overflow="ellipsis")
        if self.size.width >= NARROW:
            text.append(" Hostler ", "bold reverse")
        for name, words, style in self._counts():
            text.append(f"  {name} ", style)
            text.append(words, "dim" if style == "dim" else "")
        right = {"live": ("● live", "green"), "connecting": ("connecting…", "yellow")}.get(feed.line)
        if right is None:
            for_ = lasted(time.time() - feed.since)
            text.append(f"  offline for {for_}, reconnecting", "bold red")
            text.append(f"  {feed.why}", "dim")
        else:
            gap = self.size.width - text.cell_len - len(right[0]) - 1
            text.append(" " * max(gap, 2)).append(*right)
        self._top.update(text)

    def _counts(self) -> list[tuple[str, str, str]]:
        counts = self._feed.glance.counts
        needs = counts.get("needs", 0)
        return [
            (str(needs), "needs you" if needs == 1 else "need you", "bold yellow" if needs else "dim"),
            (str(counts.get("working", 0)), "working", "bold cyan" if counts.get("working") else "dim"),
            (str(counts.get("done", 0)), "done", "dim"),
        ]

    # --- the pane ----------------------------------------------------------------------------------------------

    def _follow_choice(self) -> None:
        """Let the pane show the conversation of the chosen one."""
        if not self._pane.display:
            return
        entry, peek = self._list.current, self._peek
        if entry is None:
            self._pane.display = False
            return
        renewed = peek is not None and peek.dead and self._feed.line == "live" and peek.why != GONE
        if peek is None or peek.execution != entry.id or renewed:
            if peek is not None and time.monotonic() - self._moved < SETTLED:
                return
            if peek is not None:
                peek.stop()
            self._peek = peek = Peek(Client(self._feed.server), entry.id, max(self.size.width - 4, 20))
            peek.start()
            self._drawn = NOTHING
        self._pane.tell(entry, peek)

    def action_peek(self) -> None:
        """Open the pane; where it is open, watch."""
        if self._list.current is None:
            return
        if self._pane.display:
            self.action_watch()
            return
        self._pane.display = True
        self._again()

    def action_less(self) -> None:
        """Close what is open: the filter, then the pane."""
        if self._filter.display:
            self._filter.value, self._filter.display = "", False
            self._list.focus()
        elif self._pane.display:
            self._pane.display = False
            if self._peek is not None:
                self._peek.stop()
                self._peek = None
        self._again()

    def _again(self) -> None:
        self._drawn = NOTHING
        self._look()

    # --- keys --------------------------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Choose another one."""
        self._list.move(by)
        self._moved = time.monotonic()
        self._again()

    def action_watch(self) -> None:
        """Leave the screen and watch the chosen one."""
        if entry := self._list.current:
            self.exit(entry.id)

    def action_leave(self) -> None:
        """Leave."""
        self.exit("")

    def action_help(self) -> None:
        """Say which keys there are."""
        self.push_screen(Help())

    def action_filter(self) -> None:
        """Ask for words."""
        self._filter.display = True
        self._filter.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what has the words so far."""
        if event.input.id == "filter":
            self.words = self._list.words = event.value
            self._list.take(self._feed.glance)
            self._again()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the words and go back to the list."""
        if event.input.id == "filter":
            event.input.display = bool(event.value.strip())
            self._list.focus()

    def action_answer(self) -> None:
        """Answer what the chosen one asks, or choose a step that it proposes."""
        entry = self._list.current
        if entry is None:
            return
        if not entry.questions and not entry.steps:
            wanted = f"It waits for {entry.doing}." if entry.standing == "needs" and not entry.failed else ""
            self.notify(wanted or "It asks nothing and proposes nothing. s says something to it.", markup=False)
            return

        def done(given: list[str] | None) -> None:
            if given is None:
                return
            text = answered(entry.questions, given) if entry.questions else entry.steps[int(given[0]) - 1].prompt
            self._do(f"answered {entry.name}", lambda client: say_to(client, entry.id, text))

        self.push_screen(Answer(entry), done)

    def action_say(self) -> None:
        """Say something to the chosen one."""
        entry = self._list.current
        if entry is None:
            return

        def done(text: str | None) -> None:
            if text and text.strip():
                self._do(f"sent to {entry.name}", lambda client: say_to(client, entry.id, text))

        self.push_screen(Say(entry), done)

    def action_stop(self) -> None:
        """Stop the chosen one, if that is really meant."""
        entry = self._list.current
        if entry is None:
            return
        if entry.standing != "working":
            self.notify("It does nothing that could be stopped.", markup=False)
            return

        def done(sure: bool | None) -> None:
            if sure:
                body = {"agentExecutionId": entry.id}
                self._do(f"stopping {entry.name}", lambda client: client.agents("StopAgentExecution", body))

        self.push_screen(Confirm(f"Stop {entry.name}?", "What it does now is cut off. It can go on later."), done)

    def action_link(self) -> None:
        """Show the address of the page, and open it where there is a browser."""
        if entry := self._list.current:
            self.run_worker(lambda: self._linked(entry), thread=True, exit_on_error=False)

    def _linked(self, entry: Entry) -> None:
        path = f"/executions/{entry.id}"
        try:
            url = str(Client(self._feed.server).json("POST", f"{PREFIX}/links", {"path": path})["url"])
            once = True
        except Problem:
            url, once = f"{self._feed.server.url}{path}", False
        self.call_from_thread(self.push_screen, Link(entry.name, url, once=once))

    def _do(self, done: str, act: Callable[[Client], object]) -> None:
        """Ask something of the server in the background, and say how it went."""

        def run() -> None:
            try:
                act(Client(self._feed.server))
            except Problem as problem:
                self.call_from_thread(self.notify, problem.message, severity="error", markup=False)
                return
            self._feed.look_again()
            self.call_from_thread(self.notify, done, markup=False)

        self.run_worker(run, thread=True, exit_on_error=False)


GONE = "the execution was deleted"
"""Why a pane stays as it is."""
