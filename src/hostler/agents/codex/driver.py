"""The driver: which program, which messages, which reader. Everything it knows is in its arguments."""

from collections.abc import Sequence

from hostler.agents.codex import launching, messages
from hostler.agents.codex.reading import CodexReader
from hostler.agents.codex.settings import MODELS
from hostler.core.agents import Caps, Goal, GoalChange, Input, Known, Launch, Message
from hostler.core.machines import Command


class CodexDriver:
    """Codex through its app-server."""

    name = "codex"
    caps = Caps(steer=True, compact=True, goal=True, images=True, questions=True, codex_settings=True)

    def models(self, model: str) -> Sequence[str]:
        """Return the models that CodexSettings may name: a turn may change to any of them."""
        return tuple(name for name in MODELS.values() if name != model)

    def program(self, launch: Launch) -> Command:
        """Return `codex app-server` with all its settings."""
        return launching.program(launch)

    def greeting(self, launch: Launch) -> Sequence[Message]:
        """Return the introduction and the opening of the conversation."""
        return messages.greeting(launch)

    def reader(self, launch: Launch, known: Known) -> CodexReader:
        """Return what understands the output from now on."""
        return CodexReader(launch, known)

    def deliver(self, known: Known, process: str, input_: Input) -> Message:
        """Return turn/start with the input; Codex takes it into a running turn, but not into a compaction."""
        again = f"again/{input_.missed}/{input_.id}"
        return messages.turn(again if input_.missed else f"deliver/{input_.id}", known.thread, input_)

    def steer(self, known: Known, process: str, input_: Input) -> Message:
        """Return turn/steer with the input; Codex refuses it when the turn is over."""
        return messages.steering(f"steer/{input_.id}", known.thread, known.turn, input_)

    def resume(self, known: Known, process: str, note: str) -> Message:
        """Return turn/start with the note: the conversation itself was resumed by the greeting."""
        return messages.going_on(f"resume/{process}", known.thread, note)

    def answer(self, known: Known, ask: str, input_: Input) -> Message:
        """Return the answer to the request that `ask` names: PROCESS/NUMBER."""
        questions = dict(zip(known.asks, known.questions, strict=True)).get(ask, ())
        said = messages.answered(questions, messages.text_of(input_))
        return messages.reply(f"answer/{ask}", int(ask.rpartition("/")[2]), said)

    def compact(self, known: Known, request: str) -> Message:
        """Return thread/compact/start; Codex does it in a turn of its own."""
        return messages.request(f"compact/{request}", "thread/compact/start", {"threadId": known.thread})

    def goal(self, known: Known, request: str, change: GoalChange, goal: Goal | None) -> Message:
        """Return thread/goal/set or clear."""
        return messages.goal(f"goal/{request}", known.thread, change)
