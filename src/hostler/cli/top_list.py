"""The two parts of the screen of `hostler top` that show something: the list, and the pane with a conversation."""

import time

from rich.text import Text
from textual.widget import Widget

from hostler.cli.feed import Peek
from hostler.cli.glance import STANDINGS, Entry, Glance, lasted, short_number
from hostler.cli.paper import cells, fitting

NAME, AGENT, SINCE, USED = 26, 8, 6, 10
"""Cells of the columns; what it does gets the rest."""
NARROW = 70
"""Cells below which agent and usage are left out."""
NEARLY = 0.8
"""Share of a limit from which on it is shown in red."""


class Listing(Widget, can_focus=True):
    """All executions in groups, one of them chosen; it stays chosen wherever it goes."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.words = ""
        self.chosen = ""
        self.ahead = 0.0
        self.connecting = True
        self._entries: list[Entry] = []
        self._all = 0
        self._more = False
        self._top = 0

    @property
    def current(self) -> Entry | None:
        """Return the chosen one."""
        return next((one for one in self._entries if one.id == self.chosen), None)

    def take(self, glance: Glance) -> None:
        """Show what was found; where the chosen one is gone, the one in its place is chosen."""
        at = self._at()
        self._all, self._more = len(glance.entries), glance.more
        self._entries = [one for one in glance.entries if one.has(self.words)]
        if self.current is None and self._entries:
            self.chosen = self._entries[min(max(at, 0), len(self._entries) - 1)].id
        self.refresh()

    def move(self, by: int) -> None:
        """Choose the one so many places below."""
        if self._entries:
            self.chosen = self._entries[min(max(self._at() + by, 0), len(self._entries) - 1)].id

    def _at(self) -> int:
        return next((n for n, one in enumerate(self._entries) if one.id == self.chosen), 0)

    def render(self) -> Text:
        """Return the rows that fit, the chosen one among them."""
        if not self._entries:
            return Text(self._nothing(), "dim")
        rows, at = self._rows()
        height = self.size.height
        self._top = min(max(self._top, at - height + 1), max(len(rows) - height, 0))
        self._top = min(self._top, max(at - 1, 0))
        return Text("\n", no_wrap=True, overflow="crop").join(rows[self._top : self._top + height])

    def _rows(self) -> tuple[list[Text], int]:
        """Return all rows, and the place of the chosen one."""
        rows, at, now = list[Text](), 0, time.time() + self.ahead
        for standing, (title, style) in STANDINGS.items():
            group = [one for one in self._entries if one.standing == standing]
            if group:
                rows += [Text(), self._title(f" {title}", style, first=not rows)]
            for one in group:
                at = len(rows) if one.id == self.chosen else at
                rows.append(self._row(one, now))
        if self._more:
            rows.append(Text("   … older ones: hostler ps --all", "dim"))
        return rows, at

    def _title(self, title: str, style: str, *, first: bool) -> Text:
        """Return a group's heading; the first one says what the columns are."""
        text = Text(title, f"bold {style}", no_wrap=True, overflow="crop")
        if first and self.size.width >= NARROW:
            heads = f"{'agent':<{AGENT}} {'tokens':>{USED}} {'since':>{SINCE}}"
            text.append(" " * (self.size.width - 1 - len(title) - len(heads)) + heads, "not bold dim")
        return text

    def _nothing(self) -> str:
        if self._all:
            return f"\n   Nothing here has the words “{self.words}”. Esc shows all."
        if self.connecting:
            return "\n   Connecting…"
        return "\n   No executions yet. Start one: hostler run TASK --repo ."

    def _row(self, one: Entry, now: float) -> Text:
        width, narrow = self.size.width, self.size.width < NARROW
        mark, style = one.mark
        most = width // 3 if narrow else NAME + max(width - 90, 0) // 3
        name = min(most, max((cells(other.name) + 1 for other in self._entries if other.doing), default=most))
        rest = width - 4 - name - 1 - SINCE - 1 - (0 if narrow else AGENT + USED + 2)
        chosen = one.id == self.chosen
        text = Text(no_wrap=True, overflow="crop", style="reverse" if chosen else "")

        def add(said: str, look: str = "") -> None:
            text.append(said, "" if chosen else look)

        add(f" {mark} ", style)
        if one.doing:
            add(f"{padded(one.name, name)} ")
            add(f"{padded(one.doing, rest)} ", {"needs": style, "working": "", "done": "dim"}[one.standing])
        else:
            add(f"{padded(one.name, name + 1 + rest)} ")
        if not narrow:
            add(f"{padded(one.agent, AGENT)} ", "dim")
            add(f"{used(one).rjust(USED)} ", "red" if (one.share or 0) >= NEARLY else "dim")
        add((lasted(now - one.since) if one.since else "").rjust(SINCE) + " ", "dim")
        return text


def padded(text: str, width: int) -> str:
    """Return a text that takes exactly so many cells."""
    shown = fitting(text, width)
    return shown + " " * (width - cells(shown))


def used(one: Entry) -> str:
    """Return the tokens, and how much is used of the limit that is nearest to its end."""
    share = f" {one.share:.0%}" if one.share and one.share >= 0.01 else ""
    return f"{short_number(one.tokens)}{share}" if one.tokens or share else ""


class Pane(Widget):
    """The last rows of the chosen one's conversation."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._peek: Peek | None = None

    def tell(self, entry: Entry, peek: Peek) -> None:
        """Show a conversation as it is now."""
        self._peek = peek
        told = {"live": "live", "connecting": "connecting…"}.get(peek.line, f"offline: {peek.why}; reconnecting")
        model = f" · {entry.model}" if entry.model else ""
        self.border_title = Text(f"{entry.name} · {entry.id[:13]}{model} · {told}", "bold")
        self.refresh()

    def render(self) -> Text:
        """Return the last rows that fit."""
        if self._peek is None:
            return Text()
        rows = self._peek.last(self.size.height)
        if not rows:
            return Text("nothing was said yet" if self._peek.line == "live" else "", "dim")
        shown = Text(no_wrap=True, overflow="crop")
        for number, (row, styles) in enumerate(rows):
            shown.append("\n" if number else "").append(row, " ".join(styles))
        return shown
