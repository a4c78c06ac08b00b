"""Fixtures that every part of the suite may use."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.server import HostlerProcess, repository_at, short_folder

ROOT = Path(__file__).resolve().parent.parent

# A shell starts what runs in its background with SIGINT ignored, and so it would be in every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no fault of the code; and a red CI should be about the change, so there the examples are fixed.
settings.register_profile(
    "hostler", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("hostler")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped, each reason once."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} skipped: {reason}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for servers and repositories."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def hostler(place: Path) -> Iterator[HostlerProcess]:
    """A real server with embedded defaults and the scripted model."""
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder).start()
    yield server
    server.stop()


@pytest.fixture
def wordcount(place: Path) -> Path:
    """The example project as a Git repository; one of its tests fails."""
    return repository_at(place / "wordcount", ROOT / "examples" / "wordcount")
