"""What somebody saw while it was being said: one reader who follows over every crash has each piece once.

The reader is the API's own, with nothing but his last cursor; the servers die and come back.
"""

import asyncio
import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hostler.api.broadcast import Channels
from hostler.api.cursors import Cursor, cursor_of
from hostler.api.forms import JsonForm
from hostler.api.parts import ApiParts
from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.machines import Signalled
from hostler.core.ports import ExecutionQuery
from hostler.models.registry import Registry
from hostler.models.script import Fault, Rule, Script, Step
from hostler.models.scripted import Gates
from hostler.projections.blocks import frames
from hostler.testing.link import Died, Link
from hostler.testing.resident import Act
from hostler.testing.stage import Stage
from hostler.testing.world import MemorySpoken

LONG = "A long answer, in many pieces, that somebody reads while it is being said. Grüße 🙂."


class Watcher:
    """Follows one execution over the lives of servers, as a client does that comes back with its last id."""

    def __init__(self) -> None:
        self.cursor: Cursor | None = None
        self.said: dict[str, str] = {}
        self.sequences: dict[str, int] = {}
        self.whole: dict[str, str] = {}
        self.frames: list[str] = []
        self.seen = asyncio.Condition()

    async def follow(self, stage: Stage, execution: str) -> None:
        """Read from one server until it is gone."""
        server = stage.server
        parts: Any = SimpleNamespace(
            desk=server.desk, executions=stage.executions, ambient=stage.clock, draining=server.link.dead.is_set
        )
        ticket = Channels(cast("ApiParts", parts)).of(execution, "json", JsonForm)
        async with ticket.join(self.cursor) as seat:
            while True:
                if data := await seat.take(stage.clock.now()):
                    async with self.seen:
                        self.read(data)
                        self.seen.notify_all()
                else:
                    await seat.wait()

    def read(self, data: bytes) -> None:
        for event in data.decode().strip().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.splitlines())
            self.cursor = cursor_of(lines["id"])
            body = json.loads(lines["data"])["body"]
            block = body.get("id", "")
            if "text" not in body:
                self.frames.append(lines["id"].partition(":")[0])
            elif body["phase"] == "PHASE_DELTA":
                assert block not in self.whole
                assert int(body["text"]["sequenceId"]) > self.sequences.get(block, 0)
                self.sequences[block] = int(body["text"]["sequenceId"])
                self.said[block] = self.said.get(block, "") + body["text"]["content"]
            else:
                assert block not in self.whole
                self.whole[block] = body["text"]["content"]
                assert self.whole[block].startswith(self.said.get(block, ""))

    async def has(self, *texts: str) -> None:
        """Return when some block has been said as far as each of these."""
        async with asyncio.timeout(20), self.seen:
            await self.seen.wait_for(lambda: all(text in self.said.values() for text in texts))


async def watched(stage: Stage, execution: str, watcher: Watcher) -> None:
    """Watch to the end of the story, over every life."""
    link = stage.server.link
    following = asyncio.create_task(watcher.follow(stage, execution))
    dead = asyncio.create_task(link.dead.wait())
    rest = asyncio.create_task(stage.until(execution, lambda state: state.phase in ("WAITING_FOR_INPUT", "STOPPED")))
    await asyncio.wait({dead, rest}, return_when=asyncio.FIRST_COMPLETED)
    if link.dead.is_set():
        following.cancel()
        await asyncio.wait({following})
        await stage.restart()
        following = asyncio.create_task(watcher.follow(stage, execution))
    await rest
    log = await stage.log(execution)
    async with asyncio.timeout(20), watcher.seen:
        last = str(frames(execution, log)[-1].number)
        await watcher.seen.wait_for(lambda: str(watcher.cursor).partition(":")[0] == last)
    for task in (following, dead):
        task.cancel()
    await asyncio.wait({following, dead})


def check(watcher: Watcher, stage: Stage, execution: str, log: Sequence[Any]) -> None:
    """The watcher has every block whole that he saw, every frame once, and the log has what he has."""
    assert set(watcher.said) <= set(watcher.whole)
    assert len(watcher.frames) == len(set(watcher.frames))
    history = {f.block: f.body["text"]["content"] for f in frames(execution, log) if "text" in f.body}
    assert watcher.whole == history
    assert isinstance(stage.spoken, MemorySpoken)
    assert not stage.spoken.kept.get(execution)


def held(*faults: Fault) -> tuple[Stage, Gates]:
    gates = Gates()
    step = Step(text=LONG, faults=faults)
    return Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=(step,)),), chunk=4)}, gates=gates)), gates


