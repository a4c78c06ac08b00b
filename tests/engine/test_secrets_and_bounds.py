"""Secrets in odd places, and sizes that are bounded."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime

from hostler.core import events as ev
from hostler.core.machines import Chunk, FileProblem, Stream
from hostler.core.redaction import Redactor
from hostler.core.state import State, evolve
from hostler.models.registry import Registry
from hostler.models.script import Call, Step
from hostler.projections.status import view
from hostler.testing.stage import Stage
from hostler.testing.world import MemoryMachine, World
from tests.api.conftest import SECRET, Api, api
from tests.engine.stories import stage_of

__all__ = ["api"]
CANARY = "canary-0123456789"


class Shared(World):
    """A world whose environment has a user."""

    user = ""

    async def users(self, environment: str) -> tuple[str, ...]:
        return (self.user,)


async def test_a_secret_in_the_name_of_a_refused_host_is_masked():
    stage = stage_of(Step(text="Done."), world=Shared(), secrets=(CANARY,))
    server = await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    stage.world.user = execution
    await server.desk.refused(state.environment.id, f"{CANARY}.example.org:443", f"no {CANARY} here")
    state = await stage.state(execution)
    log = await stage.log(execution)
    await stage.kill()
    assert state.refused_hosts
    assert CANARY not in repr([ev.encode(r.event) for r in log])
    assert CANARY not in repr(view(state))


async def test_a_secret_that_the_model_escapes_is_masked_in_outputs_and_todos():
    escaped = "".join(f"\\u{ord(c):04x}" for c in CANARY)
    calls = (
        Call("add_agent_execution_result", f'{{"key": "k", "value": "{escaped}"}}'),
        Call("todo", f'{{"todos": [{{"title": "{escaped}"}}]}}'),
    )
    stage = stage_of(Step(calls=calls), Step(text="Done."), secrets=(CANARY,))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    state = await stage.rest(execution)
    await stage.kill()
    assert state.outputs
    assert state.todos
    assert CANARY not in repr((state.outputs, state.todos))


async def test_a_secret_in_the_name_of_an_execution_is_not_in_its_environments_name(api: Api):
    await api.started({"name": f"use {SECRET}"})
    new = api.desk.started[-1]
    assert SECRET not in new.name
    assert SECRET not in repr(new.environment)


def test_a_secret_that_begins_with_another_secret_is_masked_whole_while_it_streams():
    short, long = "token-12345678", "token-12345678-and-the-rest-of-it"
    redactor = Redactor([short, long])
    stream = redactor.stream()
    shown = (
        "".join(stream.feed(piece) for piece in ("it is token-12345678", "-and-the-rest-of-it", ", see"))
        + stream.flush()
    )
    assert redactor.text(f"it is {long}, see") == "it is [redacted], see"
    assert "rest-of-it" not in shown


def test_an_agent_that_tries_ten_thousand_hosts_does_not_fill_the_status():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    state = evolve(State(), ev.Recorded(1, at, _started()))
    for number in range(10_000):
        state = evolve(state, ev.Recorded(number + 2, at, ev.EgressRefused(f"host-{number}.example.org:443", "no")))
    assert len(repr(view(state))) < 50_000, "every append writes this view anew, every Get sends it"


def _started() -> ev.Started:
    return ev.Started({}, ev.Agent("a", "a", "builtin", "scripted:demo"), "e", True, "c", "s")


def test_a_large_edit_does_not_hold_the_server():
    code = (
        "from hostler.projections.blocks import modification as m\n"
        "m('a', {'file': 'f', 'old': '\\n'.join(['}'] * 1000), 'new': '\\n'.join(['x', '}'] * 1000)})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=15)


class Forgetful(MemoryMachine):
    """A machine inside which somebody removed the kept output."""

    async def output(
        self, execution: str, operation: str, stream: Stream, *, offset: int = 0, limit: int = 1 << 20
    ) -> Chunk:
        raise FileProblem("not_found", "there is no such output")


async def test_a_command_that_succeeded_did_so_even_if_its_kept_output_is_gone():
    async def long(line: str) -> tuple[int, str]:
        return 0, "x" * 50_000

    stage = stage_of(
        Step(calls=(Call("bash", {"command": "make"}),)), Step(text="Done."), world=World(machine=Forgetful(shell=long))
    )
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    finished = next(r.event for r in log if isinstance(r.event, ev.ToolFinished))
    assert (finished.outcome, finished.exit_code) == ("ok", 0)
    assert "xxx" in finished.text


async def test_a_library_that_cancels_itself_does_not_leave_the_turn_alone():
    calls = {"n": 0}

    def plan(request):
        calls["n"] += 1
        raise asyncio.CancelledError

    stage = Stage(Registry({}, plans={"story": plan}))
    await stage.boot()
    execution = await stage.start("scripted:story", "")
    await stage.until(execution, lambda s: s.environment.ready)
    await stage.send(execution, "go")
    for _ in range(60):
        await asyncio.sleep(0)
        stage.clock.advance(60)
        await stage.server.engine.sweep()
        for _ in range(300):
            await asyncio.sleep(0)
    state = await stage.state(execution)
    await stage.kill()
    assert state.phase == "STOPPED", f"still {state.phase} after {calls['n']} calls that were given up without a word"
