"""The protocols that agents speak, as far as they differ: paths, keys, words for errors, and who counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hostler.models.gateway.asked import Asked
from hostler.models.gateway.meters import Chat, Messages, Meter, Responses
from hostler.models.gateway.refusals import Problem

Body = dict[str, Any]
_ANTHROPIC_KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def openai_error(problem: Problem) -> Body:
    """Return an error body in OpenAI's words."""
    return {"error": {"message": problem.message, "type": problem.kind, "param": None, "code": problem.code}}


def anthropic_error(problem: Problem) -> Body:
    """Return an error body in Anthropic's words; the code is not theirs, but does no harm."""
    kind = _ANTHROPIC_KINDS.get(problem.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": problem.message, "code": problem.code}}


@dataclass(frozen=True, slots=True)
class Route:
    """One path that is served: `suffix` is its path behind the provider's base URL."""

    path: str
    families: tuple[str, ...]
    meter: Callable[[], Meter] | None
    """None: nothing is used, so nothing is counted."""
    error: Callable[[Problem], Body] = openai_error

    def sent(self, asked: Asked) -> tuple[Asked, bool]:
        """Return what is sent on, and whether the chunk that counts must be taken out of the answer."""
        if self.meter is not Chat or not asked.streams:
            return asked, False
        given = asked.fields.get("stream_options")
        options: Body = given if isinstance(given, dict) else {}  # pyright: ignore[reportUnknownVariableType]
        if options.get("include_usage") is True:
            return asked, False
        return asked.changed(stream_options={**options, "include_usage": True}), True


_OPENAI = ("openai-responses", "openai-chat", "scripted")
_ANTHROPIC = ("anthropic", "scripted")
ROUTES: Mapping[tuple[str, str], Route] = {
    ("POST", route.path): route
    for route in (
        Route("/v1/responses", _OPENAI, Responses),
        Route("/v1/chat/completions", _OPENAI, Chat),
        Route("/v1/messages", _ANTHROPIC, Messages, anthropic_error),
        Route("/v1/messages/count_tokens", _ANTHROPIC, None, anthropic_error),
    )
}
