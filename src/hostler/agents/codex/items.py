"""One item of a turn: what it comes to when it begins and when it is complete."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from hostler.core import agent_events as ae
from hostler.core.agents import FileChange, Outcome
from hostler.core.events import Event

Json = Mapping[str, Any]
LONGEST_OUTPUT = 20_000
"""Characters of a command's output that are kept, half from its head and half from its tail."""
LONGEST_DIFF = 256_000
LONGEST_NOTE = 4_000
_SHELLS = ("bash", "sh", "zsh")
_OUTCOMES: Mapping[str, Outcome] = {"completed": "ok", "interrupted": "cancelled", "inProgress": "unknown"}
"""Codex's words for how an action ended; every other one is a failure."""
_KINDS: Mapping[str, Literal["add", "update", "delete"]] = {"add": "add", "update": "update", "delete": "delete"}


def bounded(text: str, limit: int) -> str:
    """Return the head and the tail of a text that is too long, and say how much is missing between them."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def noted(
    kind: str, body: object, *, warning: bool = False, child: str = "", limit: int = LONGEST_NOTE
) -> ae.AgentNoted:
    """Return what is kept of something else; `body` is text, or JSON that is shown as it came."""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return ae.AgentNoted(kind[:200], bounded(text, limit), warning, child)


def told(item: Json) -> str:
    """Return the text of an item userMessage."""
    return "\n".join(str(part.get("text") or "") for part in item.get("content") or () if part.get("type") == "text")


def action(item: Json, ref: str, child: str, workspace: str) -> ae.ActionStarted | None:
    """Return the beginning of an action; None for an item that is none. `child` names the sub-agent that does it."""
    named = _named(item, workspace)
    if named is None:
        return None
    name, arguments = named
    who = {"agent": child} if child else {}
    return ae.ActionStarted(ref, name, bounded(json.dumps({**arguments, **who}, ensure_ascii=False), LONGEST_OUTPUT))


def _named(item: Json, workspace: str) -> tuple[str, Json] | None:
    match item["type"]:
        case "commandExecution":
            return "bash", {"command": command(str(item["command"]))}
        case "fileChange":
            return "edit", {"path": ", ".join(inside(str(each["path"]), workspace) for each in item["changes"])}
        case "mcpToolCall":
            return f"{item['server']}.{item['tool']}", {"arguments": item.get("arguments")}
        case "dynamicToolCall":
            return str(item["tool"]), {"arguments": item.get("arguments")}
        case "webSearch":
            return "web_search", {"query": item.get("query", "")}
        case "imageView":
            return "view_image", {"path": inside(str(item["path"]), workspace)}
        case "imageGeneration":
            return "generate_image", {"prompt": item.get("revisedPrompt") or ""}
        case "sleep":
            return "wait", {"seconds": item.get("durationMs", 0) / 1000}
        case "collabAgentToolCall":
            return "agent", {"does": item["tool"], "prompt": item.get("prompt") or ""}
        case _:
            return None


def command(line: str) -> str:
    """Return what a shell was told, without the shell around it."""
    try:
        words = shlex.split(line)
    except ValueError:
        return line
    if len(words) == 3 and words[0].rpartition("/")[2] in _SHELLS and words[1] in ("-c", "-lc"):
        return words[2]
    return line


def inside(path: str, workspace: str) -> str:
    """Return a path relative to the workspace where it lies there."""
    return path.removeprefix(f"{workspace.rstrip('/')}/")


def result(item: Json, ref: str, workspace: str) -> Sequence[Event]:
    """Return what a finished action comes to: the files that it changed, and its end."""
    outcome = _outcome(item)
    events: list[Event] = []
    if item["type"] == "fileChange" and outcome == "ok":
        events.append(ae.FilesChanged(ref, tuple(change(each, workspace) for each in item["changes"])))
    code = item.get("exitCode")
    text = bounded(_said(item, workspace), LONGEST_OUTPUT)
    return (*events, ae.ActionFinished(ref, outcome, text, code if isinstance(code, int) else None))


def _outcome(item: Json) -> Outcome:
    return _OUTCOMES.get(str(item.get("status", "completed")), "failed")


def _said(item: Json, workspace: str) -> str:
    match item["type"]:
        case "commandExecution":
            return str(item.get("aggregatedOutput") or "")
        case "fileChange":
            done = "changed" if _outcome(item) == "ok" else f"{item.get('status')}, not changed"
            return "\n".join(f"{done}: {inside(str(each['path']), workspace)}" for each in item["changes"])
        case "mcpToolCall":
            error: Json = item.get("error") or {}
            answer: Json = item.get("result") or {}
            return str(error["message"]) if error else _texts(answer.get("content") or ())
        case "dynamicToolCall":
            return _texts(item.get("contentItems") or ())
        case "webSearch":
            return _texts(item.get("results") or ())
        case "imageView":
            return f"looked at {inside(str(item['path']), workspace)}"
        case "imageGeneration":
            return str(item.get("savedPath") or item.get("failure") or "")
        case "collabAgentToolCall":
            states: Json = item.get("agentsStates") or {}
            return "\n".join(
                f"{state.get('status')}: {state.get('message') or ''}".rstrip(": ") for state in states.values()
            )
        case _:
            return ""


def _texts(content: Sequence[Any]) -> str:
    return "\n".join(_text(each) for each in content)


def _text(each: Any) -> str:
    """Return one part of a content in words; pictures and the like stay what they are called."""
    if not isinstance(each, dict):
        return str(each)
    part = cast("dict[str, Any]", each)
    return str(part.get("text") or f"[{part.get('type', 'unknown')}]")


def change(each: Json, workspace: str) -> FileChange:
    """Return one changed file; a diff that is too long ends at a line."""
    kind: Json = each["kind"]
    moved = inside(str(kind.get("move_path") or ""), workspace)
    what = "move" if moved else _KINDS.get(str(kind["type"]), "update")
    diff = str(each.get("diff") or "").removesuffix(f"\n\nMoved to: {kind.get('move_path')}")
    if len(diff) > LONGEST_DIFF:
        diff = diff[: diff.rfind("\n", 0, LONGEST_DIFF) + 1]
    return FileChange(inside(str(each["path"]), workspace), what, diff, moved)


def said(item: Json, ref: str) -> ae.AgentSaid | None:
    """Return what was said or thought; None for another item, and for one without a word."""
    match item["type"]:
        case "agentMessage" | "plan":
            text, thinking = str(item.get("text") or ""), False
        case "reasoning":
            text, thinking = "\n\n".join(item.get("summary") or item.get("content") or ()), True
        case _:
            return None
    return ae.AgentSaid(ref, text, thinking) if text.strip() else None
