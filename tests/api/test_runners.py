"""This machine as a runner, context URLs, and credentials for code hosts."""

from datetime import timedelta
from typing import Any

import pytest

from hostler.testing.desk import RUNNER
from hostler.testing.desk_projects import MemoryHostTokens, MemoryLogins
from tests.api.conftest import BOT, CLASSES, OWNER, Api

R, C = "gitpod.v1.RunnerService", "gitpod.v1.RunnerConfigurationService"
NOBODY = "99999999-9999-4999-8999-999999999999"
TOKEN = "ghp_0123456789abcdef"
HASH = "0123456789abcdef0123456789abcdef01234567"


def logins(api: Api) -> MemoryLogins:
    assert isinstance(api.parts.logins, MemoryLogins)
    return api.parts.logins


async def kept(api: Api, host: str = "github.com", **more: Any) -> dict[str, Any]:
    body = {"runnerId": RUNNER, "host": host, "token": TOKEN, "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT"}
    return (await api.call(f"{C}/CreateHostAuthenticationToken", {**body, **more}))["token"]


async def checked(api: Api, host: str = "github.com") -> dict[str, Any]:
    return await api.call(f"{R}/CheckAuthenticationForHost", {"runnerId": RUNNER, "host": host})


async def listed(api: Api, token: str = "owner-token", **body: Any) -> list[str]:
    answer = await api.call(f"{C}/ListHostAuthenticationTokens", body, token=token)
    return [one["host"] for one in answer.get("tokens", [])]


async def test_this_machine_is_the_one_runner(api: Api) -> None:
    runner = (await api.call(f"{R}/GetRunner", {"runnerId": RUNNER.upper()}))["runner"]
    assert runner["runnerId"] == RUNNER
    assert (runner["kind"], runner["provider"]) == ("RUNNER_KIND_REMOTE", "RUNNER_PROVIDER_LINUX_HOST")
    assert runner["status"]["version"] == api.parts.version
    assert runner["status"]["phase"] == "RUNNER_PHASE_DEGRADED"
    assert runner["status"]["message"] == "the sandbox is missing"
    assert "RUNNER_CAPABILITY_AGENT_EXECUTION" in runner["status"]["capabilities"]
    assert "region" not in runner["status"]
    found = (await api.call(f"{R}/ListRunners", {}))["runners"]
    assert [one["runnerId"] for one in found] == [RUNNER]
    api.stopping = True
    runner = (await api.call(f"{R}/GetRunner", {"runnerId": RUNNER}))["runner"]
    assert runner["status"]["phase"] == "RUNNER_PHASE_INACTIVE"


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ({"kinds": ["RUNNER_KIND_REMOTE"]}, True),
        ({"kinds": ["RUNNER_KIND_LOCAL"]}, False),
        ({"providers": ["RUNNER_PROVIDER_LINUX_HOST", "RUNNER_PROVIDER_MANAGED"]}, True),
        ({"providers": ["RUNNER_PROVIDER_MANAGED"]}, False),
        ({"creatorIds": [NOBODY]}, False),
    ],
)
async def test_the_runner_is_listed_when_it_fits(api: Api, asked: dict[str, Any], there: bool) -> None:
    assert bool((await api.call(f"{R}/ListRunners", {"filter": asked})).get("runners")) is there


async def test_another_runner_is_not_found(api: Api) -> None:
    for method, body in (
        ("GetRunner", {"runnerId": NOBODY}),
        ("ParseContextURL", {"runnerId": NOBODY, "contextUrl": "https://github.com/a/b"}),
        ("CheckAuthenticationForHost", {"runnerId": NOBODY, "host": "github.com"}),
    ):
        refused = await api.refused(f"{R}/{method}", body)
        assert (refused["code"], "runner_id" in refused["message"]) == ("not_found", True)


@pytest.mark.parametrize(
    ("url", "scm", "git"),
    [
        ("https://github.com/ann/shop/tree/feature/x", "github", {"branch": "feature/x"}),
        ("https://github.com/ann/shop/releases/tag/v1", "github", {"tag": "v1"}),
        (f"https://github.com/ann/shop/commit/{HASH}", "github", {"commit": HASH}),
        ("https://github.com/ann/shop", "github", {}),
    ],
)
async def test_a_context_url_is_read(api: Api, url: str, scm: str, git: dict[str, str]) -> None:
    answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": url})
    expected = {"cloneUrl": "https://github.com/ann/shop", "host": "github.com", "owner": "ann", "repo": "shop"}
    assert answer == {"originalContextUrl": url, "scmId": scm, "git": {**expected, **git}}


async def test_a_nested_group_is_the_owner(api: Api) -> None:
    answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": "https://gitlab.com/org/team/shop/-/tree/main"})
    assert answer["git"]["owner"] == "org/team"
    assert answer["git"]["cloneUrl"] == "https://gitlab.com/org/team/shop"


