"""Scripts: what a scripted model says, as data, and the pure choice of the step that a request has reached.

A script holds rules; the text a person sent chooses the rule, and the model messages since then choose its step.
Nothing is remembered between calls, so that a restarted server goes on with the same step.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from hostler.core.conversation import Message, ModelMessage, ModelRequest, Text, ToolResult, Usage, UserMessage
from hostler.core.errors import FailedPrecondition

_STRICT = {"extra": "forbid", "strict": True}
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a step; `${name}` in any text of `arguments` is filled in, a str is sent as it stands."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    name: str
    arguments: Mapping[str, object] | str = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong in a step.

    `unavailable` and `cut` (after `after` chunks) end the first `times` tries of the same request in one process with
    ModelUnavailable; `refused` and `overflow` always raise ModelRefused. `hold` waits after `after` chunks until the
    gate `until` is open, a file's path (with a slash) or the name of a gate in memory, and marks `reached` before it.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    kind: Literal["unavailable", "cut", "refused", "overflow", "hold"]
    times: int = 1
    after: int = 0
    retry_after: float | None = None
    until: str = ""
    reached: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One reply: thinking, then text, then tool calls.

    `captures` are patterns whose named groups, found in the newest of the turn's tool results that match, become
    values for `${name}` here and in later steps. When the last results do not match `expect`, the reply is the text
    `otherwise` alone, without tool calls.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    text: str = ""
    calls: tuple[Call, ...] = ()
    thinking: str = ""
    captures: tuple[str, ...] = ()
    expect: str = ""
    otherwise: str = "That is not what I expected, so I stop here."
    finish: Literal["", "stop", "tools", "length", "refused"] = ""
    usage: Usage | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """The steps for user texts that `match`, a pattern searched for; its named groups are values as well.

    A text that comes together with tool results steers: it goes on with the running rule, unless a rule with `steer`
    matches it.
    """

    __pydantic_config__: ClassVar[Any] = _STRICT

    steps: tuple[Step, ...]
    match: str = ""
    steer: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """Rules, the first that matches counts; texts stream in pieces of `chunk` characters, `pace` seconds apart."""

    __pydantic_config__: ClassVar[Any] = _STRICT

    rules: tuple[Rule, ...]
    chunk: int = 24
    pace: float = 0.0
    context_window: int = 200_000
    vision: bool = True


@dataclass(frozen=True, slots=True)
class Reached:
    """Where a request stands in a script: the step with everything filled in, and a name for the place."""

    step: Step
    place: str


OUT_OF_STEPS = Step(text="My script ends here; I have nothing more to do.")
NO_RULE = Step(text="I am a scripted model, and my script has no answer to that.")


def reached(script: Script, request: ModelRequest) -> Reached:
    """Return the step of `script` that answers `request`: a function of its messages and nothing else."""
    anchor, number, rule, values = _anchor(script, request.messages)
    if rule is None:
        return Reached(NO_RULE, "none")
    turn = request.messages[anchor + 1 :]
    index = sum(isinstance(message, ModelMessage) for message in turn)
    if index >= len(rule.steps):
        return Reached(OUT_OF_STEPS, f"{number}:end")
    values |= _captured(rule.steps[: index + 1], turn)
    step, place = rule.steps[index], f"{number}:{index}"
    last = "\n".join(result.text for result in _results(turn[-1:]))
    if step.expect and not re.search(step.expect, last):
        return Reached(Step(text=_fill_text(step.otherwise, values)), f"{place}:otherwise")
    return Reached(_filled(step, values), place)


def _anchor(script: Script, messages: Sequence[Message]) -> tuple[int, int, Rule | None, dict[str, str]]:
    for position in reversed(range(len(messages))):
        message = messages[position]
        if not isinstance(message, UserMessage) or not message.parts:
            continue
        text = "\n".join(part.text for part in message.parts if isinstance(part, Text))
        for number, rule in enumerate(script.rules):
            found = re.search(rule.match, text) if rule.steer == bool(message.results) else None
            if found:
                return position, number, rule, _named(found)
        if not message.results:
            return position, -1, None, {}
    return -1, -1, None, {}


def _captured(steps: Sequence[Step], turn: Sequence[Message]) -> dict[str, str]:
    """Return what each step's patterns find in the results that had come before that step."""
    values: dict[str, str] = {}
    replies = [place for place, message in enumerate(turn) if isinstance(message, ModelMessage)]
    for index, step in enumerate(steps):
        until = replies[index] if index < len(replies) else len(turn)
        texts = [result.text for result in _results(turn[:until])]
        for pattern in step.captures:
            hits = (re.search(pattern, text) for text in reversed(texts))
            if hit := next((hit for hit in hits if hit), None):
                values |= _named(hit)
    return values


def _results(messages: Sequence[Message]) -> list[ToolResult]:
    return [result for message in messages if isinstance(message, UserMessage) for result in message.results]


def _named(found: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _fill_text(text: str, values: Mapping[str, str]) -> str:
    """Fill in the known `${name}`; a shell's own `${OTHER}` stays as it is."""
    return _PLACEHOLDER.sub(lambda hit: values.get(hit[1], hit[0]), text)


def _fill(value: object, values: Mapping[str, str]) -> object:
    match value:
        case str():
            return _fill_text(value, values)
        case Mapping():
            pairs = cast("Mapping[str, object]", value)
            return {key: _fill(item, values) for key, item in pairs.items()}
        case list() | tuple():
            return [_fill(item, values) for item in cast("Sequence[object]", value)]
        case _:
            return value


def _filled(step: Step, values: Mapping[str, str]) -> Step:
    calls = tuple(Call(call.name, _filled_arguments(call, values)) for call in step.calls)
    return Step(
        text=_fill_text(step.text, values),
        thinking=_fill_text(step.thinking, values),
        calls=calls,
        finish=step.finish,
        usage=step.usage,
        faults=step.faults,
    )


def _filled_arguments(call: Call, values: Mapping[str, str]) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(_fill(call.arguments, values), ensure_ascii=False)


def load(path: Path) -> Script:
    """Read a script from a JSON file with the fields of the classes above; FailedPrecondition says what is wrong."""
    try:
        return from_json(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise FailedPrecondition(f"the script {path} cannot be used: {problem}") from problem


def from_json(body: bytes | str) -> Script:
    """Return the script that a JSON object describes; ValueError names every field that is wrong."""
    from pydantic import TypeAdapter, ValidationError  # slow to import, and most servers never read a script

    try:
        script = TypeAdapter(Script).validate_json(body)
    except ValidationError as problem:
        lines = (f"{'.'.join(map(str, each['loc'])) or 'JSON'}: {each['msg']}" for each in problem.errors())
        raise ValueError("; ".join(lines)) from problem
    for rule in script.rules:
        for pattern in (rule.match, *(pattern for step in rule.steps for pattern in (step.expect, *step.captures))):
            _check(pattern)
    return script


def _check(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {problem}") from problem
