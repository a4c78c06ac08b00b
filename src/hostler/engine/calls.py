"""The gateway's ledger: model calls of agents in environments, recorded in the log of their execution by its owner."""

from dataclasses import dataclass

from hostler.core import agent_events as ae
from hostler.core.ambient import Ambient
from hostler.core.conversation import Usage
from hostler.core.errors import StaleFence, Unavailable
from hostler.core.events import Event
from hostler.core.limits import reached
from hostler.core.ports import Fact
from hostler.engine.agents import Agents
from hostler.engine.engine import Engine
from hostler.engine.worker import Worker
from hostler.models.gateway.ledger import Call, Finish, Grant, LimitReached, NoLiveTurn


@dataclass(frozen=True, slots=True)
class Calls:
    """Answers the gateway from the worker that runs the turn; nothing is kept here."""

    engine: Engine
    agents: Agents
    ambient: Ambient

    async def grant(self, execution: str) -> Grant:
        """Return what the execution may do now; NoLiveTurn unless this process runs a turn of it."""
        worker = await self._worker_soon(execution)
        state, agent = worker.state, worker.state.begun.agent
        provider, _, _ = agent.model.partition(":")
        driver = self.agents.driver(agent.driver)
        others = [f"{provider}:{name}" for name in driver.models(agent.model.partition(":")[2])] if driver else []
        return Grant(execution, worker.fence, state.environment.id, (agent.model, *others))

    async def begin(self, grant: Grant, model: str, path: str) -> Call:
        """Commit that a call begins; a limit that is reached is committed as well, and stops the execution."""
        worker = await self._worker_soon(grant.execution)
        if worker.fence != grant.fence:
            raise NoLiveTurn("the turn that this call belongs to is over")
        call = Call(self.ambient.new_id(), grant.execution, grant.fence, model, path)
        if limit := reached(worker.ahead(), open_calls=True):
            await self._record(worker, call, ae.AgentCallRefused(limit.name, limit.message))
            raise LimitReached(limit.message)
        await self._record(worker, call, ae.AgentCallStarted(call.id, model, path))
        return call

    async def finish(self, call: Call, usage: Usage, finish: Finish) -> None:
        """Commit the end of a call with what the provider counted."""
        await self._end(call, ae.AgentCallFinished(call.id, usage, finish))

    async def cut(self, call: Call, estimate: Usage, reason: str) -> None:
        """Commit that a call ended without the provider's count."""
        await self._end(call, ae.AgentCallCut(call.id, estimate, reason))

    async def _end(self, call: Call, event: Event) -> None:
        worker = self._worker(call.execution)
        if worker.fence != call.fence:
            raise NoLiveTurn("the turn that this call belongs to is over")
        if all(known.id != call.id for known in worker.state.external.calls):
            if any(recorded.event == event for recorded in reversed(worker.log)):
                return  # It was told before, and only the answer was lost.
            raise NoLiveTurn("the call was ended already")
        await self._record(worker, call, event)

    async def _record(self, worker: Worker, call: Call, event: Event) -> None:
        try:
            await worker.record((Fact(f"call/{call.id}", event),))
        except StaleFence as problem:
            raise NoLiveTurn("the turn that this call belongs to is over") from problem

    async def _worker_soon(self, execution: str) -> Worker:
        """Return the worker; Unavailable, so that the agent tries again, where the turn is being taken up."""
        worker = self.engine.worker_of(execution)
        if (worker is None or not worker.state.phase) and await self.engine.takes_up(execution):
            raise Unavailable("the turn is being taken up again; try once more", retry_after=1.0)
        return self._worker(execution)

    def _worker(self, execution: str) -> Worker:
        worker = self.engine.worker_of(execution)
        if worker is None or worker.state.phase != "RUNNING" or worker.state.stop is not None:
            raise NoLiveTurn("no turn of this execution runs here")
        return worker