async def test_what_was_said_before_a_crash_is_closed_in_the_log_before_the_call_is_made_again() -> None:
    stage, gates = held(Fault("hold", after=5, reached="talking", until="go"))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    watcher = Watcher()
    following = asyncio.create_task(watcher.follow(stage, execution))
    await gates.wait("talking")
    await watcher.has(LONG[:20])
    following.cancel()
    await asyncio.wait({following})
    await stage.kill()
    gates.open("go")
    await stage.boot()
    await watched(stage, execution, watcher)
    log = await stage.log(execution)
    cuts = [r for r in log if isinstance(r.event, ev.ModelCallCut)]
    assert [cut.event for cut in cuts] == [
        ev.ModelCallCut("c1", (ev.CutText(next(iter(watcher.said)), LONG[:20]),), again=True)
    ]
    assert sorted(watcher.whole.values()) == [LONG[:20], LONG]
    check(watcher, stage, execution, log)
    await stage.kill()


async def test_a_try_that_broke_off_leaves_what_it_had_said_and_the_model_does_not_hear_of_it() -> None:
    stage, _ = held(Fault("cut", times=1, after=3, retry_after=0.0))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    watcher = Watcher()
    watching = asyncio.create_task(watched(stage, execution, watcher))
    while not watching.done():
        stage.clock.advance(1)
        await asyncio.sleep(0)
    await watching
    log = await stage.log(execution)
    kinds = [type(r.event).__name__ for r in log]
    assert kinds.index("ModelCallCut") + 1 == kinds.index("ModelCallFailed")
    assert sorted(watcher.whole.values()) == [LONG[:12], LONG]
    check(watcher, stage, execution, log)
    await stage.kill()


async def test_a_stop_that_comes_while_the_server_is_down_keeps_what_was_said() -> None:
    stage, gates = held(Fault("hold", after=5, reached="talking", until="never"))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await gates.wait("talking")
    stage.world.broken = "the disk is full"
    await stage.restart()
    await stage.rest(execution)
    said = [r.event.said for r in await stage.log(execution) if isinstance(r.event, ev.ModelCallCut)]
    assert [cut.text for cuts in said for cut in cuts] == [LONG[:20]]
    assert isinstance(stage.spoken, MemorySpoken)
    assert not stage.spoken.kept
    await stage.kill()


async def test_text_that_cannot_be_kept_is_shown_when_it_is_whole() -> None:
    class Full(MemorySpoken):
        def add(self, execution: str, piece: Any) -> bool:
            return sum(len(one.text) for one in self.read(execution)) < 8 and super().add(execution, piece)

    stage, _ = held()
    stage.spoken = Full()
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    watcher = Watcher()
    await watched(stage, execution, watcher)
    assert list(watcher.whole.values()) == [LONG]
    assert all(LONG.startswith(text) and len(text) <= 8 for text in watcher.said.values())
    await stage.kill()


STORY: Sequence[Act] = (("say", LONG), ("do", "make"), ("say", "Done, I think."))


@pytest.mark.parametrize("way", ["die_before", "die_after"])
async def test_a_reader_of_an_agent_inside_has_every_piece_once_with_a_crash_at_every_commit(way: str) -> None:
    commits = 99
    number = 0
    while number < commits:
        number += 1
        stage = Stage(Registry({}))
        stage.world.machine.script = STORY
        await stage.boot()
        execution = await stage.start("x:y", driver="resident")
        await stage.kill()
        await stage.boot(Link(stage.executions, **cast("Any", {way: number})))
        watcher = Watcher()
        try:
            await stage.send(execution, "go", "i1")
        except Died:
            await stage.restart()
            if not (await stage.state(execution)).inputs:
                await stage.send(execution, "go", "i1")
        await watched(stage, execution, watcher)
        check(watcher, stage, execution, await stage.log(execution))
        commits = min(commits, len(stage.commits))
        await stage.kill()
    assert commits > 5


async def test_the_text_of_an_agent_goes_on_under_the_same_id_where_the_last_server_left_it() -> None:
    stage = Stage(Registry({}))
    stage.world.machine.script = (("wait",),)
    await stage.boot()
    execution = await stage.start("x:y", "go", driver="resident")
    await stage.until(execution, lambda state: bool(state.external.turn) and not state.external.given)
    resident = stage.world.machine.residents["agent-1"]
    watcher = Watcher()
    for number, piece in enumerate(("One, ", "two, ", "three."), start=1):
        following = asyncio.create_task(watcher.follow(stage, execution))
        await resident.put(piece="m1", text=piece)
        if number == 2:  # something else is said in between, so that the place in the output moves over open text
            await resident.put(started="x", command="make")
            await resident.put(finished="x", text="made")
        await watcher.has(("One, ", "One, two, ", "One, two, three.")[number - 1])
        following.cancel()
        await asyncio.wait({following})
        await stage.restart()
    assert list(watcher.said.values()) == ["One, two, three."]
    following = asyncio.create_task(watcher.follow(stage, execution))
    await resident.put(said="m1", text="One, two, three.")
    await stage.until(execution, lambda state: state.seq > 0 and not stage.server.live.open_blocks(execution))
    async with asyncio.timeout(20), watcher.seen:
        await watcher.seen.wait_for(lambda: list(watcher.whole.values()) == ["One, two, three."])
    assert not [r for r in await stage.log(execution) if isinstance(r.event, ae.AgentSaid) and r.event.cut]
    following.cancel()
    await asyncio.wait({following})
    await stage.kill()


