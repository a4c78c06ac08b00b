"""All executions at a glance, below /api/hostler/v1: what a list of them shows, in one cheap answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.execution_view import ACTIVITIES, UNDER_WAY
from hostler.api.parts import ApiParts
from hostler.core.errors import InvalidArgument
from hostler.core.ports import ExecutionQuery, Row
from hostler.projections.receipts import receipts
from hostler.projections.standing import standing
from hostler.projections.status import stamp

Handler = Callable[[Request], Awaitable[Response]]
MOST = 500
"""Executions in one answer."""
USUAL = 100
STANDINGS = ("needs", "working", "done")
STATUS = (
    *("phase", "failureMessage", "failureReason", "currentActivity", "iterations", "inputTokensUsed"),
    *("cachedInputTokensUsed", "cachedCreationTokensUsed", "outputTokensUsed"),
)
MORE = (
    *("agent", "model", "turn", "turnSince", "limit", "openQuestions", "nextSteps", "refusedHosts"),
    *("needsCredential", "pullRequests", "queue", "kept"),
    "waits",
)


class Overview:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [
            ("GET", "/executions", self.list),
            ("GET", "/executions/{execution}/receipts", self.receipts),
        ]

    async def list(self, request: Request) -> Response:
        """Return executions, newest first, behind the id `before`; `more` says whether there are others.

        `standing` names one of the three, or several with commas between them; all otherwise.
        """
        limit = _limit(request.query_params.get("limit", str(USUAL)))
        before = request.query_params.get("before", "").lower()
        standings = _standings(request.query_params.get("standing", ""))
        rows = await self._parts.executions.find(ExecutionQuery(standings=standings), before, limit + 1)
        shown = [self._entry(row) for row in rows[:limit]]
        return JSONResponse({"executions": shown, "more": len(rows) > limit, "now": stamp(self._parts.ambient.now())})

    async def receipts(self, request: Request) -> Response:
        """Return which commands ran and how they ended, which files changed, and whether "done" is backed by checks."""
        execution = cast("str", request.path_params["execution"]).lower()
        await self._parts.desk.seen(execution)
        return JSONResponse(receipts(await self._parts.desk.log(execution)).to_json())

    def _entry(self, row: Row) -> dict[str, Any]:
        metadata, spec, status, more = (_part(row.view, name) for name in ("metadata", "spec", "status", "hostler"))
        told = {key: status[key] for key in STATUS if key in status}
        liveness = self._parts.desk.liveness(row)
        if row.phase in UNDER_WAY and (activity := ACTIVITIES.get(liveness)):
            told["currentActivity"] = activity
        place = standing(row.view)
        return {
            "id": row.id,
            "standing": place,
            "waitingFor": waiting_for(row.view) if place == "needs" else "",
            "metadata": {key: metadata[key] for key in ("name", "createdAt", "updatedAt") if key in metadata},
            "limits": spec.get("limits", {}),
            "agentId": spec.get("agentId", ""),
            "status": told,
            "waitingSince": _part(status, "waitingInfo").get("waitingSince"),
            "hostler": {key: more[key] for key in MORE if more.get(key)},
            "parent": str(_part(more, "tree").get("parent", "")),
        }


def waiting_for(view: Mapping[str, Any]) -> str:
    """Return in one line what an execution wants of a person; empty when it wants nothing."""
    status, more = _part(view, "status"), _part(view, "hostler")
    questions: Sequence[Mapping[str, Any]] = more.get("openQuestions") or ()
    hosts: Sequence[str] = more.get("refusedHosts") or ()
    if questions:
        return f"an answer: {questions[0].get('text', '')}".partition("\n")[0]
    if needs := more.get("needsCredential"):
        return f"a credential for {', '.join(str(one.get('host', '')) for one in needs)}"
    if status.get("failureMessage"):
        return str(status["failureMessage"]).partition("\n")[0]
    return f"access to {', '.join(hosts)}" if hosts else ""


def _part(view: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return view.get(name) or {}


def _standings(text: str) -> Sequence[str]:
    given = text.split(",") if text else []
    if any(one not in STANDINGS for one in given):
        raise InvalidArgument(f"known are {', '.join(STANDINGS)}", field="standing")
    return given


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MOST):
        raise InvalidArgument(f"a number from 1 to {MOST} is needed", field="limit")
    return int(text)
