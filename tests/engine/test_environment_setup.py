"""Setup and lifecycle commands: run once, rejoined, shown in the log, and never the end of an environment."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostler.core.desk import SecretMount
from tests.engine.homes import CLASSES, Home, home_in


@pytest.fixture
async def home(place: Path) -> AsyncIterator[Home]:
    async with home_in(place) as home:
        yield home


async def until_there(file: Path) -> None:
    while not file.exists():
        await asyncio.sleep(0.01)


async def test_commands_run_once_in_their_order_and_those_of_a_start_at_each(home: Home):
    row = await home.with_container(
        """{"onCreateCommand": "echo 2 >> order", "updateContentCommand": ["sh", "-c", "echo 3 >> order"],
        "postCreateCommand": {"a": "echo 4 >> order"}, "postStartCommand": "echo start >> order",
        "remoteEnv": {"SEEN": "by-commands"}}""",
        setup=("echo 1 >> order; echo said-aloud",),
    )
    assert row.phase == "running"
    assert (await home.said(row.id, "cat order")).split() == ["1", "2", "3", "4", "start"]
    await home.environments.stop(row.id)
    await home.environments.start(row.id)
    await home.environments.settled()
    assert (await home.said(row.id, "cat order")).split() == ["1", "2", "3", "4", "start", "start"]
    log = await home.log(row.id)
    assert "said-aloud\n" in log
    assert "setup-1 ended well" in log
    assert log.index("setup-1 begins") < log.index("said-aloud") < log.index("onCreateCommand begins")


async def test_the_commands_of_a_class_come_before_those_of_a_project(place: Path):
    classes = [replace(CLASSES[0], setup=("echo class >> order",), variables={"KIND": "a-class"})]
    async with home_in(place, classes) as home:
        row = await home.up(setup=("echo project >> order",))
        assert (await home.said(row.id, "cat order; echo $KIND")).split() == ["class", "project", "a-class"]


async def test_a_command_that_fails_stops_those_behind_it_and_the_environment_stays_usable(home: Home):
    text = '{"onCreateCommand": "echo no-such-thing >&2; exit 7", "postCreateCommand": "touch never"}'
    row = await home.with_container(text)
    assert row.phase == "running"
    assert row.status["failure"] == ""
    step = row.status["steps"]["once"]["onCreateCommand"]
    assert step["state"] == "failed"
    assert "exit code 7" in step["failure"]
    assert "no-such-thing" in step["failure"]
    assert (await home.said(row.id, "test -e never || echo usable")).strip() == "usable"
    await home.restarted()
    await home.environments.settled()
    assert (await home.log(row.id)).count("onCreateCommand begins") == 1


async def test_a_command_that_ran_while_the_server_died_is_rejoined_and_its_output_is_there_once(home: Home):
    gate = home.place / "gate"
    began = home.place / "began"
    line = f"echo before; touch {began}; while [ ! -e {gate} ]; do sleep 0.02; done; printf '%s\\n' aft''er"
    environment = await home.created(setup=(line,))
    async with asyncio.timeout(60):
        await until_there(began)
        while "before\n" not in await home.log(environment):
            await asyncio.sleep(0.01)
        for _ in range(2):
            await home.restarted()
        gate.touch()
        await home.environments.settled()
    row = await home.environments.get(environment)
    assert row.phase == "running"
    log = await home.log(environment)
    assert (log.count("before\n"), log.count("after\n"), log.count("setup-1 begins")) == (1, 1, 1)


async def test_a_stop_cuts_a_setup_short_and_the_next_start_runs_it_again_and_says_so(home: Home):
    began, gate = home.place / "began", home.place / "gate"
    line = f"echo try; touch {began}; while [ ! -e {gate} ]; do sleep 0.02; done"
    environment = await home.created(setup=(line,))
    async with asyncio.timeout(60):
        await until_there(began)
        await home.environments.stop(environment)
        assert (await home.environments.get(environment)).phase == "stopped"
        gate.touch()
        await home.environments.start(environment)
        await home.environments.settled()
    assert (await home.environments.get(environment)).phase == "running"
    log = await home.log(environment)
    assert "cut short" in log
    assert log.count("try\n") == 2


async def test_a_delete_takes_an_environment_away_in_the_middle_of_its_setup(home: Home):
    began = home.place / "began"
    environment = await home.created(setup=(f"touch {began}; sleep 1000",))
    async with asyncio.timeout(60):
        await until_there(began)
        await home.environments.delete(environment, force=False)
    assert await home.store.environments.get(environment) is None
    assert not (home.place / "environments" / environment).exists()
    assert await home.store.environment_logs.read(environment) == ()


async def test_variables_of_the_container_are_seen_by_every_command(home: Home):
    text = '{"containerEnv": {"COLOUR": "green"}, "postCreateCommand": "echo made in $COLOUR"}'
    row = await home.with_container(text, ".devcontainer/devcontainer.json")
    assert (await home.said(row.id, "echo $COLOUR")).strip() == "green"
    assert "made in green\n" in await home.log(row.id)


async def test_what_is_ignored_is_said_in_the_log_and_what_cannot_be_read_too(home: Home):
    row = await home.with_container('{"image": "ubuntu", "features": {"x": {}}}')
    assert "features, image have no effect here" in await home.log(row.id)
    assert row.status["devcontainer"]["ignored"] == ([".devcontainer.json: features, image have no effect here"])


async def test_a_file_that_was_named_and_is_not_there_is_said(home: Home):
    row = await home.up(devcontainer="ci/devcontainer.json")
    assert row.phase == "running"
    assert row.status["devcontainer"]["problem"] == "ci/devcontainer.json: there is no such file"


async def test_secrets_are_inside_after_every_start_and_nowhere_else(home: Home):
    secrets = (
        SecretMount("key", "a-secret-of-mine", variable="KEY"),
        SecretMount("file", "another\nsecret-of-mine", path=".secret"),
    )
    row = await home.up(secrets=secrets, setup=("echo $KEY; cat .secret",))
    assert await home.said(row.id, "echo $KEY; cat .secret; stat -c %a .secret") == (
        "a-secret-of-mine\nanother\nsecret-of-mine600\n"
    )
    await home.run(row.id, "rm .secret", "rm")
    await home.environments.stop(row.id)
    await home.restarted()
    assert home.redactor.text("it is a-secret-of-mine") == "it is [redacted]"
    assert (await home.said(row.id, "cat .secret")).startswith("another")
    assert "secret-of-mine" not in await home.log(row.id)
    await home.environments.settled()
    database = b"".join(file.read_bytes() for file in home.place.glob("hostler.db*"))
    assert b"secret-of-mine" not in database
    await home.environments.delete(row.id, force=True)
    assert list((home.place / "secrets").iterdir()) == []


async def test_secrets_of_environments_that_never_came_to_be_are_forgotten_at_boot(home: Home):
    await home.environments._vault.put("never", {"a": "a-value-long-enough"})
    await home.restarted()
    assert list((home.place / "secrets").iterdir()) == []


async def test_much_output_is_kept_to_a_bound_and_a_secret_in_it_is_masked_wherever_it_is_cut(home: Home):
    home.redactor.add(["0123456789-the-secret"])
    line = "i=0; while [ $i -lt 2000 ]; do printf 'x%.0s' $(seq 40); printf 0123456789-the-secret; i=$((i+1)); done"
    row = await home.up(setup=(line, "head -c 3000000 /dev/zero | tr '\\0' y"))
    log = await home.log(row.id)
    assert "the-secret" not in log
    assert log.count("[redacted]") == 2001, "once in the command itself"
    assert "the rest is not kept here" in log
    assert 1 << 20 <= log.count("y") < 2_000_000
