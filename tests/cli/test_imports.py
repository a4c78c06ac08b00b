"""What client commands import: nothing heavy, nothing of the server, nothing that only Linux has."""

import os
import subprocess
import sys

import pytest

from tests.cli.scripted import TOKEN, Scripted

HEAVY = (
    *(
        "hostler.config",
        "hostler.contract",
        "hostler.core",
        "hostler.api",
        "hostler.store",
        "hostler.app",
        "hostler.serving",
    ),
    *(
        "pydantic",
        "sqlalchemy",
        "starlette",
        "uvicorn",
        "protobuf",
        "connectrpc",
        "structlog",
        "rich",
        "textual",
        "httpx2",
        "asyncio",
    ),
)
LINUX_ONLY = ("fcntl", "termios", "pwd", "grp", "resource", "syslog", "posix_ipc", "tty", "pty", "crypt", "spwd", "nis")
COMMANDS = (
    ("--help",),
    ("ps",),
    ("run", "--help"),
    ("show", "0198c2aa-0001"),
    ("top", "--help"),
    ("run", "Go", "--detach"),
)
WITHOUT_LINUX = f"""
import sys
for name in {LINUX_ONLY!r}:
    sys.modules[name] = None
from hostler.cli.main import main
main(sys.argv[1:])
"""


def environment(server: Scripted) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HOSTLER_")}
    return {**kept, "HOSTLER_URL": server.url, "HOSTLER_TOKEN": TOKEN, "PYTHONWARNINGS": "error"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_nothing_heavy_is_imported(server: Scripted, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "hostler", *words]
    ended = subprocess.run(command, env=environment(server), capture_output=True, text=True)
    assert ended.returncode == 0
    imported = {row.rpartition("|")[2].strip() for row in ended.stderr.splitlines() if row.startswith("import time:")}
    assert "hostler.cli.main" in imported
    assert {
        name for name in imported if name.startswith(tuple(f"{heavy}." for heavy in HEAVY)) or name in HEAVY
    } == set()


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_client_commands_run_without_what_only_linux_has(server: Scripted, words: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", WITHOUT_LINUX, *words]
    ended = subprocess.run(command, env=environment(server), capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_command_is_also_a_module() -> None:
    ended = subprocess.run([sys.executable, "-m", "hostler", "--version"], capture_output=True, text=True)
    assert ended.stdout.startswith("hostler ")


def test_every_command_says_what_it_does_and_shows_an_example() -> None:
    from hostler.cli.main import COMMANDS as REGISTERED

    for command in REGISTERED:
        assert "Example" in (command.__doc__ or ""), command.__name__
