"""A command that may only look cannot write, whatever it starts; but to /tmp it can."""

from pathlib import Path

import pytest

from hostler.core.machines import Command, Exited
from hostler.environments.folders import FolderProvider
from hostler.environments.local import local_provider
from hostler.environments.supervisor import landlock
from hostler.testing.environments_suite import Work, text

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.skipif(not landlock.enough(), reason="this kernel has no Landlock that is new enough"),
]


@pytest.fixture
def provider(root: Path) -> FolderProvider:
    return local_provider(root)


def looking(line: str) -> Command:
    return Command(("bash", "-c", line), timeout=30.0, read_only=True)


@pytest.mark.parametrize(
    "line",
    [
        "echo x > new",
        "echo x >> known",
        ": > known",
        "truncate -s 0 known",
        "mv known other",
        "rm known",
        "mkdir folder",
        "ln -s known link",
        "ln known /tmp/hard && : > /tmp/hard",
        "cp known $HOME/copy",
        "mkfifo pipe",
        "setsid -w bash -c 'echo x > known'",
        "python3 -c \"open('known', 'r+').write('x')\"",
        "sed -i s/k/x/ known",
        "git init -q repository",
        "mv -T /tmp known",
    ],
)
async def test_whatever_writes_fails_and_changes_nothing(work: Work, line: str) -> None:
    await work.run("echo kept > known")
    before = text(await work.run("ls -lAR --time-style=+ . $HOME"))
    result = await work.run(looking(line))
    assert result.outcome != Exited(0), text(result)
    assert text(await work.run("cat known")) == "kept\n"
    assert text(await work.run("ls -lAR --time-style=+ . $HOME")) == before


async def test_it_reads_and_computes_as_ever_and_may_use_tmp(work: Work) -> None:
    await work.run("echo kept > known")
    line = "cat known | tee /tmp/copy /dev/null; sort <(cat /tmp/copy); python3 -c 'print(1)' 2>/dev/null; rm /tmp/copy"
    result = await work.run(looking(line))
    assert (result.outcome, text(result)) == (Exited(0), "kept\nkept\n1\n")
    await work.run("echo x > known")
    assert text(await work.run("cat known")) == "x\n"
