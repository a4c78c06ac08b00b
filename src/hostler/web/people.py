"""People, for administrators: who there is, in which role, when seen last; suspended and let in again from here."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from hostler.api.accounts import Accounts
from hostler.api.call import current, only_admins
from hostler.api.cookies import check_ours
from hostler.core.people import PersonChange
from hostler.web.site import HEADERS, Site


class PeoplePages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._accounts = Accounts(site.parts, site.credentials)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            self._site.route("/people", self.show),
            self._site.route("/people/{account}/suspend", self.suspend, ("POST",)),
            self._site.route("/people/{account}/resume", self.resume, ("POST",)),
        ]

    async def show(self, request: Request) -> Response:
        """Show everybody."""
        await self._site.credentials.person(request)
        only_admins()
        seen, tokens = dict[str, str](), dict[str, int]()
        for token in await self._site.parts.tokens.find():
            owner = token.principal.id
            tokens[owner] = tokens.get(owner, 0) + (not token.purpose)
            if token.last_used_at:
                seen[owner] = max(seen.get(owner, ""), f"{token.last_used_at:%Y-%m-%d %H:%M}")
        everybody = await self._accounts.find()
        return self._site.page("people.html", here="/people", everybody=everybody, seen=seen, tokens=tokens)

    async def suspend(self, request: Request) -> Response:
        """Suspend somebody; what he has running goes on."""
        return await self._change(request, suspended=True)

    async def resume(self, request: Request) -> Response:
        """Let somebody in again."""
        return await self._change(request, suspended=False)

    async def _change(self, request: Request, *, suspended: bool) -> Response:
        current().caller = await self._site.credentials.of(request.headers, changing=False)
        only_admins()
        check_ours(request.headers, form=True)
        await self._accounts.change(str(request.path_params["account"]), PersonChange(suspended=suspended))
        return RedirectResponse("/people", 303, headers=HEADERS)
