"""A well-known library as a Git repository in which one line is wrong.

It is more-itertools: pure Python without dependencies, and its source distribution carries 817 tests (its documentation
among them) that run in seconds with nothing but the standard library's unittest, so that any system's Python will do
inside an environment.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.conftest import ROOT
from tests.server import repository_at

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
CACHE = Path(os.environ.get("HOSTLER_LIBRARY_CACHE") or ROOT / ".cache" / "library")
FILE = "more_itertools/more.py"
UPSTREAM = "        stop += q + 1 if i <= r else q\n"
MISTAKE = "        stop += q + 1 if i < r else q\n"
TESTS = 817


def broken(folder: Path) -> Path:
    """Make the library's sources, with one line broken, a repository of one commit; return its path."""
    unpacked = folder / "unpacked"
    with tarfile.open(_archive()) as archive:
        archive.extractall(unpacked, filter="data")
    (sources,) = unpacked.iterdir()
    file = sources / FILE
    text = file.read_text()
    assert text.count(UPSTREAM) == 1
    file.write_text(text.replace(UPSTREAM, MISTAKE))
    return repository_at(folder / "library", sources)


def _archive() -> Path:
    """Return the source distribution, fetched from the package index once; its hash is looked at every time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (wanted,) = re.findall(r"sha256:([0-9a-f]{64})", REQUIREMENTS.read_text())
    for archive in CACHE.glob("*.tar.gz"):
        if hashlib.sha256(archive.read_bytes()).hexdigest() == wanted:
            return archive
    options = ("--quiet", "--no-deps", "--no-binary", "more-itertools", "--require-hashes", "--dest", CACHE)
    command = [sys.executable, "-m", "pip", "download", *options, "--requirement", REQUIREMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    return _archive()
