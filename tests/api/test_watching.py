"""WatchEvents, as Connect clients read it; plain JSON is among the hazards."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hostler.core import events as ev
from hostler.core.desk import NewEnvironment
from hostler.core.providers import Scratch
from tests.api.conftest import BOT, CLASSES, OWNER, Api

OTHER = "0190aaaa-0000-7000-8000-00000000ffff"
EXECUTION, ENVIRONMENT = "RESOURCE_TYPE_AGENT_EXECUTION", "RESOURCE_TYPE_ENVIRONMENT"


class Watch:
    """An open stream of events."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._data = b""

    async def message(self) -> dict[str, Any]:
        """Return the next message, or what ends the stream."""
        while len(self._data) < 5 or len(self._data) < 5 + struct.unpack(">I", self._data[1:5])[0]:
            self._data += await anext(self._chunks)
        size = struct.unpack(">I", self._data[1:5])[0]
        body, self._data = self._data[5 : 5 + size], self._data[5 + size :]
        return json.loads(body)

    async def next(self) -> tuple[str, str]:
        """Return (operation, id) of the next event."""
        event = await self.message()
        return event["operation"].removeprefix("RESOURCE_OPERATION_"), event["resourceId"]


@asynccontextmanager
async def watching(api: Api, token: str = "owner-token", **body: Any) -> AsyncIterator[Watch]:
    data = json.dumps(body).encode()
    headers = api.headers({"content-type": "application/connect+json"}, token)
    url = f"{api.url}/api/gitpod.v1.EventService/WatchEvents"
    async with api.http.stream(
        "POST", url, headers=headers, content=struct.pack(">BI", 0, len(data)) + data
    ) as response:
        yield Watch(response.aiter_raw())


def of_type(kind: str, **more: Any) -> list[dict[str, Any]]:
    return [{"resourceType": kind, **more}]


async def subscribed(api: Api) -> None:
    """Return when the server has begun to watch."""
    while not api.desk.executions._watches:  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0)


async def test_operations_say_what_changed(api: Api) -> None:
    execution = await api.prepared()
    async with watching(api, resourceTypeFilters=of_type(EXECUTION, resourceIds=[execution])) as watch:
        assert await watch.next() == ("UPDATE_STATUS", execution)
        body: dict[str, Any] = {"agentExecutionId": execution}
        await api.call("UpdateAgentExecution", {**body, "metadata": {"annotations": {"a": "b"}}})
        assert await watch.next() == ("UPDATE", execution)
        await api.call("ReportAgentExecutionOutputs", {**body, "outputs": {"a": {"intValue": 1}}})
        assert await watch.next() == ("UPDATE_STATUS", execution)
        await api.call("DeleteAgentExecution", body)
        assert await watch.next() == ("DELETE", execution)


async def test_the_organization_sees_what_is_made(api: Api) -> None:
    old = await api.prepared()
    async with watching(api, organization=True, resourceTypeFilters=of_type(EXECUTION)) as watch:
        await subscribed(api)
        api.clock.advance(1)
        new = await api.started()
        assert await watch.next() == ("CREATE", new)
        await api.desk.append(old, ev.OutputsSet({"a": 1}))
        assert (await watch.next())[1] == old
        await api.desk.append(old, ev.OutputsSet({"a": 2}))
        assert await watch.next() == ("UPDATE_STATUS", old)
        await api.call("DeleteAgentExecution", {"agentExecutionId": new})
        assert await watch.next() == ("DELETE", new)


async def test_filters_by_id_and_creator(api: Api) -> None:
    mine, theirs = await api.started(), (await api.call("StartAgent", token="bot-token"))["agentExecutionId"]
    by_creator = of_type(EXECUTION, creatorIds=[BOT.id])
    async with watching(api, resourceTypeFilters=by_creator) as watch:
        await subscribed(api)
        await api.desk.append(mine, ev.OutputsSet({"a": 1}))
        await api.desk.append(theirs, ev.OutputsSet({"a": 1}))
        assert (await watch.next())[1] == theirs
    by_both = of_type(EXECUTION, resourceIds=[mine, theirs, OTHER], creatorIds=[OWNER.id])
    async with watching(api, resourceTypeFilters=by_both) as watch:
        assert await watch.next() == ("UPDATE_STATUS", mine)
        await api.desk.append(theirs, ev.OutputsSet({"a": 2}))
        await api.desk.append(mine, ev.OutputsSet({"a": 2}))
        assert await watch.next() == ("UPDATE_STATUS", mine)


async def test_one_environment_shows_itself_and_who_uses_it(api: Api) -> None:
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    inside = await api.started({"codeContext": {"environmentId": environment}})
    elsewhere = await api.started()
    await api.desk.append(inside, ev.EnvironmentReady(environment, "i"))
    async with watching(api, environmentId=environment) as watch:
        assert await watch.next() == ("UPDATE_STATUS", environment)
        await api.desk.append(elsewhere, ev.OutputsSet({"a": 1}))
        await api.desk.append(inside, ev.OutputsSet({"a": 1}))
        assert (await watch.next())[1] == inside
        await api.environments.change(environment, phase="running")
        assert await watch.next() == ("UPDATE_STATUS", environment)
        await api.environments.delete(environment, force=True)
        assert await watch.next() == ("DELETE", environment)


async def test_an_environment_is_watched_by_id(api: Api) -> None:
    environment = (await api.environments.create(NewEnvironment(CLASSES[0].id, Scratch()), OWNER)).id
    async with watching(api, resourceTypeFilters=of_type(ENVIRONMENT, resourceIds=[environment, OTHER])) as watch:
        assert await watch.next() == ("UPDATE_STATUS", environment)
        await api.environments.change(environment, phase="running")
        assert await watch.next() == ("UPDATE_STATUS", environment)
        await api.environments.change(environment, name="renamed")
        assert await watch.next() == ("UPDATE", environment)
        await api.environments.stop(environment)
        assert await watch.next() == ("UPDATE", environment), "its desired phase is another one"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"environmentId": OTHER, "resourceTypeFilters": of_type(EXECUTION)}, "invalid_argument"),
        ({"resourceTypeFilters": of_type(EXECUTION, resourceIds=["x"])}, "invalid_argument"),
        ({"resourceTypeFilters": of_type(EXECUTION, resourceIds=[OTHER] * 26)}, "invalid_argument"),
        ({"resourceTypeFilters": of_type("RESOURCE_TYPE_UNSPECIFIED")}, "invalid_argument"),
        ({"resourceTypeFilters": of_type(EXECUTION) * 51}, "invalid_argument"),
        ({"organization": True, "environmentId": OTHER}, "invalid_argument"),
        ({"resourceTypeFilters": of_type("RESOURCE_TYPE_WORKFLOW")}, "unimplemented"),
    ],
)
async def test_what_cannot_be_watched_is_refused(api: Api, body: dict[str, Any], code: str) -> None:
    async with watching(api, **body) as watch:
        assert (await watch.message())["error"]["code"] == code


async def test_watching_needs_a_token(api: Api) -> None:
    async with watching(api, token="unknown") as watch:
        assert (await watch.message())["error"]["code"] == "unauthenticated"


async def test_a_stopping_server_lets_go_of_its_watchers(api: Api) -> None:
    async with watching(api) as watch:
        await subscribed(api)
        api.stopping = True
        assert (await watch.message())["error"]["code"] == "unavailable"
