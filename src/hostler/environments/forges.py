"""GitHub and GitLab: which one a host is, and how pull requests are read, found and opened there.

Implements `hostler.core.forges.Forges`. Opening is safe to repeat: it looks first, and looks again when it does not
know what became of its own request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol
from urllib.parse import quote, unquote, urlencode, urlsplit

from hostler.core.forges import CredentialNeeded, ForgeRefused, ForgeUnknown, Missing, Proposal, PullRequest
from hostler.core.hosts import host_of
from hostler.environments.credentials import Known
from hostler.environments.egress import Refusal, Target
from hostler.environments.forge_http import Said, target_of

Kind = Literal["github", "gitlab"]
KINDS: tuple[Kind, ...] = ("github", "gitlab")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Api:
    """An API: its kind, and the address that its paths go behind."""

    kind: Kind
    url: str


@dataclass(frozen=True, slots=True)
class Place:
    """A repository at a host, for an environment."""

    environment: str
    host: str
    path: str
    """OWNER/NAME, without `.git`."""
    api: Api


class Http(Protocol):
    """Calls APIs; `forge_http.ForgeHttp` says what each method promises."""

    async def call(
        self,
        environment: str,
        host: str,
        url: str,
        method: Literal["GET", "POST"] = "GET",
        body: Json | None = None,
    ) -> Said:
        """Call an API."""
        ...

    async def known(self, environment: str, host: str) -> Known | None:
        """Return the credential that is used."""
        ...

    async def missing(self, environment: str, host: str) -> Missing:
        """Return what a host waits for."""
        ...

    async def needed(self, environment: str, host: str, said: str) -> CredentialNeeded:
        """Return the refusal for want of a credential."""
        ...


class Permitted(Protocol):
    """Says what environments may reach."""

    async def __call__(self, environment: str, target: Target) -> None:
        """Raise Refusal unless an environment may reach a target."""
        ...


class CodeHosts:
    """The code hosts that environments of this runner work with."""

    def __init__(self, http: Http, permitted: Permitted, configured: Mapping[str, Api]) -> None:
        self._http = http
        self._permitted = permitted
        self._configured = configured
        """Host -> kind and address of its API; an empty address: the usual one."""
        self._found: dict[str, Api] = {}

    async def missing(self, environment: str, host: str) -> Missing:
        """Return what a host that refused an environment waits for."""
        return await self._http.missing(environment, host)

    async def permitted(self, environment: str, url: str) -> None:
        """Raise ForgeRefused unless an environment may reach a repository's host."""
        try:
            await self._permitted(environment, target_of(url))
        except Refusal as refusal:
            raise ForgeRefused(f"{host_of(url)}: {refusal}") from refusal

    async def get(self, environment: str, repository: str, number: str) -> PullRequest:
        """Return a pull request."""
        place = await self._place(environment, repository)
        if not (number.isascii() and number.isdigit()):
            raise ForgeRefused(f"{number[:50]!r} is not the number of a pull request")
        if place.api.kind == "github":
            return _of_github(await self._got(place, f"/repos/{place.path}/pulls/{number}"))
        found = await self._got(place, f"{_project(place)}/merge_requests/{number}")
        pull = _of_gitlab(found)
        source = found.get("source_project_id")
        if source in (None, found.get("target_project_id")):
            return pull
        fork = await self._got(place, f"/projects/{int(source)}")
        return _with_repository(pull, str(fork.get("http_url_to_repo", "")))

    async def open(self, environment: str, proposal: Proposal) -> tuple[PullRequest, bool]:
        """Open a pull request once."""
        place = await self._place(environment, proposal.repository)
        if known := await self._find(place, proposal):
            return known, proposal.mark not in known.body
        try:
            said = await self._post(place, proposal)
        except ForgeUnknown as problem:
            return await self._looked_again(place, proposal, problem), False
        if said.ok and said.body is not None:
            return _read(place, said.body), False
        if known := await self._find(place, proposal):
            return known, proposal.mark not in known.body
        raise ForgeRefused(f"{place.host} did not open it, {said.reason}")

    async def _looked_again(self, place: Place, proposal: Proposal, problem: ForgeUnknown) -> PullRequest:
        """Return what a request came to whose answer was lost; raises ForgeUnknown where it is not there yet."""
        try:
            known = await self._find(place, proposal)
        except (ForgeRefused, ForgeUnknown):
            known = None
        if known is None:
            raise problem
        return known

    async def _find(self, place: Place, proposal: Proposal) -> PullRequest | None:
        """Return the open pull request from a branch into another one."""
        if place.api.kind == "github":
            owner = place.path.partition("/")[0]
            asked = {"head": f"{owner}:{proposal.head}", "base": proposal.base, "state": "open"}
            found = await self._list(place, f"/repos/{place.path}/pulls?{urlencode(asked)}")
        else:
            asked = {"source_branch": proposal.head, "target_branch": proposal.base, "state": "opened"}
            found = await self._list(place, f"{_project(place)}/merge_requests?{urlencode(asked)}")
        pulls = (_read(place, one) for one in found)
        return next((one for one in pulls if one.head == proposal.head and one.base == proposal.base), None)

    async def _post(self, place: Place, proposal: Proposal) -> Said:
        body = f"{proposal.body}\n\n<!-- {proposal.mark} -->".strip()
        if place.api.kind == "github":
            path = f"/repos/{place.path}/pulls"
            fields: Json = {"head": proposal.head, "base": proposal.base, "body": body, "title": proposal.title}
            fields = {**fields, "draft": proposal.draft}
        else:
            path = f"{_project(place)}/merge_requests"
            title = f"Draft: {proposal.title}" if proposal.draft else proposal.title
            fields = {"source_branch": proposal.head, "target_branch": proposal.base, "title": title}
            fields = {**fields, "description": body}
        return await self._http.call(place.environment, place.host, f"{place.api.url}{path}", "POST", fields)

    async def _got(self, place: Place, path: str) -> Json:
        said = await self._http.call(place.environment, place.host, f"{place.api.url}{path}")
        if said.ok and said.body is not None:
            return said.body
        raise await self._refused(place, said)

    async def _list(self, place: Place, path: str) -> Sequence[Json]:
        said = await self._http.call(place.environment, place.host, f"{place.api.url}{path}")
        if said.ok and said.rows is not None:
            return said.rows
        raise await self._refused(place, said)

    async def _refused(self, place: Place, said: Said) -> ForgeRefused:
        """Return why a host showed nothing; what is private is not found by those who show no credential."""
        if said.status in (403, 404) and await self._http.known(place.environment, place.host) is None:
            return await self._http.needed(
                place.environment, place.host, f"not authenticated: {place.host} does not show {place.path}"
            )
        return ForgeRefused(f"{place.host} refuses, {said.reason}")

    async def _place(self, environment: str, repository: str) -> Place:
        target_of(repository)
        host, path = host_of(repository), unquote(urlsplit(repository).path).strip("/").removesuffix(".git")
        api = await self._api(environment, host)
        if path.count("/") < 1 or (api.kind == "github" and path.count("/") != 1):
            raise ForgeRefused(f"{repository[:200]} is no repository of a {api.kind} host")
        return Place(environment, host, path if api.kind == "gitlab" else quote(path), api)

    async def _api(self, environment: str, host: str) -> Api:
        """Return the API of a host: as configured, by its name, or by asking it."""
        if known := self._configured.get(host):
            return Api(known.kind, known.url.rstrip("/") or _usual(known.kind, host))
        for one in KINDS:
            if one in host:
                return Api(one, _usual(one, host))
        if host not in self._found:
            self._found[host] = await self._probed(environment, host)
        return self._found[host]

    async def _probed(self, environment: str, host: str) -> Api:
        probes: tuple[tuple[Kind, str], ...] = (("gitlab", "/version"), ("github", "/meta"))
        asks: CredentialNeeded | None = None
        for kind, path in probes:
            api = Api(kind, _usual(kind, host))
            try:
                said = await self._http.call(environment, host, f"{api.url}{path}")
            except CredentialNeeded as needed:
                asks = needed
                continue
            if said.ok and said.body is not None:
                return api
        if asks is not None:
            raise asks
        raise ForgeRefused(
            f"{host} answers neither as GitHub nor as GitLab; name its kind in hostler.toml: "
            f'[forges."{host}"] with kind = "github" or "gitlab"'
        )


