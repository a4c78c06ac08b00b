"""A process that is paused neither writes nor acts when it goes on: others have decided for it meanwhile."""

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests.many.machines import Machine, Place
from tests.many.test_away import wait_until_away

pytestmark = [pytest.mark.sandbox, pytest.mark.postgres, pytest.mark.crash]
AT_ONCE = 6


def counted(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def kinds(place: Place, execution: str) -> list[str]:
    return [kind for kind, _ in place.log(execution)]


@pytest.mark.parametrize("moment", [1, 4])
def test_a_paused_process_starts_nothing_once_others_have_stopped_its_runs(
    place: Place, all_three: list[Machine], moment: int
):
    a, b, c = all_three
    started = [a.start_agent(f"count n{n}x{moment}", runnerId=b.runner) for n in range(AT_ONCE)]
    files = [b.workspace(a.environment_of(one)) / f"n{n}x{moment}" for n, one in enumerate(started)]
    a.until(lambda: all(len(counted(file)) >= moment for file in files))
    b.pause()
    try:
        wait_until_away(a, b)
        before = [counted(file) for file in files]
        for execution in started:
            c.insist(lambda one=execution: c.stop_agent(one))
            assert a.phase(execution) in ("STOPPED", "WAITING_FOR_INPUT")
        logs = [place.log(execution) for execution in started]
    finally:
        b.resume()
    for n, execution in enumerate(started):
        ended = [kind for kind, _ in logs[n]][-1]
        b.until(lambda one=execution, end=ended: end != "Stopped" or "GroupGone" in kinds(place, one))
        assert counted(files[n]) == before[n] == [str(one) for one in range(1, len(before[n]) + 1)]
        later = place.log(execution)[len(logs[n]) :]
        assert {kind for kind, _ in later} <= {"GroupGone", "WorkKept", "EnvironmentReady"}
    assert any(kinds(place, one).count("Stopped") for one in started)


def test_a_request_that_reaches_the_supervisor_after_the_lease_begins_nothing(place: Place, all_three: list[Machine]):
    a, b, c = all_three
    execution = a.start_agent("run: touch ready", runnerId=b.runner)
    a.rest(execution)
    environment = a.environment_of(execution)
    inside = inside_of(b.workspace(environment).parents[1])
    for process in inside:
        os.kill(process, signal.SIGSTOP)
    try:
        a.send(execution, "run: echo ran >> ran")
        # The turn's first request to the supervisor is on its way and is not read.
        a.until(lambda: kinds(place, execution).count("TurnStarted") == 2)
        b.pause()
        wait_until_away(a, b)
        c.insist(lambda: c.stop_agent(execution))
        c.send(execution, "run: echo second >> second")
    finally:
        for process in inside:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
        b.resume()
    assert a.rest(execution)["status"]["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert counted(b.workspace(environment) / "ran") == []
    assert counted(b.workspace(environment) / "second") == ["second"]


def inside_of(environment: Path) -> list[int]:
    """The supervisor's processes of an environment: the one that was launched, and all below it."""
    found = [int(json.loads((environment / "launch.json").read_text())["pid"])]
    for process in found:
        for task in Path(f"/proc/{process}/task").iterdir():
            found.extend(int(child) for child in (task / "children").read_text().split())
    return found
