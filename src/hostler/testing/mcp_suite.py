# ruff: noqa: D102 a test's name is its sentence
"""What every connection to an MCP server must do: inherit this class in a test module that gives `opened`.

`opened` opens a connection to a fresh `hostler.testing.mcp_fake`, and closes it after the test.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from hostler.core.mcp_client import McpFailed, McpSession, McpTimedOut
from hostler.testing.mcp_fake import TOOLS

LONG = 30.0
Opened = Callable[[], Coroutine[Any, Any, McpSession]]


class SessionSuite:
    """The promises of `McpSession`."""

    async def test_it_knows_the_tools_and_which_only_read(self, opened: Opened) -> None:
        session = await opened()
        assert tuple(tool.name for tool in session.tools) == TOOLS
        assert [tool.name for tool in session.tools if tool.read_only] == ["echo"]
        assert session.tools[0].description == "Does echo."
        assert session.tools[0].schema is not None

    async def test_a_call_answers(self, opened: Opened) -> None:
        session = await opened()
        answers = await asyncio.gather(*(session.call("echo", {"text": f"é{n}"}, LONG) for n in range(5)))
        assert [answer.text for answer in answers] == [f"é{n}" for n in range(5)]
        assert not any(answer.failed for answer in answers)

    async def test_what_is_no_text_is_described(self, opened: Opened) -> None:
        session = await opened()
        assert "image/png" in (await session.call("picture", {}, LONG)).text
        table = await session.call("table", {}, LONG)
        assert table.structured == {"rows": [1, 2]}
        assert "[1, 2]" in table.text
        assert len((await session.call("big", {}, LONG)).text) == 200_000

    async def test_a_tool_that_fails_says_so_and_the_connection_lives(self, opened: Opened) -> None:
        session = await opened()
        answer = await session.call("boom", {}, LONG)
        assert answer.failed
        assert "went wrong" in answer.text
        assert not session.gone.is_set()

    async def test_a_call_without_an_answer_ends_at_its_timeout_and_the_next_one_answers(self, opened: Opened) -> None:
        session = await opened()
        with pytest.raises(McpTimedOut):
            await session.call("slow", {}, 0.2)
        assert (await session.call("echo", {"text": "on"}, LONG)).text == "on"

    async def test_a_call_that_is_cancelled_tells_the_server_and_the_next_one_answers(self, opened: Opened) -> None:
        session = await opened()
        call = asyncio.create_task(session.call("slow", {}, LONG))
        await session.call("echo", {"text": "the call is there"}, LONG)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with asyncio.timeout(LONG):
            while (await session.call("cancelled", {}, LONG)).text == "0":
                pass

    async def test_a_server_that_dies_in_a_call_fails_it(self, opened: Opened) -> None:
        session = await opened()
        slow = asyncio.create_task(session.call("slow", {}, 2 * LONG))
        await session.call("echo", {"text": "both are there"}, LONG)
        with pytest.raises(McpFailed):
            await session.call("die", {}, 2 * LONG)
        async with asyncio.timeout(LONG):
            with pytest.raises(McpFailed):
                await slow
        with pytest.raises((McpFailed, McpTimedOut)):
            await session.call("echo", {"text": "?"}, 5.0)

    async def test_tools_that_have_changed_are_told_and_listed_again(self, opened: Opened) -> None:
        session = await opened()
        await session.call("grow", {}, LONG)
        async with asyncio.timeout(LONG):
            await session.stale.wait()
        await session.relist()
        assert tuple(tool.name for tool in session.tools) == (*TOOLS, "more")
        assert not session.stale.is_set()

    async def test_a_ping_is_answered(self, opened: Opened) -> None:
        await (await opened()).ping(LONG)

    async def test_a_closed_connection_refuses_calls(self, opened: Opened) -> None:
        session = await opened()
        await session.close()
        assert session.gone.is_set()
        with pytest.raises(McpFailed):
            await session.call("echo", {}, LONG)
        await session.close()

    async def test_it_may_be_used_and_closed_by_other_tasks_than_the_one_that_opened_it(self, opened: Opened) -> None:
        session = await asyncio.create_task(opened())
        assert (await asyncio.create_task(session.call("echo", {"text": "a"}, LONG))).text == "a"
        await asyncio.create_task(session.close())