def _usual(kind: Kind, host: str) -> str:
    if kind == "gitlab":
        return f"https://{host}/api/v4"
    return "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"


def _project(place: Place) -> str:
    return f"/projects/{quote(place.path, safe='')}"


def _read(place: Place, body: Json) -> PullRequest:
    return _of_github(body) if place.api.kind == "github" else _of_gitlab(body)


def _part(body: Json, name: str) -> Json:
    return body.get(name) or {}


def _of_github(body: Json) -> PullRequest:
    head, base = _part(body, "head"), _part(body, "base")
    theirs, ours = _part(head, "repo"), _part(base, "repo")
    fork = theirs.get("clone_url") if theirs.get("full_name") != ours.get("full_name") else ""
    return PullRequest(
        url=str(body.get("html_url", "")),
        number=str(body.get("number", "")),
        title=str(body.get("title", "")),
        head=str(head.get("ref", "")),
        base=str(base.get("ref", "")),
        author=str(_part(body, "user").get("login", "")),
        draft=bool(body.get("draft")),
        open=body.get("state") == "open",
        body=str(body.get("body") or ""),
        head_repository=str(fork or ""),
    )


def _of_gitlab(body: Json) -> PullRequest:
    return PullRequest(
        url=str(body.get("web_url", "")),
        number=str(body.get("iid", "")),
        title=str(body.get("title", "")),
        head=str(body.get("source_branch", "")),
        base=str(body.get("target_branch", "")),
        author=str(_part(body, "author").get("username", "")),
        draft=bool(body.get("draft") or body.get("work_in_progress")),
        open=body.get("state") == "opened",
        body=str(body.get("description") or ""),
    )


def _with_repository(pull: PullRequest, url: str) -> PullRequest:
    return replace(pull, head_repository=url)
