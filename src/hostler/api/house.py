"""Hostler's own small API below /api/hostler/v1: what the command line needs and the contract has no word for.

The same credentials, the same form of errors. Documented in docs/reference.md; every answer is JSON but the diff.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from hostler.api.auth import Credentials
from hostler.api.away import Away
from hostler.api.call import current, only_admins
from hostler.api.hosts import Hosts
from hostler.api.operating import Operating, maintenance_json
from hostler.api.overview import Overview
from hostler.api.parts import ApiParts
from hostler.api.policy import PolicyDesk
from hostler.api.queue import Queue
from hostler.api.tidying import TidyingUp
from hostler.api.users import Users
from hostler.api.work import Work
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.events import Recorded, Started, encode
from hostler.core.prompts import PromptQuery
from hostler.core.state import fold
from hostler.projections.calls import calls, counters, total
from hostler.projections.invariants import check
from hostler.projections.row import project
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]
LONGEST_NAME = 100
SHOWN = 10
"""Ids that are named when a prefix fits several."""
PAGE = 5000
"""Events in one answer."""


class House:
    """The handlers; each is authenticated by `routes`."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    def routes(self) -> list[Route]:
        """Return the routes, relative to the server's root."""
        table: list[tuple[str, str, Handler]] = [
            ("GET", "/info", self.info),
            ("GET", "/doctor", self.doctor),
            ("GET", "/resolve", self.resolve),
            ("GET", "/executions/{execution}", self.execution),
            ("GET", "/executions/{execution}/log", self.log),
            ("GET", "/executions/{execution}/calls", self.calls),
            ("GET", "/executions/{execution}/replay", self.replay),
            ("GET", "/executions/{execution}/check", self.check),
            *Hosts(self._parts).routes(),
            *Away(self._parts).routes(),
            *Operating(self._parts).routes(),
            *Overview(self._parts).routes(),
            *PolicyDesk(self._parts).routes(),
            *Queue(self._parts).routes(),
            *TidyingUp(self._parts).routes(),
            *Work(self._parts).routes(),
            *Users(self._parts, self._credentials).routes(),
        ]
        return [Route(f"/api/hostler/v1{path}", self._guarded(h), methods=[m]) for m, path, h in table]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            await self._credentials.person(request)
            return await handler(request)

        return guarded

    async def info(self, request: Request) -> Response:
        """Tell who calls, and whom."""
        principal = current().principal
        default = self._parts.agents.default().agent
        return JSONResponse(
            {
                "version": self._parts.version,
                "runnerId": self._parts.runner_id,
                "organizationId": self._parts.organization_id,
                "loopback": self._parts.loopback,
                "draining": self._parts.draining(),
                "maintenance": maintenance_json(self._parts.operations.maintained()),
                "principal": {"id": principal.id, "kind": principal.kind, "name": principal.name},
                "role": principal.role,
                "admin": principal.admin,
                "agent": {"id": default.id, "name": default.name, "model": default.model},
                "agents": [{"id": a.agent.id, "name": a.agent.name} for a in self._parts.agents.all()],
                "now": stamp(self._parts.ambient.now()),
            }
        )

    async def doctor(self, request: Request) -> Response:
        """Tell how the server is doing."""
        only_admins()
        health = await self._parts.ready()
        report = await self._parts.doctor()
        return JSONResponse({"ready": health.ready, "reason": health.reason, **report})

    async def resolve(self, request: Request) -> Response:
        """Return the one id that begins with a prefix; NotFound for none, InvalidArgument for several."""
        prefix = request.query_params.get("prefix", "").lower()
        kind = request.query_params.get("kind", "execution")
        if not prefix:
            raise InvalidArgument("the beginning of an id is needed", field="prefix")
        ids = await self._with_prefix(kind, prefix)
        if prefix in ids:
            ids = [prefix]
        if not ids:
            raise NotFound(f"no {kind} has an id that begins with {prefix!r}")
        if len(ids) > 1:
            listed = ", ".join(ids[:SHOWN])
            raise InvalidArgument(f"{prefix!r} fits more than one {kind}: {listed}", field="prefix")
        return JSONResponse({"kind": kind, "id": ids[0]})

    async def _with_prefix(self, kind: str, prefix: str) -> list[str]:
        match kind:
            case "execution":
                return [row.id for row in await self._parts.executions.with_prefix(prefix, SHOWN)]
            case "environment":
                ids = [row.id for row in await self._parts.environment_rows.find()]
            case "prompt":
                ids = [prompt.id for prompt in await self._parts.prompts.find(PromptQuery(), limit=10_000)]
            case "token":
                me = current().principal
                ids = [token.id for token in await self._parts.tokens.find("" if me.admin else me.id)]
            case _:
                raise InvalidArgument("execution, environment, prompt or token", field="kind")
        return [one for one in ids if one.startswith(prefix)]

    async def execution(self, request: Request) -> Response:
        """Return what the contract has no field for: model, queue, refused hosts, base commit, the owner's state."""
        seen = await self._parts.desk.seen(_execution(request))
        row = seen.row
        more = dict(row.view.get("hostler", {}))
        return JSONResponse({"id": row.id, "phase": row.phase, "liveness": seen.liveness, "hostler": more})

    async def log(self, request: Request) -> Response:
        """Return the events of an execution behind a seq."""
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit() and len(after) < 16):
            raise InvalidArgument("the seq of an event is needed", field="after")
        events = await self._parts.desk.log(_execution(request), int(after))
        shown = [event_json(one, admin=current().principal.admin) for one in events[:PAGE]]
        return JSONResponse({"events": shown, "more": len(events) > PAGE})

    async def calls(self, request: Request) -> Response:
        """Return every model call of an execution, and the sums of what was counted and of what was guessed."""
        table = calls(await self._parts.desk.log(_execution(request)))
        return JSONResponse(
            {
                "calls": [call.to_json() for call in table],
                "total": counters(total(table)),
                "estimated": counters(total(table, estimated=True)),
            }
        )

    async def check(self, request: Request) -> Response:
        """Hold what must hold of every log against this one, and against what is answered of it."""
        only_admins()
        row = (await self._parts.desk.seen(_execution(request))).row
        log = [one for one in await self._parts.desk.log(row.id) if one.seq <= row.last_seq]
        found = await asyncio.to_thread(check, log, row.view)
        return JSONResponse({"events": len(log), "findings": [one.to_json() for one in found]})

    async def replay(self, request: Request) -> Response:
        """Rebuild the projection from the log and compare it with what the store keeps beside it."""
        row = (await self._parts.desk.seen(_execution(request))).row
        log = [one for one in await self._parts.desk.log(row.id) if one.seq <= row.last_seq]
        kept, rebuilt = _plain(row.view), _plain(project(fold(log)).view)
        differences = [
            {"path": path, "kept": one, "rebuilt": other} for path, one, other in _differences("", kept, rebuilt)
        ]
        return JSONResponse({"events": len(log), "equal": not differences, "differences": differences})


def _execution(request: Request) -> str:
    return cast("str", request.path_params["execution"]).lower()


def event_json(recorded: Recorded, *, admin: bool) -> dict[str, Any]:
    """Return an event; the agent's system prompt is shown to administrators only."""
    kind, version, body = encode(recorded.event)
    if isinstance(recorded.event, Started) and not admin:
        agent = cast("dict[str, Any]", body["agent"])
        body = {**body, "agent": {key: value for key, value in agent.items() if key != "system_prompt"}}
    return {"seq": recorded.seq, "at": stamp(recorded.at), "kind": kind, "version": version, "body": body}


def _plain(value: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(value))


def _differences(path: str, one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    """Return (path, here, there) of every leaf in which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        left, right = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        keys = sorted(left.keys() | right.keys())
        return [found for key in keys for found in _differences(f"{path}/{key}", left.get(key), right.get(key))]
    return [] if one == other else [(path or "/", one, other)]
