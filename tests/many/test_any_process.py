"""Any process takes any request: what only the holder can do is passed on, the rest is answered where it arrives."""

import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.many.machines import Machine, Place
from tests.server import Refused

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.crash]
NOWHERE = "00000000-0000-7000-8000-000000000001"
BUILTIN = "00000000-0000-0000-0000-000000007100"


def test_an_agent_is_started_seen_told_and_stopped_through_whichever_machine_is_asked(
    place: Place, all_three: list[Machine]
):
    a, b, c = all_three
    execution = a.start_agent(runnerId=b.runner)
    assert place.runner_of(execution) == b.runner
    c.send(execution, "run: echo made > file; cat file")
    assert c.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    environment = a.environment_of(execution)
    assert (b.workspace(environment) / "file").read_text() == "made\n"
    read = {"path": "file"}
    path = f"/api/environments/{environment}/ops/supervisor.v1.EnvironmentOpsService/ReadFile"
    assert all(b"bWFkZQo" in one.request("POST", path, read) for one in all_three)
    a.until(lambda: "WorkKept" in [kind for kind, _ in place.log(execution)])
    assert b"+made" in a.request("GET", f"/api/hostler/v1/executions/{execution}/diff")
    a.send(execution, "run: touch begun; sleep 600")
    c.until(lambda: (b.workspace(environment) / "begun").exists())
    c.stop_agent(execution)
    assert a.rest(execution)["status"]["phase"] == "PHASE_STOPPED"


def test_what_is_passed_on_is_in_the_audit_log_once(place: Place, all_three: list[Machine]):
    a, b, _ = all_three
    execution = a.start_agent("hello", runnerId=b.runner)
    a.rest(execution)
    environment = a.environment_of(execution)
    a.call("StopEnvironment", {"environmentId": environment}, service="EnvironmentService")
    query = "SELECT action FROM audit WHERE subject_id IN (%s, %s) ORDER BY at"

    def written() -> list[str]:
        return [str(action).rpartition("/")[2] for (action,) in place.rows(query, execution, environment)]

    a.until(lambda: "StopEnvironment" in written())
    assert written() == ["StartAgent", "SendToAgentExecution", "StopEnvironment"]


def test_a_live_stream_of_another_machine_has_the_whole_conversation(all_three: list[Machine]):
    a, b, c = all_three
    execution = a.start_agent("hello", runnerId=a.runner)
    a.rest(execution)
    streams = {one.request("GET", f"/api/executions/{execution}/live?format=json&after=0") for one in (a, b, c)}
    assert len(streams) == 1
    assert b"Hello there." in streams.pop()


def test_a_terminal_of_another_machine_is_typed_into_and_seen(all_three: list[Machine]):
    a, b, _ = all_three
    execution = a.start_agent("hello", runnerId=b.runner)
    a.rest(execution)
    path = f"/environments/{a.environment_of(execution)}/terminals/passed-on/socket?open=1"
    url = f"ws{a.url.removeprefix('http')}{path}"
    with connect(url, additional_headers={"Authorization": f"Bearer {a.token}"}, proxy=None) as terminal:
        terminal.send(b"echo $((6 * 7))-through\n")
        shown = b""
        while b"42-through" not in shown:
            got = terminal.recv(timeout=40)
            shown += got if isinstance(got, bytes) else b""
        terminal.send(b"exit 3\n")
        while isinstance(got := terminal.recv(timeout=40), bytes):
            pass
        assert json.loads(got) == {"type": "exited", "code": 3}
    with pytest.raises(InvalidStatus):
        connect(url, additional_headers={"Authorization": "Bearer hostler_no"}, proxy=None)


def test_an_environment_given_by_id_decides_where_an_execution_is(place: Place, all_three: list[Machine]):
    a, b, c = all_three
    first = a.start_agent("hello", runnerId=b.runner)
    a.rest(first)
    second = c.start_agent("run: echo here", codeContext={"environmentId": a.environment_of(first)})
    a.rest(second)
    assert place.runner_of(second) == b.runner


def test_a_runner_that_there_is_not_is_named(all_three: list[Machine]):
    with pytest.raises(Refused) as refused:
        all_three[0].start_agent("hello", runnerId=NOWHERE)
    assert (refused.value.code, refused.value.message) == ("not_found", "runner_id: there is no such runner")


def test_deleting_while_the_environment_is_made_leaves_nothing(place: Place, all_three: list[Machine]):
    a, b, c = all_three
    for _ in range(5):
        execution = a.start_agent("hello", runnerId=b.runner)
        c.call("DeleteAgentExecution", {"agentExecutionId": execution})
        with pytest.raises(Refused) as refused:
            a.get(execution)
        assert refused.value.code == "not_found"
        a.until(lambda e=execution: not place.rows("SELECT id FROM execution WHERE id = %s", e))
        a.until(lambda e=execution: not place.rows("SELECT id FROM environment WHERE owner_execution = %s", e))
