"""Codex's requests to us: questions go to the person, everything else is answered at once."""

from collections.abc import Mapping
from typing import Any

from hostler.agents.codex.items import noted
from hostler.agents.codex.messages import refusal, reply
from hostler.core.agent_events import QuestionsAsked
from hostler.core.agents import Choice, Heard, Question

Json = Mapping[str, Any]
_AT_ONCE: Mapping[str, Json] = {
    # The environment is the wall, so nothing is asked for; what asks all the same may go on.
    "item/commandExecution/requestApproval": {"decision": "accept"},
    "item/fileChange/requestApproval": {"decision": "accept"},
    "execCommandApproval": {"decision": "approved"},
    "applyPatchApproval": {"decision": "approved"},
    "item/permissions/requestApproval": {"permissions": {}, "scope": "turn"},
    "mcpServer/elicitation/request": {"action": "decline"},
    "item/tool/call": {"success": False, "contentItems": [{"type": "inputText", "text": "There is no such tool."}]},
}


def asked(process: str, body: Json) -> Heard:
    """Return the questions, or the reply that is due at once."""
    id_, method = body["id"], str(body["method"])
    params: Json = body.get("params") or {}
    if method == "item/tool/requestUserInput":
        return Heard((QuestionsAsked(name(process, id_), tuple(map(_question, params["questions"]))),))
    told = f"reply/{id_}"
    if method in _AT_ONCE:
        return Heard((noted(method, params),), replies=(reply(told, id_, _AT_ONCE[method]),))
    return Heard((noted(method, params),), replies=(refusal(told, id_, f"{method} is not served here"),))


def name(process: str, id_: object) -> str:
    """Return the name of a request: its number begins anew in each process."""
    return f"{process}/{id_}"


def _question(body: Json) -> Question:
    choices = tuple(_choice(each) for each in body.get("options") or ())
    return Question(str(body["id"]), str(body["question"]), choices, bool(body.get("isOther", True)) or not choices)


def _choice(body: Json) -> Choice:
    return Choice(str(body["label"]), str(body["label"]), str(body.get("description") or ""))
