"""Places where code is reviewed, as tools and effects ask for them; credentials stay behind this port."""

from dataclasses import dataclass
from typing import Protocol

from hostler.core.desk import NewEnvironment
from hostler.core.errors import HostlerError


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull or merge request as its host shows it."""

    url: str
    number: str
    title: str
    head: str
    base: str
    author: str = ""
    draft: bool = False
    open: bool = True
    body: str = ""
    head_repository: str = ""
    """The http address that its branch is pushed to; empty where it is the one that it is to be merged into."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull request to be opened; `mark` is written into its body, so that it is known again."""

    repository: str
    """The http address of the repository that it is to be merged into."""
    title: str
    body: str
    head: str
    base: str
    draft: bool
    mark: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Whose credential for a host is missing, and which one was refused; empty: there was none."""

    host: str
    subject: str
    credential: str
    runner: str = ""


class ForgeError(HostlerError):
    """The code host did not do that."""


class ForgeRefused(ForgeError):
    """The code host, or a rule of the environment, refuses that; nothing was changed."""


class ForgeUnknown(ForgeError):
    """Nobody knows whether the code host did that."""


class CredentialNeeded(ForgeRefused):
    """The code host asks for a credential."""

    def __init__(self, message: str, missing: Missing) -> None:
        super().__init__(message)
        self.missing = missing


class Forges(Protocol):
    """Code hosts, reached by the rules of an environment and with the credentials of its creator."""

    async def get(self, environment: str, repository: str, number: str) -> PullRequest:
        """Return a pull request; raises ForgeError."""
        ...

    async def open(self, environment: str, proposal: Proposal) -> tuple[PullRequest, bool]:
        """Open a pull request once; return it and whether it was there before this proposal. Raises ForgeError."""
        ...

    async def missing(self, environment: str, host: str) -> Missing:
        """Return what a host that refused an environment for want of a credential waits for."""
        ...

    async def permitted(self, environment: str, url: str) -> None:
        """Raise ForgeRefused unless an environment may reach a repository's host."""
        ...


class Workshop(Protocol):
    """Makes environments for agents."""

    async def asked(self, class_name: str, repository: str, project: str, name: str, creator: str) -> NewEnvironment:
        """Return what is asked for, from what the creator sees; raises a RequestError that says what there is."""
        ...

    async def make(self, environment: str, new: NewEnvironment, execution: str) -> None:
        """Make an environment with this id for the creator of an execution; repeating it changes nothing."""
        ...
