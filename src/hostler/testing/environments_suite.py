# ruff: noqa: D102 a test's name is its sentence
"""What every provider and every machine must do: inherit these classes in a test module that gives the fixtures.

Fixtures: `provider` (a Provider with a `machine(handle)` method), `handle` (a started environment of it). The suites
for files, terminals and attached processes are in `hostler.testing.sessions_suite`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from hostler.core.errors import Fenced, MachineLost
from hostler.core.machines import (
    Cancelled,
    Command,
    ExecResult,
    Exited,
    FileProblem,
    Machine,
    Operation,
    Signalled,
    TimedOut,
)
from hostler.core.providers import EnvSpec, Handle, Limits, Provider

LONG = 60.0
CRIPPLE = "kill -9 $(awk '{print $4}' /proc/$PPID/stat); sleep 1000"
"""Kills the process from which a supervisor starts all others."""


class MachineProvider(Provider, Protocol):
    """A provider that also opens its machines."""

    def machine(self, handle: Handle) -> Machine:
        """Return the machine inside an environment."""
        ...


def shell(text: str, *, timeout: float = LONG, merge: bool = True, output_cap: int = 64 << 10) -> Command:
    """Return a command for the shell."""
    return Command(("/bin/sh", "-c", text), timeout=timeout, merge=merge, output_cap=output_cap)


def text(result: ExecResult) -> str:
    """Return what the answer holds of the output."""
    return (result.out.head + result.out.tail).decode()


class Work:
    """One execution at work in a machine: counts its operations, and waits for what it sees."""

    def __init__(self, machine: Machine, incarnation: str, execution: str = "work", fence: int = 1) -> None:
        self.machine = machine
        self.incarnation = incarnation
        self.execution = execution
        self.fence = fence
        self._count = 0

    @classmethod
    async def begin(cls, machine: Machine, execution: str = "work", fence: int = 1) -> "Work":
        """Register the execution."""
        return cls(machine, await machine.register(execution, fence), execution, fence)

    def operation(self, name: str | None = None) -> Operation:
        """Return an operation, a fresh one without a name."""
        self._count += 1
        return Operation(self.execution, self.fence, name or f"op-{self._count}")

    async def run(self, command: Command | str, name: str | None = None) -> ExecResult:
        """Run a command to its end."""
        command = shell(command) if isinstance(command, str) else command
        return await self.machine.exec(self.operation(name), command, incarnation=self.incarnation)

    def begin_run(self, command: Command | str, name: str, ready: str = "ready") -> "Started":
        """Start a command; the test goes on once it said `ready`."""
        command = shell(command) if isinstance(command, str) else command
        seen, said = asyncio.Event(), bytearray()

        async def look(_stream: str, data: bytes) -> None:
            said.extend(data)
            if ready.encode() in said:
                seen.set()

        running = self.machine.exec(self.operation(name), command, incarnation=self.incarnation, on_output=look)
        return Started(asyncio.ensure_future(running), seen)

    async def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        try:
            await self.machine.stat(path)
        except FileProblem:
            return False
        return True

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a condition holds that only asking again can show."""
        while not await condition():  # noqa: ASYNC110 the world inside rings no bell
            await asyncio.sleep(0.01)

    async def processes(self, mark: str) -> int:
        """Count processes that have the mark as an argument; an execution of its own looks."""
        look = await Work.begin(self.machine, "looks", 1)
        script = f"grep -lazsx '{mark[:-1]}[{mark[-1]}]' /proc/[0-9]*/cmdline | wc -l"
        return int(text(await look.run(script, f"look-{self.execution}-{self.operation().id}")))


class Started:
    """A command under way."""

    def __init__(self, result: "asyncio.Future[ExecResult]", seen: asyncio.Event) -> None:
        self.result = result
        self._seen = seen

    async def ready(self) -> "Started":
        """Return once the command said that it is ready; raises when it ended without saying so."""
        seen = asyncio.ensure_future(self._seen.wait())
        await asyncio.wait({seen, self.result}, return_when=asyncio.FIRST_COMPLETED)
        seen.cancel()
        assert self._seen.is_set(), self.result.result()
        return self


@pytest.fixture
async def work(provider: MachineProvider, handle: Handle) -> Work:
    """Return an execution at work in a started environment."""
    return await Work.begin(provider.machine(handle))


