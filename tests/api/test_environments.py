"""EnvironmentService over the environment desk."""

import json
from typing import Any

import pytest

from hostler.core.environment_log import LogEntry
from hostler.core.providers import RemoteRepository
from hostler.testing.desk import RUNNER
from tests.api.conftest import CLASSES, OWNER, Api

SERVICE = "gitpod.v1.EnvironmentService"
NOBODY = "0190aaaa-0000-7000-8000-00000000ffff"


async def call(api: Api, method: str, body: Any = None, **more: Any) -> dict[str, Any]:
    return await api.call(f"{SERVICE}/{method}", body, **more)


async def created(api: Api, **more: Any) -> dict[str, Any]:
    return (await call(api, "CreateEnvironment", more))["environment"]


def secret(**one: Any) -> dict[str, Any]:
    return {"name": "x", "source": "value", "sourceRef": "something", **one}


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
    remote = {"runnerKinds": ["RUNNER_KIND_REMOTE"]}
    assert len((await call(api, "ListEnvironmentClasses", {"filter": remote}))["environmentClasses"]) == 2
    elsewhere = {"runnerProviders": ["RUNNER_PROVIDER_AWS_EC2"]}
    for filtered in ({"enabled": False}, {"runnerIds": [NOBODY]}, elsewhere):
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
    assert row.spec["source"].startswith("RemoteRepository(url='https://h/o/r', ref='dev', shallow=True")
    git = {"remoteUri": "https://h/o/r.git", "targetMode": "CLONE_TARGET_MODE_REMOTE_BRANCH", "cloneTarget": "b"}
    branch = await created(api, spec=initializer(git={**git, "checkoutLocation": "src"}))
    assert "ref='b'" in (await api.environments.get(branch["id"])).spec["source"]
    assert api.environments.made[-1].checkout == "src"
    assert "warningMessage" not in branch["status"]
    mode = {"remoteUri": "https://h/o/r.git", "targetMode": "CLONE_TARGET_MODE_LOCAL_BRANCH", "cloneTarget": "mine"}
    await created(api, spec=initializer(git=mode))
    assert api.environments.made[-1].source == RemoteRepository("https://h/o/r.git", branch="mine")


async def test_what_has_no_effect_is_accepted_and_named(api: Api) -> None:
    spec = {
        "ports": [{"port": 3000, "name": "web"}],
        "devcontainer": {"dotfiles": {"repository": "https://h/o/dotfiles"}, "devcontainerFilePath": "a/b.json"},
        "secrets": [{"name": "token", "gitCredentialHost": "h", "source": "value", "sourceRef": "whatever"}],
    }
    warnings = "\n".join((await created(api, spec=spec))["status"]["warningMessage"])
    for named in ("ports", "dotfiles", "token"):
        assert named in warnings
    assert api.environments.made[-1].devcontainer == "a/b.json"
    assert api.environments.made[-1].secrets == ()


async def test_secrets_are_for_the_inside_and_shown_to_nobody(api: Api) -> None:
    secrets = [
        {"name": "key", "environmentVariable": "KEY", "source": "value", "sourceRef": "a-value-of-mine"},
        {"name": "netrc", "filePath": "~/.netrc", "sourceRef": "another-value"},
    ]
    made = await created(api, spec={"secrets": secrets})
    mounted = [(one.name, one.value, one.variable, one.path) for one in api.environments.made[-1].secrets]
    assert mounted == [
        ("key", "a-value-of-mine", "KEY", ""),
        ("netrc", "another-value", "", "/home/agent/.netrc"),
    ]
    row = await api.environments.get(made["id"])
    assert "value" not in json.dumps([made, dict(row.spec)]).replace('"source": "value"', "")
    assert [one["secretName"] for one in made["status"]["secrets"]] == ["key", "netrc"]
    assert api.parts.redactor.text("says a-value-of-mine") == "says [redacted]"


