"""Projects, their use and credentials for code hosts in memory, for the API's tests."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from hostler.core.errors import AlreadyExists, NotFound
from hostler.core.hosts import HostToken, Login, login_of
from hostler.core.projects import Project, ProjectQuery, Usage, User


class MemoryProjects:
    """Projects in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, Project] = {}

    async def save(self, project: Project, *, new: bool) -> None:
        """Write a project."""
        if not new and project.id not in self.kept:
            raise NotFound("there is no such project", field="project_id")
        self.kept[project.id] = project

    async def get(self, project: str) -> Project | None:
        """Return a project."""
        return self.kept.get(project)

    async def find(self, query: ProjectQuery, before: str = "", limit: int = 0) -> tuple[Project, ...]:
        """Return projects, newest first."""
        found = sorted((one for one in self.kept.values() if _fits(one, query)), key=lambda one: one.id, reverse=True)
        found = [one for one in found if not before or one.id < before]
        return tuple(found[:limit] if limit else found)

    async def count(self, query: ProjectQuery) -> int:
        """Return how many projects there are."""
        return len(await self.find(query))

    async def delete(self, project: str) -> bool:
        """Remove a project."""
        return self.kept.pop(project, None) is not None


class MemoryProjectUse:
    """Answers what a test put into it."""

    def __init__(self) -> None:
        self.ran: tuple[Usage, ...] = ()
        self.asked: tuple[datetime, datetime, datetime] | None = None
        self.known: dict[str, tuple[User, ...]] = {}

    async def began(self, environment: str, project: str, user: User, at: datetime) -> None:
        """Note nothing."""

    async def ended(self, environment: str, at: datetime) -> None:
        """Note nothing."""

    async def top(self, since: datetime, until: datetime, now: datetime) -> tuple[Usage, ...]:
        """Return what the test says ran."""
        self.asked = (since, until, now)
        return self.ran

    async def users(self, projects: Sequence[str], since: datetime) -> Mapping[str, tuple[User, ...]]:
        """Return the users that the test knows."""
        return {one: self.known[one] for one in projects if one in self.known}


class MemoryHostTokens:
    """Credentials in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, HostToken] = {}

    async def save(self, token: HostToken, *, new: bool) -> None:
        """Write a credential."""
        key = (token.runner, token.host, token.subject_id)
        if any(one.id != token.id and (one.runner, one.host, one.subject_id) == key for one in self.kept.values()):
            raise AlreadyExists("there is a credential for this host already", field="host")
        if not new and token.id not in self.kept:
            raise NotFound("there is no such credential", field="id")
        self.kept[token.id] = token

    async def get(self, token: str) -> HostToken | None:
        """Return a credential."""
        return self.kept.get(token)

    async def find(
        self, *, runner: str = "", subject_id: str = "", before: str = "", limit: int = 0
    ) -> tuple[HostToken, ...]:
        """Return credentials, newest first."""
        found = sorted(self.kept.values(), key=lambda one: one.id, reverse=True)
        found = [one for one in found if not runner or one.runner == runner]
        found = [one for one in found if not subject_id or one.subject_id == subject_id]
        found = [one for one in found if not before or one.id < before]
        return tuple(found[:limit] if limit else found)

    async def delete(self, token: str) -> bool:
        """Remove a credential."""
        return self.kept.pop(token, None) is not None


class MemoryLogins:
    """Credentials in the clear; what hosts say about them is for the test to say."""

    def __init__(self) -> None:
        self.kept: dict[str, Login] = {}
        self.refused: set[str] = set()
        self.shut: dict[str, frozenset[str]] = {}

    def seal(self, token: str, text: str) -> str:
        """Return something that does not tell the text."""
        return f"sealed {len(text)}"

    def put(self, token: HostToken, text: str) -> None:
        """Use a credential from now on."""
        self.kept[token.id] = login_of(text, token.host)
        self.refused.discard(token.id)

    def renew(self, token: HostToken) -> None:
        """Take over nothing."""

    def drop(self, token: str) -> None:
        """Use a credential no more."""
        self.kept.pop(token, None)

    def usable(self, token: str) -> bool:
        """Return whether it is kept and not refused."""
        return token in self.kept and token not in self.refused

    def closed(self, host: str) -> frozenset[str]:
        """Return what the test says."""
        return self.shut.get(host, frozenset())


def _fits(one: Project, query: ProjectQuery) -> bool:
    text = f"{one.name}\n{one.repository}".casefold()
    return (
        (not query.ids or one.id in query.ids)
        and query.search.casefold() in text
        and (not query.repositories or one.repository in query.repositories)
        and (not query.creator_ids or one.creator_id in query.creator_ids)
    )
