"""The page of all executions: who needs somebody, who works, who is done; filters that an address can carry."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from hostler.api.call import Caller, current
from hostler.core.desk import Seen
from hostler.core.errors import InvalidArgument
from hostler.core.people import PeopleQuery
from hostler.core.ports import ExecutionQuery
from hostler.core.projects import ProjectQuery
from hostler.projections.receipts import Verdict
from hostler.web.lines import Line, Names, line, short
from hostler.web.panel import VERDICTS
from hostler.web.site import HEADERS, Site, templates
from hostler.web.verdicts import Verdicts

GROUPS = (
    ("needs", "Needs input", "Somebody has to answer, decide or mend something."),
    ("working", "Working", "Nobody needs to do anything."),
    ("done", "Done", "Finished with their turn, or stopped."),
)
SHOWN = 30
"""Rows of a group on one page."""
COUNTED = 200
"""Up to this many are counted; of more, it is only said that there are more."""
MOST = 300
"""Characters of a filter."""
PATIENCE = timedelta(seconds=20)
"""How long a page that waits for news is kept waiting."""
MOMENT = timedelta(seconds=1)
"""What happens within it is shown at once together."""
TICK = 1.0
"""Seconds after which it is looked whether the page is still there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page is asked to show; empty fields do not filter."""

    text: str = ""
    agent: str = ""
    project: str = ""
    session: str = ""
    annotation: tuple[str, ...] = ()
    mine: bool = False
    group: str = ""
    before: str = ""

    @property
    def filters(self) -> dict[str, Any]:
        """Return the filters that are set, as the address carries them."""
        table = {
            "text": self.text,
            "agent": self.agent,
            "project": self.project,
            "session": self.session,
            "annotation": list(self.annotation),
            "mine": "1" if self.mine else "",
        }
        return {key: value for key, value in table.items() if value}

    def without(self, name: str, value: str = "") -> str:
        """Return the address of the page without a filter."""
        left = {key: kept for key, kept in self.filters.items() if key != name}
        if rest := [one for one in self.annotation if name == "annotation" and one != value]:
            left["annotation"] = rest
        return address(left)

    def older(self, group: str, last: str) -> str:
        """Return the address of what lies behind a row."""
        return address({**self.filters, "group": group, "before": last})

    def query(self, standing: str, me: str) -> ExecutionQuery:
        """Return what is asked of the store."""
        pairs = (one.partition("=") for one in self.annotation)
        return ExecutionQuery(
            agent_ids=(self.agent,) if self.agent else (),
            project_ids=(self.project,) if self.project else (),
            session_ids=(self.session,) if self.session else (),
            creator_ids=(me,) if self.mine else (),
            annotations={key: value for key, _, value in pairs},
            standings=(standing,),
            words=self.text,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """One of the three groups, or a page of it."""

    name: str
    title: str
    meaning: str
    count: str
    lines: Sequence[Line]
    older: str


def once(groups: Sequence[Group]) -> Sequence[Group]:
    """Return the groups with each execution once: where it was seen last, when it moved while they were read."""
    left: list[Group] = []
    known: set[str] = set()
    for group in reversed(groups):
        left.append(replace(group, lines=[line for line in group.lines if line.id not in known]))
        known.update(line.id for line in group.lines)
    return left[::-1]


def asked(request: Request) -> Asked:
    """Return what the query of a request asks for; InvalidArgument names the parameter."""
    query = request.query_params

    def text(name: str) -> str:
        value = query.get(name, "").strip()
        if len(value) > MOST:
            raise InvalidArgument(f"at most {MOST} characters", field=name)
        return value

    pairs = tuple(one.strip() for one in query.getlist("annotation") if one.strip())
    for pair in pairs:
        if not pair.partition("=")[0] or "=" not in pair or len(pair) > 10 * MOST:
            raise InvalidArgument("key=value is needed", field="annotation")
    group = text("group")
    if group and group not in [name for name, _, _ in GROUPS]:
        raise InvalidArgument("needs, working or done", field="group")
    return Asked(
        text=text("text"),
        agent=text("agent").lower(),
        project=text("project").lower(),
        session=text("session").lower(),
        annotation=pairs,
        mine=query.get("mine", "") in ("1", "on", "true"),
        group=group,
        before=text("before").lower(),
    )


def address(query: dict[str, Any]) -> str:
    """Return the page's address with a query."""
    return f"/?{urlencode(query, doseq=True)}" if query else "/"