async def test_idle_time_and_desired_phase_are_asked_for(api: Api) -> None:
    await created(api, spec={"timeout": {"disconnected": "3600s"}})
    assert api.environments.made[-1].idle_seconds == 3600
    await created(api, spec={"timeout": {"disconnected": "0s"}})
    assert api.environments.made[-1].idle_seconds == 0
    stopped = await created(api, spec={"desiredPhase": "ENVIRONMENT_PHASE_STOPPED"})
    assert api.environments.made[-1].idle_seconds is None
    assert stopped["status"]["phase"] == "ENVIRONMENT_PHASE_STOPPED"
    assert stopped["spec"]["desiredPhase"] == "ENVIRONMENT_PHASE_STOPPED"


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        ({"machine": {"class": NOBODY}}, "not_found", "spec.machine.class"),
        ({"desiredPhase": "ENVIRONMENT_PHASE_DELETED"}, "invalid_argument", "spec.desired_phase"),
        ({"secrets": [secret(environmentVariable="LD_PRELOAD")]}, "invalid_argument", "spec.secrets[0].environment"),
        (
            {"secrets": [secret(environmentVariable="X", sourceRef="")]},
            "invalid_argument",
            "spec.secrets[0].source_ref",
        ),
        ({"secrets": [secret(environmentVariable="X", source="vault")]}, "invalid_argument", "spec.secrets[0].source:"),
        ({"secrets": [secret(filePath="../../etc/passwd")]}, "invalid_argument", "spec.secrets[0].file_path"),
        ({"secrets": [secret(filePath="a"), secret(filePath="b")]}, "invalid_argument", "spec.secrets"),
        ({"timeout": {"disconnected": "60s"}}, "invalid_argument", "spec.timeout"),
        ({"content": {"gitUsername": "two\nlines"}}, "invalid_argument", "spec.content.git_name"),
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
            "invalid_argument",
            "spec.content.initializer.specs[0].git.clone_target",
        ),
        (
            initializer(git={"remoteUri": "https://h/o/r", "checkoutLocation": "../up"}),
            "invalid_argument",
            "spec.content.initializer.specs[0].git.checkout_location",
        ),
    ],
)
async def test_what_cannot_be_made_is_refused_by_name(api: Api, spec: dict[str, Any], code: str, field: str) -> None:
    refused = await api.refused(f"{SERVICE}/CreateEnvironment", {"spec": spec})
    assert refused["code"] == code
    assert refused["message"].startswith(field)
    assert await api.environments.rows.find() == ()


async def test_the_identity_for_commits_becomes_variables(api: Api) -> None:
    await created(api, spec={"content": {"gitUsername": "Ada", "gitEmail": "ada@h"}})
    variables = api.environments.made[-1].variables
    assert variables is not None
    assert variables["GIT_COMMITTER_NAME"] == "Ada"
    assert variables["GIT_AUTHOR_EMAIL"] == "ada@h"


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
        ({"archivalStatus": "ARCHIVAL_STATUS_ACTIVE"}, True),
        ({"runnerKinds": ["RUNNER_KIND_REMOTE"]}, True),
        ({"runnerKinds": ["RUNNER_KIND_LOCAL_CONFIGURATION"]}, False),
        ({"roles": ["ENVIRONMENT_ROLE_WORKFLOW"]}, False),
        ({"lockdownBefore": "2030-01-01T00:00:00Z"}, False),
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


