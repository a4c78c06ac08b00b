"""How an execution stands and ended: the summary for people, the exit code for scripts."""

from collections.abc import Mapping, Sequence
from typing import Any

from hostler.cli import codex
from hostler.cli.paper import fact
from hostler.cli.problems import ASKED, DONE, FAILED
from hostler.cli.screen import clean, line, paint, say

Json = dict[str, Any]
ANSWER = "an answer"
"""What an agent asks for that has open questions."""
SHORT = 13
"""Characters of an id that tell executions apart unless two began in the same millisecond."""
WORDS = {
    "PHASE_PENDING": ("pending", "yellow"),
    "PHASE_RUNNING": ("working", "cyan"),
    "PHASE_WAITING_FOR_INPUT": ("done, waits for input", "green"),
    "PHASE_STOPPED": ("stopped", "dim"),
}
VERDICTS = {
    "backed": ("✓", "green"),
    "failed": ("✗", "red"),
    "unchecked": ("?", "yellow"),
    "nothing_changed": ("·", "dim"),
}
"""Signs and styles of what is said about "done"."""
COUNTERS = {
    "inputTokensUsed": "input",
    "cachedInputTokensUsed": "cached input",
    "cachedCreationTokensUsed": "cache written",
    "outputTokensUsed": "output",
}


def phase(execution: Json) -> str:
    """Return the phase as the API names it."""
    return str(execution.get("status", {}).get("phase", "PHASE_UNSPECIFIED"))


def exit_code(execution: Json, asked: str = "") -> int:
    """Return 0 for a turn that came to its end, 3 when a person is asked for something, 1 for everything else."""
    match phase(execution):
        case "PHASE_PENDING" | "PHASE_WAITING_FOR_INPUT":
            return ASKED if asked else (FAILED if unmet(execution) else DONE)
        case "PHASE_STOPPED":
            return FAILED
        case _:
            return DONE


def unmet(execution: Json) -> list[str]:
    """Return the loop conditions that did not hold when they were evaluated last."""
    results: Sequence[Json] = execution.get("status", {}).get("loopConditionResults") or ()
    return [str(one.get("conditionId", "")) for one in results if not one.get("met")]


def goes_on(execution: Json) -> bool:
    """Return whether it is idle only until its sub-agents report, which are at work."""
    interests: Sequence[Json] = execution.get("status", {}).get("waitingInfo", {}).get("interests") or ()
    return phase(execution) == "PHASE_WAITING_FOR_INPUT" and any("subAgent" in one for one in interests)


def judged(kind: str, sentence: str) -> str:
    """Return whether "done" is backed by checks, painted; empty when nothing was done."""
    if kind not in VERDICTS:
        return ""
    mark, style = VERDICTS[kind]
    return paint(f"{mark} {sentence}", style)


def subagents(execution: Json) -> list[str]:
    """Return the sub-agents, those below another one behind it, a line each; executions with the start of their id."""
    found: Sequence[Json] = execution.get("status", {}).get("subagents") or ()
    above = {str(one.get("id")): str(one.get("parentId", "")) for one in found}
    rows: list[str] = []
    for one in found:
        name = line(str(one.get("name", ""))) or one.get("id", "")
        said = f" ({line(str(one['statusMessage']))})" if one.get("statusMessage") else ""
        state_ = WORDS.get(str(one.get("phase")), ("unknown", ""))[0]
        rows.append(f"{_indent(one, above)}{name}{_short(one)}: {state_}{said}")
    return rows


def _short(one: Json) -> str:
    return f" {str(one.get('id', ''))[:SHORT]}" if one.get("conversationUrls") else ""


def _indent(one: Json, above: Mapping[str, str]) -> str:
    """Return how far a sub-agent stands below others."""
    depth, parent = 0, str(one.get("parentId", ""))
    while parent and depth < len(above):
        depth, parent = depth + 1, above.get(parent, "")
    return f"{'  ' * (depth - 1)}↳ " if depth else ""


