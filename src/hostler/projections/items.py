"""What a conversation is made of when people read it: one frozen value a kind, one union.

The live page and the exports render these; `timeline` makes them from a log. Some kinds no event makes yet.
An item keeps its id for life: a later version with the same id takes the earlier one's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from hostler.core.agents import Outcome, Question
from hostler.core.conversation import Usage
from hostler.core.events import Todo
from hostler.projections.changes import Hunk

ActionState = Outcome | Literal["running"]
InputState = Literal["queued", "sent", "seen", "deleted", "dropped"]
Tone = Literal["", "good", "ask", "bad"]
HEAD, TAIL = 24, 12
"""Lines of an output that are shown before and behind the gap."""
WIDEST = 2_000
"""Characters of one line of an output that are shown."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the conversation: `id` is safe in HTML and URLs, `turn` 0 is before the first turn."""

    id: str
    turn: int
    at: datetime


@dataclass(frozen=True, slots=True)
class TurnStart(Item):
    """A turn begins."""


@dataclass(frozen=True, slots=True)
class TurnEnd(Item):
    """A turn is over. `message` says why when nobody asked for it; `limit` names the limit that was reached."""

    how: Literal["idle", "stopped", "limit", "failed"]
    began: datetime | None
    seconds: float
    calls: int
    usage: Usage
    message: str = ""
    limit: str = ""
    commands: int = 0
    files: int = 0
    additions: int = 0
    deletions: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that a person sent: base64 `data`, or a reference to it."""

    mime_type: str
    data: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class UserInput(Item):
    """What a person said. `through` says `visitor NAME` when it came through a share, else it is empty.

    `state`: queued; sent (an agent in the environment was told and has not confirmed); seen; deleted and dropped:
    taken away unread, by a person or by a stop.
    """

    input_id: str
    text: str
    pictures: tuple[Picture, ...] = ()
    state: InputState = "seen"
    steered: bool = False
    through: str = ""
    source: str = ""
    answers: bool = False
    """It answers a question card."""


@dataclass(frozen=True, slots=True)
class AgentMessage(Item):
    """A message of another execution: its parent or its child."""

    input_id: str
    text: str
    role: Literal["", "parent", "child"] = ""
    sender: str = ""
    last: bool = False
    state: InputState = "seen"


@dataclass(frozen=True, slots=True)
class Text(Item):
    """What the agent said, in Markdown; `block` is the id under which it streams, `cut` that it was cut off."""

    text: str
    block: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Thought(Item):
    """What the agent thought, in Markdown."""

    text: str
    block: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Action(Item):
    """Something the agent does: `title` is one line, `command` the whole shell command, '' for other tools.

    `output` is what the log holds of the result (bounded, with what is left out said in it), `output_bytes` the size
    of the whole (0: not known), `blob` names the whole in the blob store.
    """

    call: str
    tool: str
    title: str
    command: str = ""
    arguments: str = ""
    state: ActionState = "running"
    ended_at: datetime | None = None
    exit_code: int | None = None
    output: str = ""
    output_bytes: int = 0
    blob: str = ""
    check: str = ""
    """The check that the command is or holds, such as `pytest`."""
    agent: str = ""
    """The sub-agent that does it; empty: the agent itself."""

    @property
    def seconds(self) -> float | None:
        """Return how long it took; None while it runs."""
        return (self.ended_at - self.at).total_seconds() if self.ended_at else None


@dataclass(frozen=True, slots=True)
class FileChanged(Item):
    """A file that the agent changed, as hunks; `call` is the action that changed it."""

    call: str
    path: str
    kind: Literal["add", "update", "delete", "move", "write"]
    """`write`: the whole file was written anew, and what it held before is not known."""
    hunks: tuple[Hunk, ...]
    additions: int
    deletions: int
    moved_from: str = ""


@dataclass(frozen=True, slots=True)
class Todos(Item):
    """The to-do list as it stands in this turn."""

    todos: tuple[Todo, ...]


@dataclass(frozen=True, slots=True)
class Questions(Item):
    """Questions to the person; `state` closed: the agent does not wait for an answer any more."""

    ask: str
    questions: tuple[Question, ...]
    state: Literal["open", "answered", "closed"] = "open"
    answer: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    """(question, answer), where the answer could be told apart."""


@dataclass(frozen=True, slots=True)
class Step:
    """A proposal: what is shown, and the prompt that would start it."""

    title: str
    prompt: str


@dataclass(frozen=True, slots=True)
class NextSteps(Item):
    """What the agent proposes to do next; `state` past: something else was said since."""

    steps: tuple[Step, ...]
    state: Literal["open", "chosen", "past"] = "open"
    chosen: int = -1


@dataclass(frozen=True, slots=True)
class RefusedHost(Item):
    """The environment may not reach a host; `state` says whether it was allowed since."""

    host: str
    reason: str
    state: Literal["open", "once", "class"] = "open"
    times: int = 1
    by: str = ""
    """Who allowed it."""

    @property
    def name(self) -> str:
        """Return the host without a port that goes without saying."""
        return self.host.removesuffix(":443").removesuffix(":80")

    @property
    def private(self) -> bool:
        """Say whether it lies in a network of one's own, which the settings alone open."""
        return "private_hosts" in self.reason


