"""The gateway's ledger over a real engine, and what a stop does to the calls under way."""

from collections.abc import AsyncIterator, Sequence

import pytest

from hostler.core import agent_events as ae
from hostler.core.conversation import Usage
from hostler.engine.calls import Calls
from hostler.models.gateway.ledger import Call, Ledger, NoLiveTurn
from hostler.models.registry import Registry
from hostler.testing.ledger import Began, Entry, Finished, WasCut
from hostler.testing.ledger_suite import LedgerSuite
from hostler.testing.stage import Stage


class EngineScene:
    """A resident agent in the middle of a turn."""

    def __init__(self, stage: Stage, execution: str, ledger: Ledger, fence: int) -> None:
        self.stage = stage
        self.execution = execution
        self.ledger = ledger
        self._fence = fence
        self.under = Under()

    async def over(self) -> None:
        await self.stage.stop(self.execution)
        await self.stage.until(self.execution, lambda state: state.phase == "STOPPED")

    async def recorded(self) -> Sequence[Entry]:
        calls: dict[str, Call] = {}
        found: list[Entry] = []
        for recorded in await self.stage.log(self.execution):
            match recorded.event:
                case ae.AgentCallStarted(call_id, model, path):
                    calls[call_id] = Call(call_id, self.execution, self._fence, model, path)
                    found.append(Began(calls[call_id]))
                case ae.AgentCallFinished(call_id, usage, finish):
                    found.append(Finished(calls[call_id], usage, finish))  # pyright: ignore[reportArgumentType]
                case ae.AgentCallCut(call_id, estimate, reason):
                    found.append(WasCut(calls[call_id], estimate, reason))
                case _:
                    pass
        return found


@pytest.fixture
async def scene() -> AsyncIterator[EngineScene]:
    stage = Stage(Registry({}))
    stage.world.machine.script = (("wait",),)
    server = await stage.boot()
    execution = await stage.start("scripted:none", "mend it", driver="resident")
    await stage.until(execution, lambda state: bool(state.external.turn))
    ledger = Calls(server.engine, server.agents, stage.clock)
    scene = EngineScene(stage, execution, ledger, (await ledger.grant(execution)).fence)
    stage.server.agents.calls = scene.under
    yield scene
    await stage.kill()


class TestEngineLedger(LedgerSuite):
    """The one that records in the log."""


class Under:
    """The calls under way, as a gateway would know them."""

    def __init__(self) -> None:
        self.used: dict[str, Usage] = {}
        self.cut: list[tuple[str, Sequence[str]]] = []

    def estimates(self, execution: str) -> dict[str, Usage]:
        return self.used

    def cut_now(self, execution: str) -> None:
        self.cut.append((execution, list(self.used)))


async def test_a_stop_ends_open_calls_with_what_they_used_and_cuts_them_afterwards(scene: EngineScene) -> None:
    under = scene.under
    grant = await scene.ledger.grant(scene.execution)
    call = await scene.ledger.begin(grant, grant.models[0], "/v1/responses")
    under.used[call.id] = Usage(100, output=7)
    assert under.cut == []
    await scene.over()
    state = await scene.stage.state(scene.execution)
    assert state.external.estimated == Usage(100, output=7)
    assert [entry.estimate for entry in await scene.recorded() if isinstance(entry, WasCut)] == [Usage(100, output=7)]
    assert under.cut == [(scene.execution, [call.id])]


async def test_an_end_whose_answer_was_lost_may_be_told_again_but_not_another_one(scene: EngineScene) -> None:
    grant = await scene.ledger.grant(scene.execution)
    call = await scene.ledger.begin(grant, grant.models[0], "/v1/responses")
    await scene.ledger.finish(call, Usage(1), "stop")
    await scene.ledger.finish(call, Usage(1), "stop")
    with pytest.raises(NoLiveTurn):
        await scene.ledger.cut(call, Usage(1), "late")
