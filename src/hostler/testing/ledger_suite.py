# ruff: noqa: D102 a test's name is its sentence
"""What every ledger of the gateway must do: inherit `LedgerSuite` in a test module that gives the fixture `scene`."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

import pytest

from hostler.core.conversation import Usage
from hostler.core.errors import StaleFence
from hostler.models.gateway.ledger import Call, Ledger, NoLiveTurn
from hostler.testing.ledger import Began, Entry, Finished, WasCut

PATH = "/v1/responses"
USAGE = Usage(1, 2, 3, 4)


class Scene(Protocol):
    """A ledger, and an execution with a turn under way in it that allows at least one model."""

    ledger: Ledger
    execution: str

    async def over(self) -> None:
        """End the turn."""
        ...

    async def recorded(self) -> Sequence[Entry]:
        """Return what is recorded of the execution's calls, in order."""
        ...


async def begun(scene: Scene) -> Call:
    """Return a call that was begun with the first model."""
    grant = await scene.ledger.grant(scene.execution)
    return await scene.ledger.begin(grant, grant.models[0], PATH)


class LedgerSuite:
    """The promises of `Ledger`."""

    async def test_an_execution_that_is_not_there_has_no_turn(self, scene: Scene) -> None:
        with pytest.raises(NoLiveTurn):
            await scene.ledger.grant("01900000-0000-7000-8000-00000000dead")

    async def test_a_call_is_recorded_with_its_model_and_path_when_it_begins(self, scene: Scene) -> None:
        grant = await scene.ledger.grant(scene.execution)
        call = await begun(scene)
        assert (call.execution, call.fence, call.model, call.path) == (
            scene.execution,
            grant.fence,
            grant.models[0],
            PATH,
        )
        assert await scene.recorded() == [Began(call)]

    async def test_a_finished_call_has_one_end_however_often_it_is_told(self, scene: Scene) -> None:
        call = await begun(scene)
        for _ in range(2):
            await scene.ledger.finish(call, USAGE, "tools")
        with contextlib.suppress(NoLiveTurn, StaleFence):
            await scene.ledger.cut(call, Usage(), "late")
        assert await scene.recorded() == [Began(call), Finished(call, USAGE, "tools")]

    async def test_a_call_that_was_cut_has_one_end_however_often_it_is_told(self, scene: Scene) -> None:
        call = await begun(scene)
        for _ in range(2):
            await scene.ledger.cut(call, USAGE, "stopped")
        with contextlib.suppress(NoLiveTurn, StaleFence):
            await scene.ledger.finish(call, Usage(), "stop")
        assert await scene.recorded() == [Began(call), WasCut(call, USAGE, "stopped")]

    async def test_calls_at_the_same_time_are_told_apart(self, scene: Scene) -> None:
        first, second = await asyncio.gather(begun(scene), begun(scene))
        assert first.id != second.id
        await asyncio.gather(
            scene.ledger.finish(second, USAGE, "stop"), scene.ledger.cut(first, Usage(), "the agent hung up")
        )
        recorded = await scene.recorded()
        assert sum(isinstance(entry, Began) for entry in recorded) == 2
        assert Finished(second, USAGE, "stop") in recorded
        assert WasCut(first, Usage(), "the agent hung up") in recorded

    async def test_when_the_turn_is_over_nothing_begins(self, scene: Scene) -> None:
        grant = await scene.ledger.grant(scene.execution)
        await scene.over()
        with pytest.raises(NoLiveTurn):
            await scene.ledger.grant(scene.execution)
        with pytest.raises(NoLiveTurn):
            await scene.ledger.begin(grant, grant.models[0], PATH)
        assert await scene.recorded() == []

    async def test_when_the_turn_is_over_an_open_call_gets_no_end_from_us(self, scene: Scene) -> None:
        call = await begun(scene)
        await scene.over()
        before = await scene.recorded()
        with pytest.raises((NoLiveTurn, StaleFence)):
            await scene.ledger.finish(call, USAGE, "stop")
        assert await scene.recorded() == before