@dataclass(frozen=True, slots=True)
class HostAuthentication(Item):
    """A code host wants a credential before the agent can go on."""

    host: str
    state: Literal["open", "given"] = "open"


@dataclass(frozen=True, slots=True)
class EnvironmentMade(Item):
    """The agent made an environment."""

    environment_id: str


@dataclass(frozen=True, slots=True)
class CodeAnnotation(Item):
    """A remark about a range of lines."""

    path: str
    start: int
    end: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class ModeChange(Item):
    """A mode has reached one of its milestones: spec_complete, iteration_complete, complete, ona_spec_complete."""

    milestone: str
    message: str


@dataclass(frozen=True, slots=True)
class Commands(Item):
    """The slash commands that the agent understands, as (name, description)."""

    commands: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class SubAgent(Item):
    """A sub-agent that the agent runs itself, or that is an execution of its own."""

    child: str
    name: str
    state: Literal["running", "done", "failed"]
    tokens: int = 0
    ended_at: datetime | None = None
    execution: str = ""
    """Its execution, where it has one of its own."""


@dataclass(frozen=True, slots=True)
class Note(Item):
    """Something people should know. `kind` names what it is about, `until` when it will be tried again.

    Kinds: environment, restarted, supervisor_lost, agent_ended, retry, model, kept, not_kept, restored, applied,
    compacted, goal, outputs, warning, unread (a queued message was taken away), stop.
    """

    kind: str
    text: str
    tone: Tone = ""
    detail: str = ""
    until: datetime | None = None


AnyItem = (
    TurnStart
    | TurnEnd
    | UserInput
    | AgentMessage
    | Text
    | Thought
    | Action
    | FileChanged
    | Todos
    | Questions
    | NextSteps
    | RefusedHost
    | HostAuthentication
    | EnvironmentMade
    | CodeAnnotation
    | ModeChange
    | Commands
    | SubAgent
    | Note
)


@dataclass(frozen=True, slots=True)
class Folded:
    """An output as it is first shown: `left_out` lines of `lines` are between head and tail."""

    head: tuple[str, ...]
    tail: tuple[str, ...] = ()
    left_out: int = 0
    lines: int = field(default=0)


def folded(text: str, head: int = HEAD, tail: int = TAIL) -> Folded:
    """Return the beginning and the end of an output; lines that are too wide are cut."""
    rows = text.strip("\n").split("\n") if text.strip("\n") else []
    if len(rows) <= head + tail + 1:
        return Folded(_narrow(rows), lines=len(rows))
    return Folded(_narrow(rows[:head]), _narrow(rows[-tail:]), len(rows) - head - tail, len(rows))


def _narrow(rows: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        row if len(row) <= WIDEST else f"{row[:WIDEST]} … ({len(row) - WIDEST} more characters)" for row in rows
    )
