"""Projects as clients see them."""

from dataclasses import replace
from typing import Any

import pytest

from hostler.core.desk import NewEnvironment
from hostler.core.projects import Usage, User
from hostler.core.providers import RemoteRepository
from hostler.testing.desk_projects import MemoryProjectUse
from tests.api.conftest import BOT, CLASSES, OWNER, SECRET, Api

P, R, U = "gitpod.v1.ProjectService", "gitpod.v1.RunnerService", "gitpod.v1.UsageService"
SHOP = "https://github.com/ann/shop"
NOBODY = "99999999-9999-4999-8999-999999999999"


def from_url(url: str = SHOP) -> dict[str, Any]:
    return {"specs": [{"contextUrl": {"url": url}}]}


async def made(api: Api, name: str = "shop", url: str = SHOP, **more: Any) -> dict[str, Any]:
    return (await api.call(f"{P}/CreateProject", {"name": name, "initializer": from_url(url), **more}))["project"]


async def found(api: Api, **body: Any) -> list[str]:
    answer = await api.call(f"{P}/ListProjects", body)
    return [one["metadata"]["name"] for one in answer.get("projects", [])]


async def test_a_project_is_shown_as_it_was_made(api: Api) -> None:
    project = await made(
        api,
        devcontainerFilePath=".devcontainer/devcontainer.json",
        automationsFilePath=".ona/automations.yaml",
        technicalDescription="A shop.",
        setup={"commands": ["make deps", "make test"]},
    )
    again = (await api.call(f"{P}/GetProject", {"projectId": project["id"].upper()}))["project"]
    assert again == project
    assert project["metadata"]["creator"] == {"id": OWNER.id, "principal": "PRINCIPAL_USER"}
    assert project["metadata"]["organizationId"] == api.parts.organization_id
    assert project["initializer"] == from_url()
    assert project["setup"] == {"commands": ["make deps", "make test"]}
    assert project["devcontainerFilePath"] == ".devcontainer/devcontainer.json"
    assert project["automationsFilePath"] == ".ona/automations.yaml"
    assert project["technicalDescription"] == "A shop."
    assert project["environmentClasses"] == [{"environmentClassId": CLASSES[0].id}]
    assert project["environmentClass"] == {"environmentClassId": CLASSES[0].id}
    assert project["desiredPhase"] == "PROJECT_PHASE_ACTIVE"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": ""}, "invalid_argument", "name"),
        ({"name": "  "}, "invalid_argument", "name"),
        ({"name": "x" * 81}, "invalid_argument", "name"),
        ({"initializer": None}, "invalid_argument", "initializer"),
        ({"initializer": from_url("git@github.com:ann/shop")}, "invalid_argument", "initializer"),
        ({"initializer": {"specs": [{}]}}, "invalid_argument", "initializer"),
        ({"initializer": {"specs": [*from_url()["specs"], *from_url()["specs"]]}}, "unimplemented", "initializer"),
        ({"devcontainerFilePath": "/etc/passwd"}, "invalid_argument", "devcontainer_file_path"),
        ({"prebuildConfiguration": {"enabled": True}}, "unimplemented", "prebuild_configuration.enabled"),
        ({"setup": {"commands": [" "]}}, "invalid_argument", "setup.commands[0]"),
        ({"setup": {"commands": ["x"] * 51}}, "invalid_argument", "setup.commands"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_made(
    api: Api, changes: dict[str, Any], code: str, field: str
) -> None:
    refused = await api.refused(f"{P}/CreateProject", {"name": "shop", "initializer": from_url(), **changes})
    assert refused["code"] == code
    assert field in refused["message"]
    assert await found(api) == []


async def test_an_update_changes_what_is_present_and_nothing_else(api: Api) -> None:
    project = await made(api, technicalDescription="A shop.", setup={"commands": ["make"]})
    named = {"projectId": project["id"]}
    changed = (await api.call(f"{P}/UpdateProject", {**named, "name": "store"}))["project"]
    assert changed["metadata"]["name"] == "store"
    assert (changed["technicalDescription"], changed["setup"]) == ("A shop.", {"commands": ["make"]})
    editors = {"editors": {"vscode": {"versions": ["stable"]}}}
    body = {**named, "technicalDescription": "", "setup": {}, "recommendedEditors": editors}
    changed = (await api.call(f"{P}/UpdateProject", body))["project"]
    assert "technicalDescription" not in changed
    assert "setup" not in changed
    assert changed["recommendedEditors"] == editors
    moved = "https://gitlab.com/org/team/shop"
    changed = (await api.call(f"{P}/UpdateProject", {**named, "initializer": from_url(moved)}))["project"]
    assert changed["initializer"] == from_url(moved)
    assert await found(api, filter={"specRemoteUris": [moved]}) == ["store"]
    assert await found(api, filter={"specRemoteUris": [SHOP]}) == []


async def test_a_refused_update_changes_nothing(api: Api) -> None:
    project = await made(api)
    body = {"projectId": project["id"], "name": "store", "initializer": from_url("https://user:pw@h/a/b")}
    refused = await api.refused(f"{P}/UpdateProject", body)
    assert (refused["code"], "pw" in refused["message"]) == ("invalid_argument", False)
    assert await found(api) == ["shop"]


@pytest.mark.parametrize("method", ["GetProject", "UpdateProject", "DeleteProject", "ListProjectEnvironmentClasses"])
async def test_a_project_that_is_not_there_is_not_found(api: Api, method: str) -> None:
    refused = await api.refused(f"{P}/{method}", {"projectId": NOBODY})
    assert (refused["code"], "project_id" in refused["message"]) == ("not_found", True)


async def test_a_deleted_project_is_gone(api: Api) -> None:
    project = await made(api)
    await api.call(f"{P}/DeleteProject", {"projectId": project["id"]})
    assert (await api.refused(f"{P}/DeleteProject", {"projectId": project["id"]}))["code"] == "not_found"
    assert await found(api) == []


async def test_projects_are_listed_newest_first_by_page_and_filter(api: Api) -> None:
    first = await made(api, "shop")
    await made(api, "Tool", "https://gitlab.com/org/team/tool.git")
    await made(api, "play", "https://github.com/bob/play")
    assert await found(api) == ["play", "Tool", "shop"]
    assert await found(api, filter={"search": "TOOL"}) == ["Tool"]
    assert await found(api, filter={"projectIds": [first["id"]]}) == ["shop"]
    assert await found(api, filter={"specRemoteUris": [f"{SHOP.upper()}.git", "https://other.example/a/b"]}) == ["shop"]
    assert await found(api, filter={"creatorIds": [BOT.id]}) == []
    assert await found(api, filter={"runnerIds": [NOBODY]}) == []
    assert await found(api, filter={"runnerIds": [api.parts.runner_id], "runnerKinds": ["RUNNER_KIND_REMOTE"]})
    assert await found(api, filter={"runnerKinds": ["RUNNER_KIND_LOCAL_CONFIGURATION"]}) == []
    page = await api.call(f"{P}/ListProjects", {"pagination": {"pageSize": 2}, "count": {"include": True}})
    assert page["count"] == {"value": 3, "relation": "COUNT_RESPONSE_RELATION_EQ"}
    token = page["pagination"]["nextToken"]
    assert await found(api, pagination={"pageSize": 2, "token": token}) == ["shop"]
    foreign = await api.refused(f"{P}/ListProjects", {"pagination": {"token": token}, "filter": {"search": "x"}})
    assert foreign["code"] == "invalid_argument"


async def test_a_project_has_the_classes_that_it_was_given_in_their_order(api: Api) -> None:
    project = await made(api)
    named = {"projectId": project["id"]}
    large, regular = CLASSES[1].id, CLASSES[0].id
    asked = [{"environmentClassId": regular, "order": 2}, {"environmentClassId": large, "order": 1}]
    await api.call(f"{P}/UpdateProjectEnvironmentClasses", {**named, "projectEnvironmentClasses": asked})
    shown = await api.call(f"{P}/ListProjectEnvironmentClasses", named)
    assert [one["environmentClassId"] for one in shown["projectEnvironmentClasses"]] == [large, regular]
    again = (await api.call(f"{P}/GetProject", named))["project"]
    assert again["environmentClass"]["environmentClassId"] == large


@pytest.mark.parametrize(
    ("classes", "code"),
    [
        ([], "invalid_argument"),
        ([{}], "invalid_argument"),
        ([{"environmentClassId": NOBODY}], "not_found"),
        ([{"environmentClassId": CLASSES[0].id}] * 2, "invalid_argument"),
        ([{"localRunner": True}], "unimplemented"),
    ],
)
async def test_classes_that_cannot_be_had_are_refused(api: Api, classes: list[dict[str, Any]], code: str) -> None:
    project = await made(api)
    body = {"projectId": project["id"], "projectEnvironmentClasses": classes}
    assert (await api.refused(f"{P}/UpdateProjectEnvironmentClasses", body))["code"] == code


async def test_an_execution_starts_from_its_project(api: Api) -> None:
    project = await made(api, setup={"commands": ["make deps"]}, devcontainerFilePath="dev.json")
    large = [{"environmentClassId": CLASSES[1].id}]
    body = {"projectId": project["id"], "projectEnvironmentClasses": large}
    await api.call(f"{P}/UpdateProjectEnvironmentClasses", body)
    await api.started({"codeContext": {"projectId": project["id"]}})
    new = api.desk.started[-1].environment
    assert isinstance(new, NewEnvironment)
    assert (new.class_id, new.source) == (CLASSES[1].id, RemoteRepository(SHOP))
    assert (new.project_id, new.setup, new.devcontainer) == (project["id"], ("make deps",), "dev.json")
    pull = {"fromBranch": "fix"}
    await api.started({"codeContext": {"projectId": project["id"], "pullRequest": pull}})
    new = api.desk.started[-1].environment
    assert isinstance(new, NewEnvironment)
    assert new.source == RemoteRepository(SHOP, "fix")


async def test_an_execution_of_an_unknown_project_is_not_found(api: Api) -> None:
    refused = await api.refused("StartAgent", {"codeContext": {"projectId": NOBODY}})
    assert (refused["code"], "code_context.project_id" in refused["message"]) == ("not_found", True)


async def test_a_known_repository_recommends_its_project_and_classes(api: Api) -> None:
    project = await made(api, url=f"{SHOP}.git")
    asked = [{"environmentClassId": CLASSES[1].id}]
    body = {"projectId": project["id"], "projectEnvironmentClasses": asked}
    await api.call(f"{P}/UpdateProjectEnvironmentClasses", body)
    for url in (SHOP, "https://GitHub.com/Ann/Shop/", f"{SHOP}/tree/main", f"{SHOP}/pull/7", f"{SHOP}/issues/3"):
        answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": url})
        assert answer["projectIds"] == [project["id"]]
        assert answer["recommendedEnvironmentClasses"] == [CLASSES[1].id]
    unknown = await api.call(f"{R}/ParseContextURL", {"contextUrl": "https://github.com/ann/other"})
    assert not {"projectIds", "recommendedEnvironmentClasses"} & unknown.keys()


async def test_secrets_in_a_project_are_masked(api: Api) -> None:
    project = await made(api, technicalDescription=f"use {SECRET}", setup={"commands": [f"login {SECRET}"]})
    assert SECRET not in str(project)


async def test_who_used_a_project_is_shown(api: Api) -> None:
    project = await made(api)
    assert isinstance(api.parts.project_use, MemoryProjectUse)
    api.parts.project_use.known[project["id"]] = (User(BOT.id, "service_account"),)
    used = (await api.call(f"{P}/GetProject", {"projectId": project["id"]}))["project"]["usedBy"]
    assert used == {"totalSubjects": 1, "subjects": [{"id": BOT.id, "principal": "PRINCIPAL_SERVICE_ACCOUNT"}]}


async def test_the_projects_that_ran_longest_come_first_and_deleted_ones_are_left_out(api: Api) -> None:
    shop, tool = await made(api, "shop"), await made(api, "tool")
    assert isinstance(api.parts.project_use, MemoryProjectUse)
    api.parts.project_use.ran = (Usage(tool["id"], 90), Usage(NOBODY, 60), Usage(shop["id"], 30))
    period = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-02-01T00:00:00Z"}
    first = await api.call(f"{U}/GetTopProjects", {"dateRange": period, "pagination": {"pageSize": 1}})
    expected = {"projectId": tool["id"], "projectName": "tool", "totalRuntimeSeconds": "90"}
    assert first["projects"] == [expected]
    token = first["pagination"]["nextToken"]
    rest = await api.call(f"{U}/GetTopProjects", {"dateRange": period, "pagination": {"pageSize": 1, "token": token}})
    assert [one["projectName"] for one in rest["projects"]] == ["shop"]
    assert api.parts.project_use.asked is not None
    assert api.parts.project_use.asked[0].isoformat() == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_argument"),
        ({"dateRange": {"startTime": "2026-02-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}}, "invalid_argument"),
        (
            {"dateRange": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:00:00Z"}, "teamId": "t"},
            "not_found",
        ),
    ],
)
async def test_a_period_that_makes_no_sense_is_refused(api: Api, body: dict[str, Any], code: str) -> None:
    assert (await api.refused(f"{U}/GetTopProjects", body))["code"] == code


async def test_a_project_whose_classes_are_gone_starts_nothing_and_recommends_nothing(api: Api) -> None:
    project = await made(api)
    kept = await api.parts.projects.get(project["id"])
    assert kept is not None
    await api.parts.projects.save(replace(kept, class_ids=(NOBODY,)), new=False)
    refused = await api.refused("StartAgent", {"codeContext": {"projectId": project["id"]}})
    assert (refused["code"], "shop" in refused["message"]) == ("failed_precondition", True)
    answer = await api.call(f"{R}/ParseContextURL", {"contextUrl": SHOP})
    assert (answer["projectIds"], "recommendedEnvironmentClasses" in answer) == ([project["id"]], False)
