"""The transcript: every model call with what the model was told and what it said, one line of JSON a call.

The request of the built-in agent is a function of the log. A long conversation would repeat itself in every line, so a
line has only what is new: `messages` follow the first `prefix` messages of the line before it. The bodies of calls that
an agent inside makes through the gateway are not kept; what the log knows of those stands in their place.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import memory_events as m
from hostler.core.conversation import Message, ModelMessage, ModelPart, ToolSpec, UserMessage
from hostler.core.events import Recorded
from hostler.projections.calls import CallTable, counters
from hostler.projections.status import stamp

Json = dict[str, Any]
NOT_KEPT = (
    "the agent made this call itself, through the gateway, which keeps no bodies: `heard` is what the agent got since "
    "the call before, and the reply is what it said and did until the next"
)

COMPACTION = (
    "the conversation so far, as text, with the wish for a summary; the next request begins with what came of it"
)


class ModelContext(Protocol):
    """What a model is told, followed through a log."""

    @property
    def closed(self) -> Sequence[Message]:
        """Return the messages that every later call begins with."""
        ...

    def feed(self, recorded: Recorded) -> None:
        """Take one more event."""
        ...

    @property
    def renewed(self) -> int:
        """Return how often the context began anew, so that the messages are others."""
        ...

    def pending(self) -> UserMessage | None:
        """Return what the model hears next."""
        ...

    def system(self) -> str:
        """Return the system prompt of the next call."""
        ...

    def tools(self) -> Sequence[ToolSpec]:
        """Return the tools that the next call offers."""
        ...

    def effort(self) -> str:
        """Return how much thought the next call asks for."""
        ...


@dataclass(slots=True)
class _Open:
    """A call that more may be heard of."""

    id: str
    request: Json
    finish: str = ""
    parts: list[Json] = field(default_factory=list[Json])
    cut: list[Json] = field(default_factory=list[Json])
    failures: list[Json] = field(default_factory=list[Json])


class Transcript:
    """Follows a log and gives a line for each call, once nothing more can come to it."""

    def __init__(self, execution: str, context: ModelContext, *, admin: bool) -> None:
        self._execution = execution
        self._context = context
        self._admin = admin
        self._table = CallTable()
        self._open: list[_Open] = []
        self._number = 0
        self._closed = 0
        self._renewed = 0
        self._pending: UserMessage | None = None
        self._shown: Json = {}
        self._inputs: dict[str, ev.Json] = {}
        self._heard: list[Json] = []

    def feed(self, recorded: Recorded) -> list[Json]:
        """Return the lines that are whole now."""
        self._table.feed(recorded)
        match recorded.event:
            case ev.ModelCallStarted(call_id):
                self._open.append(_Open(call_id, self._request()))
            case ae.AgentCallStarted(call_id, _, path):
                heard, self._heard = self._heard, []
                self._open.append(_Open(call_id, {"known": False, "note": NOT_KEPT, "path": path, "heard": heard}))
            case ev.ModelReplied(call_id, parts, _, finish) if call := self._call(call_id):
                call.parts += [part_json(part) for part in parts]
                call.finish = finish
            case ev.ModelCallCut(call_id, said) if call := self._call(call_id):
                call.cut += [{"kind": "thinking" if one.thinking else "text", "text": one.text} for one in said]
            case ev.ModelCallFailed(call_id, message, retry_at) if call := self._call(call_id):
                call.failures.append({"at": stamp(recorded.at), "message": message, "retryAt": stamp(retry_at)})
            case ae.AgentCallFinished(call_id, _, finish) if call := self._call(call_id):
                call.finish = finish
            case m.CompactionStarted(id_):
                self._open.append(_Open(id_, {"known": False, "note": COMPACTION, "heard": []}))
            case m.ContextCompacted(id_, summary, truncated=truncated) if (call := self._call(id_)) and not truncated:
                call.parts.append({"kind": "text", "text": summary})
                call.finish = "stop"
            case event:
                self._external(event)
        self._context.feed(recorded)
        return self._whole()

    def finish(self) -> list[Json]:
        """Return the lines of the calls that are left; the last one has what no call has told the model yet."""
        lines = [self._line(call) for call in self._open]
        self._open = []
        if lines and (unsent := self._unsent()):
            lines[-1]["unsent"] = unsent
        return lines

    def _call(self, call_id: str) -> _Open | None:
        return next((call for call in reversed(self._open) if call.id == call_id), None)

    def _whole(self) -> list[Json]:
        lines: list[Json] = []
        while len(self._open) > 1 and not self._table[self._open[0].id].running:
            lines.append(self._line(self._open.pop(0)))
        return lines

    def _line(self, call: _Open) -> Json:
        row = self._table[call.id].to_json()
        self._number += 1
        names = ("id", "agent", "turn", "model", "startedAt", "endedAt", "outcome", "tries", "reason")
        usage = {**counters(self._table[call.id].usage), "estimated": row["estimated"]}
        more: Json = {"failures": call.failures} if call.failures else {}
        more |= {"said": call.cut} if call.cut else {}
        return {
            "execution": self._execution,
            "number": self._number,
            **{name: row[name] for name in names},
            "usage": usage,
            "request": call.request,
            "reply": {"parts": call.parts, "finish": call.finish} if call.parts or call.finish else None,
            **more,
        }

    def _request(self) -> Json:
        """Return the request of the built-in agent's next call, without what the line before has already."""
        pending, closed = self._context.pending(), self._context.closed
        if self._context.renewed != self._renewed:
            self._renewed, self._closed, self._pending = self._context.renewed, 0, None
        new_messages = [*closed[self._closed :], *([pending] if pending else [])]
        prefix = self._closed
        if new_messages and new_messages[0] == self._pending:
            prefix, new_messages = prefix + 1, new_messages[1:]
        self._closed, self._pending = len(closed), pending
        standing: Json = {"tools": [asdict(tool) for tool in self._context.tools()], "effort": self._context.effort()}
        standing |= {"system": self._context.system()} if self._admin else {}
        new = {name: value for name, value in standing.items() if self._shown.get(name) != value}
        self._shown = standing
        return {"known": True, **new, "prefix": prefix, "messages": [message_json(one) for one in new_messages]}

    def _unsent(self) -> list[Json]:
        """Return what no call has told the model yet."""
        anew = self._context.renewed != self._renewed
        pending = self._context.pending() if anew or len(self._context.closed) > self._closed else None
        return self._heard or ([message_json(pending)] if pending else [])

    def _external(self, event: ev.Event) -> None:
        """Note what an agent inside heard, and what it said and did, in the order of the log."""
        match event:
            case ev.InputQueued(input_id, block):
                self._inputs[input_id] = block
            case ae.InputSeen(input_id):
                self._heard.append({"kind": "input", "id": input_id, "block": self._inputs.get(input_id, {})})
            case ae.ActionFinished(item, outcome, text, exit_code):
                self._heard.append(
                    {"kind": "result", "item": item, "outcome": outcome, "text": text, "exitCode": exit_code}
                )
            case ae.AgentSaid(item, text, thinking):
                self._said({"kind": "thinking" if thinking else "text", "item": item, "text": text})
            case ae.ActionStarted(item, name, arguments):
                self._said({"kind": "action", "item": item, "name": name, "arguments": arguments})
            case ae.FilesChanged(item, changes):
                self._said({"kind": "files", "item": item, "changes": [asdict(change) for change in changes]})
            case ae.QuestionsAsked(ask, questions):
                self._said({"kind": "questions", "item": ask, "questions": [asdict(one) for one in questions]})
            case ae.ChildReported(child):
                self._said({"kind": "subagent", **asdict(child)})
            case _:
                pass

    def _said(self, item: Json) -> None:
        if self._open:
            self._open[-1].parts.append(item)
        else:
            self._heard.append(item)


def message_json(message: Message) -> Json:
    """Return a message as the transcript shows it."""
    if isinstance(message, ModelMessage):
        return {"role": "assistant", "parts": [part_json(part) for part in message.parts]}
    results = [asdict(result) for result in message.results]
    return {"role": "user", "results": results, "parts": [asdict(part) for part in message.parts]}


def part_json(part: ModelPart) -> Json:
    """Return a part of a reply, without the provider's signature, which says nothing to people."""
    return {name: value for name, value in asdict(part).items() if name != "signature"}
