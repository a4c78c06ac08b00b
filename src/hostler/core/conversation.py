"""What is said between a person, a model and tools, in words of our own that no provider's library owns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Text:
    """Text that a person or the model wrote."""

    text: str
    kind: Literal["text"] = field(default="text", kw_only=True)


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that a person sent: `data` is base64, `mime_type` image/png or image/jpeg."""

    data: str
    mime_type: str
    kind: Literal["image"] = field(default="image", kw_only=True)


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model's own reasoning; `signature` is the provider's proof that must be sent back with it."""

    text: str
    signature: str = ""
    kind: Literal["thinking"] = field(default="thinking", kw_only=True)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model asks for one tool; `arguments` is the JSON text as the model wrote it, valid or not."""

    id: str
    name: str
    arguments: str
    kind: Literal["tool_call"] = field(default="tool_call", kw_only=True)


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The one result of one tool call, as the model reads it."""

    call_id: str
    name: str
    text: str
    failed: bool = False


UserPart = Text | Image
ModelPart = Text | Thinking | ToolCall


@dataclass(frozen=True, slots=True)
class UserMessage:
    """What reaches the model from outside: tool results first, then what people said."""

    results: tuple[ToolResult, ...] = ()
    parts: tuple[UserPart, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelMessage:
    """One reply of the model; `native` is the provider library's own form of it, kept to be sent back unchanged."""

    parts: tuple[ModelPart, ...]
    native: Mapping[str, object] | None = None


Message = UserMessage | ModelMessage


@dataclass(frozen=True, slots=True)
class Usage:
    """Four disjoint token counters of one call: `input` excludes what was cached or written to the cache."""

    input: int = 0
    cached_input: int = 0
    cache_creation: int = 0
    output: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.input + other.input,
            self.cached_input + other.cached_input,
            self.cache_creation + other.cache_creation,
            self.output + other.output,
        )

    @property
    def whole_input(self) -> int:
        """Return all tokens that the model read in the call."""
        return self.input + self.cached_input + self.cache_creation


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it: `parameters` is a JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model."""

    system: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    effort: Literal["", "low", "medium", "high", "max"] = ""
    kept: dict[object, object] = field(default_factory=dict[object, object], compare=False, repr=False)
    """What whoever sends it may keep for the next request of the same conversation; it lives as long as that."""


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What came back: `finish` is "stop", "tools", "length" or "refused"; `native` as in ModelMessage."""

    parts: tuple[ModelPart, ...]
    usage: Usage
    finish: Literal["stop", "tools", "length", "refused"] = "stop"
    native: Mapping[str, object] | None = None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Return the tool calls in the order the model made them."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a reply while it streams: `part` numbers the reply's parts from 0."""

    part: int
    kind: Literal["text", "thinking", "tool"]
    text: str = ""
    tool_name: str = field(default="", kw_only=True)