async def test_a_pull_request_and_an_issue_are_named(api: Api) -> None:
    url = "https://gitlab.com/org/shop/-/merge_requests/7"
    answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": url})
    repository = {"cloneUrl": "https://gitlab.com/org/shop", "host": "gitlab.com", "owner": "org", "name": "shop"}
    assert answer["pullRequest"] == {"id": "7", "url": url, "repository": repository}
    assert answer["pr"] == {"id": "7"}
    answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": "https://github.com/ann/shop/issues/3"})
    assert answer["issue"] == {"id": "3"}


async def test_a_path_of_this_machine_is_read_for_its_owner(api: Api) -> None:
    for url in ("file:///srv/git/shop.git#v1", "/srv/git/shop.git#v1"):
        git = (await api.call(f"{R}/ParseContextURL", {"contextUrl": url}))["git"]
        assert git == {"cloneUrl": "file:///srv/git/shop.git", "branch": "v1", "owner": "/srv/git", "repo": "shop"}


@pytest.mark.parametrize("url", ["ssh://git@github.com/ann/shop", "git@github.com:ann/shop", "https://u:pw@h/a/b", "x"])
async def test_what_cannot_be_cloned_is_refused_with_the_accepted_forms(api: Api, url: str) -> None:
    refused = await api.refused(f"{R}/ParseContextURL", {"contextUrl": url})
    assert refused["code"] == "invalid_argument"
    assert refused["message"].startswith("context_url: ")
    assert "https://HOST/OWNER/REPO" in refused["message"]


async def test_a_class_is_shown_and_listed(api: Api) -> None:
    body = {"environmentClassId": CLASSES[1].id}
    shown = (await api.call(f"{C}/GetEnvironmentClass", body))["environmentClass"]
    assert (shown["displayName"], shown["runnerId"], shown["enabled"]) == ("Large", RUNNER, True)
    found = await api.call(f"{C}/ListEnvironmentClasses", {"filter": {"canCreateEnvironments": True}})
    assert [one["displayName"] for one in found["environmentClasses"]] == ["Regular", "Large"]
    assert (await api.refused(f"{C}/GetEnvironmentClass", {"environmentClassId": NOBODY}))["code"] == "not_found"
    assert (await api.refused(f"{C}/CreateEnvironmentClass", {}))["code"] == "unimplemented"


async def test_a_credential_is_write_only(api: Api) -> None:
    made = await kept(api, "GitHub.com:443", scopes=["repo"])
    assert made == {
        "id": made["id"],
        "runnerId": RUNNER,
        "userId": OWNER.id,
        "host": "github.com",
        "source": "HOST_AUTHENTICATION_TOKEN_SOURCE_PAT",
        "scopes": ["repo"],
        "subject": {"id": OWNER.id, "principal": "PRINCIPAL_USER"},
    }
    assert (await api.call(f"{C}/GetHostAuthenticationToken", {"id": made["id"]}))["token"] == made
    assert await listed(api) == ["github.com"]
    assert isinstance(api.parts.host_tokens, MemoryHostTokens)
    assert TOKEN not in str(api.parts.host_tokens.kept)
    assert logins(api).kept[made["id"]].secret == TOKEN


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"runnerId": NOBODY}, "not_found", "runner_id"),
        ({"host": ""}, "invalid_argument", "host"),
        ({"host": "https://github.com"}, "invalid_argument", "host"),
        ({"host": "git hub"}, "invalid_argument", "host"),
        ({"host": "h:99999"}, "invalid_argument", "host"),
        ({"token": ""}, "invalid_argument", "token"),
        ({"token": "short"}, "invalid_argument", "token"),
        ({"token": "user:short"}, "invalid_argument", "token"),
        ({"token": "with space 123"}, "invalid_argument", "token"),
        ({"token": "line\r\nX: evil-header"}, "invalid_argument", "token"),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, "invalid_argument", "expires_at"),
        ({"refreshToken": "r"}, "unimplemented", "refresh_token"),
        ({"userId": NOBODY}, "permission_denied", "user_id"),
        ({"subject": {"id": NOBODY}}, "permission_denied", "subject.id"),
    ],
)
async def test_a_credential_that_cannot_be_used_is_refused(
    api: Api, changes: dict[str, Any], code: str, field: str
) -> None:
    body = {"runnerId": RUNNER, "host": "github.com", "token": TOKEN, **changes}
    refused = await api.refused(f"{C}/CreateHostAuthenticationToken", body)
    assert (refused["code"], refused["message"].startswith(field)) == (code, True)
    assert changes.get("token") in (None, "") or str(changes["token"]) not in refused["message"]
    assert await listed(api) == []


