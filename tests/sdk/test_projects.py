"""Projects, runners and credentials for code hosts through the official clients."""

from uuid import uuid4

from tests.sdk.clients import Client
from tests.server import HostlerProcess


def test_a_json_client_keeps_projects(old: Client, tool: str) -> None:
    name = f"project {uuid4()}"
    seen = old.run(
        """
        url, name = arguments
        made = client.projects.create(name=name, initializer={"specs": [{"context_url": {"url": url}}]}).project
        got = client.projects.retrieve(project_id=made.id).project
        changed = client.projects.update(project_id=made.id, name=name + "!").project
        listed = [one.id for one in client.projects.list(filter={"search": name})]
        started = start(code_context={"project_id": made.id})
        found = [one.id for one in agents.list_executions(filter={"project_ids": [made.id]}).agent_executions]
        client.projects.delete(project_id=made.id)
        gone = refusal(client.projects.retrieve, project_id=made.id)
        agents.delete_execution(agent_execution_id=started)
        tell(id=made.id, name=got.metadata.name, changed=changed.metadata.name, listed=listed,
             found=found == [started], url=got.initializer.specs[0].context_url.url, gone=gone)
        """,
        tool,
        name,
    )
    assert (seen["name"], seen["changed"], seen["url"]) == (name, f"{name}!", tool)
    assert seen["listed"] == [seen["id"]]
    assert seen["found"] is True
    assert seen["gone"]["class"] == "NotFoundError"


def test_a_json_client_sees_the_runner_and_checks_a_host(old: Client) -> None:
    seen = old.run(
        """
        found = client.runners.list().runners
        one = client.runners.retrieve(runner_id=found[0].runner_id).runner
        parsed = client.runners.parse_context_url(context_url="https://github.com/ann/shop/tree/dev")
        checked = client.runners.check_authentication_for_host(runner_id=one.runner_id, host="git.example")
        tokens = client.runners.configurations.host_authentication_tokens
        me = client.identity.get_authenticated_identity().subject.id
        kept = tokens.create(runner_id=one.runner_id, host="git.example", token="not-a-token-1", user_id=me,
                             source="HOST_AUTHENTICATION_TOKEN_SOURCE_PAT").token
        tokens.update(id=kept.id, token="not-a-token-2")
        listed = [token.host for token in tokens.list()]
        tokens.delete(id=kept.id)
        tell(number=len(found), kind=one.kind, phase=one.status.phase, git=parsed.git,
             authenticated=checked.authenticated, kept=kept, listed=listed, left=[one.host for one in tokens.list()])
        """
    )
    assert (seen["number"], seen["kind"], seen["phase"]) == (1, "RUNNER_KIND_REMOTE", "RUNNER_PHASE_ACTIVE")
    assert (seen["git"]["branch"], seen["git"]["cloneUrl"]) == ("dev", "https://github.com/ann/shop")
    assert seen["authenticated"] is True
    assert seen["kept"]["host"] == "git.example"
    assert "not-a-token" not in str(seen["kept"])
    assert (seen["listed"], seen["left"]) == (["git.example"], [])


def test_a_url_of_a_known_repository_starts_from_the_project_that_was_used(workspaces: Client, tool: str) -> None:
    server = workspaces.server
    classes = server.call("ListEnvironmentClasses", service="EnvironmentService")["environmentClasses"]
    small = next(one["id"] for one in classes if one["displayName"] == "Small")
    used, unused = (known(server, name, tool, small) for name in ("used", "unused"))
    named = {"projectId": used}
    made = server.call("CreateEnvironmentFromProject", named, "EnvironmentService")["environment"]
    shown = {"environmentId": made["id"]}
    server.until(
        lambda: (
            server.call("GetEnvironment", shown, "EnvironmentService")["environment"]["status"]["phase"]
            == "ENVIRONMENT_PHASE_RUNNING"
        )
    )
    try:
        seen = workspaces.run(
            """
            made = environments.create(arguments[0], timeout=60)
            shown = made.proto()
            tell(project=shown.metadata.project_id, kind=getattr(shown.spec.machine, "class"))
            environments.delete(made.id(), force=True)
            """,
            tool,
        )
    finally:
        for project in (used, unused):
            server.call("DeleteProject", {"projectId": project}, "ProjectService")
        server.call("DeleteEnvironment", {**shown, "force": True}, "EnvironmentService")
    assert (seen["project"], seen["kind"]) == (used, small)


def known(server: HostlerProcess, name: str, url: str, kind: str) -> str:
    """Register a project with one class; return its id."""
    body = {"name": name, "initializer": {"specs": [{"contextUrl": {"url": url}}]}}
    made = server.call("CreateProject", body, "ProjectService")["project"]["id"]
    kinds = {"projectId": made, "projectEnvironmentClasses": [{"environmentClassId": kind}]}
    server.call("UpdateProjectEnvironmentClasses", kinds, "ProjectService")
    return made
