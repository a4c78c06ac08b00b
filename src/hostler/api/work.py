"""What an execution changed, below /api/hostler/v1: as a patch, and as the beginning of another environment."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.call import current
from hostler.api.parts import ApiParts
from hostler.core.errors import EnvironmentError_, FailedPrecondition, InvalidArgument, NotFound
from hostler.core.kept import WorkKept
from hostler.core.machines import Patch
from hostler.core.ports import EnvironmentRow

Handler = Callable[[Request], Awaitable[Response]]
MOST_DIGITS = 9
"""Of a turn's number."""


class Work:
    """The handlers; authenticated by whoever serves them."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Return (method, path, handler)."""
        return [
            ("GET", "/executions/{execution}/diff", self.diff),
            ("POST", "/executions/{execution}/applied", self.applied),
            ("POST", "/executions/{execution}/restore", self.restore),
            ("POST", "/environments", self.create),
            ("GET", "/environments/{environment}/work", self.of_environment),
        ]

    async def diff(self, request: Request) -> Response:
        """Return the changes as a patch: as they are in the environment, or as they were kept.

        Kept ones are answered when the environment is gone, or when a turn is asked for; headers say which, and
        whether the patch was cut.
        """
        execution = _execution(request)
        turn = _turn(request.query_params.get("turn", "0"))
        seen = await self._parts.desk.seen(execution)
        used: Sequence[Mapping[str, Any]] = seen.row.view.get("status", {}).get("usedEnvironments", ())
        if turn:
            return await self._kept(execution, turn)
        if not used:
            raise NotFound("the execution has no environment")
        try:
            patch = await self._parts.environments.diff(str(used[0]["environmentId"]))
        except (NotFound, FailedPrecondition, EnvironmentError_) as problem:
            try:
                return await self._kept(execution, 0)
            except FailedPrecondition:
                raise problem from None
        return self._patch(patch)

    async def _kept(self, execution: str, turn: int) -> Response:
        work, patch = await self._parts.work.diff(execution, turn)
        return self._patch(patch, work)

    def _patch(self, patch: Patch, work: WorkKept | None = None) -> Response:
        headers = {"x-hostler-cut": "true" if patch.cut else "false"}
        if work:
            headers |= {"x-hostler-kept-turn": str(work.turn), "x-hostler-kept-commit": work.commit}
        return Response(self._parts.redactor.data(patch.data), media_type="text/x-diff", headers=headers)

    async def applied(self, request: Request) -> Response:
        """Note that what is kept was brought into a repository; of anything but the last commit, nothing is noted."""
        asked = await body_of(request)
        commit = asked.get("commit", "")
        if not isinstance(commit, str) or len(commit) > 64:
            raise InvalidArgument("a commit is needed", field="commit")
        await self._parts.work.applied(_execution(request), commit)
        return JSONResponse({})

    async def restore(self, request: Request) -> Response:
        """Let an execution whose environment is gone go on in a new one made from its kept work."""
        asked = await body_of(request)
        row = await self._parts.work.restore(_execution(request), _turn(asked.get("turn", 0)), current().principal)
        return JSONResponse({"environmentId": row.id}, 201)

    async def create(self, request: Request) -> Response:
        """Make an environment from the kept work of an execution."""
        asked = await body_of(request)
        execution, name = str(asked.get("execution", "")).lower(), asked.get("class", "")
        if not execution:
            raise InvalidArgument("the execution whose work it begins with is needed", field="execution")
        known = {key: one.id for one in self._parts.classes for key in (one.id, one.name)}
        if not isinstance(name, str) or name not in {"", *known}:
            raise InvalidArgument(f"there is no class {name!r}; there are: {', '.join(known)}", field="class")
        new = await self._parts.work.new_environment(execution, _turn(asked.get("turn", 0)), known.get(name, ""))
        row = await self._parts.environments.create(new, current().principal)
        return JSONResponse({"environmentId": row.id}, 201)

    async def of_environment(self, request: Request) -> Response:
        """Return what is kept of the executions that use an environment; without any, how many files are changed."""
        environment = cast("str", request.path_params["environment"]).lower()
        found = await self._parts.environments.get(environment)
        users = await self._parts.environment_rows.users(environment)
        rows = [row for user in users if (row := await self._parts.executions.row(user)) and row.deleted_at is None]
        told = [{"id": row.id, "phase": row.phase, **_of(row.view, "kept"), **_of(row.view, "notKept")} for row in rows]
        return JSONResponse({"executions": told, "changes": 0 if rows else await self._changes(found)})

    async def _changes(self, row: EnvironmentRow) -> int:
        """Return how many files of a running environment that nobody works in differ from its head."""
        if row.phase != "running":
            return 0
        try:
            machine = await self._parts.environments.machine(row.id)
            return len((await machine.git_status()).changes)
        except (EnvironmentError_, FailedPrecondition):
            return 0


def _of(view: Mapping[str, Any], name: str) -> dict[str, Any]:
    value: Any = view.get("hostler", {}).get(name)
    return {name: value} if value else {}


def _execution(request: Request) -> str:
    return cast("str", request.path_params["execution"]).lower()


def _turn(given: Any) -> int:
    """Return the number of a turn, 0 for the last one."""
    text = str(given)
    if isinstance(given, bool) or not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        raise InvalidArgument("the number of a turn is needed", field="turn")
    return int(text)
