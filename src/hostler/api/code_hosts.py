"""What is known of code hosts: how their names are written, and how to get a token there."""

import re

from hostler.contract.gitpod.v1.runner_pb import CheckAuthenticationForHostResponse
from hostler.core.errors import InvalidArgument

PersonalTokens = CheckAuthenticationForHostResponse.AuthenticationMethodPersonalAccessToken
HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[1-9]\d{0,4})?")
NAMES = {"github": "GitHub", "gitlab": "GitLab", "bitbucket": "Bitbucket", "azuredevops": "Azure DevOps"}
PAGES = {
    "github": ("/settings/tokens", "ghp_…", ("repo",)),
    "gitlab": ("/-/user_settings/personal_access_tokens", "glpat-…", ("read_repository", "write_repository")),
    "bitbucket": ("/account/settings/app-passwords/", "", ("repository:write",)),
    "azuredevops": ("/_usersSettings/tokens", "", ("vso.code_write",)),
}


def host_key(given: str, field: str) -> str:
    """Return a host as it is kept: HOST, or HOST:PORT for another port than 443, in small letters."""
    host = given.strip().lower().removesuffix(".").removesuffix(":443")
    if not HOST.fullmatch(host):
        raise InvalidArgument("the name of a host is needed, such as github.com or git.example:8443", field=field)
    if int(host.partition(":")[2] or 1) > 65535:
        raise InvalidArgument("ports end at 65535", field=field)
    return host


def scm_named(host: str) -> tuple[str, str]:
    """Return the kind of a code host and its name for people, as far as the host's name tells."""
    name = host.partition(":")[0]
    if name == "dev.azure.com" or name.endswith(".visualstudio.com"):
        return "azuredevops", NAMES["azuredevops"]
    for scm in ("github", "gitlab", "bitbucket"):
        if scm in name:
            return scm, NAMES[scm]
    return "git", host


def personal_tokens(host: str, scm: str) -> PersonalTokens:
    """Return where to make a token and what it must allow."""
    page, example, scopes = PAGES.get(scm, ("", "", ()))
    return PersonalTokens(
        create_url=f"https://{host}{page}" if page else "", example=example, required_scopes=list(scopes)
    )
