"""The scripted model: it streams the replies of a script, with no provider and no key."""

import asyncio
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path

from hostler.core.ambient import Ambient
from hostler.core.conversation import (
    Delta,
    Message,
    ModelMessage,
    ModelPart,
    ModelReply,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    Usage,
)
from hostler.core.errors import ModelRefused, ModelUnavailable
from hostler.core.ports import ModelInfo
from hostler.models.script import Fault, Reached, Script, Step, reached

CHARACTERS_A_TOKEN = 4
FILE_LOOK_SECONDS = 0.02

Plan = Script | Callable[[ModelRequest], Step]
"""A script, or a function of the request that returns the step itself."""


@dataclass(slots=True)
class Gates:
    """Gates in memory that hold a step until somebody opens them, and say when a step has come to one."""

    _events: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])

    def open(self, name: str) -> None:
        """Let every step through that waits for `name`, now and later."""
        self._event(name).set()

    async def wait(self, name: str) -> None:
        """Return when `name` is open or has been reached; a name with a slash is a file that must exist."""
        if "/" not in name:
            await self._event(name).wait()
            return
        while not os.path.exists(name):  # noqa: ASYNC110, ASYNC240 - another process makes it
            await asyncio.sleep(FILE_LOOK_SECONDS)

    def mark(self, name: str) -> None:
        """Say that a step has come to `name`."""
        if "/" in name:
            Path(name).touch()
        elif name:
            self.open(name)

    def _event(self, name: str) -> asyncio.Event:
        return self._events.setdefault(name, asyncio.Event())


class ScriptedModel:
    """A model whose replies are a pure function of the request; only faults count their tries, in memory."""

    def __init__(self, name: str, plan: Plan, gates: Gates, ambient: Ambient) -> None:
        self._plan = plan
        self._style = plan if isinstance(plan, Script) else Script(())
        self._gates = gates
        self._ambient = ambient
        self._tries: Counter[str] = Counter()
        self._info = ModelInfo(name, self._style.context_window, self._style.vision, scripted=True)

    @property
    def info(self) -> ModelInfo:
        """Return what is known of it without a call."""
        return self._info

    async def call(self, request: ModelRequest, on_delta: Callable[[Delta], None]) -> ModelReply:
        """Stream the step that the request has reached, with its faults."""
        found = reached(self._plan, request) if isinstance(self._plan, Script) else _of(self._plan(request))
        digest = _digest(request)
        reply = _reply(found.step, request, digest)
        key = f"{found.place}:{digest}"
        self._tries[key] += 1
        pieces = list(_pieces(reply.parts, self._style.chunk))
        faults = found.step.faults
        for count, delta in enumerate(pieces):
            await self._meet(faults, count, self._tries[key])
            on_delta(delta)
            await self._breathe()
        await self._meet(faults, len(pieces), self._tries[key], last=True)
        return reply

    async def _breathe(self) -> None:
        if self._style.pace:
            await self._ambient.until(self._ambient.now() + timedelta(seconds=self._style.pace))
        else:
            await asyncio.sleep(0)

    async def _meet(self, faults: tuple[Fault, ...], chunk: int, attempt: int, *, last: bool = False) -> None:
        """Meet the faults that lie before this chunk; the last time, also those that lie behind the end."""
        for fault in faults:
            if not (fault.after == chunk or (last and fault.after > chunk)):
                continue
            match fault.kind:
                case "hold":
                    self._gates.mark(fault.reached)
                    await self._gates.wait(fault.until)
                case "refused":
                    raise ModelRefused("the script refuses this request")
                case "overflow":
                    raise ModelRefused("the conversation is longer than the model's context", context_overflow=True)
                case "unavailable" | "cut" if attempt <= fault.times:
                    said = "the script is not available" if fault.kind == "unavailable" else "the stream was cut"
                    raise ModelUnavailable(said, retry_after=fault.retry_after)
                case _:
                    pass


def _of(step: Step) -> Reached:
    return Reached(step, "function")


def _digest(request: ModelRequest) -> str:
    """Return a name for the conversation so far, so that ids differ between calls and repeat with a repeated call."""
    return hashlib.sha256("\0".join(_seen(message) for message in request.messages).encode()).hexdigest()[:16]


def _reply(step: Step, request: ModelRequest, digest: str) -> ModelReply:
    parts: list[ModelPart] = []
    if step.thinking:
        parts.append(Thinking(step.thinking, signature=f"scripted-{digest}"))
    if step.text:
        parts.append(Text(step.text))
    for number, call in enumerate(step.calls):
        arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments)
        parts.append(ToolCall(f"call_{digest}_{number}", call.name, arguments))
    usage = step.usage or _usage(request, parts)
    return ModelReply(tuple(parts), usage, step.finish or ("tools" if step.calls else "stop"))


def _pieces(parts: tuple[ModelPart, ...], size: int) -> Iterator[Delta]:
    for number, part in enumerate(parts):
        match part:
            case ToolCall():
                for piece in _cut(part.arguments, size):
                    yield Delta(number, "tool", piece, tool_name=part.name)
            case Text() | Thinking():
                for piece in _cut(part.text, size):
                    yield Delta(number, part.kind, piece)


def _cut(text: str, size: int) -> Iterator[str]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _usage(request: ModelRequest, parts: list[ModelPart]) -> Usage:
    """Count as a provider with a cache would: the last call's input is cached, its reply goes into the cache now."""
    sizes = [_tokens(_seen(message)) for message in request.messages]
    standing = _tokens(request.system) + sum(_tokens(json.dumps(asdict(tool), default=str)) for tool in request.tools)
    output = max(1, _tokens(_seen(ModelMessage(tuple(parts)))))
    replies = [place for place, message in enumerate(request.messages) if isinstance(message, ModelMessage)]
    if not replies:
        return Usage(input=standing + sum(sizes), output=output)
    last = replies[-1]
    cached = standing + sum(sizes[:last])
    return Usage(input=sum(sizes[last + 1 :]), cached_input=cached, cache_creation=sizes[last], output=output)


def _seen(message: Message) -> str:
    if isinstance(message, ModelMessage):
        return json.dumps([asdict(part) for part in message.parts])
    return json.dumps(asdict(message))


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_A_TOKEN)
