"""A machine that is away: its executions say so and can be ended, and what it held can be given up and gone on with."""

from collections import Counter

import pytest

from tests.many.machines import Machine, Place
from tests.server import Refused

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.crash]
MANY, SHARED = 60, 10
"""Executions, and how many of them share an environment."""


def wait_until_away(asked: Machine, gone: Machine) -> None:
    """Wait until others take a machine as away."""
    asked.until(lambda: _runner(asked, gone)["phase"] == "RUNNER_PHASE_INACTIVE")


def _runner(asked: Machine, one: Machine) -> dict:
    found = asked.call("GetRunner", {"runnerId": one.runner}, "RunnerService")["runner"]["status"]
    return {"message": "", **found}


@pytest.mark.timeout(240)
def test_one_of_three_dies_among_sixty_and_goes_on_where_it_was(place: Place, all_three: list[Machine]):
    a, b, c = all_three
    mine: dict[str, Machine] = {}
    shared: dict[str, Machine] = {}
    for n in range(MANY // SHARED):
        machine = all_three[n % 3]
        first = a.start_agent("hello", runnerId=machine.runner)
        a.rest(first)
        shared[a.environment_of(first)] = machine
    for n in range(MANY):
        environment, machine = list(shared.items())[n % len(shared)]
        execution = all_three[n % 2].start_agent(f"work w{n}", codeContext={"environmentId": environment})
        mine[execution] = machine
    lost = [execution for execution, machine in mine.items() if machine is b]
    for n, (execution, machine) in enumerate(mine.items()):
        folder = machine.workspace(list(shared)[n % len(shared)])
        a.until(lambda f=folder / f"w{n}": f.exists() and f"{f.name}-2" in f.read_text(), 150)
        assert place.runner_of(execution) == machine.runner
    b.kill()
    for environment in shared:
        (shared[environment].workspace(environment) / "go").touch()
    for execution, machine in mine.items():
        if machine is not b:
            assert a.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    wait_until_away(a, b)
    assert {c.activity(execution) for execution in lost} == {"recovering"}
    assert "no sign of life" in _runner(c, b)["message"]
    b.start()
    for n, (execution, machine) in enumerate(mine.items()):
        last = c.rest(execution)
        assert last["status"]["phase"] == "PHASE_WAITING_FOR_INPUT", last
        counted = (machine.workspace(list(shared)[n % len(shared)]) / f"w{n}").read_text().split()
        assert counted == [f"w{n}-{step}" for step in (1, 2, 3, 4)]
        kinds = Counter(kind for kind, _ in place.log(execution))
        assert (kinds["ToolStarted"], kinds["ToolFinished"], kinds["ModelReplied"]) == (4, 4, 5)
        assert {body["outcome"] for kind, body in place.log(execution) if kind == "ToolFinished"} == {"ok"}


def test_executions_of_a_machine_that_is_away_are_stopped_told_and_deleted_through_others(
    place: Place, all_three: list[Machine]
):
    a, b, c = all_three
    stopped, deleted, told = (a.start_agent(runnerId=b.runner) for _ in range(3))
    for execution in (stopped, deleted):
        a.send(execution, "run: echo x >> runs; sleep 600")
    a.send(told, "hello")
    a.rest(told)
    environments = {one: a.environment_of(one) for one in (stopped, deleted)}
    for environment in environments.values():
        a.until(lambda e=environment: (b.workspace(e) / "runs").exists())
    b.kill()
    wait_until_away(a, b)
    c.stop_agent(stopped)
    assert a.phase(stopped) == "STOPPED"
    c.stop_agent(stopped)
    a.call("DeleteAgentExecution", {"agentExecutionId": deleted})
    with pytest.raises(Refused):
        c.get(deleted)
    c.send(told, "run: echo later > later")
    assert (a.phase(told), a.activity(told)) == ("RUNNING", "recovering")
    with pytest.raises(Refused) as refused:
        a.call("StopEnvironment", {"environmentId": environments[stopped]}, "EnvironmentService")
    assert refused.value.code == "unavailable"
    assert "machine-1" in refused.value.message
    with pytest.raises(Refused) as refused:
        a.start_agent("hello", runnerId=b.runner)
    assert refused.value.code == "failed_precondition"
    assert "machine-1" in refused.value.message
    b.start()
    c.rest(told)
    assert (b.workspace(a.environment_of(told)) / "later").exists()
    a.until(lambda: not place.rows("SELECT id FROM execution WHERE id = %s", deleted))
    a.until(lambda: "GroupGone" in [kind for kind, _ in place.log(stopped)])
    assert (b.workspace(environments[stopped]) / "runs").read_text() == "x\n"
    a.send(stopped, "hello")  # A script takes what comes with the result of a call for a word on the way.
    a.rest(stopped)
    a.send(stopped, "run: echo again > again")
    a.rest(stopped)
    assert (b.workspace(environments[stopped]) / "again").exists()


def test_a_lost_environment_is_made_again_elsewhere_and_its_machine_may_come_back(
    place: Place, all_three: list[Machine]
):
    a, b, c = all_three
    execution = a.start_agent("run: echo precious > work.txt", runnerId=b.runner)
    a.rest(execution)
    a.until(lambda: "WorkKept" in [kind for kind, _ in place.log(execution)])
    environment = a.environment_of(execution)
    lost = f"/api/hostler/v1/environments/{environment}/lost"
    with pytest.raises(Refused) as refused:
        a.request("POST", lost, {})
    assert refused.value.code == "failed_precondition"
    a.send(execution, "run: touch begun; sleep 600")
    a.until(lambda: (b.workspace(environment) / "begun").exists())
    b.kill()
    wait_until_away(a, b)
    with pytest.raises(Refused) as refused:
        c.request("POST", f"/api/hostler/v1/executions/{execution}/restore", {})
    assert f"hostler env lost {environment}" in refused.value.message
    a.request("POST", lost, {})
    assert a.phase(execution) == "STOPPED"
    c.request("POST", f"/api/hostler/v1/executions/{execution}/restore", {})
    assert place.runner_of(execution) == c.runner
    a.send(execution, "hello")
    a.rest(execution)
    a.send(execution, "run: cat work.txt; echo more >> work.txt")
    assert a.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert (c.workspace(a.environment_of(execution)) / "work.txt").read_text() == "precious\nmore\n"
    b.start()
    b.until(lambda: not place.rows("SELECT id FROM environment WHERE id = %s", environment))
    b.until(lambda: not b.workspace(environment).exists())
    assert a.phase(execution) == "WAITING_FOR_INPUT"
    assert place.runner_of(execution) == c.runner


def test_a_machine_that_is_gone_for_good_is_forgotten(place: Place, all_three: list[Machine]):
    a, b, c = all_three
    extra = place.add().start()
    execution = a.start_agent("run: echo kept > kept.txt", runnerId=extra.runner)
    a.rest(execution)
    a.until(lambda: "WorkKept" in [kind for kind, _ in place.log(execution)])
    with pytest.raises(Refused) as refused:
        a.request("DELETE", f"/api/hostler/v1/runners/{extra.runner}")
    assert refused.value.code == "failed_precondition"
    extra.kill()
    wait_until_away(a, extra)
    a.request("DELETE", f"/api/hostler/v1/runners/{extra.runner}")
    known = [one["runnerId"] for one in c.call("ListRunners", {}, "RunnerService")["runners"]]
    assert sorted(known) == sorted(one.runner for one in (a, b, c))
    b.request("POST", f"/api/hostler/v1/executions/{execution}/restore", {})
    a.send(execution, "run: cat kept.txt > seen.txt")
    a.rest(execution)
    assert (b.workspace(a.environment_of(execution)) / "seen.txt").read_text() == "kept\n"