async def test_the_list_is_sorted_and_cut_in_that_order(api: Api) -> None:
    made = [(await created(api))["id"] for _ in range(3)]
    rising = {"field": "SORT_FIELD_ID", "order": "SORT_ORDER_ASC"}
    first = await call(api, "ListEnvironments", {"sort": rising, "pagination": {"pageSize": 2}})
    pages = {"pageSize": 2, "token": first["pagination"]["nextToken"]}
    second = await call(api, "ListEnvironments", {"sort": rising, "pagination": pages})
    assert [one["id"] for one in first["environments"] + second["environments"]] == made
    refused = await api.refused(f"{SERVICE}/ListEnvironments", {"pagination": pages})
    assert refused["code"] == "invalid_argument"
    for one in (made[2], made[0]):
        api.clock.advance(1)
        await call(api, "ArchiveEnvironment", {"environmentId": one})
    everything = {"archivalStatus": "ARCHIVAL_STATUS_ALL"}
    by_archive = {"field": "SORT_FIELD_ARCHIVED_AT", "order": "SORT_ORDER_DESC"}
    listed = await call(api, "ListEnvironments", {"sort": by_archive, "filter": everything})
    assert [one["id"] for one in listed["environments"]] == [made[0], made[2], made[1]]


async def test_what_is_archived_is_left_out_of_lists_until_it_is_asked_for(api: Api) -> None:
    made = (await created(api))["id"]
    await call(api, "ArchiveEnvironment", {"environmentId": made})
    assert "environments" not in await call(api, "ListEnvironments")
    for status in ("ARCHIVED", "ALL"):
        filtered = {"archivalStatus": f"ARCHIVAL_STATUS_{status}"}
        (found,) = (await call(api, "ListEnvironments", {"filter": filtered}))["environments"]
        assert found["metadata"]["archivedAt"]
    await call(api, "UnarchiveEnvironment", {"environmentId": made})
    (found,) = (await call(api, "ListEnvironments"))["environments"]
    assert "archivedAt" not in found["metadata"]


async def test_an_environment_that_is_being_deleted_is_shown_so_by_get_and_list(api: Api) -> None:
    made = (await created(api))["id"]
    await api.environments.change(made, phase="deleting")
    got = (await call(api, "GetEnvironment", {"environmentId": made}))["environment"]
    (found,) = (await call(api, "ListEnvironments"))["environments"]
    assert got["status"]["phase"] == found["status"]["phase"] == "ENVIRONMENT_PHASE_DELETING"
    assert got["spec"]["desiredPhase"] == "ENVIRONMENT_PHASE_DELETED"


async def test_an_update_changes_what_can_be_changed(api: Api) -> None:
    made = (await created(api, name="old"))["id"]
    spec = {
        "timeout": {"disconnected": "7200s"},
        "content": {"gitUsername": "Ada"},
        "machine": {"class": CLASSES[1].id.upper()},
    }
    await call(api, "UpdateEnvironment", {"environmentId": made, "metadata": {"name": "new"}, "spec": spec})
    (change,) = api.environments.changes
    assert (change.name, change.idle_seconds, change.class_id) == ("new", 7200, CLASSES[1].id)
    assert change.variables == {"GIT_AUTHOR_NAME": "Ada", "GIT_COMMITTER_NAME": "Ada"}
    assert change.request == {"timeout": {"disconnected": "7200s"}, "content": {"gitUsername": "Ada"}}
    assert (await call(api, "GetEnvironment", {"environmentId": made}))["environment"]["metadata"]["name"] == "new"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"lockdownAt": "2030-01-01T00:00:00Z"}}, "metadata.lockdown_at"),
        ({"spec": {"ports": [{"port": 3000, "name": "web"}]}}, "spec.ports"),
        ({"spec": {"sshPublicKeys": [{"id": "a", "value": "b"}]}}, "spec.ssh_public_keys"),
        ({"spec": {"devcontainer": {"session": "x"}}}, "spec.devcontainer"),
        ({"spec": {"content": {"session": "x"}}}, "spec.content.session"),
    ],
)
async def test_an_update_of_what_is_fixed_is_refused_by_name(api: Api, change: dict[str, Any], field: str) -> None:
    made = (await created(api))["id"]
    refused = await api.refused(f"{SERVICE}/UpdateEnvironment", {"environmentId": made, **change})
    assert refused["code"] == "unimplemented"
    assert refused["message"].startswith(field)
    assert api.environments.changes == []