class ExecutionPages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts = site.parts
        self._verdicts = Verdicts(site.parts.executions)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._site.route("/", self.list)]

    async def list(self, request: Request) -> Response:
        """Show all executions; with part=list only the groups, for a page that keeps itself up to date."""
        caller = await self._site.credentials.person(request)
        wanted = asked(request)
        if request.query_params.get("part") == "list":
            return await self._news(request, wanted, caller)
        names = await self._names()
        shown = await self._shown(wanted, names)
        return self._site.page(
            "executions.html",
            here="/",
            chips=self._chips(wanted, names),
            agents=[(one.agent.id, one.agent.name, one.agent.model) for one in self._parts.agents.all()],
            projects=sorted(names.projects.items(), key=lambda one: one[1].casefold()),
            may_change=caller.may_change,
            **shown,
        )

    async def _shown(self, wanted: Asked, names: Names) -> dict[str, Any]:
        groups = once([await self._group(one, wanted, names) for one in GROUPS if wanted.group in ("", one[0])])
        return {"groups": groups, "asked": wanted, "total": sum(len(group.lines) for group in groups)}

    async def _news(self, request: Request, wanted: Asked, caller: Caller) -> Response:
        """Return the groups; with wait=1 a moment after they have changed, or unchanged after a while."""
        ambient = self._parts.ambient
        end = ambient.now() + (PATIENCE if request.query_params.get("wait") == "1" else timedelta())
        async with self._parts.executions.watch() as watch:
            while True:
                answer = _part(request, await self._shown(wanted, await self._names()))
                if answer.status_code != 304 or caller.validity.over:
                    return answer
                while not await watch.changed(TICK if ambient.now() < end else 0.0):
                    if ambient.now() >= end or self._parts.draining() or await request.is_disconnected():
                        return answer
                await ambient.until(ambient.now() + MOMENT)

    async def _group(self, group: tuple[str, str, str], wanted: Asked, names: Names) -> Group:
        standing, title, meaning = group
        query = wanted.query(standing, names.me)
        rows = await self._parts.executions.find(query, wanted.before if wanted.group else "", SHOWN + 1)
        whole = len(rows) <= SHOWN and not wanted.before
        count = len(rows) if whole else await self._parts.executions.count(query, COUNTED + 1)
        now, desk = self._parts.ambient.now(), self._parts.desk
        lines = [line(Seen(row, desk.liveness(row)), names, now) for row in rows[:SHOWN]]
        if standing == "done":
            verdicts = await self._verdicts.of(rows[:SHOWN])
            lines = [_backed(one, verdicts.get(one.id)) for one in lines]
        older = wanted.older(standing, rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
        return Group(standing, title, meaning, f"{COUNTED}+" if count > COUNTED else str(count), lines, older)

    async def _names(self) -> Names:
        people = {one.id: one.name for one in await self._parts.people.find(PeopleQuery(left=True))}
        projects = {one.id: one.name for one in await self._parts.projects.find(ProjectQuery())}
        return Names(people, projects, current().principal.id)

    def _chips(self, wanted: Asked, names: Names) -> Sequence[tuple[str, str]]:
        """Return the filters that no field shows, each with the address without it."""
        chips = [(f"session {wanted.session[:8]}", wanted.without("session"))] if wanted.session else []
        chips += [(one, wanted.without("annotation", one)) for one in wanted.annotation]
        known = [one.agent.id for one in self._parts.agents.all()]
        if wanted.agent and wanted.agent not in known:
            chips.append((f"agent {wanted.agent[:8]}", wanted.without("agent")))
        if wanted.project and wanted.project not in names.projects:
            chips.append((f"project {wanted.project[:8]}", wanted.without("project")))
        return chips


def _backed(one: Line, verdict: Verdict | None) -> Line:
    """Return a row with what the log can show for its last turn."""
    if verdict is None or verdict.kind == "none":
        return one
    tone, said = VERDICTS[verdict.kind]
    return replace(one, backing=said, backing_tone=tone, backing_why=short(verdict.sentence.replace("`", "")))


def _part(request: Request, shown: dict[str, Any]) -> Response:
    """Return the groups alone; unchanged ones are not sent again (that time passes is no change)."""
    known = [replace(group, lines=[replace(one, ago="") for one in group.lines]) for group in shown["groups"]]
    headers = {**HEADERS, "etag": f'"{sha256(repr(known).encode()).hexdigest()[:24]}"'}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(templates().get_template("executions/groups.html").render(**shown), headers=headers)
