"""EnvironmentService over the environment desk."""

from typing import Any

import pytest

from hostler.testing.desk import RUNNER
from tests.api.conftest import CLASSES, OWNER, Api

SERVICE = "gitpod.v1.EnvironmentService"
NOBODY = "0190aaaa-0000-7000-8000-00000000ffff"


async def call(api: Api, method: str, body: Any = None, **more: Any) -> dict[str, Any]:
    return await api.call(f"{SERVICE}/{method}", body, **more)


async def created(api: Api, **more: Any) -> dict[str, Any]:
    return (await call(api, "CreateEnvironment", more))["environment"]


def initializer(**one: Any) -> dict[str, Any]:
    return {"content": {"initializer": {"specs": [one]}}}


async def test_classes_are_listed_with_the_default_first(api: Api) -> None:
    listed = await call(api, "ListEnvironmentClasses", {"filter": {"enabled": True, "canCreateEnvironments": True}})
    first = listed["environmentClasses"][0]
    assert [one["displayName"] for one in listed["environmentClasses"]] == ["Regular", "Large"]
    assert (first["runnerId"], first["enabled"]) == (RUNNER, True)
    assert {"key": "memoryBytes", "value": str(4 << 30)} in first["configuration"]
    pages = await call(api, "ListEnvironmentClasses?pageSize=1")
    rest = await call(api, f"ListEnvironmentClasses?token={pages['pagination']['nextToken']}")
    assert [one["displayName"] for one in rest["environmentClasses"]] == ["Large"]
    for filtered in ({"enabled": False}, {"runnerIds": [NOBODY]}):
        assert await call(api, "ListEnvironmentClasses", {"filter": filtered}) in ({}, {"pagination": {}})


async def test_an_environment_is_made_from_nothing_or_from_code(api: Api) -> None:
    scratch = await created(api, name="mine", annotations={"k": "v"})
    assert scratch["metadata"]["name"] == "mine"
    assert scratch["metadata"]["annotations"] == {"k": "v"}
    assert scratch["metadata"]["creator"] == {"id": OWNER.id, "principal": "PRINCIPAL_USER"}
    assert scratch["spec"]["machine"]["class"] == CLASSES[0].id
    assert scratch["status"]["phase"] == "ENVIRONMENT_PHASE_CREATING"
    spec = {"machine": {"class": CLASSES[1].id}, **initializer(contextUrl={"url": "https://h/o/r/tree/dev"})}
    cloned = await created(api, spec={**spec, "desiredPhase": "ENVIRONMENT_PHASE_RUNNING"})
    assert cloned["metadata"]["originalContextUrl"] == "https://h/o/r/tree/dev"
    assert cloned["spec"]["machine"]["class"] == CLASSES[1].id
    row = await api.environments.get(cloned["id"])
    assert row.spec["source"] == "RemoteRepository(url='https://h/o/r', ref='dev', shallow=True)"
    git = {"remoteUri": "https://h/o/r.git", "targetMode": "CLONE_TARGET_MODE_REMOTE_BRANCH", "cloneTarget": "b"}
    branch = await created(api, spec=initializer(git={**git, "checkoutLocation": "src"}))
    assert "ref='b'" in (await api.environments.get(branch["id"])).spec["source"]
    assert any("checkoutLocation" in warning for warning in branch["status"]["warningMessage"])


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ({"machine": {"class": NOBODY}}, "not_found", "spec.machine.class"),
        ({"desiredPhase": "ENVIRONMENT_PHASE_STOPPED"}, "unimplemented", "spec.desired_phase"),
        ({"secrets": [{"name": "x", "environmentVariable": "X"}]}, "unimplemented", "spec.secrets"),
        ({"timeout": {"disconnected": "3600s"}}, "unimplemented", "spec.timeout"),
        (
            initializer(contextUrl={"url": "git@h:o/r"}),
            "invalid_argument",
            "spec.content.initializer.specs[0].context_url",
        ),
        (
            initializer(git={"remoteUri": "https://h/o/r", "targetMode": "CLONE_TARGET_MODE_REMOTE_TAG"}),
            "invalid_argument",
            "spec.content.initializer.specs[0].git.clone_target",
        ),
        (
            initializer(git={"remoteUri": "https://h/o/r", "targetMode": "CLONE_TARGET_MODE_LOCAL_BRANCH"}),
            "unimplemented",
            "spec.content.initializer.specs[0].git.target_mode",
        ),
    ],
)
async def test_what_cannot_be_made_is_refused_by_name(api: Api, spec: dict[str, Any], code: str, field: str) -> None:
    refused = await api.refused(f"{SERVICE}/CreateEnvironment", {"spec": spec})
    assert refused["code"] == code
    assert refused["message"].startswith(field)
    assert await api.environments.rows.find() == ()


