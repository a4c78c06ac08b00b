"""The providers' own client libraries, as agents have them inside, against the gateway and a scripted model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hostler.core.conversation import (
    Delta,
    ModelMessage,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from hostler.core.errors import ModelRefused
from hostler.environments.supervisor import forward
from hostler.models import anthropic, openai_chat, openai_responses
from hostler.models.gateway.ledger import LimitReached
from hostler.models.gateway.upstreams import FAMILIES
from hostler.models.registry import Registry
from hostler.models.script import Call, Rule, Script, Step
from hostler.testing.ledger import Finished
from tests.models.gateway.stand import Stand, standing

USAGE = Usage(10, 20, 3, 4)
STORY = Script(
    (
        Rule(
            (
                Step("I look.", (Call("bash", {"command": "ls"}), Call("read", {"path": "a"})), "Hm.", usage=USAGE),
                Step(captures=("(?P<what>\\w+)\\.txt",), text="There is ${what}."),
            )
        ),
    )
)
TOOLS = tuple(ToolSpec(name, "", {"type": "object", "properties": {}}) for name in ("bash", "read"))
each_family = pytest.mark.parametrize("family", FAMILIES)


@asynccontextmanager
async def inside(stand: Stand) -> AsyncIterator[Registry]:
    """Yield models as an agent inside has them: the gateway's address and a token."""
    way = await forward.listen(0, str(stand.folder / "env" / "llm.sock"))
    assert isinstance(way, asyncio.Server)
    url = f"http://127.0.0.1:{way.sockets[0].getsockname()[1]}"
    token = stand.gateway.token("run", "env")
    keys = {"ANTHROPIC_API_KEY": token, "OPENAI_API_KEY": token}
    models = Registry({**keys, "ANTHROPIC_BASE_URL": url, "OPENAI_BASE_URL": f"{url}/v1"})
    yield models
    await models.close()
    way.close()


@each_family
async def test_a_turn_comes_out_as_the_script_has_it(family: str) -> None:
    async with standing([], environ={}) as stand, inside(stand) as models:
        stand.models.register("story", STORY)
        stand.allow("scripted:story")
        model, deltas = models.get(f"{family}:story"), list[Delta]()
        asked = UserMessage(parts=(Text("look"),))
        reply = await model.call(ModelRequest("", (asked,), TOOLS), deltas.append)
        assert [(call.name, call.arguments) for call in reply.tool_calls] == [
            ("bash", '{"command": "ls"}'),
            ("read", '{"path": "a"}'),
        ]
        words = "".join(part.text for part in reply.parts if isinstance(part, Text))
        thoughts = "".join(part.text for part in reply.parts if isinstance(part, Thinking))
        assert (words, thoughts) == ("I look.", "Hm.")
        assert "".join(delta.text for delta in deltas if delta.kind == "text") == words
        assert (reply.usage, reply.finish) == (USAGE, "tools")
        assert [entry.usage for entry in stand.ledger.entries if isinstance(entry, Finished)] == [USAGE]

        results = UserMessage(tuple(ToolResult(call.id, call.name, "b.txt") for call in reply.tool_calls))
        talk = (asked, ModelMessage(reply.parts, reply.native), results)
        second = await model.call(ModelRequest("", talk, TOOLS), deltas.append)
        assert second.parts == (Text("There is b."),)
        assert not any(isinstance(part, ToolCall) for part in second.parts)


@each_family
async def test_a_limit_is_understood_as_one(family: str) -> None:
    async with standing([], environ={}) as stand, inside(stand) as models:
        stand.models.register("story", STORY)
        stand.allow("scripted:story")
        stand.ledger.failures.append(LimitReached("the limit of 3 iterations is reached"))
        with pytest.raises(ModelRefused, match="limit of 3 iterations"):
            await models.get(f"{family}:story").call(
                ModelRequest("", (UserMessage(parts=(Text("look"),)),), TOOLS), lambda delta: None
            )


def test_the_gateway_finds_providers_where_the_server_itself_does() -> None:
    modules = {"anthropic": anthropic, "openai-responses": openai_responses, "openai-chat": openai_chat}
    for name, family in FAMILIES.items():
        assert (family.key_variable, family.url_variable) == (modules[name].KEY, modules[name].URL)