class ProviderSuite:
    """Environments come, go, and are found again."""

    async def test_preflight_finds_this_machine_usable(self, provider: MachineProvider) -> None:
        assert (await provider.preflight()).verdict in ("ok", "degraded")

    async def test_create_and_start_may_be_repeated(self, provider: MachineProvider, handle: Handle) -> None:
        before = await provider.machine(handle).ping()
        assert await provider.create(EnvSpec(handle.environment)) == handle
        await provider.start(handle)
        assert await provider.machine(handle).ping() == before
        assert (await provider.observe(handle)).incarnation == before

    async def test_a_stopped_environment_keeps_its_files_and_comes_back_as_another_incarnation(
        self, provider: MachineProvider, handle: Handle, work: Work
    ) -> None:
        await work.run("echo kept > kept.txt")
        await provider.stop(handle)
        await provider.stop(handle)
        assert (await provider.observe(handle)).state == "stopped"
        with pytest.raises(MachineLost):
            await work.machine.ping()
        await provider.start(handle)
        assert (await work.machine.read("kept.txt")).data == b"kept\n"
        with pytest.raises(MachineLost):
            await work.run("touch started.txt")
        assert not await work.exists("started.txt")

    async def test_an_idle_supervisor_ends_itself_but_never_under_a_running_command(
        self, provider: MachineProvider
    ) -> None:
        idle = await provider.create(EnvSpec("idle", limits=Limits(idle_seconds=0.2)))
        await provider.start(idle)
        work = await Work.begin(provider.machine(idle))
        assert (await work.run("sleep 0.6; echo lasted")).outcome == Exited(0)

        async def stopped() -> bool:
            return (await provider.observe(idle)).state == "stopped"

        await work.until(stopped)
        await provider.start(idle)
        assert await work.machine.ping() != work.incarnation

    async def test_delete_leaves_nothing_and_may_be_repeated(self, provider: MachineProvider, handle: Handle) -> None:
        assert [found async for found in provider.list()] == [handle]
        await provider.delete(handle)
        await provider.delete(handle)
        assert [found async for found in provider.list()] == []
        assert (await provider.observe(handle)).state == "absent"

    async def test_delete_of_what_never_was_is_quiet(self, provider: MachineProvider) -> None:
        await provider.delete(Handle(provider.name, "never"))

    async def test_delete_during_creation_leaves_nothing(self, provider: MachineProvider) -> None:
        creating = asyncio.ensure_future(provider.create(EnvSpec("brief")))
        await asyncio.sleep(0)
        await provider.delete(Handle(provider.name, "brief"))
        await asyncio.wait({creating})
        await provider.delete(Handle(provider.name, "brief"))
        assert [found async for found in provider.list()] == []

    async def test_a_start_whose_caller_was_cancelled_can_be_repeated_and_deleted(
        self, provider: MachineProvider
    ) -> None:
        handle = await provider.create(EnvSpec("hasty"))
        starting = asyncio.ensure_future(provider.start(handle))
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})
        await provider.start(handle)
        assert await provider.machine(handle).ping()
        await provider.delete(handle)
        assert (await provider.observe(handle)).state == "absent"

    async def test_a_supervisor_crippled_from_inside_is_a_lost_machine_and_a_new_start_mends_it(
        self, provider: MachineProvider, handle: Handle, work: Work
    ) -> None:
        with pytest.raises(MachineLost):
            await work.run(CRIPPLE)
        await provider.start(handle)
        assert await work.machine.ping() != work.incarnation


