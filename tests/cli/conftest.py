"""The command line, run in this process against a scripted server."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostler.cli.main import main
from tests.cli.scripted import TOKEN, Scripted, serving
from tests.cli.seat import Seat


@dataclass(frozen=True)
class Ended:
    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Cli = Callable[..., Ended]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of its own, and no setting of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("HOSTLER_") or name in ("NO_COLOR", "FORCE_COLOR", "EDITOR", "VISUAL"):
            monkeypatch.delenv(name)
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("HOSTLER_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    with serving() as script:
        monkeypatch.setenv("HOSTLER_URL", script.url)
        monkeypatch.setenv("HOSTLER_TOKEN", TOKEN)
        yield script


@pytest.fixture
def cli(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    def run(*words: str, stdin: str = "") -> Ended:
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        err = io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(list(words))
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ended(code, out.buffer.getvalue(), err.getvalue())  # pyright: ignore[reportAttributeAccessIssue]

    return run


@pytest.fixture
def seats() -> Iterator[list[Seat]]:
    """Terminals that were opened; what runs in them is ended."""
    taken: list[Seat] = []
    yield taken
    for seat in taken:
        seat.process.kill()
        seat.process.wait()
        os.close(seat.ours)
