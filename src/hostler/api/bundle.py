"""The support bundle of an execution: one archive with all that somebody who is to help would ask for.

Each part stands for itself: one that fails becomes a line in errors.txt and the others are there all the same. All of
it passes the redactor once more on its way out.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hostler.api.archive import Entry, whole, zipped
from hostler.api.auth import Credentials
from hostler.api.bundle_readme import README
from hostler.api.call import Caller
from hostler.api.codec import to_json
from hostler.api.execution_view import execution_of
from hostler.api.family import log_of
from hostler.api.house import event_json
from hostler.api.parts import ApiParts
from hostler.api.transcript import HEADERS
from hostler.core.desk import Seen
from hostler.core.errors import HostlerError, NotFound, PermissionDenied
from hostler.core.ports import EnvironmentRow
from hostler.core.state import fold
from hostler.projections.calls import calls, counters, total
from hostler.projections.row import project

log = structlog.get_logger(__name__)
PATIENCE = 20.0
"""Seconds that one piece of a part may take."""
TAIL = 5000
"""Entries of an environment's log that are put in, the last ones."""
LOG_PAGE = 1000
Part = Callable[["Bundle"], AsyncGenerator[bytes]]


@dataclass(slots=True)
class Bundle:
    """One bundle while it is made."""

    parts: ApiParts
    seen: Seen
    admin: bool
    errors: list[str] = field(default_factory=list[str])

    @property
    def execution(self) -> str:
        """Return whose bundle it is."""
        return self.seen.row.id

    @property
    def environments(self) -> tuple[str, ...]:
        """Return the environments that the execution has used."""
        used = self.seen.row.view.get("status", {}).get("usedEnvironments", ())
        return tuple(str(one["environmentId"]) for one in used)

    def clean(self, value: object) -> bytes:
        """Return a value as JSON for people, without secrets."""
        return json.dumps(self.parts.redactor.json(value), indent=2, ensure_ascii=False, default=str).encode() + b"\n"


class Bundles:
    """Serves GET /api/executions/ID/bundle."""

    def __init__(self, parts: ApiParts, credentials: Credentials) -> None:
        self._parts = parts
        self._credentials = credentials

    async def serve(self, request: Request) -> Response:
        """Answer with a bundle."""
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._credentials.viewer(request, execution)
        seen = await self._parts.desk.seen(execution)
        _only_owners(caller, seen)
        bundle = Bundle(self._parts, seen, caller.principal.admin)
        name = f"support-{execution[:8]}"
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}.zip"'}
        archive = zipped(name, _entries(bundle), self._parts.ambient.now())
        return StreamingResponse(archive, media_type="application/zip", headers=headers)


def _only_owners(caller: Caller, seen: Seen) -> None:
    """Refuse everybody but administrators and who started the execution, with a credential of their own."""
    creator = seen.row.view.get("metadata", {}).get("creator", {}).get("id", "")
    if caller.only or not (caller.principal.admin or caller.principal.id == creator):
        raise PermissionDenied("a support bundle is for administrators and for who started the execution")


async def _entries(bundle: Bundle) -> AsyncGenerator[Entry]:
    yield Entry("README.txt", whole(README.encode()))
    for name, part in PARTS.items():
        yield Entry(name, _guarded(bundle, name, part))
    if bundle.errors:
        yield Entry("errors.txt", whole("".join(f"{line}\n" for line in bundle.errors).encode()))


async def _guarded(bundle: Bundle, name: str, part: Part) -> AsyncGenerator[bytes]:
    """Yield a part; what goes wrong with it is said in errors.txt, and in the server's log."""
    pieces = part(bundle)
    try:
        while True:
            async with asyncio.timeout(PATIENCE):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    except Exception as problem:  # noqa: BLE001 whatever it was, the other parts are wanted
        said = problem.message if isinstance(problem, HostlerError) else f"{type(problem).__name__}: {problem}"
        bundle.errors.append(bundle.parts.redactor.text(f"{name}: {said}".replace("\n", " ")))
        log.warning("a part of a support bundle failed", part=name, execution=bundle.execution, problem=repr(problem))
    finally:
        await pieces.aclose()


async def _log(bundle: Bundle) -> AsyncGenerator[bytes]:
    def written(page: Any) -> bytes:
        clean = bundle.parts.redactor.json
        shown = (clean(event_json(one, admin=bundle.admin)) for one in page)
        return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in shown)

    async for page in log_of(bundle.parts, bundle.execution):
        yield await asyncio.to_thread(written, page)


