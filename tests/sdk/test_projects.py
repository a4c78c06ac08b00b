"""Projects, runners and credentials for code hosts through the official clients."""

from uuid import uuid4

from tests.sdk.clients import Client


def test_a_json_client_keeps_projects(old: Client, tool: str) -> None:
    name = f"project {uuid4()}"
    seen = old.run(
        """
        url, name = arguments
        kind = client.environments.classes.list().environment_classes[0].id
        more = {} if "environment_class" not in client.projects.create.__annotations__ else {
            "environment_class": {"environment_class_id": kind}}
        made = client.projects.create(name=name, initializer={"specs": [{"context_url": {"url": url}}]}, **more).project
        got = client.projects.retrieve(project_id=made.id).project
        changed = client.projects.update(project_id=made.id, name=name + "!").project
        listed = [one.id for one in client.projects.list(filter={"search": name})]
        started = start(code_context={"project_id": made.id}) if False else agents.start_execution(
            code_context={"project_id": made.id}).agent_execution_id
        found = [one.id for one in agents.list_executions(filter={"project_ids": [made.id]}).agent_executions]
        client.projects.delete(project_id=made.id)
        gone = refusal(client.projects.retrieve, project_id=made.id)
        agents.delete_execution(agent_execution_id=started)
        tell(id=made.id, kind=kind, name=got.metadata.name, changed=changed.metadata.name, listed=listed,
             found=found == [started], classes=[one.environment_class_id for one in got.environment_classes or []],
             url=got.initializer.specs[0].context_url.url, gone=gone)
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
        kept = tokens.create(runner_id=one.runner_id, host="git.example", token="not-a-token-1",
            source="HOST_AUTHENTICATION_TOKEN_SOURCE_PAT", **({} if not OLD else {}), **(
            {"user_id": client.identity.get_authenticated_identity().subject.id}
            if "user_id" in tokens.create.__annotations__ else {})).token
        tokens.update(id=kept.id, token="not-a-token-2")
        listed = [token.host for token in tokens.list()]
        tokens.delete(id=kept.id)
        tell(number=len(found), kind=one.kind, phase=one.status.phase, git=parsed.git, authenticated=checked.authenticated,
             kept=kept, listed=listed, left=[token.host for token in tokens.list()])
        """
    )
    assert (seen["number"], seen["kind"], seen["phase"]) == (1, "RUNNER_KIND_REMOTE", "RUNNER_PHASE_ACTIVE")
    assert (seen["git"]["branch"], seen["git"]["cloneUrl"]) == ("dev", "https://github.com/ann/shop")
    assert seen["authenticated"] is True
    assert seen["kept"]["host"] == "git.example"
    assert "not-a-token" not in str(seen["kept"])
    assert (seen["listed"], seen["left"]) == (["git.example"], [])


def test_a_url_of_a_known_repository_starts_from_its_project(workspaces: Client, tool: str) -> None:
    server = workspaces.server
    address = f"{tool}?known={uuid4()}"
    classes = server.call("ListEnvironmentClasses", service="EnvironmentService")["environmentClasses"]
    small = next(one["id"] for one in classes if one["displayName"] == "Small")
    body = {"name": "known", "initializer": {"specs": [{"contextUrl": {"url": tool}}]}}
    made = server.call("CreateProject", body, "ProjectService")["project"]
    kinds = [{"environmentClassId": small}]
    named = {"projectId": made["id"]}
    server.call("UpdateProjectEnvironmentClasses", {**named, "projectEnvironmentClasses": kinds}, "ProjectService")
    try:
        seen = workspaces.run(
            """
            made = environments.create(arguments[0], timeout=60)
            tell(project=made.proto().metadata.project_id, kind=made.proto().spec.machine.DESCRIPTOR and
                 getattr(made.proto().spec.machine, "class"))
            environments.delete(made.id(), force=True)
            """,
            address,
        )
    finally:
        server.call("DeleteProject", named, "ProjectService")
    assert (seen["project"], seen["kind"]) == (made["id"], small)