class CommandSuite:
    """Commands run once per id, whatever happens to those who asked."""

    async def test_a_command_says_how_it_ended_and_what_it_printed(self, work: Work) -> None:
        result = await work.run("echo out; echo err >&2; exit 3")
        assert (result.outcome, text(result)) == (Exited(3), "out\nerr\n")

    async def test_streams_can_be_kept_apart(self, work: Work) -> None:
        result = await work.run(shell("echo out; echo err >&2", merge=False))
        assert (result.out.head, result.err.head) == (b"out\n", b"err\n")

    async def test_standard_input_folder_and_variables_arrive(self, work: Work) -> None:
        await work.run("mkdir -p deep")
        body = bytes(range(256)) * 4096
        command = Command(("/bin/sh", "-c", 'wc -c; pwd; echo "$COLOUR"'), "deep", {"COLOUR": "blue"}, body)
        lines = text(await work.run(command)).split()
        assert lines[0] == str(len(body))
        assert lines[1].endswith("/deep")
        assert lines[2] == "blue"

    async def test_a_missing_program_or_folder_is_a_failed_command_with_a_reason(self, work: Work) -> None:
        result = await work.run(Command(("no-such-program",)))
        assert result.outcome == Exited(127)
        assert "no-such-program: No such file" in text(result)
        assert "nowhere: No such file" in text(await work.run(Command(("true",), "nowhere")))

    async def test_a_signal_that_is_not_ours_is_told(self, work: Work) -> None:
        assert (await work.run("kill -SEGV $$")).outcome == Signalled(11)

    async def test_two_callers_with_one_id_join_one_command(self, work: Work) -> None:
        script = "echo once >> count; echo ready; while [ ! -e go ]; do sleep 0.01; done; cat count"
        first = await work.begin_run(script, "joined").ready()
        second = await work.begin_run(script, "joined").ready()
        await work.run("touch go")
        assert text(await first.result) == text(await second.result) == "ready\nonce\n"

    async def test_a_joiner_gets_the_output_from_its_offset(self, work: Work) -> None:
        first = await work.begin_run(
            "printf 0123456789; echo ready; while [ ! -e go ]; do sleep 0.01; done", "o"
        ).ready()
        said = bytearray()

        async def look(_stream: str, data: bytes) -> None:
            said.extend(data)

        command = shell("never run")
        joined = asyncio.ensure_future(
            work.machine.exec(work.operation("o"), command, incarnation=work.incarnation, on_output=look, offset=7)
        )
        await work.run("touch go")
        await joined
        assert said == b"789ready\n"
        assert (await first.result).outcome == Exited(0)

    async def test_a_finished_id_answers_its_stored_result(self, work: Work) -> None:
        first = await work.run("echo once >> count; cat count; exit 4", "again")
        again = await work.begin_run("echo once >> count; cat count; exit 4", "again", "once").ready()
        result = await again.result
        assert (result.outcome, result.out, result.replayed) == (Exited(4), first.out, True)
        assert (await work.machine.read("count")).data == b"once\n"

    async def test_a_cancelled_caller_does_not_cancel_the_command(self, work: Work) -> None:
        script = "echo ready; while [ ! -e go ]; do sleep 0.01; done; echo done"
        first = await work.begin_run(script, "left").ready()
        first.result.cancel()
        await asyncio.wait({first.result})
        await work.run("touch go")
        assert text(await work.run(script, "left")) == "ready\ndone\n"

    async def test_two_executions_may_use_the_same_id(self, work: Work) -> None:
        other = await Work.begin(work.machine, "other")
        assert text(await work.run("echo mine", "same")) == "mine\n"
        assert text(await other.run("echo theirs", "same")) == "theirs\n"

    async def test_the_answer_holds_head_and_tail_and_the_file_the_whole(self, work: Work) -> None:
        result = await work.run(shell("seq 1 100000", output_cap=1000), "long")
        whole = "".join(f"{number}\n" for number in range(1, 100001)).encode()
        assert (result.out.total, result.out.kept) == (len(whole), len(whole))
        assert (result.out.head, result.out.tail) == (whole[:500], whole[-500:])
        assert result.out.cut == len(whole) - 1000
        part = await work.machine.output("work", "long", "out", offset=300_000, limit=1000)
        assert (part.data, part.size) == (whole[300_000:301_000], len(whole))

    async def test_the_kept_output_of_a_silent_command_is_empty(self, work: Work) -> None:
        result = await work.run("true", "silent")
        assert (result.out.total, text(result)) == (0, "")
        kept = await work.machine.output("work", "silent", "out")
        assert (kept.data, kept.size) == (b"", 0)
        with pytest.raises(FileProblem) as problem:
            await work.machine.output("work", "never", "out")
        assert problem.value.kind == "not_found"

    async def test_the_deadline_kills_the_whole_tree(self, work: Work) -> None:
        result = await work.run(shell("(setsid sleep 86401 &); (sleep 86401 &); echo begun; sleep 86401", timeout=0.3))
        assert (result.outcome, text(result)) == (TimedOut(), "begun\n")
        assert await work.processes("86401") == 0

    async def test_a_command_ends_with_its_first_process_though_a_daemon_holds_its_output(self, work: Work) -> None:
        result = await work.run("(while [ ! -e go ]; do sleep 0.01; done; echo late; touch wrote) & echo early", "d")
        assert (result.outcome, text(result)) == (Exited(0), "early\n")
        await work.run("touch go; while [ ! -e wrote ]; do sleep 0.01; done")
        assert (await work.machine.output("work", "d", "out")).data == b"early\nlate\n"

    async def test_zombies_do_not_gather(self, work: Work) -> None:
        await work.run("cp /bin/true zmark; for i in 1 2 3 4 5 6 7 8 9; do (setsid ./zmark &); done")
        count = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c '(zmark) Z'"

        async def reaped() -> bool:
            return text(await work.run(count)) == "0\n"

        await work.until(reaped)


