from collections.abc import Sequence

import pytest

from hostler.models.gateway.ledger import Grant, Ledger
from hostler.testing.ledger import Entry, FakeLedger
from hostler.testing.ledger_suite import LedgerSuite, Scene


class FakeScene:
    """A turn in the ledger that the gateway's own tests use."""

    def __init__(self) -> None:
        self._fake = FakeLedger({"run": Grant("run", 1, "env", ("scripted:demo",))})
        self.ledger: Ledger = self._fake
        self.execution = "run"

    async def over(self) -> None:
        del self._fake.grants["run"]

    async def recorded(self) -> Sequence[Entry]:
        return self._fake.entries


@pytest.fixture
def scene() -> Scene:
    return FakeScene()


class TestFakeLedger(LedgerSuite):
    """The one in memory."""
