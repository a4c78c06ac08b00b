"""The pages of the prompt library: all prompts, and one in an editor."""

from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from hostler.api.hidden_text import clean
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.prompts import Prompt, PromptQuery
from hostler.web.lines import ago
from hostler.web.site import Site
from hostler.web.words import iso

SHOWN = 50
"""Prompts on one page."""
LIMITS = {"name": 255, "description": 500, "prompt": 20_000, "command": 50}
"""Characters that the contract allows."""
LONGEST_SEARCH = 256
KINDS = ("command", "skill", "template")


class PromptPages:
    """The handlers; changes go to the RPCs of the library."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._prompts = site.parts.prompts

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._site.route("/prompts", self.list),
            self._site.route("/prompts/new", self.new),
            self._site.route("/prompts/{prompt}", self.one),
        ]

    async def list(self, request: Request) -> Response:
        """Show all prompts, newest first."""
        caller = await self._site.credentials.person(request)
        text, kind, before = (request.query_params.get(name, "").strip() for name in ("text", "kind", "before"))
        if kind and kind not in KINDS:
            raise InvalidArgument(", ".join(KINDS), field="kind")
        if len(text) > LONGEST_SEARCH:
            raise InvalidArgument(f"at most {LONGEST_SEARCH} characters", field="text")
        query = PromptQuery(
            is_template=kind == "template", is_command=kind == "command", is_skill=kind == "skill", search=text
        )
        found = await self._prompts.find(query, before.lower(), SHOWN + 1)
        now = self._site.parts.ambient.now()
        return self._site.page(
            "prompts.html",
            here="/prompts",
            rows=[(one, iso(one.updated_at), ago((now - one.updated_at).total_seconds())) for one in found[:SHOWN]],
            older=found[SHOWN - 1].id if len(found) > SHOWN else "",
            text=text,
            kind=kind,
            kinds=KINDS,
            may_change=caller.may_change,
        )

    async def new(self, request: Request) -> Response:
        """Show an empty editor."""
        caller = await self._site.credentials.person(request)
        return self._editor(None, may_change=caller.may_change)

    async def one(self, request: Request) -> Response:
        """Show one prompt in the editor."""
        caller = await self._site.credentials.person(request)
        prompt = await self._prompts.get(cast("str", request.path_params["prompt"]).lower())
        if prompt is None:
            raise NotFound("there is no such prompt")
        return self._editor(prompt, may_change=caller.may_change)

    def _editor(self, prompt: Prompt | None, *, may_change: bool) -> Response:
        hidden = clean(prompt.prompt).removed if prompt else 0
        return self._site.page(
            "prompt.html", here="/prompts", prompt=prompt, limits=LIMITS, may_change=may_change, hidden=hidden
        )
