"""RunnerService: the machines, what a context URL says, and whether a code host can be reached with a credential."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from connectrpc.request import RequestContext

from hostler.api.call import current
from hostler.api.code_hosts import host_key, personal_tokens, scm_named
from hostler.api.pages import page_of
from hostler.api.parts import ApiParts
from hostler.api.recipes import classes_of_project
from hostler.api.runner_view import kind_of, peer_of, provider_of, runner_of, runners_of
from hostler.contract.gitpod.v1 import runner_pb as pb
from hostler.contract.gitpod.v1.agent_execution_pb import PullRequest
from hostler.contract.gitpod.v1.runner_connect import RunnerService
from hostler.core.addresses import Address
from hostler.core.context import Context, context_of
from hostler.core.errors import NotFound
from hostler.core.projects import ProjectQuery, repository_key

Rpc = RequestContext[Any, Any]
MOST_ASKED = 1000
"""Callers whose last question is remembered."""


@dataclass(frozen=True, slots=True)
class _Listed:
    """A runner, for the page tokens."""

    id: str
    shown: pb.Runner


class Runners(RunnerService):
    """The service over the runners of the database; what is asked of another one has been passed on before."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._asked: dict[tuple[str, str], str] = {}
        """The repository that somebody asked for last, of each host."""

    async def get_runner(self, request: pb.GetRunnerRequest, ctx: Rpc, /) -> pb.GetRunnerResponse:
        """Get a runner."""
        runner = request.runner_id.lower()
        if runner == self._parts.runner_id:
            return pb.GetRunnerResponse(runner=await runner_of(self._parts))
        await self._parts.peers.look()
        if (known := self._parts.peers.get(runner)) is None:
            raise NotFound("there is no such runner", field="runner_id")
        return pb.GetRunnerResponse(runner=peer_of(self._parts, known))

    async def list_runners(self, request: pb.ListRunnersRequest, ctx: Rpc, /) -> pb.ListRunnersResponse:
        """List the runners: this machine and those of the same database, unless the filter leaves them out."""
        asked = request.filter or pb.ListRunnersRequest.Filter()
        fits = (
            not asked.creator_ids
            and (not asked.kinds or kind_of(self._parts) in asked.kinds)
            and (not asked.providers or provider_of(self._parts) in asked.providers)
        )
        listed = [_Listed(one.runner_id, one) for one in (await runners_of(self._parts) if fits else ())]

        async def find(before: str, limit: int) -> Sequence[_Listed]:
            return [one for one in listed if not before or one.id < before][:limit]

        found, pagination = await page_of("runners", request.pagination, request.filter, find)
        return pb.ListRunnersResponse(pagination=pagination, runners=[one.shown for one in found])

    async def parse_context_url(self, request: pb.ParseContextURLRequest, ctx: Rpc, /) -> pb.ParseContextURLResponse:
        """Read a context URL; nothing is asked of the host, so titles and branches of requests are not known."""
        if request.runner_id:
            self._known(request.runner_id)
        context = context_of(request.context_url, local=self._parts.loopback, field="context_url")
        key = repository_key(context.source)
        self._note(context.host, key)
        projects = await self._parts.projects.find(ProjectQuery(repositories=(key,)))
        classes = [one for project in projects for one in classes_of_project(self._parts, project)]
        address = context.address
        answer = pb.ParseContextURLResponse(
            original_context_url=request.context_url,
            git=_git(context),
            project_ids=[project.id for project in projects],
            scm_id="" if address.scm in ("git", "local") else address.scm,
            recommended_environment_classes=list(dict.fromkeys(classes)),
        )
        match address.form:
            case "pull":
                answer.pull_request = _pull(context, request.context_url)
                pull = pb.ParseContextURLResponse.PullRequest(id=address.value)
                answer.pr = pull  # pyright: ignore[reportDeprecated]
            case "issue":
                answer.issue = pb.ParseContextURLResponse.Issue(id=address.value)
            case "repository" | "branch" | "tag" | "commit":
                pass
        return answer

    async def check_authentication_for_host(
        self, request: pb.CheckAuthenticationForHostRequest, ctx: Rpc, /
    ) -> pb.CheckAuthenticationForHostResponse:
        """Tell whether clones from a host can work for the caller.

        With a credential: whether it holds and was not refused when it was used last. Without one, public repositories
        can be cloned, so the answer is yes, unless the repository in question has asked for a credential: the one that
        the caller's last ParseContextURL named, or any of the host. `supports_pat` is there when no credential is used.
        """
        self._known(request.runner_id)
        host = host_key(request.host, "host")
        scm, name = scm_named(host)
        answer = pb.CheckAuthenticationForHostResponse(scm_id="" if scm == "git" else scm, scm_name=name)
        me, now = current().principal.id, self._parts.ambient.now()
        mine = await self._parts.host_tokens.find(runner=self._parts.runner_id, subject_id=me)
        token = next((one for one in mine if one.host == host), None)
        if token is not None and token.holds(now):
            answer.authenticated = self._parts.logins.usable(token.id)
        elif token is None and host not in self._parts.credential_required:
            closed, asked = self._parts.logins.closed(host), self._asked.get((me, host))
            answer.authenticated = asked not in closed if asked else not closed
        if token is None or not answer.authenticated:
            answer.supports_pat = personal_tokens(host, scm)
        return answer

    def _known(self, runner_id: str) -> None:
        if runner_id.lower() != self._parts.runner_id:
            raise NotFound("there is no such runner", field="runner_id")

    def _note(self, host: str, key: str) -> None:
        if host:
            self._asked[current().principal.id, host] = key
        while len(self._asked) > MOST_ASKED:
            del self._asked[next(iter(self._asked))]


def _git(context: Context) -> pb.ParseContextURLResponse.GitContext:
    address, source = context.address, context.source
    return pb.ParseContextURLResponse.GitContext(
        clone_url=getattr(source, "url", "") or f"file://{quote(address.path)}",
        branch=_value(address, "branch"),
        commit=_value(address, "commit"),
        tag=_value(address, "tag"),
        host=context.host,
        owner=address.owner,
        repo=address.repo,
    )


def _value(address: Address, form: str) -> str:
    return address.value if address.form == form else ""


def _pull(context: Context, url: str) -> PullRequest:
    git = _git(context)
    repository = PullRequest.Repository(clone_url=git.clone_url, host=git.host, owner=git.owner, name=git.repo)
    return PullRequest(id=context.address.value, url=url, repository=repository)
