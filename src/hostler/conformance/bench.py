"""What checks stand on: their list, how they fail, and the executions and environments that they make and remove."""

import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hostler.conformance.wire import AGENTS, ENVIRONMENTS, Answer, Json, Wire

MARK = "conformance/run"
"""The annotation of all that is made here; its value is the run's id."""
T = TypeVar("T")


class Failed(Exception):
    """The server does something else; the message says what was seen."""


class Skipped(Exception):
    """The check cannot be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the contract, and how it is looked at."""

    name: str
    says: str
    source: str
    look: "Callable[[Bench], None]"


CHECKS: dict[str, Check] = {}
"""All checks by name, in the order in which they are made."""


def check(name: str, source: str) -> "Callable[[Callable[[Bench], None]], Callable[[Bench], None]]":
    """Enter a check; its docstring is what the report says of it, `source` where the rule stands."""

    def entered(look: "Callable[[Bench], None]") -> "Callable[[Bench], None]":
        enter(Check(name, (look.__doc__ or "").strip().rstrip("."), source, look))
        return look

    return entered


def enter(one: Check) -> None:
    """Enter a check that is made from a table."""
    assert one.name not in CHECKS, f"{one.name} is there twice"
    CHECKS[one.name] = one


def expect(found: object, wanted: object, what: str, answer: object = "") -> None:
    """Fail unless two values are equal."""
    if found != wanted:
        raise Failed(f"{what}: {found!r} and not {wanted!r}{f' in {answer}' if answer else ''}")


def expect_in(found: object, wanted: Iterable[object], what: str, answer: object = "") -> None:
    """Fail unless a value is one of several."""
    choice = list(wanted)
    if found not in choice:
        raise Failed(f"{what}: {found!r} and none of {choice!r}{f' in {answer}' if answer else ''}")


def refused(answer: Answer, status: int, code: str, what: str) -> None:
    """Fail unless a request was refused with this status and code, in the form that clients read."""
    expect((answer.status, answer.code), (status, code), what, answer)
    expect(answer.kind, "application/json", f"{what}: the content type of the error", answer)
    if not isinstance(answer.json.get("message", ""), str):
        raise Failed(f"{what}: the error's message is no text in {answer}")


