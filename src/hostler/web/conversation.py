"""The page of one conversation, its live stream, and the fragments that it asks for."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from hostler.api.broadcast import Channels
from hostler.api.call import Caller, current
from hostler.api.live import watch
from hostler.api.parts import ApiParts
from hostler.api.sighted import unbound
from hostler.api.work import Work
from hostler.core.desk import Seen
from hostler.core.errors import EnvironmentError_, FailedPrecondition, NotFound
from hostler.core.events import InputQueued, Recorded
from hostler.projections.changes import of_patch
from hostler.projections.items import Action, AnyItem, FileChanged, UserInput
from hostler.projections.telling_inputs import parts_of
from hostler.web.page_form import PageForm
from hostler.web.panel import Panel, panel
from hostler.web.pictures import picture
from hostler.web.readings import Reading, Readings
from hostler.web.rendering import Ways, diff, prepared, render, whole_output
from hostler.web.site import HEADERS, Site

TAIL = 60
"""Items that a page shows at first, and that are loaded at a time."""
LONGEST = 1 << 20
"""Characters of an output that are shown in the page."""
BODY = "<!--body-->"
"""Where the page's template leaves a place for what needs the conversation to be read."""
SLOW = 800
"""Events that take so long to read that the page begins without them."""
FRAGMENTS = ("glance", "more", "queue", "controls")


