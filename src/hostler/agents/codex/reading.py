"""Understands what `codex app-server` writes, line by line: answers to us, its own requests, and notifications."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from hostler.agents.codex import asking, faults, items, messages
from hostler.agents.codex.children import Children
from hostler.agents.codex.settings import confirmed, tier_fell_back
from hostler.core import agent_events as ae
from hostler.core.agents import Goal, GoalStatus, Heard, Known, Launch, Piece, TurnStatus
from hostler.core.events import Event, Todo, TodosSet
from hostler.core.mcp_events import McpPhase, McpReported

Json = Mapping[str, Any]
NOTHING = Heard()
SILENT = frozenset(
    {
        *messages.UNHEARD,
        "account/updated",
        "item/commandExecution/terminalInteraction",
        "item/reasoning/summaryPartAdded",
        "skills/changed",
        "thread/compacted",
        "thread/name/updated",
        "thread/status/changed",
        "turn/moderationMetadata",
    }
)
"""Notifications that say nothing that is not said by another one."""
WARNINGS = ("warning", "guardianWarning", "configWarning", "model/rerouted")
OF_CHILD = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}/")
"""How the name of a sub-agent's action begins: with its thread."""
NOT_NOW = "ActiveTurnNotSteerable"
"""How Codex says that the running turn, a compaction, takes nothing."""
IN_BACKGROUND = "It goes on in the background."
_TURNS: Mapping[str, TurnStatus] = {"completed": "completed", "interrupted": "interrupted"}
_GOALS: Mapping[str, GoalStatus] = {
    "active": "active",
    "paused": "paused",
    "complete": "completed",
    "budgetLimited": "budget_exhausted",
    "usageLimited": "usage_limited",
    "blocked": "blocked",
}
_SERVERS: Mapping[str, McpPhase] = {
    "starting": "initializing",
    "ready": "ready",
    "cancelled": "unavailable",
}
_TODOS: Mapping[str, Any] = {"inProgress": "in_progress", "completed": "done"}


