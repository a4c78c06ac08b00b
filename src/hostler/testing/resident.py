"""An agent that lives in the world's one environment: a process that remembers, and the driver that speaks to it.

Its protocol is one JSON object a line. What it is told becomes its thread, which outlives its process as a real
agent's files do; each prompt makes it follow the script from the beginning.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostler.core import agent_events as ae
from hostler.core.agents import Caps, Goal, GoalChange, Heard, Input, Known, Launch, Message, Piece, Question
from hostler.core.machines import Cancelled, Command, Exited, Outcome, ProcessEnded, Signalled

Act = tuple[str, ...]
"""("say", text), ("do", command), ("ask", question), ("die",) or ("wait",); without any, it does not even open."""


@dataclass(slots=True)
class Thread:
    """What the agent keeps in its files: the inputs that it has seen, and all that it did."""

    seen: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    texts: list[str] = field(default_factory=list[str])
    done: list[str] = field(default_factory=list[str])
    turns: int = 0


@dataclass(slots=True)
class Resident:
    """One life of the agent's process, as the supervisor holds it."""

    thread: Thread
    script: Sequence[Act]
    act: Callable[[str], Awaitable[str]]
    written: bytearray = field(default_factory=bytearray)
    messages: dict[str, bytes] = field(default_factory=dict[str, bytes])
    grew: asyncio.Condition = field(default_factory=asyncio.Condition)
    ended: Outcome | None = None
    steered: list[str] = field(default_factory=list[str])
    answers: dict[str, asyncio.Future[str]] = field(default_factory=dict[str, "asyncio.Future[str]"])
    work: asyncio.Task[None] | None = None
    deaf: list[Exception] = field(default_factory=list[Exception])
    """What the next messages come to, once it is open."""

    async def put(self, **line: Any) -> None:
        """Write one line to standard output."""
        if self.ended is None:
            self.written += json.dumps(line).encode() + b"\n"
            async with self.grew:
                self.grew.notify_all()

    async def take(self, message: str, data: bytes) -> bool:
        """Read one message from standard input, once an id."""
        if self.ended is not None:
            raise ProcessEnded("the process has ended")
        if self.deaf and message != "open":
            raise self.deaf.pop(0)
        if message in self.messages:
            return False
        self.messages[message] = data
        told = json.loads(data)
        match told["do"]:
            case "open" if not self.script:
                pass
            case "open":
                for input_id in self.thread.seen:
                    await self.put(seen=input_id)
                await self.put(opened="thread-1")
            case "steer" if self.work and not self.work.done():
                self.thread.seen.append(told["input"])
                self.steered.append(told["text"])
                await self.put(seen=told["input"])
            case "steer":
                await self.put(missed=told["input"])
            case "answer":
                self.answers[told["ask"]].set_result(told["text"])
            case "compact":
                await self.put(compacted=True)
            case "goal":
                await self.put(goal={"objective": told["objective"], "status": told["status"]}, request=told["request"])
            case _:
                self.work = asyncio.ensure_future(self._turn(told))
        return True

    async def _turn(self, told: dict[str, Any]) -> None:
        self.thread.turns += 1
        ref = f"turn-{self.thread.turns}"
        await self.put(began=ref)
        if told["input"]:
            self.thread.seen.append(told["input"])
            self.thread.texts.append(told["text"])
            await self.put(seen=told["input"])
        if told["note"]:
            self.thread.notes.append(told["note"])
        for number, act in enumerate(self.script):
            item = f"{ref}.{number}"
            match act:
                case ("say", text):
                    await self.put(piece=item, text=text[: len(text) // 2])
                    await self.put(piece=item, text=text[len(text) // 2 :])
                    await self.put(said=item, text=text)
                case ("do", command):
                    await self.put(started=item, command=command)
                    self.thread.done.append(item)
                    await self.put(finished=item, text=await self.act(command))
                case ("ask", question):
                    answer = self.answers[item] = asyncio.get_running_loop().create_future()
                    await self.put(asks=item, question=question)
                    said = await answer
                    await self.put(answered=item)
                    await self.put(said=f"{item}.heard", text=f"You said {said}.")
                case ("die",):
                    await self.end(Signalled(9))
                    return
                case _:
                    await asyncio.get_running_loop().create_future()
        await self.put(done=ref)

    async def more_than(self, offset: int) -> None:
        """Return when more than `offset` bytes are written, or the process has ended."""
        async with self.grew:
            await self.grew.wait_for(lambda: len(self.written) > offset or self.ended is not None)

    async def end(self, outcome: Outcome) -> None:
        """End the process."""
        self.ended = self.ended or outcome
        if self.work and self.work is not asyncio.current_task():
            self.work.cancel()
        async with self.grew:
            self.grew.notify_all()


@dataclass(slots=True)
class Line:
    """What a server holds of a resident: `hostler.core.machines.Attached`."""

    resident: Resident
    offset: int

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield what was written from the offset on, then what comes."""
        at = self.offset
        while True:
            if at < len(self.resident.written):
                data = bytes(self.resident.written[at:])
                yield at, data
                at += len(data)
            elif self.resident.ended is not None:
                return
            else:
                await self.resident.more_than(at)

    async def send(self, message: str, data: bytes) -> bool:
        """Write to the standard input, once an id."""
        return await self.resident.take(message, data)

    async def wait(self) -> Outcome:
        """Return how it ended."""
        return self.resident.ended or Exited(0)

    async def errors(self) -> bytes:
        """Return nothing; it does not complain."""
        return b""

    async def kill(self) -> None:
        """End it."""
        await self.resident.end(Cancelled())

    def close(self) -> None:
        """Stop looking."""


class _Reader:
    """Understands the lines."""

    def feed(self, line: bytes) -> Heard:
        """Return what a line means."""
        match json.loads(line):
            case {"opened": thread}:
                return Heard((ae.AgentOpened("", thread),))
            case {"began": ref}:
                return Heard((ae.AgentTurnBegan(ref),))
            case {"seen": input_id}:
                return Heard((ae.InputSeen(input_id),))
            case {"missed": input_id}:
                return Heard((ae.SteerMissed(input_id),))
            case {"piece": item, "text": text}:
                return Heard(pieces=(Piece(item, text),))
            case {"said": item, "text": text}:
                return Heard((ae.AgentSaid(item, text),))
            case {"started": item, "command": command}:
                return Heard((ae.ActionStarted(item, "bash", json.dumps({"command": command})),))
            case {"finished": item, "text": text}:
                return Heard((ae.ActionFinished(item, "ok", text, 0),))
            case {"asks": ask, "question": question}:
                return Heard((ae.QuestionsAsked(ask, (Question("q", question),)),))
            case {"answered": ask}:
                return Heard((ae.QuestionsClosed(ask),))
            case {"done": ref}:
                return Heard((ae.AgentTurnDone(ref),))
            case {"compacted": _}:
                return Heard((ae.Compacted(),))
            case {"goal": goal, "request": request}:
                return Heard((ae.GoalChanged(Goal(goal["objective"], goal["status"]), request),))
            case other:
                return Heard((ae.AgentNoted("unknown", str(other)),))


class ResidentDriver:
    """Speaks to a resident: `hostler.core.agents.AgentDriver`."""

    name = "resident"
    caps = Caps(steer=True, compact=True, goal=True, images=True, questions=True)

    def models(self, model: str) -> Sequence[str]:
        """It calls its own model only."""
        return ()

    def program(self, launch: Launch) -> Command:
        """Return the program."""
        return Command(("resident", launch.thread))

    def greeting(self, launch: Launch) -> Sequence[Message]:
        """Open the thread."""
        return (_message("open", do="open"),)

    def reader(self, launch: Launch, known: Known) -> _Reader:
        """Return what understands the lines."""
        return _Reader()

    def deliver(self, known: Known, process: str, input_: Input) -> Message:
        """Give an input."""
        return _message(f"deliver/{input_.id}", do="prompt", input=input_.id, text=_text(input_), note=input_.note)

    def steer(self, known: Known, process: str, input_: Input) -> Message:
        """Give an input to the running turn."""
        return _message(f"steer/{input_.id}", do="steer", input=input_.id, text=_text(input_))

    def resume(self, known: Known, process: str, note: str) -> Message:
        """Let it go on."""
        return _message("resume", do="prompt", input="", text="", note=note)

    def answer(self, known: Known, ask: str, input_: Input) -> Message:
        """Answer a question."""
        return _message(f"answer/{ask}", do="answer", ask=ask, text=_text(input_))

    def compact(self, known: Known, request: str) -> Message:
        """Compact."""
        return _message(f"compact/{request}", do="compact")

    def goal(self, known: Known, request: str, change: GoalChange, goal: Goal | None) -> Message:
        """Change the goal."""
        objective = change.objective or (goal.objective if goal else "")
        statuses = {"pause": "paused", "complete": "completed", "resume": "active"}
        status = statuses.get(change.action, change.status)
        return _message(f"goal/{request}", do="goal", request=request, objective=objective, status=status)


def _text(input_: Input) -> str:
    return str(input_.block["inputs"][0]["text"]["content"])


def _message(id_: str, **told: Any) -> Message:
    return Message(id_, json.dumps(told).encode())