async def _status(bundle: Bundle) -> AsyncGenerator[bytes]:
    yield bundle.clean(to_json(execution_of(bundle.seen)))


async def _row(bundle: Bundle) -> AsyncGenerator[bytes]:
    """Yield the row, and whether it is what the log says."""
    row = asdict(bundle.seen.row)
    upto = [one async for page in log_of(bundle.parts, bundle.execution, bundle.seen.row.last_seq) for one in page]
    rebuilt = await asyncio.to_thread(lambda: project(fold(upto)).view)
    same = json.dumps(rebuilt, default=str) == json.dumps(row["view"], default=str)
    yield bundle.clean({**row, "liveness": bundle.seen.liveness, "same_as_log": same})


async def _calls(bundle: Bundle) -> AsyncGenerator[bytes]:
    table = calls([one async for page in log_of(bundle.parts, bundle.execution) for one in page])
    sums = {"total": counters(total(table)), "estimated": counters(total(table, estimated=True))}
    yield bundle.clean({"calls": [call.to_json() for call in table], **sums})


async def _versions(bundle: Bundle) -> AsyncGenerator[bytes]:
    known = await bundle.parts.support.versions()
    yield bundle.clean({"hostler": bundle.parts.version, "runner": bundle.parts.runner_id, **known})


async def _settings(bundle: Bundle) -> AsyncGenerator[bytes]:
    yield bundle.clean(bundle.parts.support.settings(admin=bundle.admin))


async def _doctor(bundle: Bundle) -> AsyncGenerator[bytes]:
    health = await bundle.parts.ready()
    yield bundle.clean({"ready": health.ready, "reason": health.reason, **await bundle.parts.doctor()})


async def _environment(bundle: Bundle) -> AsyncGenerator[bytes]:
    told: list[Mapping[str, Any]] = []
    for environment in bundle.environments:
        try:
            row = await bundle.parts.environments.get(environment)
            told.append(_facts(bundle, row))
        except NotFound:
            told.append({"id": environment, "gone": True})
    yield bundle.clean(told)


def _facts(bundle: Bundle, row: EnvironmentRow) -> Mapping[str, Any]:
    """Return what is known of an environment: its row, its class and which of its limits hold."""
    cls = next((one for one in bundle.parts.classes if one.id == row.class_id), None)
    return {
        **_nameless({**asdict(row), "class": asdict(cls) if cls else None}),
        "protections": list(bundle.parts.environments.protections(row)),
    }


def _nameless(value: Any) -> Any:
    """Return JSON in which variables are only named: people put keys into them."""
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        return {key: _names(one) if "variables" in key.lower() else _nameless(one) for key, one in given.items()}
    if isinstance(value, list | tuple):
        return [_nameless(one) for one in cast("list[Any]", value)]
    return value


def _names(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted(cast("dict[str, Any]", value))
    if isinstance(value, list | tuple):
        named = [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]
        return [str(one.get("name", "")) for one in named]
    return value


async def _environment_log(bundle: Bundle) -> AsyncGenerator[bytes]:
    for environment in bundle.environments:
        try:
            lines = await _tail(bundle.parts, environment)
        except NotFound:
            lines = ["(the environment is gone, and its log with it)\n"]
        text = bundle.parts.redactor.text("".join([f"--- environment {environment}\n", *lines, "\n"]))
        yield text.encode()


async def _tail(parts: ApiParts, environment: str) -> list[str]:
    entries: list[str] = []
    after = 0
    while page := await parts.environments.log(environment, after, LOG_PAGE):
        entries = [*entries, *(one.text for one in page)][-TAIL:]
        after = page[-1].seq
    return entries


async def _server_log(bundle: Bundle) -> AsyncGenerator[bytes]:
    """Yield the server's last lines; others than administrators get those about this execution."""
    naming = () if bundle.admin else (bundle.execution, *bundle.environments)
    text = "".join(f"{line}\n" for line in bundle.parts.support.server_log(*naming))
    yield bundle.parts.redactor.text(text).encode()


PARTS: Mapping[str, Part] = {
    "status.json": _status,
    "log.jsonl": _log,
    "row.json": _row,
    "calls.json": _calls,
    "environment.json": _environment,
    "environment-log.txt": _environment_log,
    "versions.json": _versions,
    "settings.json": _settings,
    "doctor.json": _doctor,
    "server-log.jsonl": _server_log,
}
