"""Seeded simulation: one number decides clock, model, sandbox, store, what people do, and when the server dies.

`python -m hostler.testing.simulation --seeds 100` runs many, `--seed 42` replays one with everything that happened.
At the end of a run faults cease; then everything must come to rest, and what must hold of every log holds.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
import structlog.testing

from hostler.core import commands as c
from hostler.core.agents import GoalChange
from hostler.core.approvals_events import Permission
from hostler.core.desk import AgentDefinition
from hostler.core.errors import HostlerError, NotFound, RequestError, StaleFence, Unavailable
from hostler.core.events import Agent, EgressRefused, InputQueued, Limits, Local, encode
from hostler.core.ports import ExecutionQuery
from hostler.core.state import State, evolve, fold
from hostler.engine.engine import Identity
from hostler.projections.invariants import check
from hostler.projections.row import project
from hostler.store import Fold, open_store
from hostler.testing.link import Died
from hostler.testing.simulation_time import JumpingLoop, LoopClock
from hostler.testing.simulation_world import LATE, Chance, OneModel, Shell, Talker, TroubledLink, TroubledWorld
from hostler.testing.stage import Server, Stage, said
from hostler.tools.registry import INSIDE, TOOLS

PATIENCE = 6 * 3600.0
"""Seconds of simulated time after the last fault in which everything comes to rest."""
OWN_FAULTS = ("a worker failed", "a tool failed")
"""What only a mistake of our own makes the log say."""
GOALS = ("set", "pause", "resume", "complete", "clear")


@dataclass
class Result:
    """What one seed came to: what is wrong (nothing when sound), what happened, and a digest of all logs."""

    seed: int
    wrong: list[str]
    told: list[str]
    digest: str
    events: int


@dataclass
class Simulation:
    """One run."""

    chance: Chance
    stage: Stage
    shell: Shell
    link: type[TroubledLink] = TroubledLink
    executions: list[str] = field(default_factory=list[str])
    sent: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Inputs that were acknowledged, by execution."""
    deleted: set[str] = field(default_factory=set[str])
    ghosts: list[Server] = field(default_factory=list[Server])
    """Lives that go on beside their successor."""

    async def run(self) -> list[str]:
        """Live through it; return what is wrong at the end."""
        roll = self.chance.random
        await self._born()
        for _ in range(roll.choice((1, 1, 2, 3))):
            await self._start()
        for _ in range(roll.randrange(4, 25)):
            await asyncio.sleep(roll.choice((0.0, 0.1, 1.0, 5.0, 30.0)) * roll.random())
            await self._something()
        self.chance.calm = True
        self.chance.tell("faults cease")
        if roll.random() < 0.3:
            await self._die()
        for ghost in self.ghosts:
            await self._lay(ghost)
        stuck = await self._rest()
        wrong = [*stuck, *await self._wrong()]
        self.stage.server.link.cut()
        await self.stage.server.engine.close()
        return wrong

    async def _boot(self) -> None:
        await self.stage.boot(self.link(self.stage.executions, self.chance))

    async def _something(self) -> None:
        roll = self.chance.random
        happens: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self._send),
            (3, self._stop),
            (2, self._die),
            (1, self._haunt),
            (1, self._lose_supervisor),
            (3, self._queue),
            (1, self._goal),
            (2, self._type),
            (1, self._compact),
            (2, self._mode),
            (1, self._annotate),
            (1, self._delete),
        ]
        await roll.choices([act for _, act in happens], [weight for weight, _ in happens])[0]()

    async def _start(self) -> None:
        limits = Limits(max_iterations=self.chance.random.choice((0, 0, 0, 6)))

        async def begin() -> None:
            execution = await self.stage.start("any:thing", limits=limits)
            self.executions.append(execution)
            self.sent[execution] = set()

        await self._insist(begin)
        await self._send()

    async def _insist(self, act: Callable[[], Awaitable[object]]) -> bool:
        """Do it until it is acknowledged, as a client that retries; return False where it is refused."""
        for _ in range(200):
            try:
                await act()
            except (Unavailable, Died, StaleFence):
                await asyncio.sleep(0.2)
            except RequestError as problem:
                self.chance.tell(f"refused: {problem.message}")
                return False
            else:
                return True
        raise AssertionError("the server never answered")

    def _any(self) -> str:
        return self.chance.random.choice(self.executions)

    async def _command(self, execution: str, command: c.Command) -> bool:
        self.chance.tell(f"{execution[-4:]} {command}")
        return await self._insist(lambda: self.stage.command(execution, command))

    async def _send(self) -> None:
        execution, words = self._any(), ("go on", "Allow", "Deny", "what now?", "/clear")
        input_id = self.stage.clock.new_id()
        if await self._command(execution, said(self.chance.random.choice(words), input_id)):
            self.sent[execution].add(input_id)

    async def _stop(self) -> None:
        await self._command(self._any(), c.Stop())

    async def _queue(self) -> None:
        execution, roll = self._any(), self.chance.random
        known = sorted(self.sent[execution])
        if not known:
            return
        one, other = roll.choice(known), roll.choice((*known, ""))
        edited = said("edited", self.stage.clock.new_id())
        change = roll.choice((c.SteerInput(one), c.MoveInput(one, other), c.DeleteInput(one), c.EditInput(one, edited)))
        await self._command(execution, change)

    async def _goal(self) -> None:
        action = self.chance.random.choice(GOALS)
        change = GoalChange(action, "be done", token_budget=self.chance.random.choice((0, 3000)))
        await self._command(self._any(), c.ChangeGoal(self.stage.clock.new_id(), change))

    async def _type(self) -> None:
        """Type a command line, or clear the context."""
        execution, input_id = self._any(), self.stage.clock.new_id()
        local: Local = self.chance.random.choice(("shell", "shell", "clear"))
        line = f"typed {input_id}"
        if await self._command(execution, replace(said(line, input_id), local=local, expansion=line)):
            self.sent[execution].add(input_id)

    async def _compact(self) -> None:
        await self._command(self._any(), c.Compact(self.stage.clock.new_id()))

    async def _mode(self) -> None:
        execution, input_id = self._any(), self.stage.clock.new_id()
        mode = self.chance.random.choice(("planning", "spec", "ralph", "goal"))
        if await self._command(execution, replace(said("work", input_id), modes=(mode,))):
            self.sent[execution].add(input_id)

    async def _annotate(self) -> None:
        await self._command(self._any(), c.Annotate({"k": self.chance.random.choice(("", "v"))}))

    async def _delete(self) -> None:
        if self.chance.random.random() < 0.3 and len(self.executions) > 1:
            execution = self._any()
            done = await self._command(execution, c.Delete())
            row = await self.stage.executions.row(execution)
            if done or row is None or row.deleted_at is not None:  # a lost answer's repeat finds nothing
                self.deleted.add(execution)

    async def _die(self) -> None:
        self.chance.tell("the server dies")
        link, clock = self.stage.server.link, self.stage.clock
        link.cut()
        self.stage.alive_until = clock.now()
        await self.stage.server.engine.close()
        await self.chance.pause(20)
        await self._born()

    async def _haunt(self) -> None:
        """Let another life begin while this one does not know that it is over."""
        self.chance.tell("the server is paused, and wakes up beside its successor")
        ghost = self.stage.server
        assert isinstance(ghost.link, TroubledLink)
        ghost.link.past = True
        self.ghosts.append(ghost)
        await self._born()

    async def _born(self) -> None:
        """Boot until it succeeds; a life that could not begin is over."""
        while True:
            try:
                await self._boot()
            except HostlerError:
                await asyncio.sleep(1)
            else:
                return

    async def _lay(self, ghost: Server) -> None:
        ghost.link.cut()
        await ghost.engine.close()

    async def _lose_supervisor(self) -> None:
        self.chance.tell("the supervisor is lost")
        self.stage.world.machine.lose_supervisor()

    async def _rest(self) -> list[str]:
        """Wait until nobody has anything to do; return who has all the same."""
        end, restless = self.stage.clock.monotonic() + PATIENCE, ["nobody looked"]
        while restless and self.stage.clock.monotonic() < end:
            await asyncio.sleep(20)
            restless = [words for one in await self.everyone() if (words := await self._restless(one))]
        return restless

    async def everyone(self) -> list[str]:
        """Return every execution: those that people know, and those that came of them or of a lost answer."""
        rows = await self.stage.executions.find(ExecutionQuery(), limit=1000)
        return list(dict.fromkeys([*self.executions, *sorted(row.id for row in rows)]))

    async def _restless(self, execution: str) -> str:
        row = await self.stage.executions.row(execution)
        if row is None:
            return "" if execution in self.deleted else f"{execution} is gone and nobody deleted it"
        state = await self.stage.state(execution)
        if execution in self.deleted:
            return f"{execution} was deleted and is still there in {state.phase}"
        if state.phase == "PENDING" and state.environment.ready and not state.queue and not project(state).busy:
            return ""
        if state.phase in ("WAITING_FOR_INPUT", "STOPPED") and not project(state).busy:
            return ""
        return f"{execution} is {state.phase} in turn {state.turn} and does not come to rest"

    async def _wrong(self) -> list[str]:
        wrong = [f"{line!r} ran {times} times" for line, times in self.shell.runs.items() if times > 1]
        if self.shell.runs[LATE]:
            wrong.append("a command of a turn that was stopped ran after everything in it was ended")
        for execution in await self.everyone():
            log = await self.stage.log(execution)
            row = await self.stage.executions.row(execution)
            if row is None:
                continue
            wrong += [f"{execution[-4:]} {one.rule} at {one.seq}: {one.text}" for one in check(log, row.view)]
            lost = self.sent.get(execution, set()) - {r.event.input_id for r in log if isinstance(r.event, InputQueued)}
            wrong += [f"input {one} was acknowledged and is lost" for one in sorted(lost)]
            late = [one.seq for one in log if isinstance(one.event, EgressRefused) and one.event.host == LATE]
            wrong += [f"{execution[-4:]} was written to at {seq} by an owner whose turn was over" for seq in late]
            state = fold(log)
            waits = [q.id for q in state.queue]
            if waits and not state.failure:  # A stop drops what came before it; what comes after begins a turn.
                wrong.append(f"{execution[-4:]} rests in {state.phase} with {len(waits)} inputs in its queue")
        return wrong