class CodexReader:
    """Reads one process's output in order; what it must remember beyond a line, the log knows (`Known`)."""

    def __init__(self, launch: Launch, known: Known) -> None:
        self._launch = launch
        self._thread = known.thread or launch.thread
        self._given = known.given
        self._open = set(known.actions)
        self._children = Children.known(known.children)
        self._goal: Goal | Literal["unheard"] | None = "unheard"
        self._compacting = False
        self._prompted = known.turn

    def feed(self, line: bytes) -> Heard:
        """Return what a line means; what cannot be understood is kept as a note."""
        try:
            body: Any = json.loads(line)
        except (ValueError, RecursionError):
            text = line.decode(errors="replace").strip()
            return Heard((items.noted("output", text),)) if text else NOTHING
        try:
            return self._message(body)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            return Heard((items.noted("not understood", body),))

    def _message(self, body: Json) -> Heard:
        if "method" not in body:
            return self._answered(str(body.get("id")), body.get("result"), body.get("error"))
        if "id" in body:
            return asking.asked(self._launch.process, body)
        return self._notified(str(body["method"]), body.get("params") or {})

    # Answers to what we said.

    def _answered(self, id_: str, result: Any, error: Json | None) -> Heard:
        what, _, subject = id_.partition("/")
        if error is not None:
            return self._refused(what, subject, error)
        match what:
            case messages.OPEN:
                return Heard(self._opened(result))
            case messages.ANEW:  # The goal went with the conversation.
                return Heard((*self._opened(result), ae.GoalChanged(None)))
            case "deliver" | "again" | "resume":
                self._prompted = str(result["turn"]["id"])
                return NOTHING
            case "goal" | "goal-now":
                return Heard(tuple(self._goal_is(result.get("goal"), subject)))
            case _:
                return NOTHING

    def _refused(self, what: str, subject: str, error: Json) -> Heard:
        text = faults.text_of(error)
        match what:
            case "steer":
                return Heard((ae.SteerMissed(subject),))
            case "compact":
                return Heard((ae.Compacted(text),))
            case "goal":
                told = messages.request(f"goal-now/{subject}", "thread/goal/get", {"threadId": self._thread})
                return Heard((items.noted("goal", text, warning=True),), replies=(told,))
            case "goal-now":  # The goal is not known, and the wish must not be waited for.
                goal = None if self._goal == "unheard" else self._goal
                return Heard((items.noted("goal", text, warning=True), ae.GoalChanged(goal, subject)))
            case messages.OPEN if self._launch.thread:
                told = f"the earlier conversation could not be opened, so a new one begins: {text}"
                return Heard(
                    (items.noted("thread", told, warning=True),),
                    replies=(messages.started(self._launch, messages.ANEW),),
                )
            case "deliver" | "again" if NOT_NOW in text:
                return Heard((ae.SteerMissed(subject if what == "deliver" else subject.partition("/")[2]),))
            case "deliver" | "again" | "resume" | messages.HELLO | messages.OPEN | messages.ANEW:
                return Heard((ae.AgentFault("agent_execution", f"Codex refused it: {text}"),))
            case _:
                return Heard((items.noted(what, text, warning=True),))

    def _opened(self, result: Json) -> tuple[Event, ...]:
        thread: Json = result["thread"]
        self._thread = str(thread["id"])
        opened = ae.AgentOpened(self._launch.process, self._thread, str(thread.get("cliVersion") or ""))
        settings = _settings(result["model"], result.get("reasoningEffort"), result.get("serviceTier"))
        pages: Json = result.get("initialTurnsPage") or {}
        history = (item for turn in pages.get("data") or () for item in turn.get("items") or ())
        shown = {item.get("clientId") for item in history if item.get("type") == "userMessage"}
        seen = tuple(ae.InputSeen(given) for given in self._given if given in shown)
        return (opened, *settings, *seen)

    # What it tells by itself.

    def _notified(self, method: str, params: Json) -> Heard:
        thread = params.get("threadId")
        if method == "thread/started":
            thread = params["thread"]["id"]
            if self._is_child(thread):
                self._children.introduced(params["thread"])
            return NOTHING
        if method in SILENT:
            return NOTHING
        if self._is_child(thread):
            return Heard(tuple(self._of_child(str(thread), method, params)))
        if method.endswith(("/delta", "Delta")):
            return self._piece(method, params)
        handler = self._handlers().get(method)
        return Heard(tuple(handler(params))) if handler else Heard((items.noted(method, params),))

    def _is_child(self, thread: object) -> bool:
        return bool(thread and self._thread) and thread != self._thread

    def _handlers(self) -> Mapping[str, Callable[[Json], Sequence[Event]]]:
        return {
            "turn/started": self._turn_began,
            "turn/completed": self._turn_done,
            "item/started": self._item_began,
            "item/completed": self._item_done,
            "turn/plan/updated": _planned,
            "thread/tokenUsage/updated": _measured,
            "thread/settings/updated": _settings_changed,
            "thread/goal/updated": lambda params: self._goal_is(params["goal"]),
            "thread/goal/cleared": lambda _: self._goal_is(None),
            "serverRequest/resolved": self._resolved,
            "mcpServer/startupStatus/updated": _server_reported,
            "error": _erred,
            **dict.fromkeys(WARNINGS, _warned),
        }

    def _piece(self, method: str, params: Json) -> Heard:
        if method not in _PIECES:
            return NOTHING
        return Heard(pieces=(Piece(str(params["itemId"]), str(params["delta"]), _PIECES[method]),))

    def _turn_began(self, params: Json) -> Sequence[Event]:
        self._compacting = False
        return (ae.AgentTurnBegan(str(params["turn"]["id"])),)

    def _turn_done(self, params: Json) -> Sequence[Event]:
        turn: Json = params["turn"]
        status = _TURNS.get(str(turn["status"]), "failed")
        outcome = "ok" if status == "completed" else "unknown"
        own = tuple(ref for ref in sorted(self._open) if not OF_CHILD.match(ref))
        self._open.difference_update(own)
        left = tuple(ae.ActionFinished(ref, outcome, IN_BACKGROUND) for ref in own)
        done = ae.AgentTurnDone(str(turn["id"]), status)
        if status != "failed":
            return (*left, done)
        error: Json = turn.get("error") or {}
        if self._compacting and turn["id"] != self._prompted and not self._given:  # nothing but that was asked for
            return (*left, ae.Compacted(faults.text_of(error)), done)
        return (*left, ae.AgentFault(faults.reason_of(error), f"Codex gave up: {faults.text_of(error)}"), done)

    def _item_began(self, params: Json) -> Sequence[Event]:
        item: Json = params["item"]
        if item["type"] == "contextCompaction":
            self._compacting = True
        began = items.action(item, str(item["id"]), "", self._launch.workspace)
        if began is None:
            return ()
        self._open.add(began.item)
        return (began, *self._family(item))

    def _family(self, item: Json) -> Sequence[Event]:
        return self._children.listed(item) if item["type"] == "collabAgentToolCall" else ()

    def _item_done(self, params: Json) -> Sequence[Event]:
        item: Json = params["item"]
        match item["type"]:
            case "userMessage":
                return (ae.InputSeen(str(item["clientId"])),) if item.get("clientId") else ()
            case "contextCompaction":
                self._compacting = False
                return (ae.Compacted(),)
            case "subAgentActivity":
                return self._children.active(item)
            case _:
                return self._shown(item, str(item["id"]), "")

    def _shown(self, item: Json, ref: str, child: str) -> Sequence[Event]:
        if words := items.said(item, ref):
            return (words,)
        began = items.action(item, ref, child, self._launch.workspace)
        if began is None:
            return () if item["type"] == "reasoning" else (items.noted(str(item["type"]), item),)
        if ref in self._open:
            self._open.discard(ref)
            return (*items.result(item, ref, self._launch.workspace), *self._family(item))
        if item["type"] == "commandExecution":  # The turn that it began in is over, and its action was finished then.
            return (items.noted("ended in the background", items.command(str(item["command"]))),)
        return (began, *items.result(item, ref, self._launch.workspace), *self._family(item))

    # Sub-agents: what they do is an action of ours under their name, what they say is kept as a note.

    def _of_child(self, thread: str, method: str, params: Json) -> Sequence[Event]:
        match method:
            case "turn/started":
                return self._children.turned(thread, "running")
            case "turn/completed":
                left = tuple(ref for ref in sorted(self._open) if ref.startswith(f"{thread}/"))
                self._open.difference_update(left)
                ended = "failed" if params["turn"]["status"] == "failed" else "done"
                finished = (ae.ActionFinished(ref, "ok", IN_BACKGROUND) for ref in left)
                return (*finished, *self._children.turned(thread, ended))
            case "thread/tokenUsage/updated":
                return self._children.used(thread, int(params["tokenUsage"]["total"]["totalTokens"]))
            case "item/started" | "item/completed":
                return self._child_item(thread, method, params["item"])
            case "error" | "warning":
                said = params.get("message") or params
                return (items.noted(f"sub-agent {self._children.name(thread)}", said, child=thread),)
            case _:
                return ()

    def _child_item(self, thread: str, method: str, item: Json) -> Sequence[Event]:
        ref, child = f"{thread}/{item['id']}", self._children.name(thread)
        if method == "item/started":
            began = items.action(item, ref, child, self._launch.workspace)
            self._open.update({began.item} if began else ())
            return (began,) if began else ()
        if item["type"] == "contextCompaction":
            return ()
        if item["type"] == "userMessage":
            return self._children.told(thread, items.told(item))
        if words := items.said(item, ref):
            note = items.noted(f"sub-agent {child}", words.text, child=thread, limit=items.LONGEST_OUTPUT)
            return (note, *(() if words.thinking else self._children.said(thread, words.text)))
        return self._shown(item, ref, child)

    def _goal_is(self, goal: Json | None, request: str = "") -> Sequence[Event]:
        """Return the goal where it is news, or the answer to a wish."""
        now = _goal(goal) if goal else None
        if now == self._goal and not request:
            return ()
        self._goal = now
        return (ae.GoalChanged(now, request),)

    def _resolved(self, params: Json) -> Sequence[Event]:
        return (ae.QuestionsClosed(asking.name(self._launch.process, params["requestId"])),)


