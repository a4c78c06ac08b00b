"""A hiccup of the database, a boot with a damaged environment, a configuration that cannot work."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hostler.app import opened
from hostler.config import BadConfiguration, load
from hostler.core import events as ev
from hostler.core.desk import NewEnvironment, NewExecution
from hostler.core.errors import EnvironmentFailed, FailedPrecondition, HostlerError, Unavailable
from hostler.core.machines import FileProblem, Machine
from hostler.core.providers import Handle, LocalRepository, Observed, Scratch
from hostler.definitions import Definitions, classes_of
from hostler.engine.effects import Prepared
from hostler.models.registry import Registry
from hostler.models.script import Step
from hostler.testing.stage import SOMEBODY, said
from hostler.testing.world import World
from hostler.tools.read import numbered
from hostler.tools.result import typed
from tests.engine.stories import BASH, stage_of

CANARY = "canary-0123456789"


class Hiccup(World):
    """A world whose database does not answer once."""

    away = 0

    async def machine_for(self, environment: str) -> Machine:
        if self.away:
            self.away -= 1
            raise Unavailable("the database does not answer")
        return await super().machine_for(environment)


async def test_a_database_that_is_away_for_a_moment_does_not_make_a_running_command_failed():
    gate = asyncio.Event()

    async def slow(line: str) -> tuple[int, str]:
        await gate.wait()
        return 0, "42 passed"

    stage = stage_of(Step(text="I look.", calls=(BASH,)), Step(text="Done."), world=Hiccup())
    stage.world.machine.shell = slow
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    while not stage.world.machine.running:
        await asyncio.sleep(0)
    await stage.kill()
    stage.world.away = 1
    await stage.boot()
    await stage.until(execution, lambda s: s.session == "life-2" and s.environment.ready)
    for _ in range(100):
        await asyncio.sleep(0)
    await stage.server.engine.sweep()
    gate.set()
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    finished = [r.event for r in log if isinstance(r.event, ev.ToolFinished)]
    assert [(f.outcome, f.text) for f in finished] == [("ok", "42 passed")]


@pytest.mark.parametrize("text", ["agents = []", "classes = []", 'default_class = "Nope"'])
def test_a_configuration_that_cannot_work_is_refused_at_start_up(tmp_path: Path, text: str):
    file = tmp_path / "hostler.toml"
    file.write_text(text + "\n")
    with pytest.raises(BadConfiguration):
        load(file)


def test_two_agents_with_one_id_are_refused_at_start_up(tmp_path: Path):
    file = tmp_path / "hostler.toml"
    one = '[[agents]]\nid = "00000000-0000-0000-0000-00000000aaaa"\nname = "{}"\n'
    file.write_text(one.format("first") + one.format("second"))
    with pytest.raises(BadConfiguration):
        Definitions(load(file), Registry({}))


@pytest.fixture
async def server(place: Path) -> AsyncIterator:
    file = place / "hostler.toml"
    script = place / "script.json"
    hold = {"kind": "hold", "until": f"{place}/never"}
    script.write_text(json.dumps({"rules": [{"steps": [{"text": "hm", "faults": [hold]}]}]}))
    file.write_text(
        f'sandbox = "none"\nsettle_seconds = 0\nsecrets = ["{CANARY}"]\ndata_dir = "{place}/data"\n'
        f'model = "scripted:{script}"\n'
    )
    async with opened(load(file), {}) as server:
        yield server
        for row in await server.desk._executions.busy(server.home.runner):
            await server.desk._environments.delete(
                row.view["status"]["usedEnvironments"][0]["environmentId"], force=True
            )


async def started(server, source) -> tuple[str, str]:
    settings = server.settings
    agent = Definitions(settings, Registry({})).default().agent
    new = NewExecution({}, agent, NewEnvironment(classes_of(settings)[0].id, source), SOMEBODY, "")
    execution = await server.desk.start(new)
    seen = await server.desk.seen(execution)
    return execution, seen.row.view["status"]["usedEnvironments"][0]["environmentId"]


async def until(server, execution: str, holds) -> None:
    async with asyncio.timeout(30):
        async with server.desk._executions.watch(execution) as watch:
            while not holds((await server.desk.seen(execution)).row):
                await watch.changed(1)


async def test_a_secret_in_an_environments_failure_is_masked_in_its_status_too(server, place: Path):
    execution, environment = await started(server, LocalRepository(f"{place}/{CANARY}"))
    await until(server, execution, lambda row: row.phase == "STOPPED")
    row = await server.desk._environments.get(environment)
    assert row.status["failure"]
    assert CANARY not in row.status["failure"]


async def test_an_environment_is_not_stopped_under_a_running_turn(server):
    execution, environment = await started(server, Scratch())
    await server.desk.command(execution, said("go", "00000000-0000-4000-8000-000000000001"))
    await until(server, execution, lambda row: row.view["status"].get("currentActivity") == "thinking")
    with pytest.raises(FailedPrecondition):
        await server.desk._environments.stop(environment)


class Grumpy:
    """A provider that cannot say how one environment is."""

    def __init__(self, provider) -> None:
        self._provider = provider

    def __getattr__(self, name: str):
        return getattr(self._provider, name)

    async def observe(self, handle: Handle) -> Observed:
        raise EnvironmentFailed("the folder of this environment is damaged")


async def test_one_damaged_environment_does_not_keep_the_server_from_starting(server):
    execution, environment = await started(server, Scratch())
    environments = server.desk._environments
    await environments.prepare(environment, execution, 100)
    environments._provider, real = Grumpy(environments._provider), environments._provider

    async def exists(_: str) -> bool:
        return True

    try:
        await environments.reconcile(exists)
    except HostlerError as problem:
        pytest.fail(f"the server would not start: {problem.message}")
    finally:
        environments._provider = real


class Full(World):
    """A world whose disk is full while the repository is brought in."""

    async def prepare(self, environment: str, execution: str, fence: int) -> Prepared:
        raise FileProblem("no_space", ".git/hostler.bundle: no space left on device")


async def test_a_full_disk_while_the_content_is_brought_in_is_said_as_the_environments_failure():
    stage = stage_of(Step(text="Done."), world=Full())
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    for _ in range(10):
        for _ in range(100):
            await asyncio.sleep(0)
        await stage.server.engine.sweep()
    state = await stage.rest(execution)
    await stage.kill()
    assert state.failure
    assert state.failure.reason == "environment"
    assert "no space" in state.failure.message


@pytest.mark.parametrize("text", ["2024_11", "1_0.5", " 12 ", "\u0661\u0662"])
def test_only_what_everybody_calls_a_number_becomes_one(text: str):
    assert typed(text) == text


@pytest.mark.parametrize("odd", ["\x0c", "\x85", "\u2028", "\x1c"])
def test_lines_are_counted_as_editors_and_compilers_count_them(odd: str):
    shown = numbered(f"first{odd}still first\nsecond\n", 1, 10)
    assert "     2\tsecond" in shown
