"""The conversation as people read it in a terminal: text as it comes, a line for each action, folded output.

It prints frames in order; a text block that is repeated or replayed is continued, not repeated. How the kinds of
blocks look is in `story_blocks`; where they are written is a `Paper`.
"""

from collections.abc import Sequence
from typing import Any

from hostler.cli.openness import Openness, in_words
from hostler.cli.paper import Paper, Terminal
from hostler.cli.screen import clean, line
from hostler.cli.story_blocks import FAILED_SHOWN, SHOWN, Plan, asked_rows, change_rows, folded, message, plain_row
from hostler.cli.stream import Frame

Json = dict[str, Any]
HOSTLER = "hostler"
"""The source of what Hostler itself says to an agent."""
SHOWN_ITSELF = ("update the to-do list", "ask the person", "propose next steps")
"""Actions that are not shown, unless they fail: what they bring about is."""
SHOWN_BELOW = ("edit ", "write ")
"""Actions whose result, when it is one line and well, says nothing that the change below it does not show."""


class Story:
    """Tells a conversation on a paper, frame by frame."""

    def __init__(
        self, *, full: bool = False, thoughts: bool = False, paper: Paper | None = None, execution: str = ""
    ) -> None:
        self._full = full
        self._thoughts = thoughts
        self._paper = paper or Terminal()
        self._execution = execution
        self._said: dict[str, str] = {}
        self._sequence: dict[str, int] = {}
        self._open = ""
        self._last = ""
        self._running: dict[str, str] = {}
        self._above = ""
        self._hidden: dict[str, str] = {}
        self._inputs: dict[str, str] = {}
        self._queue: list[str] = []
        self._fresh: list[str] = []
        self._plan = Plan()
        self.open = Openness()
        """What the conversation leaves open for a person."""

    @property
    def asked(self) -> str:
        """Return what the agent wants from a person before it goes on; empty when nothing is open."""
        return self.open.asked

    def heed(self, frame: Frame) -> None:
        """Keep what a frame asks of a person, without printing."""
        self.open.heed(frame)

    def tell(self, frame: Frame) -> None:
        """Print one frame."""
        self.heed(frame)
        body = frame.body
        if frame.tag == 2:
            self._input(body)
        elif frame.tag == 3:
            self._row("message", message(body), "cyan")
        elif "text" in body:
            self._text(body, body["text"], thinking=body["text"].get("type") == "TYPE_THOUGHTS")
        elif "thought" in body:
            self._text(body, body["thought"], thinking=True)
        else:
            self._block(body)

    def remark(self, text: str) -> None:
        """Print what people should know."""
        self._row("note", f"! {text}", "yellow")

    def close(self) -> None:
        """End the line that is being written."""
        self._paper.close()
        self._open = ""

    def _block(self, body: Json) -> None:
        match body:
            case {"actionStarted": action}:
                self._started(action)
            case {"actionCompleted": action}:
                self._result(action)
            case {"fileModification": change}:
                for style, row in change_rows(change, None if self._full else SHOWN, self._paper.width):
                    self._row("body", row, style)
            case {"todoGroup": group}:
                self._rows("body", self._plan.whole(group))
            case {"todoItem": item}:
                self._rows("body", self._plan.one(item))
            case {"userInputQueueUpdated": queue}:
                self._queued([str(one) for one in queue.get("queuedUserInputIds", [])])
            case {"userInputSeen": seen}:
                self._seen(str(seen.get("id", "")))
            case {"userInputDeleted": gone}:
                self._row("note", f"  taken back unread: {self._named(str(gone.get('id', '')))}", "dim")
            case {"userInput": given}:
                self._input(given)
            case {"hostAuthenticationRequired": _} | {"clarifyingQuestions": _} | {"nextStepsProposal": _}:
                self._rows("ask", asked_rows(self.open, body, self._execution))
            case _:
                self._rows("note", plain_row(body))

    def _started(self, action: Json) -> None:
        said = line(str(action.get("intentDescription", "")))
        if said in SHOWN_ITSELF and not self._full:
            self._hidden[str(action.get("actionId", ""))] = said
            return
        id_ = str(action.get("actionId", ""))
        self._running[id_] = said
        self._row("action", f"▶ {said}", "bold")
        self._above = id_

    def _result(self, action: Json) -> None:
        """Show a result; when it does not stand right below its action, it says which one's it is."""
        failed, id_ = bool(action.get("failed")), str(action.get("actionId", ""))
        text = clean(str(action.get("resultDescription", ""))).strip("\n").expandtabs(4)
        rows = [row for row in text.split("\n") if self._full or row.strip()]
        said, hidden = self._running.pop(id_, ""), self._hidden.pop(id_, "")
        short = len(rows) < 2 and not failed and not self._full
        if (hidden and not failed) or (short and said.startswith(SHOWN_BELOW)):
            return
        if hidden:
            self._row("action", f"▶ {hidden}", "bold")
        if said and self._above != id_:
            self._row("body", f"  ↳ {said}", "dim")
        most = None if self._full else FAILED_SHOWN if failed else SHOWN
        for row in folded(rows, most, self._paper.width - 4):
            self._row("body", f"  {'✗' if failed else '│'} {row}".rstrip(), "red" if failed else "dim")

    def _input(self, body: Json) -> None:
        parts: Sequence[Json] = body.get("inputs") or [body]
        texts = [clean(str(part["text"].get("content", ""))) if "text" in part else "[image]" for part in parts]
        said = "\n".join(texts).strip()
        rows = (in_words(self.open.answered, said) or said).split("\n")
        id_ = str(body.get("id", ""))
        self._inputs[id_] = rows[0]
        self._fresh.append(id_)
        shown = folded(rows, None if self._full else FAILED_SHOWN, 0)
        metadata: Json = body.get("metadata") or {}
        if metadata.get("source") == HOSTLER:
            self._row("note", "\n  ".join([f"» Hostler to the agent: {shown[0]}", *shown[1:]]), "dim")
            return
        self._row("input", "\n  ".join([f"> {shown[0]}", *shown[1:]]), "cyan")

    def _queued(self, queue: list[str]) -> None:
        """Tell what waits: a new message once the agent is at work, and a new order."""
        before, self._queue = self._queue, queue
        busy = bool(self._running or self._open)
        if added := [one for one in queue if one not in before and one in self._inputs]:
            if busy:
                self._fresh = [one for one in self._fresh if one not in added]
                self._row("note", f"  waits in the queue, {place(queue.index(added[-1]))}", "dim")
        elif len(queue) > 1 and queue != [one for one in before if one in queue]:
            self._row("note", "  the queue now:", "dim")
            for number, one in enumerate(queue, 1):
                self._row("note", f"    {number} {self._named(one)}", "dim")

    def _seen(self, id_: str) -> None:
        """Say that a message which waited has been read."""
        if id_ not in self._fresh and id_ in self._inputs:
            self._row("note", f"  read from the queue: {self._named(id_)}", "dim")
        self._fresh = [one for one in self._fresh if one != id_]

    def _named(self, id_: str) -> str:
        return self._inputs.get(id_) or "a message"

    def _text(self, body: Json, text: Json, *, thinking: bool) -> None:
        """Continue a block: an addition once per sequence id, and from a whole text only what is not shown yet."""
        block, content = str(body.get("id", "")), str(text.get("content", ""))
        whole = body.get("phase") == "PHASE_COMPLETED" or "thought" in body
        if thinking and not self._thoughts:
            if whole and content.strip():
                words = len(content.split())
                self._row("thought", f"∴ thought, {words} word{'' if words == 1 else 's'}", "dim")
            return
        said, sequence = self._said.get(block, ""), int(text.get("sequenceId", 0))
        if not whole and sequence and sequence <= self._sequence.get(block, 0):
            return
        self._sequence[block] = max(sequence, self._sequence.get(block, 0))
        self._said[block] = content if whole else said + content
        rest = content.removeprefix(said) if whole else content
        if whole and said and not content.startswith(said):
            self.close()
        self._stream(block, rest, dim=thinking)
        if whole:
            self.close()

    def _stream(self, block: str, text: str, *, dim: bool) -> None:
        if not text:
            return
        if self._open != block:
            self.close()
            self._space("text")
            self._open = block
        self._paper.piece(clean(text), *(("dim",) if dim else ()))

    def _rows(self, kind: str, rows: Sequence[tuple[str, str]]) -> None:
        for style, row in rows:
            self._row(kind, row, style)

    def _row(self, kind: str, text: str, *styles: str) -> None:
        self.close()
        self._space(kind)
        self._paper.row(text, *(style for style in styles if style))

    def _space(self, kind: str) -> None:
        """Leave a row empty before what begins a thought: a text after a result, an input, a question."""
        begins = kind in ("input", "ask") and self._last not in ("", kind)
        if begins or (kind in ("text", "thought") and self._last in ("body", "note")):
            self._paper.row("")
        self._last, self._above = kind, ""


def place(index: int) -> str:
    """Return a place in the queue in words."""
    return "next" if index == 0 else f"behind {index} other{'' if index == 1 else 's'}"
