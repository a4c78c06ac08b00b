"""What is known of the request that is being answered: its id, where it came to, who sent it."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from hostler.core.errors import NotFound, PermissionDenied
from hostler.core.ports import Principal

CredentialKind = Literal["api", "conversation", "environment", "logs"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, with what; `only` is the one execution or environment that a short token is for."""

    principal: Principal
    kind: CredentialKind = "api"
    scope: Literal["all", "read"] = "all"
    only: str = ""
    expires_at: float = 0.0
    """Seconds since 1970; 0 means never."""


@dataclass(slots=True)
class Page:
    """The page that the query asks for; it wins over the body's."""

    token: str | None = None
    size: str | None = None


@dataclass(slots=True)
class Call:
    """One request; its fields are filled in on the way in and read by the access log on the way out."""

    request_id: str
    origin: str
    page: Page = field(default_factory=Page)
    caller: Caller | None = None
    environment: str = ""
    code: str = ""

    @property
    def principal(self) -> Principal:
        """Return who calls."""
        assert self.caller is not None, "the edge authenticates before a service is called"
        return self.caller.principal


_current: ContextVar[Call] = ContextVar("call")


def begin(call: Call) -> None:
    """Make a call the current one of this task and of those it starts."""
    _current.set(call)


def current() -> Call:
    """Return the call that is being answered."""
    return _current.get()


def only_admins() -> None:
    """Raise PermissionDenied unless an administrator calls."""
    if not current().principal.admin:
        raise PermissionDenied("only an administrator may do this")


def meant_for(caller: Caller, subject: str, what: str) -> None:
    """Raise NotFound when a short token is for another execution or environment."""
    if caller.only and caller.only != subject:
        raise NotFound(f"there is no such {what}")
