"""Lists of executions through every client: pages, filters, newest first."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.sdk.clients import Client
from tests.server import HostlerProcess

GROUP = "example.org/group"
OTHER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def group(server: HostlerProcess) -> Iterator[tuple[str, list[str]]]:
    """Seven executions without a task, marked as one group; their ids are newest first."""
    name = str(uuid4())
    made = [server.start_agent("", name=f"run {n}", annotations={GROUP: name, "n": str(n % 2)}) for n in range(7)]
    yield name, made[::-1]
    for execution in made:
        server.call("DeleteAgentExecution", {"agentExecutionId": execution})


def test_a_json_client_walks_through_all_pages(old: Client, group: tuple[str, list[str]]) -> None:
    name, made = group
    seen = old.run(
        f"""
        filtered = {{"annotations": {{{GROUP!r}: arguments[0]}}}}
        listed = agents.list_executions(filter=filtered, pagination={{"page_size": 3}})
        pages = [[one.id for one in page.agent_executions] for page in listed.iter_pages()]
        tell(pages=pages)
        """,
        name,
    )
    assert seen["pages"] == [made[:3], made[3:6], made[6:]]


def test_a_json_client_may_give_the_page_size_in_the_query(old: Client, group: tuple[str, list[str]]) -> None:
    name, made = group
    seen = old.run(
        f"""
        listed = agents.list_executions(filter={{"annotations": {{{GROUP!r}: arguments[0]}}}}, page_size=4)
        tell(pages=[[one.id for one in page.agent_executions] for page in listed.iter_pages()])
        """,
        name,
    )
    assert seen["pages"] == [made[:4], made[4:]]


def test_a_connect_client_walks_through_all_pages(new: Client, group: tuple[str, list[str]]) -> None:
    name, made = group
    seen = new.run(
        f"""
        pages, token = [], ""
        while not pages or token:
            page = call("ListAgentExecutions", filter={{"annotations": {{{GROUP!r}: arguments[0]}}}},
                        pagination={{"pageSize": 3, "token": token}})
            pages.append([one["id"] for one in page["agentExecutions"]])
            token = page.get("pagination", {{}}).get("nextToken", "")
        tell(pages=pages)
        """,
        name,
    )
    assert seen["pages"] == [made[:3], made[3:6], made[6:]]


FILTERS = f"""
    both = {{{GROUP!r}: arguments[0], "n": "1"}}
    mine = {{{GROUP!r}: arguments[0]}}
    found = {{
        "both pairs": find(annotations=both),
        "other value": find(annotations={{{GROUP!r}: "another"}}),
        "ids": find(agent_execution_ids=arguments[1:]),
        "phase": find(annotations=mine, status_phases=["PHASE_PENDING"]),
        "other phase": find(annotations=mine, status_phases=["PHASE_STOPPED", "PHASE_RUNNING"]),
        "agent": find(annotations=mine, agent_ids=["00000000-0000-0000-0000-000000007100"]),
        "other agent": find(annotations=mine, agent_ids=[{OTHER!r}]),
        "creator": find(annotations=mine, creator_ids=[me]),
        "other creator": find(annotations=mine, creator_ids=[{OTHER!r}]),
        "role": find(annotations=mine, roles=["AGENT_EXECUTION_ROLE_DEFAULT"]),
        "other role": find(annotations=mine, roles=["AGENT_EXECUTION_ROLE_WORKFLOW"]),
        "environment": find(environment_ids=[environment]),
        "session": find(session_ids=[session]),
    }}
    tell(**found)
    """


def filtered(seen: dict[str, list[str]], made: list[str]) -> None:
    """Check what the filters of FILTERS found."""
    assert seen["both pairs"] == [made[1], made[3], made[5]]
    for one in ("phase", "agent", "creator", "role"):
        assert seen[one] == made, one
    for one in ("other value", "other phase", "other agent", "other creator", "other role"):
        assert seen[one] == [], one
    assert seen["ids"] == made[2:4]
    assert seen["environment"] == made[2:3]
    assert seen["session"] == made[2:3]


def test_a_json_client_filters(old: Client, group: tuple[str, list[str]]) -> None:
    name, made = group
    seen = old.run(
        """
    def find(**conditions):
        names = {"agent_execution_ids": "agentExecutionIds", "session_ids": "sessionIds"}
        return [one.id for one in agents.list_executions(filter={names.get(k, k): v for k, v in conditions.items()})]

    one = get(arguments[1])
    me, environment = one.metadata.creator.id, one.status.used_environments[0].environment_id
    session = one.to_dict()["metadata"]["sessionId"]
    """
        + FILTERS,
        name,
        *made[2:4],
    )
    filtered(seen, made)


def test_a_connect_client_filters(new: Client, group: tuple[str, list[str]]) -> None:
    name, made = group
    seen = new.run(
        """
    def find(**conditions):
        return [one["id"] for one in call("ListAgentExecutions", filter=conditions).get("agentExecutions", [])]

    me = call("GetAuthenticatedIdentity", "identity")["subject"]["id"]
    one = get(arguments[1])
    environment, session = one["status"]["usedEnvironments"][0]["environmentId"], one["metadata"]["sessionId"]
    """
        + FILTERS,
        name,
        *made[2:4],
    )
    filtered(seen, made)