async def test_the_identity_for_commits_becomes_variables(api: Api) -> None:
    made: list[Any] = []
    create = api.environments.create

    async def remember(new: Any, creator: Any) -> Any:
        made.append(new)
        return await create(new, creator)

    api.environments.create = remember  # type: ignore[method-assign]
    await created(api, spec={"content": {"gitUsername": "Ada", "gitEmail": "ada@h"}})
    assert made[0].variables["GIT_COMMITTER_NAME"] == "Ada"
    assert made[0].variables["GIT_AUTHOR_EMAIL"] == "ada@h"


@pytest.mark.parametrize(
    ("phase", "shown"),
    [
        ("creating", "CREATING"),
        ("starting", "STARTING"),
        ("running", "RUNNING"),
        ("stopping", "STOPPING"),
        ("stopped", "STOPPED"),
        ("deleting", "DELETING"),
    ],
)
async def test_the_status_is_the_truth(api: Api, phase: str, shown: str) -> None:
    made = await created(api)
    status = {
        "failure": "the clone failed",
        "notes": ["uncommitted changes came along"],
        "protections": [
            {"limit": "memory", "means": "cgroup", "holds": True},
            {"limit": "disk", "means": "no quota", "holds": False},
        ],
    }
    await api.environments.change(made["id"], phase=phase, status=status)
    got = (await call(api, "GetEnvironment", {"environmentId": made["id"]}))["environment"]["status"]
    assert got["phase"] == f"ENVIRONMENT_PHASE_{shown}"
    assert got["failureMessage"] == ["the clone failed"]
    assert got["warningMessage"][0] == "uncommitted changes came along"
    assert len([one for one in got["warningMessage"] if "disk" in one]) == 1
    assert not any("memory" in one for one in got["warningMessage"])
    assert got["environmentUrls"]["ops"] == f"{api.url}/api/environments/{made['id']}/ops"
    assert got["content"]["contentLocationInMachine"] == "/workspace"


async def test_start_stop_delete(api: Api) -> None:
    made = await created(api)
    body = {"environmentId": made["id"].upper()}
    await call(api, "StopEnvironment", body)
    assert (await api.environments.get(made["id"])).phase == "stopped"
    await call(api, "StartEnvironment", body)
    assert (await api.environments.get(made["id"])).phase == "starting"
    await api.environments.rows.use(made["id"], "somebody", api.clock.now())
    assert (await api.refused(f"{SERVICE}/DeleteEnvironment", body))["code"] == "failed_precondition"
    await call(api, "DeleteEnvironment", {**body, "force": True})
    for method in ("GetEnvironment", "StartEnvironment", "StopEnvironment", "DeleteEnvironment"):
        assert (await api.refused(f"{SERVICE}/{method}", body))["code"] == "not_found"
    refused = await api.refused(f"{SERVICE}/CreateEnvironmentAccessToken", body)
    assert refused["code"] == "not_found"


@pytest.mark.parametrize(
    ("filtered", "found"),
    [
        ({}, True),
        (
            {"creatorIds": [OWNER.id], "archivalStatus": "ARCHIVAL_STATUS_ALL", "roles": ["ENVIRONMENT_ROLE_DEFAULT"]},
            True,
        ),
        ({"creatorIds": [NOBODY]}, False),
        ({"runnerIds": [RUNNER]}, True),
        ({"runnerIds": [NOBODY]}, False),
        ({"statusPhases": ["ENVIRONMENT_PHASE_CREATING"]}, True),
        ({"statusPhases": ["ENVIRONMENT_PHASE_RUNNING"]}, False),
        ({"projectIds": [NOBODY]}, False),
        ({"archivalStatus": "ARCHIVAL_STATUS_ARCHIVED"}, False),
        ({"search": "NAM"}, True),
        ({"search": "other"}, False),
        ({"sessionIds": [NOBODY]}, True),
        ({"sessionIds": [OWNER.id]}, False),
        ({"createdBefore": "2026-01-01T00:00:00Z"}, False),
        ({"createdBefore": "2026-01-01T00:00:01Z"}, True),
    ],
)
async def test_the_list_is_filtered(api: Api, filtered: dict[str, Any], found: bool) -> None:
    await created(api, name="my name", sessionId=NOBODY)
    listed = await call(api, "ListEnvironments", {"filter": filtered, "count": {"include": True}})
    assert len(listed.get("environments", [])) == (1 if found else 0)
    assert listed["count"].get("value", 0) == (1 if found else 0)


async def test_the_list_is_cut_into_pages(api: Api) -> None:
    made = [(await created(api))["id"] for _ in range(3)]
    first = await call(api, "ListEnvironments", {"pagination": {"pageSize": 2}})
    token = first["pagination"]["nextToken"]
    second = await call(api, "ListEnvironments", {"pagination": {"pageSize": 2, "token": token}})
    assert [one["id"] for one in first["environments"] + second["environments"]] == made[::-1]
