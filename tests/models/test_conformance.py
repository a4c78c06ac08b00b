"""Every family of models against the suite of the port."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from hostler.core.conversation import ModelRequest
from hostler.core.ports import Model
from hostler.models.registry import Registry
from hostler.models.script import Call, Fault, Step
from hostler.models.scripted import Gates
from hostler.testing.answers import Answer, Broken, Failure, Hold, Reply
from hostler.testing.endpoints import Endpoint
from hostler.testing.model_suite import ModelSuite, Served, ask

REMOTE = ("anthropic:claude-sonnet-4-6", "openai-responses:gpt-5", "openai-chat:llama3")


class TestRemoteModels(ModelSuite):
    endpoint: Endpoint

    @pytest.fixture(params=REMOTE)
    def served(self, request: pytest.FixtureRequest) -> Served:
        @asynccontextmanager
        async def serve(*answers: Answer) -> AsyncIterator[Model]:
            async with Endpoint(answers) as self.endpoint:
                models = Registry(self.endpoint.environ())
                yield models.get(request.param)
                await models.close()

        return serve

    async def all_held(self, model: Model, calls: int) -> None:
        await self.endpoint.until(lambda endpoint: endpoint.in_flight == calls)


class TestWarmModels(ModelSuite):
    """Models that have answered before, so that their common calls go the short way."""

    endpoint: Endpoint

    @pytest.fixture(params=REMOTE)
    def served(self, request: pytest.FixtureRequest) -> Served:
        @asynccontextmanager
        async def serve(*answers: Answer) -> AsyncIterator[Model]:
            async with Endpoint([Reply("Warm."), *answers]) as self.endpoint:
                models = Registry(self.endpoint.environ())
                await ask(models.get(request.param))
                yield models.get(request.param)
                await models.close()

        return serve

    async def all_held(self, model: Model, calls: int) -> None:
        await self.endpoint.until(lambda endpoint: endpoint.in_flight == calls)


class TestScriptedModels(ModelSuite):
    waiting: asyncio.Semaphore

    @pytest.fixture
    def served(self) -> Served:
        @asynccontextmanager
        async def serve(*answers: Answer) -> AsyncIterator[Model]:
            self.waiting = asyncio.Semaphore(0)
            gates = Gates()
            bridges = [asyncio.ensure_future(_bridge(answer, gates)) for answer in answers if isinstance(answer, Hold)]
            models = Registry({}, plans={"suite": _plan(answers, self.waiting.release)}, gates=gates)
            yield models.get("scripted:suite")
            for bridge in bridges:
                bridge.cancel()

        return serve

    async def all_held(self, model: Model, calls: int) -> None:
        for _ in range(calls):
            await self.waiting.acquire()


async def _bridge(hold: Hold, gates: Gates) -> None:
    await gates.wait("reached")
    hold.reached.set()
    await hold.gate.wait()
    gates.open("gate")


def _plan(answers: tuple[Answer, ...], asked: Callable[[], None]) -> Callable[[ModelRequest], Step]:
    left = list(answers)

    def step(_: ModelRequest) -> Step:
        asked()
        return _step(left.pop(0) if len(left) > 1 else left[0])

    return step


def _step(answer: Answer) -> Step:
    match answer:
        case Reply():
            calls = tuple(Call(call.name, call.arguments) for call in answer.calls)
            return Step(answer.text, calls, answer.thinking, finish=answer.finish, usage=answer.usage)
        case Failure(overflow=True):
            return Step(faults=(Fault("overflow"),))
        case Failure(status=status, headers=headers):
            wait = json.loads(headers.get("Retry-After", "null"))
            kind = "refused" if status < 429 else "unavailable"
            return Step(faults=(Fault(kind, times=9, retry_after=wait),))
        case Broken():
            return Step(answer.reply.text, faults=(Fault("cut", times=9, after=1),))
        case Hold():
            return Step(answer.reply.text, faults=(Fault("hold", after=1, until="gate", reached="reached"),))
        case _:
            raise AssertionError(answer)
