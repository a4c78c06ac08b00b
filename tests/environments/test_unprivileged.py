"""The same suites as an ordinary user, when these tests run as root."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

UID = 12345
HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
MODULES = ("test_local.py", "test_isolation.py", "test_survival.py")


def as_user(*words: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    drop = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all")
    # setpriv itself may still read what only root may; the shell between them may not.
    drop = (*drop, "sh", "-c", 'exec "$@"', "sh")
    return subprocess.run((*drop, *words), capture_output=True, text=True, check=False, env=env, cwd=CHECKOUT)


def interpreter() -> str | None:
    """A Python that the user may run, of this version, so that it can use the packages installed here."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    ask = f"import sys; assert sys.version_info[:2] == {sys.version_info[:2]}"
    for found in (sys.executable, f"/usr/bin/python{version}"):
        if Path(found).exists() and as_user(found, "-c", ask).returncode == 0:
            return found
    return None


@pytest.mark.sandbox
@pytest.mark.timeout(300)
@pytest.mark.skipif(os.geteuid() != 0, reason="these tests run as an ordinary user already")
@pytest.mark.parametrize("module", MODULES)
def test_an_ordinary_user_gets_the_same(module: str) -> None:
    python = interpreter()
    if python is None:
        pytest.skip("an ordinary user cannot run a Python of this version here")
    packages = sysconfig.get_path("purelib")
    if as_user("test", "-r", packages).returncode or as_user("test", "-r", str(HERE)).returncode:
        pytest.skip("an ordinary user cannot read this checkout")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{CHECKOUT}/src:{packages}", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}
    words = ("-B", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", str(HERE / module))
    done = as_user(python, *words, env=env)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
