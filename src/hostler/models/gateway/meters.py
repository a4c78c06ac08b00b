"""Reads what a call used out of an answer while it passes; one class for each protocol, all over the same counters."""

from abc import ABC, abstractmethod
from typing import Any, cast

from hostler.core.conversation import Usage
from hostler.models.gateway.ledger import Finish

CHARACTERS_A_TOKEN = 4
Body = dict[str, Any]


class Meter(ABC):
    """What is known of one call so far."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """What the provider counted; None until it said so."""
        self.finish: Finish = "stop"
        self.complete = False
        """The provider has said its last word."""
        self.failure = ""
        """What the provider said went wrong in the middle of its answer."""
        self._input: Usage | None = None
        self._said = 0

    @abstractmethod
    def event(self, body: Body) -> None:
        """Take one event of a stream."""

    @abstractmethod
    def whole(self, body: Body) -> None:
        """Take an answer that came in one piece."""

    def done(self) -> None:
        """Take the `[DONE]` that ends some streams."""
        self.complete = True

    def estimate(self, sent: int) -> Usage:
        """Return a guess for a call that was cut: the input as far as it was told, else `sent` tokens."""
        if self.usage:
            return self.usage
        known = self._input or Usage(input=sent)
        return known + Usage(output=self._said // CHARACTERS_A_TOKEN)

    def _heard(self, *texts: object) -> None:
        self._said += sum(len(text) for text in texts if isinstance(text, str))


class Responses(Meter):
    """OpenAI's Responses protocol."""

    def event(self, body: Body) -> None:
        """Count deltas; the last event holds the whole response with its usage."""
        match body.get("type"):
            case "response.completed" | "response.incomplete":
                self.whole(_table(body, "response"))
            case "response.failed":
                response = _table(body, "response")
                self._counted(response)
                self._failed(_table(response, "error"))
            case "error":
                self._failed(_table(body, "error") or body)
            case _:
                self._heard(body.get("delta"))

    def whole(self, body: Body) -> None:
        """Read a response object."""
        self._counted(body)
        self.complete = True
        if _table(body, "error"):
            self._failed(_table(body, "error"))
        reason = _table(body, "incomplete_details").get("reason")
        if reason:
            self.finish = "refused" if reason == "content_filter" else "length"
        elif any(kind.endswith("_call") for kind in _kinds(body.get("output"))):
            self.finish = "tools"

    def _counted(self, response: Body) -> None:
        told = _table(response, "usage")
        if told:
            details = _table(told, "input_tokens_details")
            self.usage = _inclusive(told, "input_tokens", "output_tokens", details)

    def _failed(self, error: Body) -> None:
        self.failure = str(error.get("code") or error.get("type") or "error")
        self.complete = True


class Chat(Meter):
    """OpenAI's Chat Completions protocol."""

    def event(self, body: Body) -> None:
        """Count deltas; one of the last chunks holds the usage."""
        if error := _table(body, "error"):
            self.failure = str(error.get("code") or error.get("type") or "error")
            self.complete = True
        for choice in _tables(body.get("choices")):
            delta = _table(choice, "delta")
            self._heard(delta.get("content"), delta.get("reasoning_content"), delta.get("reasoning"))
            for call in _tables(delta.get("tool_calls")):
                self._heard(_table(call, "function").get("arguments"))
            self._finished(choice)
        self._counted(body)

    def whole(self, body: Body) -> None:
        """Read a completion object."""
        for choice in _tables(body.get("choices")):
            self._finished(choice)
        self._counted(body)
        self.complete = True

    def _finished(self, choice: Body) -> None:
        reasons: dict[object, Finish] = {"length": "length", "tool_calls": "tools", "content_filter": "refused"}
        if reason := choice.get("finish_reason"):
            self.finish = reasons.get(reason, "stop")

    def _counted(self, body: Body) -> None:
        if told := _table(body, "usage"):
            self.usage = _inclusive(told, "prompt_tokens", "completion_tokens", _table(told, "prompt_tokens_details"))


class Messages(Meter):
    """Anthropic's Messages protocol; its first event counts the input, a later one the output."""

    def event(self, body: Body) -> None:
        """Count deltas, and the usage in two parts."""
        match body.get("type"):
            case "message_start":
                self._counters = _table(_table(body, "message"), "usage")
                self._input = self._sum()
            case "content_block_delta":
                delta = _table(body, "delta")
                self._heard(delta.get("text"), delta.get("thinking"), delta.get("partial_json"))
            case "message_delta":
                self._counters |= {name: n for name, n in _table(body, "usage").items() if n is not None}
                self.usage = self._sum() + Usage(output=_number(self._counters, "output_tokens"))
                self._finished(_table(body, "delta"))
            case "message_stop":
                self.complete = True
            case "error":
                self.failure = str(_table(body, "error").get("type") or "error")
                self.complete = True
            case _:
                pass

    def whole(self, body: Body) -> None:
        """Read a message object."""
        self._counters = _table(body, "usage")
        if self._counters:
            self.usage = self._sum() + Usage(output=_number(self._counters, "output_tokens"))
        self._finished(body)
        self.complete = True

    def __init__(self) -> None:
        super().__init__()
        self._counters: Body = {}

    def _sum(self) -> Usage:
        return Usage(
            input=_number(self._counters, "input_tokens"),
            cached_input=_number(self._counters, "cache_read_input_tokens"),
            cache_creation=_number(self._counters, "cache_creation_input_tokens"),
        )

    def _finished(self, body: Body) -> None:
        reasons: dict[object, Finish] = {"max_tokens": "length", "tool_use": "tools", "refusal": "refused"}
        if reason := body.get("stop_reason"):
            self.finish = reasons.get(reason, "stop")


def _inclusive(told: Body, whole: str, output: str, details: Body) -> Usage:
    """Return disjoint counters from OpenAI's, where the input holds what was cached and written to the cache."""
    cached, written = _number(details, "cached_tokens"), _number(details, "cache_write_tokens")
    rest = max(0, _number(told, whole) - cached - written)
    return Usage(input=rest, cached_input=cached, cache_creation=written, output=_number(told, output))


def _number(body: Body, name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _table(body: Body, name: str) -> Body:
    value = body.get(name)
    return cast("Body", value) if isinstance(value, dict) else {}


def _tables(value: object) -> list[Body]:
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Body", each) for each in listed if isinstance(each, dict)]


def _kinds(value: object) -> list[str]:
    return [str(each.get("type")) for each in _tables(value)]