class FenceSuite:
    """Old owners are shut out, and what was cancelled never starts."""

    async def test_a_lower_fence_changes_nothing(self, work: Work) -> None:
        await work.machine.register("work", 5)
        with pytest.raises(Fenced):
            await work.run("touch touched")
        with pytest.raises(Fenced):
            await work.machine.write(work.operation(), "touched", b"", incarnation=work.incarnation)
        with pytest.raises(Fenced):
            await work.machine.register("work", 4)
        with pytest.raises(Fenced):
            await work.machine.kill_group("work", 4)
        assert not await work.exists("touched")

    async def test_a_higher_fence_takes_over_and_joins_what_runs(self, work: Work) -> None:
        await work.begin_run("echo ready; while [ ! -e go ]; do sleep 0.01; done; echo done", "taken").ready()
        work.fence = 2
        await work.run("touch go")
        assert text(await work.run("unused", "taken")) == "ready\ndone\n"
        work.fence = 1
        with pytest.raises(Fenced):
            await work.run("true")

    async def test_an_execution_nobody_registered_is_refused(self, work: Work) -> None:
        with pytest.raises(Fenced):
            await Work(work.machine, work.incarnation, "stranger").run("touch touched")
        assert not await work.exists("touched")

    async def test_another_incarnation_is_refused_before_anything_starts(self, work: Work) -> None:
        with pytest.raises(MachineLost):
            await Work(work.machine, "0123456789abcdef").run("touch touched")
        assert not await work.exists("touched")

    async def test_an_id_cancelled_before_it_came_never_starts(self, work: Work) -> None:
        await work.machine.cancel(work.operation("early"))
        assert (await work.run("touch touched", "early")).outcome == Cancelled()
        await work.machine.cancel(work.operation("early-file"))
        written = await work.machine.write(work.operation("early-file"), "touched", b"", incarnation=work.incarnation)
        assert written == Cancelled()
        assert not await work.exists("touched")

    async def test_cancel_kills_one_tree_and_spares_the_others(self, work: Work) -> None:
        other = await work.begin_run("echo ready; sleep 86402", "spared").ready()
        running = await work.begin_run("(setsid sleep 86403 &); echo ready; sleep 86403", "ended").ready()
        await work.machine.cancel(work.operation("ended"))
        assert (await running.result).outcome == Cancelled()
        assert await work.processes("86403") == 0
        assert not other.result.done()
        await work.machine.cancel(work.operation("spared"))
        await other.result

    async def test_killing_a_group_ends_its_daemons_and_nobody_elses(self, work: Work) -> None:
        other = await Work.begin(work.machine, "other")
        theirs = await other.begin_run("echo ready; sleep 86404", "theirs").ready()
        await work.run("(setsid setsid sleep 86405 &) ; (setsid sh -c 'sleep 86405 & sleep 86405' &)")
        running = await work.begin_run("(setsid sleep 86405 &); echo ready; sleep 86405", "open").ready()
        assert await work.machine.kill_group("work", 2, ["open", "later"]) == work.incarnation
        assert (await running.result).outcome == Cancelled()
        assert await work.processes("86405") == 0
        assert not theirs.result.done()
        with pytest.raises(Fenced):
            await work.run("true")
        work.fence = 2
        assert (await work.run("touch touched", "later")).outcome == Cancelled()
        assert (await work.run("true", "after")).outcome == Exited(0)
        await other.machine.kill_group("other", 2)
        assert (await theirs.result).outcome == Cancelled()

    async def test_killing_a_group_outruns_processes_that_keep_forking(self, work: Work) -> None:
        script = (
            "f() { echo ready; while :; do (sleep 0.001 &); (setsid sh -c 'sleep 0.01; sleep 86406' &) ; done; }; f"
        )
        await work.begin_run(Command(("/bin/sh", "-c", f"ulimit -u 64; {script}")), "forks").ready()
        await work.machine.kill_group("work", 2)
        assert await work.processes("86406") == 0

    async def test_a_group_never_seen_may_be_killed_and_is_then_known(self, work: Work) -> None:
        await work.machine.kill_group("ghost", 7)
        ghost = Work(work.machine, work.incarnation, "ghost", 6)
        with pytest.raises(Fenced):
            await ghost.run("true")
        ghost.fence = 7
        assert (await ghost.run("true")).outcome == Exited(0)

    async def test_killing_a_keeper_that_waits_from_inside_costs_nothing(self, work: Work) -> None:
        siblings = "k=$PPID; s=$(awk '{print $4}' /proc/$k/stat)"
        waiting = "awk -v s=$s -v k=$k '$4 == s && $1 != k {print $1}' /proc/[0-9]*/stat 2>/dev/null"
        kill = f"{siblings}; until kill -9 $({waiting}) 2>/dev/null; do sleep 0.01; done"
        for _ in range(3):
            results = [await work.run(kill), *[await work.run("echo here") for _ in range(3)]]
            assert [result.outcome for result in results] == [Exited(0)] * 4
            assert [result.out.head for result in results[1:]] == [b"here\n"] * 3

    async def test_killing_a_keeper_from_inside_frees_nobody(self, work: Work) -> None:
        result = await work.run("(setsid sleep 86407 &); kill -9 $PPID; sleep 86407")
        assert result.outcome != Exited(0)

        async def none_left() -> bool:
            return await work.processes("86407") == 0

        await work.until(none_left)
