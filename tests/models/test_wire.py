"""What providers get to see: the requests as they are on the wire."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from hostler.core.conversation import ModelMessage, ModelReply, ModelRequest, Text, ToolResult, UserMessage
from hostler.core.ports import Model
from hostler.models.registry import Registry
from hostler.testing.answers import Answer, Called, Reply
from hostler.testing.endpoints import Endpoint
from hostler.testing.model_suite import BASH, PIXEL, READ, ask, asked

CLAUDE = "anthropic:claude-sonnet-4-6"
RESPONSES = "openai-responses:gpt-5"
CHAT = "openai-chat:llama3"
REMOTE = (CLAUDE, RESPONSES, CHAT)
TWO = (Called("bash", '{"command": "ls"}', "call_a"), Called("read", '{"path": "x"}', "call_b"))

Opened = tuple[Endpoint, Callable[[str], Model]]


@asynccontextmanager
async def provider(*answers: Answer) -> AsyncIterator[Opened]:
    async with Endpoint(answers or (Reply("Yes."),)) as endpoint:
        models = Registry(endpoint.environ())
        yield endpoint, models.get
        await models.close()


def continued(reply: ModelReply, *, native: bool = True) -> ModelRequest:
    said = ModelMessage(reply.parts, reply.native if native else None)
    results = (ToolResult("call_a", "bash", "a.py"), ToolResult("call_b", "read", "no such file", failed=True))
    after = UserMessage(results=results, parts=(Text("and hurry"),))
    return ModelRequest("You are careful.", (UserMessage(parts=(Text("Do it."),)), said, after), (BASH, READ))


async def sent(name: str, request: ModelRequest) -> dict[str, Any]:
    async with provider() as (endpoint, get):
        await ask(get(name), request)
    return endpoint.requests[0].body


async def sent_after_tools(name: str, first: Reply, *, then: str = "", native: bool = True) -> dict[str, Any]:
    async with provider(first, Reply("Yes.")) as (endpoint, get):
        reply, _ = await ask(get(name))
        await ask(get(then or name), continued(reply, native=native))
    return endpoint.requests[1].body


async def test_anthropic_caches_tools_system_prompt_and_newest_message() -> None:
    body = await sent(CLAUDE, asked())
    marked = [body["tools"][-1], body["system"][-1], body["messages"][-1]["content"][-1]]
    assert all(block["cache_control"]["type"] == "ephemeral" for block in marked)
    assert json.dumps(body).count("cache_control") == 3


async def test_anthropic_finds_what_the_call_before_has_cached() -> None:
    async with provider(Reply("I look.", TWO)) as (endpoint, get):
        reply, _ = await ask(get(CLAUDE))
        again = continued(reply)
        only_results = UserMessage(results=(ToolResult("call_a", "bash", "b.py"), ToolResult("call_b", "read", "c.py")))
        longer = (*again.messages, ModelMessage(reply.parts, reply.native), only_results)
        await ask(get(CLAUDE), again)
        await ask(get(CLAUDE), ModelRequest(again.system, longer, again.tools))
        newest = ModelRequest(
            again.system, (*longer, ModelMessage((Text("So."),)), *asked("And?").messages), again.tools
        )
        await ask(get(CLAUDE), newest)
    for before, after in zip(endpoint.requests, endpoint.requests[1:], strict=False):
        last, then = before.body["messages"][-1], after.body["messages"][len(before.body["messages"]) - 1]
        assert last == then
        assert then["content"][-1]["cache_control"]
        assert json.dumps(after.body).count("cache_control") == 4


@pytest.mark.parametrize("name", REMOTE)
async def test_an_empty_text_is_not_sent(name: str) -> None:
    request = ModelRequest("", (UserMessage(parts=(Text(""), Text("Do it."))),))
    assert '"text": ""' not in json.dumps(await sent(name, request))


@pytest.mark.parametrize("name", REMOTE)
async def test_the_system_prompt_is_ours_alone(name: str) -> None:
    body = await sent(name, asked())
    said = body.get("instructions") or body.get("system") or body["messages"][0]["content"]
    texts = [block["text"] for block in said] if isinstance(said, list) else [said]
    assert texts == ["You are careful."]


@pytest.mark.parametrize("name", REMOTE)
async def test_tool_schemas_go_out_as_they_are(name: str) -> None:
    body = await sent(name, asked())
    tools = [tool.get("function", tool) for tool in body["tools"]]
    assert [tool.get("input_schema", tool.get("parameters")) for tool in tools] == [BASH.parameters, READ.parameters]
    assert [(tool["name"], tool["description"]) for tool in tools] == [
        ("bash", "Run a command."),
        ("read", "Read a file."),
    ]
    assert not any(tool.get("strict") for tool in tools)


@pytest.mark.parametrize("name", REMOTE)
async def test_an_image_goes_out_whole(name: str) -> None:
    body = await sent(name, ModelRequest("", (UserMessage(parts=(Text("What is this?"), PIXEL)),)))
    assert PIXEL.data in json.dumps(body)
    assert "image/png" in json.dumps(body)


@pytest.mark.parametrize("effort", ["low", "medium", "high", "max"])
async def test_effort_is_said_in_each_providers_words(effort: str) -> None:
    request = ModelRequest("", asked().messages, (), effort)  # type: ignore[arg-type]
    claude, responses = await sent(CLAUDE, request), await sent(RESPONSES, request)
    assert claude["thinking"] == {"type": "adaptive"}
    assert claude["output_config"]["effort"] == effort
    assert responses["reasoning"]["effort"] == ("high" if effort == "max" else effort)


@pytest.mark.parametrize("name", REMOTE)
async def test_no_effort_leaves_it_to_the_provider(name: str) -> None:
    body = await sent(name, asked())
    assert "thinking" not in body
    assert "effort" not in json.dumps(body)


@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
@pytest.mark.parametrize("effort", ["low", "medium", "high", "max"])
@pytest.mark.parametrize(
    "name", ["claude-3-7-sonnet-20250219", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1"]
)
async def test_a_budget_for_thinking_stays_below_the_longest_output(name: str, effort: str) -> None:
    body = await sent(f"anthropic:{name}", ModelRequest("", asked().messages, (), effort))  # type: ignore[arg-type]
    assert body["thinking"]["budget_tokens"] < body["max_tokens"]


async def test_responses_keep_nothing_at_the_provider() -> None:
    body = await sent(RESPONSES, asked())
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]


async def test_anthropic_gets_its_reasoning_back_with_the_proof() -> None:
    body = await sent_after_tools(CLAUDE, Reply("I look.", TWO, "Hm.", "proof-1"))
    blocks = body["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "Hm.", "signature": "proof-1"}
    assert [block["type"] for block in blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert [block["id"] for block in blocks[2:]] == ["call_a", "call_b"]


async def test_responses_get_their_reasoning_back_with_the_proof() -> None:
    body = await sent_after_tools(RESPONSES, Reply("I look.", TWO, "Hm.", "proof-2"))
    kinds = [item.get("type", "message") for item in body["input"]]
    assert kinds == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "message",
    ]
    assert body["input"][1]["encrypted_content"] == "proof-2"
    assert [item["call_id"] for item in body["input"][3:7]] == ["call_a", "call_b", "call_a", "call_b"]


async def test_reasoning_without_a_text_goes_back_too() -> None:
    body = await sent_after_tools(RESPONSES, Reply("", TWO, "", "proof-3"))
    assert body["input"][1]["encrypted_content"] == "proof-3"


async def test_anthropic_gets_all_results_in_one_user_turn() -> None:
    body = await sent_after_tools(CLAUDE, Reply("I look.", TWO))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "user"]
    first, second, third = body["messages"][2]["content"]
    assert (first["tool_use_id"], first["is_error"]) == ("call_a", False)
    assert (second["tool_use_id"], second["is_error"]) == ("call_b", True)
    assert third["text"] == "and hurry"


async def test_chat_gets_one_message_for_each_result() -> None:
    body = await sent_after_tools(CHAT, Reply("I look.", TWO))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "tool", "user"]
    assert [message["tool_call_id"] for message in body["messages"][3:5]] == ["call_a", "call_b"]
    assert "no such file" in body["messages"][4]["content"]


@pytest.mark.parametrize("then", REMOTE)
@pytest.mark.parametrize("name", REMOTE)
async def test_another_provider_goes_on_with_texts_and_calls_but_without_foreign_proofs(name: str, then: str) -> None:
    if name == then:
        return
    body = json.dumps(await sent_after_tools(name, Reply("I look.", TWO, "Hm.", "proof-4"), then=then))
    assert "I look." in body
    assert "call_a" in body
    assert "call_b" in body
    assert "proof-4" not in body
    assert "Hm." not in body


@pytest.mark.parametrize("name", REMOTE)
async def test_a_reply_without_its_native_form_still_goes_back(name: str) -> None:
    body = json.dumps(await sent_after_tools(name, Reply("I look.", TWO), native=False))
    assert "I look." in body
    assert "call_b" in body


@pytest.mark.parametrize("name", REMOTE)
async def test_a_native_form_that_cannot_be_read_is_left_aside(name: str) -> None:
    async with provider(Reply("I look.", TWO), Reply("Yes.")) as (endpoint, get):
        reply, _ = await ask(get(name))
        native = {**(reply.native or {}), "message": {"kind": "response", "parts": [{"part_kind": "of the future"}]}}
        await ask(get(name), continued(ModelReply(reply.parts, reply.usage, native=native)))
    assert "I look." in json.dumps(endpoint.requests[1].body)


@pytest.mark.parametrize("name", REMOTE)
async def test_a_native_form_survives_json_and_names_no_address(name: str) -> None:
    async with provider(Reply("I look.", TWO, "Hm.", "proof")) as (_, get):
        reply, _pieces = await ask(get(name))
    assert json.loads(json.dumps(reply.native)) == reply.native
    assert "127.0.0.1" not in json.dumps(reply.native)


@pytest.mark.parametrize("name", REMOTE)
async def test_the_same_conversation_is_the_same_bytes(name: str) -> None:
    async with provider(Reply("I look.", TWO, "Hm.", "proof"), Reply("Yes.")) as (endpoint, get):
        reply, _ = await ask(get(name))
        for _again in range(2):
            await ask(get(name), continued(reply))
    assert json.dumps(endpoint.requests[1].body) == json.dumps(endpoint.requests[2].body)