def waited(one: Json) -> str:
    """Return what an agent waits for, and until when."""
    moment = str(one.get("due") or one.get("until") or "")
    when = f" {'at' if one.get('due') else 'until'} {moment[:19].replace('T', ' ')} UTC" if moment else ""
    return f"{line(str(one.get('text', '')))}{when}"


def state(execution: Json, *, asked: str = "") -> str:
    """Return one line on how it stands."""
    status = execution.get("status", {})
    failure = status.get("failureMessage", "")
    word, style = WORDS.get(phase(execution), ("unknown", "dim"))
    if failure:
        reason = str(status.get("failureReason", "")).removeprefix("AGENT_EXECUTION_FAILURE_REASON_").lower()
        return paint(f"failed ({reason.replace('_', ' ') or 'unknown'})", "red", "bold") + f": {clean(str(failure))}"
    waits = [waited(one) for one in execution.get("hostler", {}).get("waits", ())]
    if waits and not asked and phase(execution) == "PHASE_WAITING_FOR_INPUT":
        return paint("waits, and goes on by itself", "cyan") + f": {'; '.join(waits)}"
    if asked and phase(execution) in ("PHASE_PENDING", "PHASE_WAITING_FOR_INPUT"):
        return paint(f"waits for you: the agent asks for {asked}", "yellow", "bold")
    return paint(word, style, "bold")


def usage(execution: Json) -> str:
    """Return the four counters, which do not overlap, and the model calls."""
    status = execution.get("status", {})
    counters = ", ".join(f"{int(status.get(key, 0)):,} {word}" for key, word in COUNTERS.items())
    calls = int(status.get("iterations", 0))
    return f"{calls} iteration{'' if calls == 1 else 's'}; tokens: {counters}"


def outputs(execution: Json) -> list[tuple[str, str]]:
    """Return the typed outputs as (key, value)."""
    found = execution.get("status", {}).get("outputs", {})
    return [(line(key), line(_value(value))) for key, value in sorted(found.items())]


def warnings(execution: Json) -> list[str]:
    """Return what people should know: from the warning message, piece by piece."""
    message = str(execution.get("status", {}).get("warningMessage", ""))
    return [line(part) for part in message.split("; ") if part.strip()]


def tell(execution: Json, *, asked: str = "", verdict: tuple[str, str] = ("", ""), next_steps: bool = True) -> None:
    """Print how it ended, whether that is backed by checks, what it used, and what can be done next."""
    say()
    fact("state", state(execution, asked=asked))
    if told := judged(*verdict):
        fact("checks", told)
    for row in subagents(execution):
        fact("sub-agent", row)
    if goal := codex.goal(execution):
        fact("goal", goal)
    fact("usage", usage(execution))
    for key, value in outputs(execution):
        fact("output", f"{key} = {value}")
    short = str(execution["id"])[:SHORT]
    if next_steps:
        first = f"hostler answer {short} ANSWER · " if asked == ANSWER else ""
        last = f"hostler diff {short} · hostler apply {short} · hostler send {short} TEXT"
        fact("next", paint(f"{first}{last}", "dim"))


def _value(value: Json) -> str:
    found: Sequence[object] = [
        value[key] for key in ("stringValue", "intValue", "floatValue", "boolValue") if key in value
    ]
    match found:
        case [bool() as flag]:
            return str(flag).lower()
        case [one]:
            return str(one)
        case _:
            return ""


def mcp_servers(execution: Json) -> list[str]:
    """Return how each MCP server of an execution stands, in words."""
    rows: list[str] = []
    for one in execution.get("status", {}).get("mcpIntegrationStatuses", []):
        phase = str(one.get("phase", "")).removeprefix("MCP_INTEGRATION_PHASE_").lower()
        said = line(str(one.get("failureMessage") or one.get("warningMessage") or ""))
        rows.append(f"{line(str(one.get('name', '')))}: {phase}{f' ({said})' if said else ''}")
    return rows