async def test_what_an_agent_was_saying_when_its_process_died_is_in_the_log() -> None:
    stage = Stage(Registry({}))
    stage.world.machine.script = (("wait",),)
    await stage.boot()
    execution = await stage.start("x:y", "go", driver="resident")
    await stage.until(execution, lambda state: bool(state.external.turn) and not state.external.given)
    resident = stage.world.machine.residents["agent-1"]
    watcher = Watcher()
    following = asyncio.create_task(watcher.follow(stage, execution))
    await resident.put(piece="m1", text="I was about to")
    await watcher.has("I was about to")
    await resident.end(Signalled(9))
    await stage.until(execution, lambda state: state.external.processes == 2)
    said = [r.event for r in await stage.log(execution) if isinstance(r.event, ae.AgentSaid)]
    assert said == [ae.AgentSaid("m1", "I was about to", block=next(iter(watcher.said)), cut=True)]
    following.cancel()
    await asyncio.wait({following})
    await stage.kill()


async def test_what_an_agent_began_to_say_and_said_anew_is_in_the_log_before_that() -> None:
    """Its model call was cut, say, and what the next one says comes under another name."""
    stage = Stage(Registry({}))
    stage.world.machine.script = (("wait",),)
    await stage.boot()
    execution = await stage.start("x:y", "go", driver="resident")
    await stage.until(execution, lambda state: bool(state.external.turn) and not state.external.given)
    resident = stage.world.machine.residents["agent-1"]
    watcher = Watcher()
    watching = asyncio.create_task(watched(stage, execution, watcher))
    await resident.put(piece="m1", text="A long ")
    await watcher.has("A long ")
    await resident.put(piece="m2", text="A long answer.")
    await resident.put(said="m2", text="A long answer.")
    await resident.put(done="turn-1")
    await watching
    assert list(watcher.whole.values()) == ["A long ", "A long answer."]
    check(watcher, stage, execution, await stage.log(execution))
    await stage.kill()


async def test_a_secret_that_was_held_back_at_a_crash_never_shows_and_the_text_comes_whole() -> None:
    secret = "canary-0123456789"
    stage = Stage(Registry({}), secrets=(secret,))
    stage.world.machine.script = (("wait",),)
    await stage.boot()
    execution = await stage.start("x:y", "go", driver="resident")
    await stage.until(execution, lambda state: bool(state.external.turn) and not state.external.given)
    resident = stage.world.machine.residents["agent-1"]
    watcher = Watcher()
    following = asyncio.create_task(watcher.follow(stage, execution))
    await resident.put(piece="m1", text="The key is cana")
    await resident.put(started="x", command="make")
    await resident.put(finished="x", text="made")
    await watcher.has("The key is ")
    await stage.until(execution, lambda state: not state.external.actions and state.seq > 10)
    following.cancel()
    await asyncio.wait({following})
    await stage.restart()
    following = asyncio.create_task(watcher.follow(stage, execution))
    await resident.put(piece="m1", text="ry-0123456789, see")
    await resident.put(said="m1", text=f"The key is {secret}, see.")
    async with asyncio.timeout(20), watcher.seen:
        await watcher.seen.wait_for(lambda: bool(watcher.whole))
    assert list(watcher.whole.values()) == ["The key is [redacted], see."]
    assert list(watcher.said.values()) == ["The key is "]
    following.cancel()
    await asyncio.wait({following})
    await stage.kill()


async def test_whose_claims_come_to_nothing_keeps_what_was_said() -> None:
    stage, gates = held(Fault("hold", after=5, reached="talking", until="never"))
    await stage.boot()
    execution = await stage.start("scripted:story", "go")
    await gates.wait("talking")
    for _ in range(7):
        await stage.kill()
        await stage.boot()
        row = (await stage.executions.find(ExecutionQuery(), limit=1))[0]
        if row.phase == "STOPPED":
            break
        await stage.until(execution, lambda state: state.session == f"life-{stage.lives}" or state.phase == "STOPPED")
    await stage.rest(execution)
    log = await stage.log(execution)
    whole = [f.body["text"]["content"] for f in frames(execution, log) if "text" in f.body]
    assert whole
    assert set(whole) == {LONG[:20]}
    await stage.kill()