async def _simulate(seed: int, database: Path | None, shells: type[Shell], links: type[TroubledLink]) -> Result:
    chance = Chance(seed)
    roll = chance.random
    shell, world = shells(chance), TroubledWorld(chance=chance)
    world.machine.shell = shell
    permissions = (Permission("bash", "ask"),) if roll.random() < 0.15 else ()
    stage = Stage(OneModel(Talker(chance)), world=world, clock=LoopClock(), permissions=permissions)
    stage.settle = roll.choice((0.0, 1.0))
    stage.slots = roll.choice((1, 2, 8))
    stage.window = roll.choice((0, 0, 4000))
    below = Agent("below", "below", "builtin", "any:thing", tools=tuple(TOOLS), tools_inside=INSIDE)
    stage.agents.known.append(AgentDefinition(below, "a sub-agent"))
    simulation = Simulation(chance, stage, shell, links)
    async with contextlib.AsyncExitStack() as opened:
        if database is not None:
            url = f"sqlite:///{database}/{seed}.db"
            store = await opened.enter_async_context(
                open_store(url, blobs=database / "blobs", fold=Fold(State(), evolve, project))
            )
            stage.executions = store.executions

            async def register(identity: Identity) -> None:
                await store.runners.boot(identity.runner, identity.incarnation, stage.clock.now())

            stage.register = register
        try:
            wrong = await simulation.run()
        except (AssertionError, NotFound) as problem:
            wrong = [f"{type(problem).__name__}: {problem}"]
        everyone = await simulation.everyone()
        logs = [[encode(r.event) for r in await stage.log(one)] for one in everyone]
    for execution, log in zip(everyone, logs, strict=True):
        chance.told += [
            f"{execution[-4:]} {n:4} {kind} {json.dumps(body)[:150]}" for n, (kind, _, body) in enumerate(log, 1)
        ]
    digest = hashlib.sha256(json.dumps(logs, sort_keys=True).encode()).hexdigest()
    return Result(seed, wrong, chance.told, digest, sum(map(len, logs)))


