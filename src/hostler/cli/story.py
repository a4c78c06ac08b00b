"""The conversation as people read it in a terminal: text as it comes, a line for each action, folded output."""

from collections.abc import Callable, Sequence
from typing import Any

from hostler.cli.screen import clean, cut, line, paint, say, width
from hostler.cli.stream import Frame

SHOWN = 12
"""Lines of a result, or of a diff, that are shown; `full` shows them all."""
MARKS = {
    "PHASE_DONE": ("✓", "green"),
    "PHASE_IN_PROGRESS": ("▸", "cyan"),
    "PHASE_CLEARED": ("-", "dim"),
    "PHASE_PENDING": ("·", "dim"),
}
DIFF = {"TYPE_ADDED": ("+", "green"), "TYPE_REMOVED": ("-", "red"), "TYPE_UNCHANGED": (" ", "dim")}
Json = dict[str, Any]


class Story:
    """Prints frames in order; a text block that is repeated or replayed is continued, not repeated."""

    def __init__(self, *, full: bool = False, thoughts: bool = False) -> None:
        self._full = full
        self._thoughts = thoughts
        self._said: dict[str, str] = {}
        self._sequence: dict[str, int] = {}
        self._open = ""
        self._running: dict[str, str] = {}
        self._latest = ""
        self._begun = False
        self._todos: list[tuple[str, str]] = []
        self._ways: dict[str, Callable[[Json], None]] = {
            "actionStarted": self._started,
            "actionCompleted": self._result,
            "fileModification": self._change,
            "todoGroup": self._plan,
            "userInputQueueUpdated": self._queue,
            "userInputDeleted": self._deleted,
            "hostAuthenticationRequired": self._authentication,
            "clarifyingQuestions": self._questions,
            "nextStepsProposal": self._proposal,
        }
        self.asked = ""
        """What the agent wants from a person before it goes on; empty when nothing is open."""

    def heed(self, frame: Frame) -> None:
        """Keep what a frame asks of a person, without printing."""
        if frame.tag == 2:
            self.asked = ""
        elif "hostAuthenticationRequired" in frame.body:
            self.asked = f"a credential for {line(str(frame.body['hostAuthenticationRequired'].get('host', '')))}"
        elif "clarifyingQuestions" in frame.body:
            self.asked = "an answer"

    def tell(self, frame: Frame) -> None:
        """Print one frame."""
        self.heed(frame)
        self._begun |= "userInputSeen" in frame.body
        if frame.tag == 2:
            self._input(frame.body)
        elif frame.tag == 3:
            self._print(f"⇄ {self._body(str(frame.body.get('payload', '')))}", "cyan")
        elif "text" in frame.body:
            self._text(frame.body, frame.body["text"])
        else:
            for kind in self._ways.keys() & frame.body.keys():
                self._ways[kind](frame.body[kind])

    def close(self) -> None:
        """End the line that is being written."""
        if self._open:
            say()
            self._open = ""

    def _started(self, action: Json) -> None:
        said = line(str(action.get("intentDescription", "")))
        self._running[str(action.get("actionId", ""))] = self._latest = said
        self._print(f"▶ {said}", "bold")

    def _deleted(self, deleted: Json) -> None:
        self._print("a queued message was taken away unread", "dim")

    def _authentication(self, wanted: Json) -> None:
        self._print(f"? the agent needs {self.asked}", "yellow")

    def _questions(self, asked: Json) -> None:
        for question in asked.get("questions", []):
            self._print(f"? {line(str(question.get('question', '')))}", "yellow")
            for choice in question.get("choices", []):
                self._print(f"    {line(str(choice.get('label', '')))}: {line(str(choice.get('text', '')))}")

    def _proposal(self, proposal: Json) -> None:
        for action in proposal.get("actions", []):
            self._print(f"next: {line(str(action.get('title', '')))}", "cyan")

    def _input(self, body: Json) -> None:
        parts = body.get("inputs") or [body]
        texts = [str(part["text"].get("content", "")) if "text" in part else "[image]" for part in parts]
        self._print(f"> {self._body(chr(10).join(texts))}", "cyan")

    def _text(self, body: Json, text: Json) -> None:
        """Continue a block: an addition once per sequence id, and from a whole text only what is not shown yet."""
        block, content = str(body.get("id", "")), str(text.get("content", ""))
        if text.get("type") == "TYPE_THOUGHTS" and not self._thoughts:
            return
        said, sequence = self._said.get(block, ""), int(text.get("sequenceId", 0))
        whole = body.get("phase") == "PHASE_COMPLETED"
        if not whole and sequence and sequence <= self._sequence.get(block, 0):
            return
        self._sequence[block] = max(sequence, self._sequence.get(block, 0))
        self._said[block] = content if whole else said + content
        rest = content.removeprefix(said) if whole else content
        if whole and said and not content.startswith(said):
            self.close()
        self._stream(block, rest, dim=text.get("type") == "TYPE_THOUGHTS")
        if whole:
            self.close()

    def _stream(self, block: str, text: str, *, dim: bool) -> None:
        if not text:
            return
        if self._open != block:
            self.close()
            self._open = block
        say(paint(clean(text), *(("dim",) if dim else ())), end="")

    def _result(self, action: Json) -> None:
        """Show a result; when several actions run, it says which one's it is."""
        failed = bool(action.get("failed"))
        said = self._running.pop(str(action.get("actionId", "")), "")
        if said and (self._running or said != self._latest):
            self._print(f"  ↳ {said}", "dim")
        text = clean(str(action.get("resultDescription", ""))).strip("\n")
        for row in self._folded(text.split("\n") if text else []):
            self._print(f"  {'✗' if failed else '│'} {row}".rstrip(), "red" if failed else "dim")

    def _change(self, change: Json) -> None:
        diff = change.get("diff", {})
        stats = diff.get("stats", {})
        counts = f"+{stats.get('additions', 0)} -{stats.get('deletions', 0)}"
        self._print(f"± {line(str(change.get('filePath', '')))} {counts}", "yellow")
        rows = short_diff(diff.get("diffGroups", []))
        for style, row in rows if self._full else rows[:SHOWN]:
            self._print(f"    {row}", style)
        if not self._full and len(rows) > SHOWN:
            self._print(f"    … {len(rows) - SHOWN} lines more", "dim")

    def _plan(self, group: Json) -> None:
        todos: Sequence[Json] = group.get("todos", [])
        shown = [(str(todo.get("phase", "PHASE_PENDING")), line(str(todo.get("title", "")))) for todo in todos]
        if shown == self._todos:
            return
        self._todos = shown
        for phase, title in shown:
            mark, style = MARKS.get(phase, ("·", "dim"))
            self._print(f"  {mark} {title}", style)

    def _queue(self, queue: Json) -> None:
        waiting: Sequence[str] = queue.get("queuedUserInputIds", [])
        if waiting and self._begun:
            self._print(f"{len(waiting)} message{'s wait' if len(waiting) > 1 else ' waits'} in the queue", "dim")

    def _folded(self, rows: Sequence[str]) -> list[str]:
        """Return the rows of a result, the middle folded, long ones cut."""
        if self._full:
            return list(rows)
        if len(rows) > SHOWN:
            half = SHOWN // 2
            rows = [*rows[:half], f"… {len(rows) - SHOWN} lines more", *rows[-half:]]
        return [cut(row, max(width() - 6, 40)) for row in rows]

    def _body(self, text: str) -> str:
        return "\n  ".join(self._folded(clean(text).strip().split("\n")))

    def _print(self, text: str, *styles: str) -> None:
        self.close()
        say(paint(text, *styles))


def short_diff(groups: Sequence[Json]) -> list[tuple[str, str]]:
    """Return (style, row) of the changed lines, each run with one unchanged line around it."""
    rows: list[tuple[str, str]] = []
    for number, group in enumerate(groups):
        kind, lines = group.get("type", ""), list(group.get("lines", []))
        if kind == "TYPE_UNCHANGED" and len(lines) > 2:
            before = lines[:1] if number else []
            after = lines[-1:] if number + 1 < len(groups) else []
            lines = [*before, *(["…"] if before and after else []), *after]
        mark, style = DIFF.get(kind, (" ", "dim"))
        rows += [(style, f"{mark} {clean(text)}".rstrip()) for text in map(str, lines)]
    return rows
