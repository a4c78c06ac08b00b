"""Effects about code hosts: waiting for credentials, and bringing a given pull request to its branch.

Also what tools need of environments: making one for the creator of an execution.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hostler.core import events as ev
from hostler.core.commands import ReportCredential
from hostler.core.context import source_of
from hostler.core.desk import EnvironmentClass, NewEnvironment
from hostler.core.errors import EnvironmentError_, Fenced, MachineLost, NotAuthenticated, NotFound
from hostler.core.forge import Asked
from hostler.core.forge_events import HostAuthenticationRequired, PullRequestGiven
from hostler.core.forge_plan import AwaitCredential, LookAtPullRequest, NoteAuthentication
from hostler.core.forges import ForgeError, Forges, PullRequest
from hostler.core.hosts import host_of
from hostler.core.machines import Command, Exited, Machine, Operation
from hostler.core.ports import EnvironmentRow, Executions, Fact, Principal
from hostler.core.providers import Scratch
from hostler.core.redaction import Redactor
from hostler.engine.admission import Admission
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene

GIT_SECONDS = 120.0
TO_BRANCH = """
set -e
current=$(git symbolic-ref --short -q HEAD || true)
if [ "$current" != "$BRANCH" ]; then
  git show-ref -q --verify "refs/heads/$BRANCH" && exit 5
  case "$current" in
    pull/* | pull-requests/* | merge-requests/*) git branch -q -m "$BRANCH" ;;
    *)
      git fetch -q --no-tags --depth=1 origin "${REF:-refs/heads/$BRANCH}"
      git checkout -q -b "$BRANCH" FETCH_HEAD
      ;;
  esac
fi
remote=origin
if [ -n "$FORK" ]; then git remote add fork "$FORK" 2>/dev/null || git remote set-url fork "$FORK"; remote=fork; fi
git config "branch.$BRANCH.remote" "$remote"
git config "branch.$BRANCH.merge" "refs/heads/$BRANCH"
git update-ref "refs/remotes/$remote/$BRANCH" HEAD
"""
Report = Callable[[str, ReportCredential], Awaitable[object]]
"""Gives an execution a command."""


class Arrivals(Protocol):
    """Knows when credentials are set."""

    async def arrives(self, subject: str, host: str, refused: str) -> None:
        """Return when a subject has a credential for a host in another version than the one that was refused."""
        ...


class Inside(Protocol):
    """Hands out machines."""

    async def machine_for(self, environment: str) -> Machine:
        """Return the inside of an environment that was prepared."""
        ...


class Rows(Protocol):
    """What is needed of environments to make one."""

    async def made_for(self, environment: str, new: NewEnvironment, creator: Principal) -> EnvironmentRow:
        """Write an environment under this id and begin to make it; repeating it changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class ForgeEffects:
    """Carries out the effects of pull requests and missing credentials."""

    forges: Forges
    arrivals: Arrivals
    inside: Inside
    report: Report
    redactor: Redactor
    admission: Admission

    def performers(self) -> Mapping[type[Any], Performer]:
        """Return them by their effect."""
        return {AwaitCredential: self.wait, NoteAuthentication: self.note, LookAtPullRequest: self.look}

    async def wait(self, effect: AwaitCredential, scene: Scene) -> Outcome:
        """Wait until a credential is set, and have the execution go on."""
        await self.arrivals.arrives(effect.subject, effect.host, effect.credential)
        await self.admission.opened()
        await self.report(scene.execution, ReportCredential(effect.host))
        return Outcome()

    async def note(self, effect: NoteAuthentication, scene: Scene) -> Outcome:
        """Note which credential is missing."""
        missing = await self.forges.missing(scene.state.environment.id, effect.host)
        reason = "git was refused"
        needed = HostAuthenticationRequired(
            effect.call_id, effect.host, reason, "push", missing.subject, missing.credential, missing.runner
        )
        return Outcome((Fact(f"credential/{effect.call_id}", needed),))

    async def look(self, effect: LookAtPullRequest, scene: Scene) -> Outcome:
        """Learn what the pull request is, and go to its branch where the work has not begun."""
        asked = scene.state.forge.asked
        assert asked is not None
        known, note = await self._known(asked, scene.state.environment.id)
        try:
            there = await self._go(known, asked.ref, scene) if known.head else False
        except MachineLost:
            lost = ev.SupervisorLost(scene.state.environment.incarnation)
            return Outcome((Fact(f"lost/{scene.position.fence}/{scene.position.seq}", lost),))
        given = PullRequestGiven(
            known.url,
            known.number,
            self.redactor.text(known.title),
            known.head,
            known.base,
            known.author,
            known.draft,
            there,
            self.redactor.text(note),
        )
        return Outcome((Fact("pull-request", given),))

    async def _known(self, asked: Asked, environment: str) -> tuple[PullRequest, str]:
        """Return what the start says of it, with what its host knows beyond that, and why the host did not say."""
        said = PullRequest(asked.url, asked.number, asked.title, asked.head, asked.base, asked.author)
        if not (asked.repository.startswith("https://") and asked.number):
            return said, ""
        try:
            found = await self.forges.get(environment, asked.repository, asked.number)
        except ForgeError as problem:
            return said, f"More of it could not be learnt: {problem.message}"
        return (
            replace(
                found,
                url=said.url or found.url,
                title=said.title or found.title,
                head=found.head or said.head,
                base=said.base or found.base,
                author=said.author or found.author,
            ),
            "",
        )

    async def _go(self, pull: PullRequest, ref: str, scene: Scene) -> bool:
        """Give the workspace a branch of the request's name that is pushed to it; return whether it has one."""
        state = scene.state
        if not state.environment.owned or state.turn > 1 or state.calls:
            return False
        machine = await self.inside.machine_for(state.environment.id)
        operation = Operation(scene.execution, scene.position.fence, "pull-request")
        env = {"BRANCH": pull.head, "FORK": pull.head_repository, "REF": ref, "NO_PROXY": "", "no_proxy": ""}
        command = Command(("/bin/sh", "-c", TO_BRANCH), env=env, timeout=GIT_SECONDS)
        try:
            result = await machine.exec(operation, command, incarnation=state.environment.incarnation)
        except (MachineLost, Fenced):
            raise
        except EnvironmentError_:
            return False
        return result.outcome == Exited(0)


async def unauthenticated(problem: NotAuthenticated, environment: str, forges: Forges | None, key: str) -> Fact:
    """Return that an environment waits for a credential, as its repository asks for one; else that it failed."""
    if forges is None or "://" not in problem.url:
        return Fact(key, ev.EnvironmentFailed(problem.message))
    missing = await forges.missing(environment, host_of(problem.url))
    needed = HostAuthenticationRequired(
        "", missing.host, problem.message, "clone", missing.subject, missing.credential, missing.runner
    )
    return Fact(key, needed)


@dataclass(slots=True)
class MakingEnvironments:
    """Makes environments for agents; implements `hostler.core.forges.Workshop`."""

    rows: Rows
    executions: Executions
    classes: Sequence[EnvironmentClass]
    of_project: Callable[[str, str, str], Awaitable[NewEnvironment]] | None = None
    """Returns an environment of a project, in a class ('' for its own), as a person sees it; None without projects."""
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def asked(self, class_name: str, repository: str, project: str, name: str, creator: str) -> NewEnvironment:
        """Return what is asked for; nothing of the server's own machine can be named."""
        class_id = self._class(class_name)
        if project:
            if self.of_project is None:
                raise NotFound("projects cannot be used here", field="project")
            return replace(await self.of_project(project, class_id if class_name else "", creator), name=name)
        source = source_of(repository, local=False, field="repository") if repository else Scratch()
        return NewEnvironment(class_id, source, name=name)

    def _class(self, given: str) -> str:
        if not given:
            return self.classes[0].id
        for one in self.classes:
            if given.lower() in (one.id, one.name.lower()):
                return one.id
        known = ", ".join(one.name for one in self.classes)
        raise NotFound(f"there is no class {given!r}; there are: {known}", field="environment_class")

    async def make(self, environment: str, new: NewEnvironment, execution: str) -> None:
        """Make an environment for the creator of an execution, once."""
        first = (await self.executions.read(execution))[0].event
        assert isinstance(first, ev.Started)
        creator = Principal(first.creator_id, first.creator_kind, "")
        async with self._lock:
            await self.rows.made_for(environment, new, creator)
