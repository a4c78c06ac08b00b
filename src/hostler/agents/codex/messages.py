"""What is said to Codex. Ids of requests are words with a meaning, so that any later reader understands the answer."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hostler.agents.codex.settings import wanted
from hostler.core.agents import GoalChange, Input, Launch, Message, Question
from hostler.core.asking import answers

Json = Mapping[str, Any]
HELLO, READY, OPEN, ANEW = "hello", "ready", "open", "anew"
UNHEARD = (
    "account/rateLimits/updated",
    "item/commandExecution/outputDelta",
    "item/fileChange/outputDelta",
    "item/fileChange/patchUpdated",
    "remoteControl/status/changed",
    "thread/readState/changed",
    "turn/diff/updated",
)
"""Notifications that say nothing new, at length: Codex is asked not to send them."""
_GOAL_STATUS = {
    "completed": "complete",
    "budget_exhausted": "budgetLimited",
    "usage_limited": "usageLimited",
}


def request(id_: str, method: str, params: Json) -> Message:
    """Return a request; its id is the message's, and comes back in the answer."""
    return _message(id_, {"id": id_, "method": method, "params": params})


def reply(id_: str, to: object, result: Json) -> Message:
    """Return the answer to a request of Codex's own, whose id there is `to`."""
    return _message(id_, {"id": to, "result": result})


def refusal(id_: str, to: object, text: str) -> Message:
    """Return the refusal of a request of Codex's own."""
    return _message(id_, {"id": to, "error": {"code": -32601, "message": text}})


def _message(id_: str, body: Json) -> Message:
    return Message(id_, json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def greeting(launch: Launch) -> tuple[Message, ...]:
    """Return the introduction and the opening of the conversation: a new one, or the one of an earlier process."""
    capabilities = {"experimentalApi": True, "optOutNotificationMethods": UNHEARD}
    client = {"name": "hostler", "title": "Hostler", "version": "1"}
    return (
        request(HELLO, "initialize", {"clientInfo": client, "capabilities": capabilities}),
        _message(READY, {"method": "initialized"}),
        _resumed(launch) if launch.thread else started(launch, OPEN),
    )


def started(launch: Launch, id_: str) -> Message:
    """Return the request for a new conversation."""
    return request(id_, "thread/start", _opening(launch))


def _resumed(launch: Launch) -> Message:
    page = {"limit": 2, "sortDirection": "desc", "itemsView": "full"}
    history = {"threadId": launch.thread, "excludeTurns": True, "initialTurnsPage": page}
    return request(OPEN, "thread/resume", {**_opening(launch), **history})


def _opening(launch: Launch) -> dict[str, Any]:
    want = wanted(launch.settings, launch.model, launch.effort)
    params: dict[str, Any] = {
        "cwd": launch.workspace,
        "model": want.model,
        "approvalPolicy": "never",
        "sandbox": "danger-full-access",
    }
    if want.effort:
        params["config"] = {"model_reasoning_effort": want.effort}
    if want.tier:
        params["serviceTier"] = want.tier
    if launch.system_prompt:
        params["developerInstructions"] = launch.system_prompt
    return params


def turn(id_: str, thread: str, input_: Input) -> Message:
    """Return the request that begins a turn with an input; where one runs already, Codex takes it into that one."""
    want = wanted(input_.settings)
    chosen = {"model": want.model, "effort": want.effort, "serviceTier": want.tier}
    params = {"threadId": thread, "clientUserMessageId": input_.id, "input": parts(input_)}
    return request(id_, "turn/start", params | {key: value for key, value in chosen.items() if value})


def steering(id_: str, thread: str, running: str, input_: Input) -> Message:
    """Return the request that gives an input to the turn `running`."""
    params = {"threadId": thread, "expectedTurnId": running, "clientUserMessageId": input_.id, "input": parts(input_)}
    return request(id_, "turn/steer", params)


def going_on(id_: str, thread: str, note: str) -> Message:
    """Return the request for a turn that no person's input begins."""
    said = [{"type": "text", "text": note}] if note else []
    return request(id_, "turn/start", {"threadId": thread, "input": said})


def parts(input_: Input) -> list[Json]:
    """Return an input's texts and images as Codex takes them: an image travels inside, as a data URL."""
    block = input_.block
    said: list[Json] = [{"type": "text", "text": input_.note}] if input_.note else []
    if "payload" in block:
        said.append({"type": "text", "text": f"[message from another agent]\n{block['payload']}"})
    for one in (*block.get("inputs", ()), block):
        if "text" in one:
            said.append({"type": "text", "text": str(one["text"]["content"])})
        elif "image" in one:
            kind = one["image"].get("mimeType") or "image/png"
            said.append({"type": "image", "url": f"data:{kind};base64,{one['image']['data']}"})
    return said


def text_of(input_: Input) -> str:
    """Return what an input says in words."""
    return "\n".join(str(part["text"]) for part in parts(input_) if part["type"] == "text")


def answered(questions: Sequence[Question], said: str) -> Json:
    """Return the reply to questions."""
    return {"answers": {id_: {"answers": [answer]} for id_, answer in answers(questions, said).items()}}


def goal(id_: str, thread: str, change: GoalChange) -> Message:
    """Return the request that changes the goal; Codex itself goes on with an active one, turn by turn."""
    if change.action == "clear":
        return request(id_, "thread/goal/clear", {"threadId": thread})
    if change.action == "set":
        status = _GOAL_STATUS.get(change.status, change.status)
        params = {"objective": change.objective, "status": status, "tokenBudget": change.token_budget or None}
        return request(id_, "thread/goal/set", {"threadId": thread, **params})
    status = {"pause": "paused", "resume": "active", "complete": "complete"}[change.action]
    return request(id_, "thread/goal/set", {"threadId": thread, "status": status})
