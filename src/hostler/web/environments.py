"""The pages of environments: all of them, and one with its terminal, what changed in it, and its log."""

import asyncio
import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute

from hostler.api.environment_view import author_of
from hostler.core.desk import Seen
from hostler.core.errors import EnvironmentError_, FailedPrecondition, InvalidArgument, NotFound
from hostler.core.people import PeopleQuery
from hostler.core.ports import EnvironmentRow, Row
from hostler.core.projects import ProjectQuery
from hostler.projections.changes import of_patch
from hostler.web import places
from hostler.web.lines import Line, Names, line
from hostler.web.rendering import diff
from hostler.web.site import HEADERS, Site
from hostler.web.words import plain

SHOWN = 50
"""Environments on one page."""
PACKAGE, FOLDER = "nicegui", "elements/xterm/dist"
"""The package whose wheel carries xterm.js; it is never imported."""
XTERM = {"index.js": "text/javascript", "xterm.css": "text/css"}
TABS = ("overview", "terminal", "changes", "log")
MOST_FILES = 200
"""Changed files that are shown."""
MOST_ROWS = 400
"""Lines of one file's change that are shown."""
STATES = ("running", "stopped", "archived")


class EnvironmentPages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts = site.parts
        self._classes = {one.id: one for one in site.parts.classes}

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._site.route("/environments", self.list),
            self._site.route("/environments/{environment}", self.one),
            self._site.route("/xterm/{name}", self.xterm),
        ]

    async def list(self, request: Request) -> Response:
        """Show all environments, newest first."""
        caller = await self._site.credentials.person(request)
        query = request.query_params
        state, text, before = (query.get(name, "").strip() for name in ("state", "text", "before"))
        if state and state not in STATES:
            raise InvalidArgument(", ".join(STATES), field="state")
        rows = [row for row in await self._parts.environment_rows.find() if _matches(row, state, text)]
        page = [row for row in rows if not before or row.id < before.lower()]
        now = self._parts.ambient.now()
        shown = [
            (places.place(row, self._classes, now), await self._parts.environment_rows.users(row.id))
            for row in page[:SHOWN]
        ]
        return self._site.page(
            "environments.html",
            here="/environments",
            rows=[(one, self._lines(await self._rows(users))) for one, users in shown],
            older=page[SHOWN - 1].id if len(page) > SHOWN else "",
            total=len(rows),
            state=state,
            text=text,
            may_change=caller.may_change,
        )

    async def one(self, request: Request) -> Response:
        """Show one environment: an overview, its terminal, what changed in it, or its log."""
        caller = await self._site.credentials.person(request)
        environment = cast("str", request.path_params["environment"]).lower()
        row = await self._parts.environments.get(environment)
        tab = request.query_params.get("show", "overview")
        if tab not in TABS:
            raise InvalidArgument(", ".join(TABS), field="show")
        rows = await self._rows(await self._parts.environment_rows.users(environment))
        shown: dict[str, Any] = {
            "here": "/environments",
            "one": places.place(row, self._classes, self._parts.ambient.now()),
            "tab": tab,
            "tabs": TABS,
            "users": self._lines(rows),
            "may_change": caller.may_change,
            "lost": _lost(row),
        }
        match tab:
            case "overview":
                shown |= {**await self._overview(row), "refused": places.refused(rows)}
            case "terminal":
                shown |= {"xterm": xterm_version() if row.phase == "running" else ""}
            case "changes":
                shown |= await self._changes(row)
            case _:
                pass
        styles = "'unsafe-inline'" if shown.get("xterm") else ""
        return self._site.page("environment.html", styles=styles, **shown)

    async def xterm(self, request: Request) -> Response:
        """Return a file of xterm.js from the package that carries it."""
        name, folder = cast("str", request.path_params["name"]), xterm_folder()
        if name not in XTERM or folder is None:
            raise NotFound("xterm.js is not installed")
        headers = {**HEADERS, "cache-control": "max-age=31536000, immutable"}
        return FileResponse(folder / name, media_type=XTERM[name], headers=headers)

    async def _overview(self, row: EnvironmentRow) -> dict[str, Any]:
        size = self._classes.get(row.class_id)
        projects = {one.id: one.name for one in await self._parts.projects.find(ProjectQuery())}
        project = str(row.spec.get("project", ""))
        people = {one.id: one.name for one in await self._parts.people.find(PeopleQuery(left=True))}
        idle = row.spec.get("idle")
        container: Mapping[str, Any] = row.status.get("devcontainer") or {}
        return {
            "protections": places.protections(self._parts.environments.protections(row), size),
            "steps": places.steps(row),
            "remarks": places.remarks(row),
            "hosts": places.hosts(await self._parts.hosts.of_environment(row.id)),
            "project": plain(projects.get(project, project)),
            "author": author_of(row) or ("", ""),
            "creator": people.get(row.creator_id, row.creator_id[:8]),
            "branch": plain(str(row.status.get("branch") or "")),
            "base": plain(str(row.status.get("base") or "")),
            "idle_minutes": round((size.idle_seconds if size and idle is None else float(idle or 0)) / 60),
            "started": plain(str(row.status.get("started_at") or "")),
            "container": plain(str(container.get("path") or "")),
        }

    async def _changes(self, row: EnvironmentRow) -> dict[str, Any]:
        if row.phase != "running":
            return {"files": [], "cut": False, "problem": ""}
        try:
            patch = await self._parts.environments.diff(row.id)
        except (EnvironmentError_, FailedPrecondition) as problem:
            return {"files": [], "cut": False, "problem": problem.message}
        files = await asyncio.to_thread(of_patch, self._parts.redactor.data(patch.data).decode(errors="replace"))
        if files is None:
            return {"files": [], "cut": False, "problem": "the change cannot be shown; `git diff` in the terminal can"}
        shown = [(one, await asyncio.to_thread(diff, one.hunks, one.path, MOST_ROWS)) for one in files[:MOST_FILES]]
        return {"files": shown, "cut": patch.cut, "problem": "", "count": len(files), "more": len(files) - len(shown)}

    async def _rows(self, executions: Sequence[str]) -> Sequence[Row]:
        """Return the executions that use an environment."""
        found = [await self._parts.executions.row(one) for one in executions]
        return [row for row in found if row is not None and row.deleted_at is None]

    def _lines(self, rows: Sequence[Row]) -> Sequence[Line]:
        now, desk, names = self._parts.ambient.now(), self._parts.desk, Names({}, {}, "")
        return [line(Seen(row, desk.liveness(row)), names, now) for row in rows]


def _lost(row: EnvironmentRow) -> str:
    """Return what is said before somebody deletes it."""
    runs = " and everything that runs in it" if row.phase == "running" else ""
    return f"Its files{runs} are removed. What executions kept of their work stays with them."


def _matches(row: EnvironmentRow, state: str, text: str) -> bool:
    archived = bool(row.status.get("archived_at"))
    if row.phase == "deleted" or archived != (state == "archived"):
        return False
    if state == "stopped" and row.phase not in ("stopping", "stopped"):
        return False
    if state == "running" and row.phase in ("stopping", "stopped", "deleting"):
        return False
    return text.casefold() in f"{row.name}\n{places.address(row)}".casefold() or row.id.startswith(text.lower())


@cache
def xterm_folder() -> Path | None:
    """Return the folder with xterm.js; None where the package is not installed. Nothing is imported."""
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(place) / FOLDER for place in (spec.submodule_search_locations or ())] if spec else []
    return next((folder for folder in folders if all((folder / name).is_file() for name in XTERM)), None)


@cache
def xterm_version() -> str:
    """Return the version of the package that carries xterm.js; empty without it."""
    try:
        return version(PACKAGE) if xterm_folder() else ""
    except PackageNotFoundError:
        return "unknown"