class Bench:
    """One run against one server."""

    def __init__(
        self,
        wire: Wire,
        *,
        agent: str = "",
        patience: float = 60.0,
        task: str = "Say hello.",
        clients: Sequence[str] = (),
    ) -> None:
        self.wire = wire
        self.agent = agent
        self.patience = patience
        self.task = task
        self.clients = clients
        self.run = str(uuid.uuid4())
        self._kept: dict[str, str] = {}
        self._executions: list[str] = []
        self._environments: list[str] = []
        self._prompts: list[str] = []
        self._no_turns = ""

    # --- requests

    def call(self, method: str, body: object = None, **more: Any) -> Json:
        """Call a method that must succeed; return what it answers."""
        answer = self.wire.post(method, body, **more)
        if answer.status != 200:
            raise Failed(f"{method} was refused: {answer}")
        return answer.json

    def get(self, execution: str) -> Json:
        """Return an execution."""
        found = self.call("GetAgentExecution", {"agentExecutionId": execution}).get("agentExecution")
        if not isinstance(found, dict):
            raise Failed("GetAgentExecution answers without agentExecution")
        return found  # pyright: ignore[reportUnknownVariableType]

    def phase(self, execution: str) -> str:
        """Return the phase of an execution, without its prefix."""
        return str(self.get(execution).get("status", {}).get("phase", "none")).removeprefix("PHASE_")

    def until(self, look: Callable[[], T], what: str, seconds: float = 0.0) -> T:
        """Return the first true answer; Failed when none comes in time."""
        end = time.monotonic() + (seconds or self.patience)
        while not (found := look()):
            if time.monotonic() > end:
                raise Failed(f"{what}: not within {seconds or self.patience:.0f} s")
            time.sleep(0.05)
        return found

    # --- what is made, and removed again

    def started(self, **more: Any) -> str:
        """Start an execution of this run's own and return its id."""
        agent = {"agentId": self.agent} if self.agent else {}
        marked = {"annotations": {MARK: self.run, **more.pop("annotations", {})}}
        body = {"name": "hostler conformance", **agent, **marked, **more}
        execution = str(self.call("StartAgent", body).get("agentExecutionId", ""))
        if not execution:
            raise Failed("StartAgent answers without agentExecutionId")
        self._executions.append(execution)
        return execution

    def idle(self) -> str:
        """Return an execution of this run that nothing was sent to; the same one each time."""
        return self.once("idle", self.started)

    def said(self) -> str:
        """Return an execution whose first turn has ended; Skipped when the agent does not answer here."""
        if self._no_turns:
            raise Skipped(self._no_turns)
        return self.once("said", self._turn)

    def fresh_turn(self, text: str = "") -> str:
        """Return a new execution that was sent a text just now; Skipped when the agent does not answer here."""
        self.said()
        execution = self.started()
        self.send(execution, text or self.task)
        return execution

    def send(self, execution: str, text: str, **more: Any) -> Json:
        """Send a text."""
        block = {"inputs": [{"text": {"content": text}}], **more}
        return self.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": block})

    def rest(self, execution: str) -> str:
        """Return the phase that an execution comes to rest in."""
        at_rest = ("WAITING_FOR_INPUT", "STOPPED")

        def look() -> str:
            phase = self.phase(execution)
            return phase if phase in at_rest else ""

        return self.until(look, "the turn ends", max(self.patience, 120))

    def own_environment(self) -> str:
        """Return an environment of this run that is running; Skipped when none comes up."""
        return self.once("environment", self._environment)

    def prompt(self, **more: Any) -> Json:
        """Make a prompt and return it."""
        name = f"conformance-{self.run[:8]}-{len(self._prompts)}"
        body = {"name": name, "description": "made by a check", "prompt": "Say hello.", **more}
        made = self.call("CreatePrompt", body)
        self._prompts.append(str(made.get("prompt", {}).get("id", "")))
        return made["prompt"]

    def clean(self) -> list[str]:
        """Remove all that was made; return what could not be."""
        left: list[str] = []
        for method, key, ids in (
            (f"{AGENTS}/DeleteAgentExecution", "agentExecutionId", self._executions),
            (f"{AGENTS}/DeletePrompt", "promptId", self._prompts),
            (f"{ENVIRONMENTS}/DeleteEnvironment", "environmentId", self._environments),
        ):
            for one in ids:
                more = {"force": True} if key == "environmentId" else {}
                answer = self.wire.post(method, {key: one, **more})
                if answer.code not in ("ok", "not_found"):
                    left.append(f"{key} {one}: {answer}")
        return left

    def once(self, name: str, make: Callable[[], str]) -> str:
        """Return what was made under a name, made when it is first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def _turn(self) -> str:
        execution = self.started()
        self.send(execution, self.task)
        phase = self.rest(execution)
        status = self.get(execution).get("status", {})
        if phase == "STOPPED" or status.get("failureMessage"):
            said = status.get("failureMessage", "it stopped")
            self._no_turns = f"no turn ends well with this agent ({said}); --agent names another one"
            raise Skipped(self._no_turns)
        return execution

    def _environment(self) -> str:
        made = self.wire.post(f"{ENVIRONMENTS}/CreateEnvironment", environment_request(f"conformance {self.run[:8]}"))
        if made.status != 200:
            raise Skipped(f"no environment can be made from nothing: {made}")
        environment = str(made.json.get("environment", {}).get("id", ""))
        self._environments.append(environment)

        def running() -> bool:
            body = {"environmentId": environment}
            status = self.call(f"{ENVIRONMENTS}/GetEnvironment", body).get("environment", {}).get("status", {})
            if status.get("failureMessage"):
                raise Skipped(f"the environment did not come up: {status['failureMessage']}")
            return status.get("phase") == "ENVIRONMENT_PHASE_RUNNING"

        self.until(running, "an environment made from nothing runs", max(self.patience, 120))
        return environment


def environment_request(name: str) -> Json:
    """Return what makes an environment from nothing, in the server's first class."""
    return {"name": name, "spec": {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}}
