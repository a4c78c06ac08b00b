"""What `hostler top` asks a person: answers to questions, a message, whether something is meant; and what it tells."""

import os
import sys
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from hostler.cli.answering import meant
from hostler.cli.glance import Entry
from hostler.cli.openness import Choice, Question
from hostler.cli.problems import Problem

KEYS = (
    ("↑ ↓  j k", "choose an execution"),
    ("Enter", "peek: its last lines, live; again: watch"),
    ("w", "watch it; Ctrl-C comes back"),
    ("a", "answer it, or choose a step it proposes"),
    ("s", "say something; it waits while it works"),
    ("x", "stop it"),
    ("o", "the address of its page, signed in"),
    ("/", "filter by words; Esc shows all again"),
    ("Esc", "close the pane"),
    ("q", "quit; agents go on"),
)
ESCAPE: list[BindingType] = [Binding("escape", "close", show=False)]


class Answer(ModalScreen[list[str]]):
    """Asks one question after the other; what it returns answers all of them, as `answered` takes it."""

    BINDINGS: ClassVar[list[BindingType]] = ESCAPE

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._name = entry.name
        steps = tuple(Choice(step.title, step.prompt) for step in entry.steps)
        self._questions = entry.questions or (Question("step", "What next?", steps, other=False),)
        self._labels = bool(entry.questions)
        self._given: list[str] = []

    def compose(self) -> ComposeResult:
        """Lay out the card."""
        with Vertical(classes="card"):
            yield Static(id="asked", markup=False)
            yield OptionList(id="choices")
            yield Input(id="words", placeholder="your own words")
            yield Static("Enter answers · Esc leaves it open", classes="quiet", markup=False)

    def on_mount(self) -> None:
        """Ask the first one."""
        self._ask()

    @property
    def _question(self) -> Question:
        return self._questions[len(self._given)]

    def _ask(self) -> None:
        question, count = self._question, len(self._questions)
        place = f"  {len(self._given) + 1} of {count}" if count > 1 else ""
        head = Text().append(f"{self._name}{place}\n\n", "dim").append(question.text, "bold yellow")
        self.query_one("#asked", Static).update(head)
        choices, words = self.query_one(OptionList), self.query_one(Input)
        choices.clear_options()
        choices.add_options(
            [Option(_choice(n, one)) for n, one in enumerate(question.choices, 1)]
            + ([Option(Text("words of your own…", "dim"))] if question.other and question.choices else [])
        )
        choices.display, words.value = bool(question.choices), ""
        words.display = not question.choices
        (choices if question.choices else words).focus()
        choices.highlighted = 0 if question.choices else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Take a choice, or ask for words."""
        if event.option_index < len(self._question.choices):
            self._take(str(event.option_index + 1))
            return
        words = self.query_one(Input)
        words.display = True
        words.focus()

    def on_key(self, event: object) -> None:
        """Take a choice by its number."""
        key = str(getattr(event, "key", ""))
        if key.isdecimal() and not self.query_one(Input).has_focus and 1 <= int(key) <= len(self._question.choices):
            self._take(key)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take words."""
        event.stop()
        self._take(event.value)

    def _take(self, given: str) -> None:
        try:
            meant(self._question, given)
        except Problem as problem:
            self.notify(problem.message, severity="warning", markup=False)
            return
        self._given.append(given)
        if len(self._given) == len(self._questions):
            self.dismiss(self._given)
        else:
            self._ask()

    def action_close(self) -> None:
        """Leave the question open."""
        self.dismiss(None)


def _choice(number: int, choice: Choice) -> Text:
    text = Text(f"{number}  {choice.label}")
    more = choice.text.strip().partition("\n")[0]
    return text.append(f"  {more}", "dim") if more and more != choice.label else text


class Say(ModalScreen[str]):
    """Asks for a message."""

    BINDINGS: ClassVar[list[BindingType]] = ESCAPE

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        self._name, self._working = entry.name, entry.standing == "working"

    def compose(self) -> ComposeResult:
        """Lay out the card."""
        with Vertical(classes="card"):
            yield Static(Text(f"Say to {self._name}", "bold"), markup=False)
            yield Input(id="words")
            waits = "waits in the queue · " if self._working else ""
            yield Static(f"{waits}Enter sends · Esc does not", classes="quiet", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Return the message."""
        event.stop()
        self.dismiss(event.value)

    def action_close(self) -> None:
        """Say nothing."""
        self.dismiss(None)


class Confirm(ModalScreen[bool]):
    """Asks whether something is meant."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "sure", show=False),
        Binding("n,escape,q", "close", show=False),
    ]

    def __init__(self, question: str, more: str) -> None:
        super().__init__()
        self._asked, self._more = question, more

    def compose(self) -> ComposeResult:
        """Lay out the card."""
        with Vertical(classes="card"):
            yield Static(Text().append(self._asked, "bold").append(f"\n\n{self._more}"), markup=False)
            yield Static("y yes · n no", classes="quiet", markup=False)

    def action_sure(self) -> None:
        """It is meant."""
        self.dismiss(True)

    def action_close(self) -> None:
        """It is not."""
        self.dismiss(False)


class Help(ModalScreen[None]):
    """Tells the keys."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,question_mark,h", "close", show=False)]

    def compose(self) -> ComposeResult:
        """Lay out the card."""
        text = Text()
        for key, what in KEYS:
            text.append(f"{key:<10}", "bold").append(f"{what}\n")
        text.append("\n? asks you  ▸ works  ✓ done  ✗ failed  ■ stopped", "dim")
        with Vertical(classes="card"):
            yield Static(text, markup=False)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)


class Link(ModalScreen[None]):
    """Tells the address of a page, and opens it where a browser can be seen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,o", "close", show=False)]

    def __init__(self, name: str, url: str, *, once: bool) -> None:
        super().__init__()
        self._name, self._url, self._once = name, url, once

    def compose(self) -> ComposeResult:
        """Lay out the card."""
        with Vertical(classes="card"):
            yield Static(Text().append(f"{self._name}\n\n", "dim").append(self._url, "bold"), markup=False)
            told = "good once, for ten minutes · " if self._once else ""
            yield Static(f"{told}Esc goes back", classes="quiet", markup=False)

    def on_mount(self) -> None:
        """Open the page where this machine shows windows to its user."""
        if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            import webbrowser

            self.run_worker(lambda: webbrowser.open(self._url), thread=True, exit_on_error=False)

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