class ConversationPages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._parts: ApiParts = site.parts
        self._readings = Readings(site.parts)
        self._channels = Channels(unbound(site.parts))
        prepared()

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        at = "/executions/{execution}"
        return [
            self._site.route(at, self.page),
            Route(f"{at}/events", endpoint=_Raw(self), methods=["GET"]),
            self._site.route(f"{at}/panel", self.panel),
            self._site.route(f"{at}/changes", self.changes),
            self._site.route(f"{at}/earlier", self.earlier),
            self._site.route(f"{at}/tail", self.tail),
            self._site.route(f"{at}/items/{{item}}", self.item),
            self._site.route(f"{at}/items/{{item}}/images/{{number:int}}", self.image),
        ]

    async def _look(self, request: Request) -> tuple[Caller, Seen, Reading]:
        """Return who looks, and the conversation as it is now."""
        caller, seen = await self._who(request)
        return caller, seen, await self._readings.of(seen.row.id)

    async def _who(self, request: Request) -> tuple[Caller, Seen]:
        """Return who looks, and at what."""
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._site.credentials.viewer(request, execution, needs="see")
        if request.query_params.get("as") == "visitor" and caller.may("control"):
            caller = current().caller = caller.visitor(execution)
        return caller, await self._parts.desk.seen(execution)

    async def page(self, request: Request) -> Response:
        """Show the conversation, from its tail; of a long one that was not read lately the head comes at once."""
        caller, seen = await self._who(request)
        preview = request.query_params.get("as") == "visitor"
        page = self._site.page("conversation/page.html", about=_about(seen), who=caller, preview=preview)
        head, _, foot = bytes(page.body).decode().partition(BODY)
        whole = request.query_params.get("all") == "1"
        if seen.row.last_seq - self._readings.begun(seen.row.id).line.seq < SLOW:
            return HTMLResponse(head + await self._body(caller, seen, whole=whole) + foot, headers=_kept(page))

        async def pieces() -> AsyncIterator[str]:
            yield head
            yield await self._body(caller, seen, whole=whole)
            yield foot

        return StreamingResponse(pieces(), headers=_kept(page), media_type="text/html")

    async def _body(self, caller: Caller, seen: Seen, *, whole: bool) -> str:
        reading = await self._readings.of(seen.row.id)
        shown = await self._shown(caller, seen, reading)
        items, seq = reading.line.items, reading.line.seq  # both of one moment: it may go on while they are rendered
        tail = len(items) if whole else TAIL
        rendered = await asyncio.to_thread(render, items[-tail:], self._ways(caller, seen))
        return str(
            prepared()
            .get_template("conversation/body.html")
            .render(
                **shown,
                items=rendered,
                first=items[-tail].id if len(items) > tail else "",
                earlier=max(0, len(items) - tail),
                seq=seq,
            )
        )

    async def panel(self, request: Request) -> Response:
        """Return what stands beside the conversation, anew."""
        caller, seen, reading = await self._look(request)
        shown = await self._shown(caller, seen, reading)
        module: Any = prepared().get_template("conversation/panel.html").module
        told: Panel = shown["panel"]
        html = {name: str(getattr(module, name)(told, shown["about"], caller)).strip() for name in FRAGMENTS}
        said = {
            "name": shown["about"]["name"],
            "word": told.stands.word,
            "tone": told.stands.tone,
            "running": told.controls.running,
        }
        return JSONResponse({"seq": reading.line.seq, "html": html, **said}, headers=HEADERS)

    async def _shown(self, caller: Caller, seen: Seen, reading: Reading) -> dict[str, Any]:
        return {"panel": await panel(self._parts, reading, seen, caller), "about": _about(seen), "who": caller}

    def _ways(self, caller: Caller, seen: Seen) -> Ways:
        return Ways(f"/executions/{seen.row.id}", inspect=caller.may("inspect"))

    async def changes(self, request: Request) -> Response:
        """Show what differs in the workspace, file by file."""
        execution = cast("str", request.path_params["execution"]).lower()
        await self._site.credentials.viewer(request, execution, needs="inspect")
        seen = await self._parts.desk.seen(execution)
        problem, patch, headers = "", "", {}
        try:
            answer = await Work(self._parts).diff(request)
            patch, headers = bytes(answer.body).decode(errors="replace"), dict(answer.headers)
        except (NotFound, FailedPrecondition, EnvironmentError_) as refused:
            problem = refused.message
        files = await asyncio.to_thread(of_patch, patch)
        return await asyncio.to_thread(
            self._site.page,
            "conversation/changes.html",
            about=_about(seen),
            files=files if files is not None else (),
            unread=patch if files is None else "",
            problem=problem,
            cut=headers.get("x-hostler-cut") == "true",
            kept=headers.get("x-hostler-kept-turn", ""),
            turn=request.query_params.get("turn", ""),
            diff=diff,
        )

    async def earlier(self, request: Request) -> Response:
        """Return the items before one."""
        caller, seen, reading = await self._look(request)
        items = reading.line.items
        before = request.query_params.get("before", "")
        at = next((number for number, one in enumerate(items) if one.id == before), -1)
        if at < 0:
            raise NotFound("there is no such item")
        part = items[max(0, at - TAIL) : at]
        return await self._fragment(part, caller, seen, more=max(0, at - TAIL))

    async def tail(self, request: Request) -> Response:
        """Return the last items, for a page that lost its place; the header says at which event they stand."""
        caller, seen, reading = await self._look(request)
        items, seq = reading.line.items, reading.line.seq
        answer = await self._fragment(items[-TAIL:], caller, seen, more=max(0, len(items) - TAIL))
        answer.headers["x-seq"] = str(seq)
        return answer

    async def _fragment(self, items: Sequence[AnyItem], caller: Caller, seen: Seen, more: int) -> HTMLResponse:
        html = str(await asyncio.to_thread(render, items, self._ways(caller, seen)))
        return HTMLResponse(html, headers={**HEADERS, "x-more": str(more), "x-first": items[0].id if items else ""})

    async def item(self, request: Request) -> Response:
        """Return all of an item that is shown cut."""
        _, _, reading = await self._look(request)
        match reading.line.item(request.path_params["item"]):
            case Action() as action:
                html = str(await asyncio.to_thread(whole_output, await self._output(action, reading.line.execution)))
            case FileChanged() as changed:
                rows = sum(map(len, changed.hunks))
                html = str(await asyncio.to_thread(diff, changed.hunks, changed.path, rows))
            case _:
                raise NotFound("there is no such item")
        return HTMLResponse(html, headers=HEADERS)

    async def _output(self, action: Action, execution: str) -> str:
        data = await self._parts.blobs.get(action.blob, execution) if action.blob else None
        text = self._parts.redactor.text(data.decode(errors="replace")) if data is not None else action.output
        return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… ({len(text) - LONGEST} more characters)"

    async def image(self, request: Request) -> Response:
        """Return an image that was sent; it is read from the event that its item is named by."""
        _, _, reading = await self._look(request)
        item, number = str(request.path_params["item"]), int(request.path_params["number"])
        found = next((one for one in (reading.line.item(item), *reading.line.waiting) if one and one.id == item), None)
        if not isinstance(found, UserInput) or number >= len(found.pictures):
            raise NotFound("there is no such image")
        match await self._parts.executions.read(reading.line.execution, int(item.rpartition("-")[2]) - 1, 1):
            case (Recorded(event=InputQueued(block=block)),):
                return picture(parts_of(block)[1][number])
            case _:
                raise NotFound("there is no such image")

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the conversation to one page."""
        request = Request(scope, receive)
        execution = cast("str", request.path_params["execution"]).lower()
        caller = await self._site.credentials.viewer(request, execution, needs="see")
        await watch(self._channels.of(execution, "page", self._form), request, caller, send, follow=True)

    def _form(self, execution: str) -> PageForm:
        return PageForm(execution, self._readings.begun(execution))


def _about(seen: Seen) -> dict[str, Any]:
    """Return what does not change of an execution."""
    metadata: dict[str, Any] = seen.row.view.get("metadata", {})
    more: dict[str, Any] = seen.row.view.get("hostler", {})
    return {
        "id": seen.row.id,
        "name": metadata.get("name") or "Conversation",
        "agent": more.get("agent", ""),
        "model": more.get("model", ""),
        "creator": metadata.get("creator", {}),
        "created": metadata.get("createdAt", ""),
        "base": f"/executions/{seen.row.id}",
    }


def _kept(page: Response) -> dict[str, str]:
    """Return the headers of a page, for another answer in its place."""
    return {name: value for name, value in page.headers.items() if name not in ("content-length", "content-type")}


class _Raw:
    """An ASGI application for a route."""

    def __init__(self, pages: ConversationPages) -> None:
        self._pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await self._pages.events(scope, receive, send)
