"""The model's context, made anew from the log before every call: each tool call has exactly one result in it."""

from collections.abc import Iterable, Sequence
from typing import Any

from hostler.agents.builtin.prompts import system
from hostler.core import events as ev
from hostler.core.conversation import (
    Image,
    Message,
    ModelMessage,
    ModelRequest,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserMessage,
    UserPart,
)
from hostler.core.conversation import Text as Said
from hostler.core.events import Recorded
from hostler.core.plan import UNKNOWN_TEXT
from hostler.core.state import State


def request(state: State, log: Iterable[Recorded], tools: Sequence[ToolSpec]) -> ModelRequest:
    """Return the next call: everything the model has said and heard so far."""
    instructions = ""
    inputs: dict[str, ev.InputQueued] = {}
    messages: list[Message] = []
    asked: dict[str, ToolCall] = {}
    results: dict[str, ToolResult] = {}
    heard: list[UserPart] = []

    def hear() -> None:
        """Close what the model hears next: results in the order of the calls, then what people said."""
        if asked or heard:
            ordered = tuple(results.get(i) or _unanswered(call) for i, call in asked.items())
            messages.append(UserMessage(ordered, tuple(heard)))
        asked.clear()
        results.clear()
        heard.clear()

    for recorded in log:
        match recorded.event:
            case ev.EnvironmentReady(instructions=text):
                instructions = text or instructions
            case ev.InputQueued(input_id):
                inputs[input_id] = recorded.event
            case ev.InputTaken(input_ids):
                for input_id in input_ids:
                    heard.extend(parts(inputs[input_id]))
            case ev.ModelReplied(call_id, said, _, _, native):
                hear()
                messages.append(ModelMessage(said, native))
                calls = [part for part in said if isinstance(part, ToolCall)]
                asked.update({f"{call_id}.{number}": call for number, call in enumerate(calls)})
            case ev.ModelCallCut(_, said):
                if text := "\n".join(cut.text for cut in said if not cut.thinking):
                    hear()
                    messages.append(ModelMessage((Said(f"{text}\n[stopped here]"),)))
            case ev.ToolFinished(call_id, outcome, text):
                if call := asked.get(call_id):
                    results[call_id] = ToolResult(call.id, call.name, text, failed=outcome != "ok")
            case _:
                pass
    hear()
    effort: Any = state.begun.agent.effort
    return ModelRequest(system(state, instructions), tuple(messages), tuple(tools), effort)


def _unanswered(call: ToolCall) -> ToolResult:
    return ToolResult(call.id, call.name, UNKNOWN_TEXT, failed=True)


def parts(queued: ev.InputQueued) -> list[UserPart]:
    """Return an input's content as the model hears it; the three forms of the contract come to the same."""
    block = queued.block
    if queued.origin == "agent":
        return [Said(f"[message from another agent]\n{block.get('payload', '')}")]
    said: list[UserPart] = []
    for one in (*block.get("inputs", ()), block):
        if "text" in one:
            said.append(Said(str(one["text"]["content"])))
        elif "image" in one:
            said.append(Image(str(one["image"]["data"]), str(one["image"].get("mimeType", "image/png"))))
    return said
