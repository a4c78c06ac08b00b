"""Refusals of the gateway's own, before they are put into a provider's words."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """What is answered: `kind` and `code` are words of OpenAI's, Anthropic's follow from the status."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Refusal(Exception):
    """A request is not served."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


NO_RETRY: Mapping[str, str] = {"x-should-retry": "false"}


def not_found(method: str, path: str) -> Refusal:
    """Return the refusal of what is not served here."""
    return Refusal(Problem(404, f"the gateway does not serve {method} {path}", code="not_found"))


def bad_request(message: str, status: int = 400) -> Refusal:
    """Return the refusal of a request that cannot be understood or may not be made."""
    return Refusal(Problem(status, message, code="invalid_request", headers=NO_RETRY))


def unauthenticated() -> Refusal:
    """Return the refusal of a token that is none."""
    text = "a valid gateway token is needed: send it as Authorization: Bearer TOKEN or as x-api-key"
    return Refusal(Problem(401, text, "authentication_error", "invalid_api_key", NO_RETRY))


def forbidden(message: str) -> Refusal:
    """Return the refusal of a token that is good for nothing here and now."""
    return Refusal(Problem(403, message, "permission_error", "permission_denied", NO_RETRY))


def unknown_model(model: str, allowed: str) -> Refusal:
    """Return the refusal of a model that the execution may not call; agents give up on it at once."""
    text = f"the model {model!r} is not allowed for this execution; allowed: {allowed or 'none on this path'}"
    return Refusal(Problem(400, text, code="model_not_found", headers=NO_RETRY))


def over_limit(message: str) -> Refusal:
    """Return the refusal that no agent tries again: each of its marks stops another one."""
    return Refusal(Problem(429, message, "insufficient_quota", "insufficient_quota", NO_RETRY))


def away(status: int, message: str) -> Refusal:
    """Return the answer in place of a provider that gives none."""
    return Refusal(Problem(status, message, "server_error", "upstream_unavailable"))
