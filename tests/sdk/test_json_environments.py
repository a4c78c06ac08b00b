"""Environments through the older generation: by themselves, and from a project that prepares them."""

import pytest

from tests import sdks
from tests.sdk.clients import Client
from tests.sdk.code_host import CodeHost
from tests.server import HostlerProcess


@pytest.fixture
def json_client(server: HostlerProcess) -> Client:
    """The last release of its generation that can be imported."""
    return Client(sdks.GITPOD_0_11, server)


def test_an_environment_goes_through_its_life(json_client: Client, tool: str) -> None:
    seen = json_client.run(
        """
        environments = client.environments
        classes = {one.display_name: one.id for one in environments.classes.list()}
        def made(name):
            content = {"initializer": {"specs": [{"contextUrl": {"url": arguments[0]}}]}}
            machine = {"class": classes["Small"]}
            spec = {"desiredPhase": "ENVIRONMENT_PHASE_RUNNING", "content": content, "machine": machine}
            return environments.create(name=name, spec=spec).environment.id
        first, second = made("first"), made("second")
        came = [until(one, "ENVIRONMENT_PHASE_RUNNING")[-1] for one in (first, second)]
        listed = [one.id for one in environments.list(page_size=1) if one.id in (first, second)]
        environments.update(environment_id=first, metadata={"name": "renamed"},
                            spec={"timeout": {"disconnected": "3600s"}})
        got = environments.retrieve(environment_id=first).environment
        environments.mark_active(environment_id=first)
        token = environments.create_environment_token(environment_id=first).access_token
        files = inside(first, "Exec", token, command="cat src/tool.txt", operationId="look")
        logs = environments.create_logs_token(environment_id=first).access_token
        told = httpx.get(got.status.environment_urls.logs, headers={"Authorization": f"Bearer {logs}"})
        environments.stop(environment_id=first)
        stopped = until(first, "ENVIRONMENT_PHASE_STOPPED")[-1]
        environments.start(environment_id=first)
        again = until(first, "ENVIRONMENT_PHASE_RUNNING")[-1]
        watching = changes(first)
        next(watching)
        for one in (first, second):
            environments.delete(environment_id=one)
        gone = next(event.operation for event in watching if event.operation == "RESOURCE_OPERATION_DELETE")
        tell(came=came, listed=listed == [second, first], got=got, files=files, told=[told.status_code, told.text],
             stopped=stopped, again=again, gone=gone, small=classes["Small"])
        """,
        tool,
    )
    assert seen["came"] == ["ENVIRONMENT_PHASE_RUNNING"] * 2
    assert seen["listed"]
    got = seen["got"]
    assert got["metadata"]["name"] == "renamed"
    assert got["metadata"]["originalContextUrl"] == tool
    assert got["spec"]["timeout"]["disconnected"] == "3600s"
    assert got["spec"]["machine"]["class"] == seen["small"]
    assert seen["files"]["stdout"] == "one\ntwo\nthree\n"
    assert seen["told"][0] == 200
    assert (seen["stopped"], seen["again"]) == ("ENVIRONMENT_PHASE_STOPPED", "ENVIRONMENT_PHASE_RUNNING")
    assert seen["gone"] == "RESOURCE_OPERATION_DELETE"


def test_a_project_is_made_used_changed_and_removed(json_client: Client, hosting: CodeHost) -> None:
    url = hosting.add("team/one.git", {"README.md": "one\n"})
    seen = json_client.run(
        """
        specs = [{"git": {"remoteUri": arguments[0], "targetMode": "CLONE_TARGET_MODE_REMOTE_BRANCH",
                          "cloneTarget": "topic"}}]
        setup = {"setup": {"commands": ["echo prepared > .git/prepared"]}}
        project = client.projects.create(name="one", initializer={"specs": specs}, extra_body=setup).project
        listed = [one.id for one in client.projects.list(page_size=1)]
        client.projects.update(project_id=project.id, name="one again", technical_description="A tool.")
        got = client.projects.retrieve(project_id=project.id).project
        runner = next(iter(client.runners.list()))
        parsed = client.runners.parse_context_url(context_url=arguments[0], runner_id=runner.runner_id)
        made = client.environments.create_from_project(
            project_id=project.id, spec={"desiredPhase": "ENVIRONMENT_PHASE_RUNNING"}).environment.id
        until(made, "ENVIRONMENT_PHASE_RUNNING")
        used = client.environments.retrieve(environment_id=made).environment
        token = client.environments.create_environment_token(environment_id=made).access_token
        ran = inside(made, "Exec", token, command="cat .git/prepared topic.txt", operationId="look")
        client.environments.delete(environment_id=made)
        client.projects.delete(project_id=project.id)
        tell(id=project.id, listed=listed, got=got, parsed=parsed, used=used, ran=ran,
             gone=refusal(client.projects.retrieve, project_id=project.id))
        """,
        url,
    )
    assert seen["listed"].count(seen["id"]) == 1
    assert seen["got"]["metadata"]["name"] == "one again"
    assert seen["parsed"]["projectIds"] == [seen["id"]]
    assert seen["parsed"]["git"]["cloneUrl"] == url
    assert seen["used"]["metadata"]["projectId"] == seen["id"]
    assert seen["ran"]["stdout"] == "prepared\non the branch\n"
    assert seen["gone"]["class"] == "NotFoundError"
