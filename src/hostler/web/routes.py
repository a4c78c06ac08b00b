"""All pages and their routes, in one table."""

from starlette.routing import BaseRoute

from hostler.api.auth import Credentials
from hostler.api.parts import ApiParts
from hostler.web.conversation import ConversationPages
from hostler.web.environments import EnvironmentPages
from hostler.web.executions import ExecutionPages
from hostler.web.people import PeoplePages
from hostler.web.prompts import PromptPages
from hostler.web.signin import SignInPages
from hostler.web.site import Site, static
from hostler.web.terminal import Terminals
from hostler.web.usage import UsagePages


def routes(parts: ApiParts, credentials: Credentials) -> list[BaseRoute]:
    """Return the routes of the pages."""
    site = Site(parts, credentials)
    return [
        static(),
        *SignInPages(site).routes(),
        *ExecutionPages(site).routes(),
        *EnvironmentPages(site).routes(),
        *Terminals(site).routes(),
        *PromptPages(site).routes(),
        *UsagePages(site).routes(),
        *PeoplePages(site).routes(),
        *ConversationPages(site).routes(),
    ]
