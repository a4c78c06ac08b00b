"""Environments that live on their own: made, idle, archived, changed, deleted, and right after a crash anywhere."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hostler.core.desk import EnvironmentChange, SecretMount
from hostler.core.errors import EnvironmentFailed, FailedPrecondition, NotFound
from hostler.core.providers import Handle, LocalRepository
from tests.engine.homes import CLASSES, Home, home_in


@pytest.fixture
async def home(place: Path) -> AsyncIterator[Home]:
    async with home_in(place) as home:
        yield home


async def phase(home: Home, environment: str) -> str:
    return (await home.environments.get(environment)).phase


async def test_an_idle_environment_stops_after_its_own_time_and_says_so(home: Home):
    soon, never = await home.up(idle_seconds=1800.0), await home.up(idle_seconds=0.0)
    by_class = await home.up()
    home.ambient.ahead = timedelta(seconds=1790)
    await home.environments.stop_idle()
    assert await phase(home, soon.id) == "running"
    home.ambient.ahead = timedelta(seconds=CLASSES[0].idle_seconds + 60)
    await home.environments.stop_idle()
    assert [await phase(home, one.id) for one in (soon, never, by_class)] == ["stopped", "running", "stopped"]
    row = await home.environments.get(soon.id)
    assert row.status["timed_out"] == "stopped after 30 minutes without use"
    assert "stopped after 30 minutes without use" in await home.log(soon.id)
    assert (await home.said(soon.id, "echo again")).strip() == "again", "it starts on demand"
    assert (await home.environments.get(soon.id)).status["timed_out"] == ""


async def test_a_signal_of_activity_keeps_it_awake(home: Home):
    row = await home.up(idle_seconds=1800.0)
    home.ambient.ahead = timedelta(seconds=1700)
    await home.environments.active(row.id, "editor")
    home.ambient.ahead = timedelta(seconds=3400)
    await home.environments.stop_idle()
    assert await phase(home, row.id) == "running"
    assert (await home.environments.get(row.id)).status["activity"]["source"] == "editor"
    await home.environments.stop(row.id)
    with pytest.raises(FailedPrecondition, match="stopped"):
        await home.environments.active(row.id, "editor")


async def test_use_by_command_keeps_it_awake(home: Home):
    row = await home.up(idle_seconds=1800.0)
    home.ambient.ahead = timedelta(seconds=1700)
    await home.run(row.id, "true")
    home.ambient.ahead = timedelta(seconds=3400)
    await home.environments.stop_idle()
    assert await phase(home, row.id) == "running"


async def test_one_that_is_to_be_stopped_is_made_when_it_is_started(home: Home):
    row = await home.up(running=False)
    assert (row.phase, row.handle) == ("stopped", None)
    await home.restarted()
    await home.environments.settled()
    assert await phase(home, row.id) == "stopped"
    await home.environments.start(row.id)
    await home.environments.settled()
    assert await phase(home, row.id) == "running"


async def test_the_archive_stops_an_environment_and_a_start_takes_it_out_again(home: Home):
    row = await home.up()
    await home.run(row.id, "echo kept > file")
    archived = await home.environments.archive(row.id, archived=True)
    assert (archived.phase, bool(archived.status["archived_at"])) == ("stopped", True)
    again = await home.environments.archive(row.id, archived=True)
    assert again.status["archived_at"] == archived.status["archived_at"]
    assert (await home.environments.archive(row.id, archived=False)).status["archived_at"] == ""
    await home.environments.archive(row.id, archived=True)
    assert (await home.said(row.id, "cat file")).strip() == "kept"
    assert (await home.environments.get(row.id)).status["archived_at"] == ""


async def test_name_idle_time_committer_and_class_can_be_changed(home: Home):
    row = await home.up(name="old", request={"spec": {"timeout": {"disconnected": "1800s"}}})
    other = CLASSES[1].id
    with pytest.raises(FailedPrecondition, match="stop"):
        await home.environments.update(row.id, EnvironmentChange(name="new", class_id=other))
    assert (await home.environments.get(row.id)).name == "old", "all or nothing"
    with pytest.raises(NotFound, match="class"):
        await home.environments.update(row.id, EnvironmentChange(class_id="nowhere"))
    await home.environments.stop(row.id)
    change = EnvironmentChange("new", other, 0.0, {"GIT_AUTHOR_NAME": "Ada"}, {"timeout": {"disconnected": "0s"}})
    changed = await home.environments.update(row.id, change)
    assert (changed.name, changed.class_id) == ("new", other)
    assert changed.spec["request"] == {"spec": {"timeout": {"disconnected": "0s"}}}
    assert (await home.said(row.id, "echo $GIT_AUTHOR_NAME")).strip() == "Ada"
    record = (home.place / "environments" / row.id / "record.json").read_text()
    assert f'"memory_bytes":{CLASSES[1].memory_bytes}' in record
    home.ambient.ahead = timedelta(days=7)
    await home.environments.stop_idle()
    assert await phase(home, row.id) == "running"


async def test_one_that_failed_is_stopped_tells_why_and_can_be_started_again(home: Home):
    row = await home.up(LocalRepository(str(home.place / "project")))
    assert row.phase == "stopped"
    assert "project" in row.status["failure"]
    observed = await home.outside.provider.observe(Handle.from_json(row.handle or {}))
    assert observed.state == "stopped"
    assert "failed: " in await home.log(row.id)
    home.repository("{}")
    await home.environments.start(row.id)
    await home.environments.settled()
    assert await phase(home, row.id) == "running"
    assert (await home.environments.get(row.id)).status["failure"] == ""


@dataclass
class Leaving:
    """Sees environments go, and holds them up."""

    home: Home
    problem: Exception | None = None
    seen: str = ""
    count: int = 0
    gate: asyncio.Event | None = None

    async def filled(self, row: Any, machine: Any) -> None:
        pass

    async def ready(self, row: Any, machine: Any) -> None:
        pass

    async def leaving(self, row: Any) -> None:
        self.seen = row.phase
        self.count += 1
        if self.gate:
            await self.gate.wait()
        if self.problem:
            raise self.problem


async def test_one_that_is_being_deleted_is_seen_until_it_is_gone_and_cannot_be_changed(home: Home):
    row, gate = await home.up(), asyncio.Event()
    leaving = Leaving(home, OSError("the disk is full"), gate=gate)
    home.environments.follow(leaving)
    deleting = asyncio.create_task(home.environments.delete(row.id, force=False))
    async with asyncio.timeout(60):
        while leaving.seen != "deleting":
            await asyncio.sleep(0.01)
        assert await phase(home, row.id) == "deleting"
        for refused in (
            home.environments.start(row.id),
            home.environments.stop(row.id),
            home.environments.machine(row.id),
            home.environments.active(row.id, "editor"),
            home.environments.archive(row.id, archived=True),
            home.environments.update(row.id, EnvironmentChange(name="x")),
        ):
            with pytest.raises(FailedPrecondition, match="being deleted"):
                await refused
        deleting.cancel()  # whoever asked has left; it goes on
        gate.set()
        await home.environments.settled()
    with pytest.raises(NotFound):
        await home.environments.get(row.id)


async def test_nothing_that_goes_wrong_before_a_removal_keeps_an_environment(home: Home):
    row = await home.up()
    home.environments.follow(Leaving(home, ValueError("a fault of ours")))
    await home.environments.delete(row.id, force=False)
    with pytest.raises(NotFound):
        await home.environments.get(row.id)


async def test_one_in_which_work_begins_while_it_is_looked_at_is_not_stopped_for_idleness(home: Home):
    row = await home.up(idle_seconds=1800.0)
    await home.environments.use(row.id, "execution")
    home.ambient.ahead = timedelta(seconds=1900)
    asked: list[str] = []

    def works(user: str) -> bool:
        asked.append(user)
        return len(asked) > 2

    home.environments.works = works
    await home.environments.stop_idle()
    assert await phase(home, row.id) == "running"
    assert (await home.environments.get(row.id)).status["timed_out"] == ""
    home.environments.works = lambda _: False
    await home.environments.stop_idle()
    assert await phase(home, row.id) == "stopped"


async def test_one_that_was_started_only_to_keep_its_work_does_not_run_after_a_crash(home: Home):
    row = await home.up()
    await home.environments.stop(row.id)
    handle = Handle("none", row.id)
    await home.outside.provider.start(handle)
    assert (await home.outside.provider.observe(handle)).state == "running"
    await home.restarted()
    await agreed(home)
    assert await phase(home, row.id) == "stopped"


@pytest.mark.parametrize("by", ["start", "use"])
async def test_one_that_cannot_be_brought_up_to_the_end_is_stopped_and_says_why(home: Home, by: str):
    row = await home.up(secrets=(SecretMount("key", "a-secret-of-mine", path="/home/agent/key"),))
    await home.environments.stop(row.id)
    (home.place / "secrets").rename(home.place / "secrets-lost")
    if by == "start":
        await home.environments.start(row.id)
        await home.environments.settled()
    else:
        with pytest.raises(FailedPrecondition, match="secret key"):
            await home.environments.machine(row.id)
    assert "secret key" in (await home.environments.get(row.id)).status["failure"]
    await agreed_on_world(home)
    assert await phase(home, row.id) == "stopped"
    shutil.rmtree(home.place / "secrets", ignore_errors=True)
    (home.place / "secrets-lost").rename(home.place / "secrets")
    assert (await home.said(row.id, "echo up")).strip() == "up"
    assert (await home.environments.get(row.id)).status["failure"] == ""


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), ValueError("a fault of ours")])
async def test_a_fault_outside_the_environment_is_its_failure_too(home: Home, problem: Exception):
    class Full(Leaving):
        async def filled(self, row: Any, machine: Any) -> None:
            if self.problem:
                raise self.problem

    full = Full(home, problem)
    home.environments.follow(full)
    row = await home.up()
    assert (row.phase, bool(row.status["failure"])) == ("stopped", True)
    await agreed_on_world(home)
    full.problem = None
    assert (await home.said(row.id, "echo up")).strip() == "up"


async def test_an_execution_is_told_that_its_environment_took_too_much_of_the_disk(home: Home):
    row = await home.up()
    await home.environments.overfull(row.id, "stopped: it took 40 MiB of disk")
    assert (await home.environments.get(row.id)).status["failure"] == "stopped: it took 40 MiB of disk"
    notes = (await home.environments.prepare(row.id, "execution", 1)).notes
    assert notes == ("the environment was stopped: it took 40 MiB of disk",)
    assert (await home.environments.get(row.id)).status["failure"] == ""
    assert (await home.environments.prepare(row.id, "execution", 2)).notes == ()


async def test_whoever_waits_for_one_is_told_that_it_took_too_much_of_the_disk_while_it_came_up(home: Home):
    class Slow(Leaving):
        async def filled(self, row: Any, machine: Any) -> None:
            began.set()
            await asyncio.Event().wait()

    began = asyncio.Event()
    home.environments.follow(Slow(home))
    environment = await home.created()
    waiting = asyncio.create_task(home.environments.prepare(environment, "execution", 1))
    await began.wait()
    await home.environments.overfull(environment, "stopped: it took 40 MiB of disk")
    with pytest.raises(EnvironmentFailed, match="while it came up, the environment was stopped: it took 40 MiB"):
        await waiting


async def test_a_deletion_that_failed_is_tried_again(home: Home):
    row = await home.up()
    folder = home.place / "environments" / row.id
    launch = folder / "launch.json"
    launch.rename(home.place / "aside")
    launch.mkdir()  # It cannot be read for now, and so nobody knows what to end.
    with pytest.raises(Exception, match=r"launch\.json"):
        await home.environments.delete(row.id, force=False)
    assert await phase(home, row.id) == "deleting"
    launch.rmdir()
    (home.place / "aside").rename(launch)
    await home.environments.stop_idle()
    await home.environments.settled()
    assert await home.store.environments.get(row.id) is None
    assert not folder.exists()


async def test_one_that_ended_by_itself_is_seen_as_stopped_and_starts_again(home: Home):
    row = await home.up()
    await home.run(row.id, "echo kept > file")
    launch = json.loads((home.place / "environments" / row.id / "launch.json").read_text())
    os.kill(launch["pid"], signal.SIGKILL)
    async with asyncio.timeout(60):
        while await phase(home, row.id) == "running":
            await home.environments.stop_idle()
    assert "ended by itself" in await home.log(row.id)
    assert (await home.said(row.id, "cat file")).strip() == "kept"


async def test_a_second_deletion_joins_the_first(home: Home):
    row, gate = await home.up(), asyncio.Event()
    leaving = Leaving(home, gate=gate)
    home.environments.follow(leaving)
    both = [asyncio.create_task(home.environments.delete(row.id, force=False)) for _ in range(2)]
    gate.set()
    await asyncio.gather(*both)
    assert leaving.count == 1


class Died(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Lets a process die before or after the call with a certain number, and do nothing from then on."""

    at: int
    after: bool
    count: int = 0
    dead: bool = False

    async def through(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.count += 1
        if self.dead or (self.count == self.at and not self.after):
            self.dead = True
            raise Died
        result = await call()
        if self.count == self.at:
            self.dead = True
            raise Died
        return result


class Fused:
    """A port whose changing calls go through the fuse."""

    def __init__(self, port: Any, fuse: Fuse, names: tuple[str, ...]) -> None:
        self._port = port
        self._fuse = fuse
        self._names = names

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if name not in self._names:
            return method

        async def fused(*args: Any, **more: Any) -> Any:
            return await self._fuse.through(lambda: method(*args, **more))

        return fused


def arm(home: Home, fuse: Fuse) -> None:
    """Let every change of row, world and vault go through the fuse."""
    environments = home.environments
    rows = Fused(environments._rows, fuse, ("save", "remove"))
    provider = Fused(environments._provider, fuse, ("create", "start", "stop", "delete"))
    vault = Fused(environments._vault, fuse, ("put", "remove"))
    environments._rows = environments._ledger.rows = rows
    environments._provider = environments._maker._provider = provider
    environments._vault = environments._maker._vault = vault


async def agreed(home: Home) -> None:
    """Assert that rows and world say the same, and that nothing is left half done."""
    await home.environments.settled()
    folders = {handle.environment async for handle in home.outside.provider.list()}
    rows = {row.id: row for row in await home.store.environments.find()}
    assert folders <= rows.keys(), "something is left of an environment that is gone"
    for row in rows.values():
        observed = await home.outside.provider.observe(Handle("none", row.id))
        assert row.phase in ("running", "stopped"), row.phase
        assert (observed.state == "running") == (row.phase == "running")
    assert set(await home.environments._vault.environments()) <= rows.keys()


async def agreed_on_world(home: Home) -> None:
    """Assert that each row tells whether its environment runs."""
    for row in await home.store.environments.find():
        observed = await home.outside.provider.observe(Handle("none", row.id))
        assert (observed.state == "running") == (row.phase == "running"), row.phase


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", ["create", "stop", "start", "delete"])
async def test_a_crash_anywhere_in_a_step_ends_right(home: Home, step: str, after: bool):
    secrets = (SecretMount("key", "a-secret-of-mine", variable="KEY"),)
    wanted = {"create": "running", "stop": "stopped", "start": "running"}

    async def perform(environment: str) -> None:
        match step:
            case "create":
                await home.created(secrets=secrets, setup=("echo once >> count",))
            case "stop":
                await home.environments.stop(environment)
            case "start":
                await home.environments.start(environment)
            case _:
                await home.environments.delete(environment, force=False)
        await home.environments.settled()

    died, at = True, 0
    while died:
        at += 1
        environment = ""
        if step != "create":
            environment = (await home.up(secrets=secrets, setup=("echo once >> count",))).id
        if step == "start":
            await home.environments.stop(environment)
        fuse = Fuse(at, after)
        arm(home, fuse)
        with contextlib.suppress(Died):
            await perform(environment)
        died = fuse.dead
        await home.restarted()
        await agreed(home)
        rows = {row.id: row for row in await home.store.environments.find()}
        for row in rows.values():
            assert died or row.phase == wanted[step]
            assert (await home.said(row.id, "cat count; echo $KEY")).split() == ["once", "a-secret-of-mine"]
            await home.environments.delete(row.id, force=False)
        assert died or not (rows and step == "delete")
    assert at > 2, "the fuse never went off"
