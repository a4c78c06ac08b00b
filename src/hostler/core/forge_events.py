"""What can happen between an execution and the places where code is reviewed."""

from dataclasses import dataclass
from typing import ClassVar, Literal

Purpose = Literal["", "clone", "push", "api"]
"""What was refused: the making of the environment, or something that the agent did."""


@dataclass(frozen=True, slots=True)
class CodeAnnotated:
    """The agent has something to say about lines of a file."""

    call_id: str
    path: str
    start: int
    end: int
    title: str
    description: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class EnvironmentCreated:
    """The tool call `call_id` has made an environment."""

    call_id: str
    environment_id: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class HostAuthenticationRequired:
    """A host refused for want of a credential; the execution goes on when there is another one than `credential`."""

    call_id: str
    host: str
    reason: str = ""
    purpose: Purpose = ""
    subject: str = ""
    """Whose credential is missing: the creator of the environment."""
    credential: str = ""
    """Which one was refused; empty when there was none."""
    runner: str = ""
    """The runner that the credential is to be set for."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class HostAuthenticated:
    """There is a credential for the host now."""

    host: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class PullRequestGiven:
    """The pull request that the execution was started with: what is known of it, and whether its branch is here."""

    url: str
    number: str = ""
    title: str = ""
    head: str = ""
    base: str = ""
    author: str = ""
    draft: bool = False
    checked_out: bool = False
    """The workspace is at its branch, and a push goes there."""
    note: str = ""
    """Why some of it is not known."""
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class BranchPushed:
    """A branch of the execution is at the remote."""

    call_id: str
    branch: str
    commit: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class PullRequestOpened:
    """A pull request was opened, or found to be there already."""

    call_id: str
    url: str
    number: str
    title: str
    existed: bool = False
    VERSION: ClassVar[int] = 1


ForgeEvent = (
    CodeAnnotated
    | EnvironmentCreated
    | HostAuthenticationRequired
    | HostAuthenticated
    | PullRequestGiven
    | BranchPushed
    | PullRequestOpened
)
