"""The demo script at work on the example project, with real files and real test runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostler.core.conversation import Message, ModelMessage, ModelRequest, Text, ToolCall, ToolResult, UserMessage
from hostler.models.registry import Registry

EXAMPLE = Path(__file__).parents[2] / "examples" / "wordcount"


class Workshop:
    """The tools that the demo uses, on a copy of the example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs: dict[str, str] = {}
        self.called: list[str] = []

    def use(self, call: ToolCall) -> ToolResult:
        arguments = json.loads(call.arguments)
        self.called.append(call.name)
        return ToolResult(call.id, call.name, getattr(self, f"_{call.name}")(**arguments))

    def _bash(self, command: str, timeout: int = 60) -> str:
        command = command.replace("python3", sys.executable)
        run = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, timeout=timeout)
        return f"{run.stdout}{run.stderr}\nexit code {run.returncode}"

    def _read(self, path: str) -> str:
        lines = (self.folder / path).read_text().splitlines()
        return "\n".join(f"{number:6}\t{line}" for number, line in enumerate(lines, 1))

    def _search(self, pattern: str, path: str) -> str:
        command = ["grep", "-rnE", "--include=*.py", pattern, path]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True).stdout

    def _edit(self, path: str, old: str, new: str) -> str:
        file = self.folder / path
        assert file.read_text().count(old) == 1
        file.write_text(file.read_text().replace(old, new))
        return f"changed {path}"

    def _todo(self, todos: list[dict[str, str]]) -> str:
        return f"{len(todos)} todos"

    def _add_agent_execution_result(self, key: str, value: str) -> str:
        self.outputs[key] = value
        return "kept"


async def work(folder: Path, text: str) -> tuple[Workshop, str]:
    workshop, model = Workshop(folder), Registry({}).get("scripted:demo")
    messages: list[Message] = [UserMessage(parts=(Text(text),))]
    while True:
        reply = await model.call(ModelRequest("", tuple(messages)), lambda _: None)
        messages.append(ModelMessage(reply.parts))
        if not reply.tool_calls:
            return workshop, "".join(part.text for part in reply.parts if isinstance(part, Text))
        messages.append(UserMessage(results=tuple(map(workshop.use, reply.tool_calls))))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "wordcount"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def green(folder: Path) -> bool:
    return subprocess.run([sys.executable, "-m", "unittest", "-q"], cwd=folder, capture_output=True).returncode == 0


async def test_the_demo_finds_the_mistake_mends_it_and_says_so(project: Path) -> None:
    assert not green(project)
    workshop, said = await work(project, "The tests fail. Find the mistake and mend it.")
    assert green(project)
    assert workshop.outputs == {"tests": "5 passed", "mended": "wordcount/ranking.py"}
    assert "ranked[:limit]" in said
    changed = subprocess.run(["diff", "-rq", "-x", "__pycache__", EXAMPLE, project], capture_output=True, text=True)
    assert changed.stdout.count("\n") == 1


async def test_the_demo_finds_the_mistake_in_another_place_too(project: Path) -> None:
    module = (project / "wordcount" / "ranking.py").read_text()
    (project / "wordcount" / "ranking.py").unlink()
    (project / "wordcount" / "order.py").write_text(module.replace("ranked", "rows").replace("limit", "most"))
    tests = project / "tests" / "test_ranking.py"
    tests.write_text(tests.read_text().replace("wordcount.ranking", "wordcount.order"))
    workshop, said = await work(project, "please fix the failing test")
    assert green(project)
    assert workshop.outputs["mended"] == "wordcount/order.py"
    assert "rows[:most]" in said


async def test_the_demo_reads_a_test_that_lies_beside_the_code(project: Path) -> None:
    for test in (project / "tests").glob("test_*.py"):
        shutil.move(test, project / test.name)
    shutil.rmtree(project / "tests")
    workshop, _ = await work(project, "Make the failing test pass")
    assert green(project)
    assert workshop.outputs["mended"] == "wordcount/ranking.py"


async def test_the_demo_says_when_there_is_nothing_to_mend(project: Path) -> None:
    await work(project, "mend the tests")
    workshop, said = await work(project, "mend the tests")
    assert "nothing to mend" in said
    assert "edit" not in workshop.called


async def test_the_demo_says_when_it_does_not_know_the_mistake(project: Path) -> None:
    module = project / "wordcount" / "ranking.py"
    module.write_text(module.read_text().replace("ranked[: limit - 1]", "ranked[1:limit]"))
    _, said = await work(project, "mend the tests")
    assert "not one that my script knows" in said
    assert not green(project)


async def test_the_demo_runs_a_command_that_it_is_given(project: Path) -> None:
    workshop, _ = await work(project, "run: touch here && echo there")
    assert (project / "here").exists()
    assert workshop.called == ["bash"]


async def test_the_demo_says_what_it_is(project: Path) -> None:
    workshop, said = await work(project, "Hello, who are you?")
    assert "scripted model" in said
    assert "HOSTLER_MODEL" in said
    assert not workshop.called
