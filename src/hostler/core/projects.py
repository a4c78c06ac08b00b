"""Projects: repositories with the settings that environments start from, and how long their environments ran. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from posixpath import normpath
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

from hostler.core.providers import KeptSource, LocalRepository, RemoteRepository, Scratch, Source


@dataclass(frozen=True, slots=True)
class Project:
    """A project as we keep it; `body` carries the rest of it as the contract's own JSON."""

    id: str
    name: str
    repository: str
    """What `repository_key` makes of its source; empty: it starts from nothing."""
    creator_id: str
    creator_kind: Literal["user", "service_account"]
    created_at: datetime
    updated_at: datetime
    class_ids: tuple[str, ...] = ()
    """Environment classes, the preferred one first; none: the server's default."""
    setup: tuple[str, ...] = ()
    """Shell commands that run in a new environment once its code is there."""
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ProjectQuery:
    """Which projects are wanted; every condition that is given must hold."""

    ids: tuple[str, ...] = ()
    search: str = ""
    """Part of the name or of the repository, whatever its case."""
    repositories: tuple[str, ...] = ()
    """As `repository_key` writes them."""
    creator_ids: tuple[str, ...] = ()


class Projects(Protocol):
    """The projects of the organization."""

    async def save(self, project: Project, *, new: bool) -> None:
        """Write a project; NotFound when it should be there and is not."""
        ...

    async def get(self, project: str) -> Project | None:
        """Return a project."""
        ...

    async def find(self, query: ProjectQuery, before: str = "", limit: int = 0) -> tuple[Project, ...]:
        """Return projects, newest first, ids below `before` when given, all of them when `limit` is 0."""
        ...

    async def count(self, query: ProjectQuery) -> int:
        """Return how many projects there are."""
        ...

    async def delete(self, project: str) -> bool:
        """Remove a project and what is known of its use; return whether it was there."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """How long the environments of a project ran, in whole seconds, each counted for itself."""

    project: str
    seconds: int


@dataclass(frozen=True, slots=True)
class User:
    """Who used a project."""

    id: str
    kind: str


class ProjectUse(Protocol):
    """When environments of projects ran, from the phases that their rows went through."""

    async def began(self, environment: str, project: str, user: User, at: datetime) -> None:
        """Note that an environment runs; repeating it while it runs changes nothing, nor does an unknown project."""
        ...

    async def ended(self, environment: str, at: datetime) -> None:
        """Note that an environment runs no more; repeating it changes nothing."""
        ...

    async def top(self, since: datetime, until: datetime, now: datetime) -> tuple[Usage, ...]:
        """Return the projects whose environments ran within a time, longest first; an open run is cut at `now`."""
        ...

    async def users(self, projects: Sequence[str], since: datetime) -> Mapping[str, tuple[User, ...]]:
        """Return who had environments of the projects running since then."""
        ...


def repository_key(source: Source) -> str:
    """Return what two addresses of the same repository have in common, whatever their case, `.git` or last slash."""
    match source:
        case RemoteRepository(url=url):
            parts = urlsplit(url)
            web = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
            return _bare(f"{parts.netloc.removesuffix(web)}{parts.path}".casefold())
        case LocalRepository(path=path):
            return _bare(normpath(path)) or "/"
        case KeptSource():
            return repository_key(source.below)
        case Scratch():
            return ""


def _bare(path: str) -> str:
    return path.rstrip("/").removesuffix(".git").rstrip("/")