async def test_activity_is_noted(api: Api) -> None:
    made = (await created(api))["id"]
    signal = {"source": "editor", "timestamp": "2001-01-01T00:00:00Z"}
    await call(api, "MarkEnvironmentActive", {"environmentId": made, "activitySignal": signal})
    status = (await call(api, "GetEnvironment", {"environmentId": made}))["environment"]["status"]
    assert status["activitySignal"]["source"] == "editor"
    assert status["activitySignal"]["timestamp"] != signal["timestamp"], "the time is the server's own"


async def test_setup_that_failed_is_no_failure_of_the_environment(api: Api) -> None:
    made = (await created(api))["id"]
    failed = {"setup-1": {"state": "failed", "failure": "setup-1 failed with exit code 1: no such thing"}}
    container = {"path": ".devcontainer.json", "folder": "app", "ignored": ["image has no effect here"]}
    status = {"steps": {"once": failed}, "devcontainer": container, "content": True}
    await api.environments.change(made, phase="running", status=status)
    got = (await call(api, "GetEnvironment", {"environmentId": made}))["environment"]["status"]
    assert "failureMessage" not in got
    assert got["warningMessage"] == [failed["setup-1"]["failure"], "image has no effect here"]
    assert got["devcontainer"]["phase"] == "PHASE_FAILED"
    assert got["devcontainer"]["failureMessage"] == failed["setup-1"]["failure"]
    assert got["devcontainer"]["remoteWorkspaceFolder"] == "/workspace/app"
    assert got["devcontainer"]["devcontainerFilePresence"] == "PRESENCE_DISCOVERED"


async def logs(api: Api, url: str, token: str, **query: str) -> Any:
    return await api.http.get(url, headers=api.headers(token=token), params=query)


async def test_the_log_is_read_with_a_token_of_its_own(api: Api) -> None:
    made, other = [(await created(api)) for _ in range(2)]
    url = made["status"]["environmentUrls"]["logs"]
    now = api.clock.now()
    api.environments.entries = [LogEntry(1, now, "", "it begins\n"), LogEntry(2, now, "once/setup-1/1", "hello\n")]
    token = (await call(api, "CreateEnvironmentLogsToken", {"environmentId": made["id"]}))["accessToken"]
    read = await logs(api, url, token)
    assert read.text == "it begins\nhello\n"
    lines = [json.loads(line) for line in (await logs(api, url, token, format="json", after="1")).text.splitlines()]
    assert [(line["seq"], line["step"], line["text"]) for line in lines] == [(2, "once/setup-1/1", "hello\n")]
    assert (await logs(api, url, "owner-token")).text == read.text
    assert (await logs(api, url, "unknown")).status_code == 401
    assert (await logs(api, url.replace(made["id"], other["id"]), token)).status_code == 404
    assert (await logs(api, url, token, after="x")).status_code == 400
    ops = made["status"]["environmentUrls"]["ops"] + "/supervisor.v1.EnvironmentOpsService/Exec"
    assert (await api.http.post(ops, headers=api.headers(token=token), content=b'{"command": "id"}')).status_code == 401


async def test_a_followed_log_grows_and_ends_with_its_environment(api: Api) -> None:
    made = await created(api)
    now = api.clock.now()
    api.environments.entries = [LogEntry(1, now, "", "it begins\n")]
    url = made["status"]["environmentUrls"]["logs"]
    async with api.http.stream("GET", url, headers=api.headers(), params={"follow": "1"}) as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"it begins\n"
        api.environments.entries.append(LogEntry(2, now, "", "it ends\n"))
        api.environments.rows.tell(made["id"])
        assert await anext(chunks) == b"it ends\n"
        await call(api, "DeleteEnvironment", {"environmentId": made["id"]})
        assert [chunk async for chunk in chunks] == []
