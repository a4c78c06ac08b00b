"""A server that nobody kills, shared by the tests of a file."""

from collections.abc import Iterator

import pytest

from hostler.testing.answers import Reply
from tests.agents.codex.provider import in_order
from tests.agents.codex.standing import Begin, Run, Steps, running
from tests.server import short_folder


@pytest.fixture(scope="module")
def serving() -> Iterator[Run]:
    with short_folder() as folder, running(folder, in_order(Reply("Nothing is asked."))) as run:
        yield run


@pytest.fixture
def begin(serving: Run) -> Begin:
    """Begin with other answers on a server that nobody kills."""

    def begun(answers: Steps) -> Run:
        serving.model.endpoint.answers = answers
        serving.model.endpoint.requests.clear()
        return Run(serving.server, serving.model)

    return begun
