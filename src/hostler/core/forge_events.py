"""What can happen between an execution and the places where code is reviewed."""

from dataclasses import dataclass
from typing import ClassVar


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
    """A host refused for want of a credential; the turn goes on when there is one."""

    call_id: str
    host: str
    VERSION: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class HostAuthenticated:
    """There is a credential for the host now."""

    host: str
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
    | BranchPushed
    | PullRequestOpened
)
