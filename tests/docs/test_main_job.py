"""The main job's script: what `make run` does, on a copy of the examples in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

pytestmark = pytest.mark.sandbox
WIPED = ("HOSTLER_", "ANTHROPIC_", "OPENAI_")


@pytest.fixture
def script(place: Path) -> Path:
    """The script beside the example project, with nothing of this checkout around it."""
    shutil.copytree(ROOT / "examples" / "wordcount", place / "examples" / "wordcount")
    return Path(shutil.copy(ROOT / "examples" / "main-job.sh", place / "examples"))


def variables(**more: str) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(WIPED)}
    return {**clean, "HOSTLER": str(Path(sys.executable).with_name("hostler")), **more}


def left_behind(place: Path) -> list[str]:
    """Return the processes that name a folder in their arguments or variables."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(place).encode() in said:
            found.append((process / "comm").read_text().strip())
    return found


def run(script: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(script)], env=variables(**more), capture_output=True, text=True)


def test_it_ends_well_only_if_the_agent_mended_the_project_and_leaves_nothing_running(
    script: Path, place: Path
) -> None:
    plan = place / "idle.json"
    plan.write_text(json.dumps({"rules": [{"steps": [{"text": "I would rather not."}]}]}))
    idle = run(script, HOSTLER_MODEL=f"scripted:{plan}")
    assert idle.returncode == 1
    assert "the tests do not pass" in idle.stderr
    assert f"The model is scripted:{plan}." in idle.stdout
    assert left_behind(place) == []
    done = run(script)  # again in the same folder
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ("a scripted one plays its part", "Ran 5 tests", "+    return ranked[:limit]", "7 iterations"):
        assert said in done.stdout
    assert left_behind(place) == []


def test_ctrl_c_stops_the_agent_its_environment_and_the_server(script: Path, place: Path) -> None:
    plan = place / "slow.json"
    steps = [{"calls": [{"name": "bash", "arguments": {"command": "sleep 1000"}}]}]
    plan.write_text(json.dumps({"rules": [{"steps": steps}]}))
    child = subprocess.Popen(
        ["sh", str(script)],
        env=variables(HOSTLER_MODEL=f"scripted:{plan}"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,
    )
    assert child.stdout
    while b"sleep 1000" not in (line := child.stdout.readline()):
        assert line, "it ended before the agent began"
    os.killpg(child.pid, signal.SIGINT)
    child.stdout.read()
    child.stdout.close()
    assert child.wait(30) == 130
    assert left_behind(place) == []