async def test_a_second_credential_for_a_host_is_refused_and_the_first_one_stays(api: Api) -> None:
    made = await kept(api)
    body = {"runnerId": RUNNER, "host": "github.com", "token": "another-token-1"}
    assert (await api.refused(f"{C}/CreateHostAuthenticationToken", body))["code"] == "already_exists"
    assert logins(api).kept[made["id"]].secret == TOKEN


async def test_a_credential_is_replaced_and_removed(api: Api) -> None:
    made = await kept(api)
    later = (api.clock.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    await api.call(
        f"{C}/UpdateHostAuthenticationToken", {"id": made["id"], "token": "bob:new-secret-1", "expiresAt": later}
    )
    assert (logins(api).kept[made["id"]].user, logins(api).kept[made["id"]].secret) == ("bob", "new-secret-1")
    shown = (await api.call(f"{C}/GetHostAuthenticationToken", {"id": made["id"]}))["token"]
    assert shown["expiresAt"].startswith(later[:19])
    await api.call(f"{C}/UpdateHostAuthenticationToken", {"id": made["id"], "scopes": ["repo"]})
    assert logins(api).kept[made["id"]].secret == "new-secret-1"
    await api.call(f"{C}/UpdateHostAuthenticationToken", {"id": made["id"], "token": "newer-secret-2"})
    assert "expiresAt" not in (await api.call(f"{C}/GetHostAuthenticationToken", {"id": made["id"]}))["token"]
    await api.call(f"{C}/DeleteHostAuthenticationToken", {"id": made["id"]})
    assert await listed(api) == []
    assert logins(api).kept == {}
    for method in ("Get", "Update", "Delete"):
        refused = await api.refused(f"{C}/{method}HostAuthenticationToken", {"id": made["id"]})
        assert refused["code"] == "not_found"


async def test_a_credential_of_somebody_else_is_not_there(api: Api) -> None:
    made = await kept(api)
    assert await listed(api, "bot-token") == []
    refused = await api.refused(f"{C}/GetHostAuthenticationToken", {"id": made["id"]}, token="bot-token")
    assert refused["code"] == "not_found"
    body = {"runnerId": RUNNER, "host": "git.example", "token": TOKEN}
    await api.call(f"{C}/CreateHostAuthenticationToken", body, token="bot-token")
    assert await listed(api, "bot-token") == ["git.example"]
    assert await listed(api) == ["git.example", "github.com"]
    assert await listed(api, filter={"subjectId": BOT.id}) == ["git.example"]
    assert await listed(api, filter={"runnerId": NOBODY}) == []


async def test_a_read_only_token_changes_no_credential(api: Api) -> None:
    body = {"runnerId": RUNNER, "host": "github.com", "token": TOKEN}
    refused = await api.refused(f"{C}/CreateHostAuthenticationToken", body, token="read-token")
    assert refused["code"] == "permission_denied"


async def test_public_repositories_need_no_credential_and_how_to_get_one_is_told(api: Api) -> None:
    answer = await checked(api)
    assert answer["authenticated"]
    assert (answer["scmId"], answer["scmName"]) == ("github", "GitHub")
    assert answer["supportsPat"]["createUrl"] == "https://github.com/settings/tokens"
    assert answer["supportsPat"]["requiredScopes"] == ["repo"]


async def test_a_credential_counts_until_it_is_refused_or_expires(api: Api) -> None:
    later = (api.clock.now() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    made = await kept(api, expiresAt=later)
    assert await checked(api) == {"authenticated": True, "scmId": "github", "scmName": "GitHub"}
    logins(api).refused.add(made["id"])
    answer = await checked(api)
    assert "authenticated" not in answer
    assert answer["supportsPat"]
    logins(api).refused.clear()
    api.clock.advance(3601)
    assert "authenticated" not in await checked(api)


async def test_a_repository_that_asked_for_a_credential_makes_the_answer_no(api: Api) -> None:
    logins(api).shut["github.com"] = frozenset({"github.com/ann/secret"})
    assert "authenticated" not in await checked(api)
    await api.call(f"{R}/ParseContextURL", {"contextUrl": "https://github.com/ann/shop"})
    assert (await checked(api))["authenticated"]
    await api.call(f"{R}/ParseContextURL", {"contextUrl": "https://github.com/Ann/Secret.git"})
    assert "authenticated" not in await checked(api)
    await kept(api)
    assert (await checked(api))["authenticated"]


async def test_a_host_is_needed(api: Api) -> None:
    refused = await api.refused(f"{R}/CheckAuthenticationForHost", {"runnerId": RUNNER})
    assert (refused["code"], refused["message"].startswith("host: ")) == ("invalid_argument", True)
