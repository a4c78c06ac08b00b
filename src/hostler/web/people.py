"""People, for administrators: who there is, in which role, when seen last."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from hostler.api.accounts import Accounts
from hostler.api.call import only_admins
from hostler.web.site import Site


class PeoplePages:
    """The handlers."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._accounts = Accounts(site.parts, site.credentials)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [self._site.route("/people", self.show)]

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
