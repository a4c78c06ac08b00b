"""What a tool call is called when people read about it."""

import json
from typing import Any, cast


def intent(name: str, arguments: str) -> str:
    """Return one line about what a call is about to do."""
    try:
        parsed: Any = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return name
    given = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    match name:
        case "bash":
            lines = str(given.get("command", "")).strip().splitlines() or [""]
            said = lines[0] + (" …" if len(lines) > 1 else "")
        case "search":
            said = f"search {_quoted(given.get('pattern', ''))} in {given.get('path', '.')}"
        case "read" | "write" | "edit":
            said = f"{name} {given.get('path', '')}"
        case "todo":
            said = "update the to-do list"
        case "ask":
            said = "ask the person"
        case "next_steps":
            said = "propose next steps"
        case "wait" if what := given.get("duration") or given.get("cron"):
            said = f"wait for {what}"
        case "open_pull_request":
            said = f"open a pull request: {given.get('title', '')}"
        case "annotate":
            said = f"annotate {given.get('file', '')}:{given.get('start', '')}"
        case "create_environment":
            said = f"make an environment {given.get('name', '')}".rstrip()
        case "cancel_wait":
            said = "wait no more"
        case "rebuild_devcontainer":
            said = "rebuild the dev container"
        case "agent":
            said = _told(str(given.get("does", "")), str(given.get("prompt", "")))
        case "web_search":
            said = f"search the web for {_quoted(given.get('query', ''))}"
        case "view_image":
            said = f"look at {given.get('path', '')}"
        case "add_agent_execution_result":
            said = f"set output {given.get('key', '')}"
        case _:
            said = name
    who = given.get("agent")
    return f"{who}: {said}"[:300] if who else said[:300]


def _quoted(given: object) -> str:
    """Return words as they were given, on one line."""
    return f"'{' '.join(str(given).splitlines())}'"


def _told(does: str, prompt: str) -> str:
    """Return what an agent does with a sub-agent of its own."""
    lines = prompt.strip().splitlines()
    if not lines:
        return f"sub-agent: {does or 'something'}"
    return f"ask a sub-agent: {lines[0]}"