def simulate(
    seed: int,
    database: Path | None = None,
    shells: type[Shell] = Shell,
    links: type[TroubledLink] = TroubledLink,
) -> Result:
    """Run one seed, on a store in memory or on SQLite in a folder (then threads have a say in the order of things)."""
    loop = JumpingLoop(patience=0.004 if database else 0.0)
    try:
        with structlog.testing.capture_logs() as logged:
            result = loop.run_until_complete(_simulate(seed, database, shells, links))
    finally:
        loop.finish()
    result.wrong += loop.faults
    result.wrong += [str(entry) for entry in logged if str(entry["event"]).startswith(OWN_FAULTS)]
    return result


def main() -> None:
    """Run seeds as the command line says; exit 1 when one fails."""
    words = argparse.ArgumentParser(prog="python -m hostler.testing.simulation", description=__doc__)
    words.add_argument("--seeds", type=int, default=100, help="how many, from --first on")
    words.add_argument("--first", type=int, default=0)
    words.add_argument("--seed", type=int, help="replay this one, and say all that happens")
    words.add_argument("--sqlite", action="store_true", help="on a real database")
    words.add_argument("--digests", action="store_true", help="print what each seed's logs come to")
    asked = words.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets has a say, so it is the same every time
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"})
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    seeds = range(asked.first, asked.first + asked.seeds) if asked.seed is None else [asked.seed]
    failed: list[str] = []
    events = 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            result = simulate(seed, Path(folder) if asked.sqlite else None)
            events += result.events
            told = result.told if asked.seed is not None else []
            digest = [f"seed {seed}: {result.digest}"] if asked.digests or told else []
            if result.wrong:
                failed.append(str(seed))
                told = [*told, f"seed {seed} fails; `make simulate SEED={seed}` replays it:", *result.wrong[:10]]
            sys.stdout.write("".join(f"{line}\n" for line in (*told, *digest)))
            sys.stdout.flush()
    sys.stdout.write(f"{len(seeds)} seeds, {events} events, {len(failed)} failed {' '.join(failed)}\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