_PIECES: Mapping[str, bool] = {
    "item/agentMessage/delta": False,
    "item/plan/delta": False,
    "item/reasoning/summaryTextDelta": True,
    "item/reasoning/textDelta": True,
}
"""The notifications that stream text, and whether it is a thought."""


def _goal(body: Json) -> Goal:
    status = _GOALS.get(str(body["status"]), "blocked")
    budget, used, seconds = (int(body.get(key) or 0) for key in ("tokenBudget", "tokensUsed", "timeUsedSeconds"))
    return Goal(str(body["objective"]), status, budget, used, float(seconds))


def _planned(params: Json) -> Sequence[Event]:
    return (TodosSet(tuple(Todo(str(one["step"]), _TODOS.get(one["status"], "pending")) for one in params["plan"])),)


def _measured(params: Json) -> Sequence[Event]:
    usage: Json = params["tokenUsage"]
    return (ae.ContextMeasured(int(usage["last"]["totalTokens"]), int(usage.get("modelContextWindow") or 0)),)


def _settings_changed(params: Json) -> Sequence[Event]:
    now: Json = params["threadSettings"]
    return _settings(now["model"], now.get("effort"), now.get("serviceTier"))


def _settings(model: str, effort: str | None, tier: str | None) -> Sequence[Event]:
    held = ae.SettingsConfirmed(confirmed(model, effort, tier))
    if not tier_fell_back(model, tier):
        return (held,)
    return (
        held,
        items.noted("serviceTier", f"{model} has no fast service tier: the ordinary one is used", warning=True),
    )


def _server_reported(params: Json) -> Sequence[Event]:
    """Say how one of its MCP servers stands, in our words."""
    phase = _SERVERS.get(str(params["status"]), "failed")
    return (McpReported(str(params["name"]), phase, str(params.get("error") or "")[:1000]),)


def _erred(params: Json) -> Sequence[Event]:
    """Note an error that is tried again; the last one comes with the turn's end."""
    if not params.get("willRetry"):
        return ()
    return (items.noted("error", faults.text_of(params["error"]), warning=True),)


def _warned(params: Json) -> Sequence[Event]:
    said = params.get("message") or params.get("summary")
    return (items.noted("warning", said or params, warning=True),)
