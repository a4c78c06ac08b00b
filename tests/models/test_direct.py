"""The short way to a provider: what is sent and understood on it is what the library would have sent and understood."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from hostler.core.conversation import (
    Delta,
    Message,
    ModelMessage,
    ModelReply,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UserMessage,
)
from hostler.core.ports import Model
from hostler.models.direct import Direct
from hostler.models.registry import Registry
from hostler.models.remote import RemoteModel
from hostler.testing.answers import Answer, Broken, Called, Reply
from hostler.testing.endpoints import Endpoint
from hostler.testing.model_suite import BASH, PIXEL, READ, ask, asked

CHAT, CLAUDE = "openai-chat:llama3", "anthropic:claude-sonnet-4-6"
BOTH = pytest.mark.parametrize("name", [CHAT, CLAUDE])
LS, CAT = ToolCall("call_a", "bash", '{"command": "ls"}'), ToolCall("call_b", "read", '{"path": "ä ☃ 1e3"}')
RESULTS = (ToolResult("call_a", "bash", "a.py\nä"), ToolResult("call_b", "read", 'no "such" file', failed=True))


def said(text: str) -> UserMessage:
    return UserMessage(parts=(Text(text),))


CONVERSATIONS: dict[str, tuple[Message, ...]] = {
    "one text": (said("Do it."),),
    "two texts": (UserMessage(parts=(Text("Do it."), Text(""), Text("Well."))),),
    "a text and calls": (said("x"), ModelMessage((Text("I look."), LS, CAT)), UserMessage(results=RESULTS)),
    "calls alone": (said("x"), ModelMessage((LS, CAT)), UserMessage(results=RESULTS, parts=(Text("and hurry"),))),
    "a text alone": (said("x"), ModelMessage((Text("So."),)), said("And?")),
    "two turns": (
        said("x"),
        ModelMessage((LS,)),
        UserMessage(results=RESULTS[:1]),
        ModelMessage((Text("So."),)),
        said("?"),
    ),
    "a call without arguments": (
        said("x"),
        ModelMessage((replace(LS, arguments="{}"),)),
        UserMessage(results=RESULTS[:1]),
    ),
    "broken arguments": (said("x"), ModelMessage((replace(LS, arguments='{"co'),)), UserMessage(results=RESULTS[:1])),
    "no object as arguments": (
        said("x"),
        ModelMessage((replace(LS, arguments="[1]"),)),
        UserMessage(results=RESULTS[:1]),
    ),
    "a text after a call": (said("x"), ModelMessage((LS, Text("So."))), UserMessage(results=RESULTS[:1])),
    "two texts of the model": (said("x"), ModelMessage((Text("a"), Text("b"))), said("y")),
    "an empty text of the model": (said("x"), ModelMessage((Text(""), LS)), UserMessage(results=RESULTS[:1])),
    "reasoning": (said("x"), ModelMessage((Thinking("Hm.", "proof"), LS)), UserMessage(results=RESULTS[:1])),
    "an empty result": (said("x"), ModelMessage((LS,)), UserMessage(results=(replace(RESULTS[0], text=""),))),
    "blanks": (UserMessage(parts=(Text("  \n"), Text("x"))),),
    "two of a person": (said("x"), said("y")),
    "a picture": (UserMessage(parts=(Text("What is this?"), PIXEL)),),
    "a control word": (said("what does <|im_start|>system mean?"),),
    "a control word in a result": (
        said("x"),
        ModelMessage((LS,)),
        UserMessage(results=(replace(RESULTS[0], text="[INST] </s> <start_of_turn>"),)),
    ),
}


@asynccontextmanager
async def opened(name: str, *answers: Answer, warm: bool) -> AsyncIterator[tuple[Endpoint, Model]]:
    """A model; a warm one has made calls of every shape before."""
    shapes = [
        asked(),
        ModelRequest("", asked().messages, (BASH, READ)),
        ModelRequest("You are careful.", asked().messages),
    ]
    async with Endpoint([*[Reply("Warm.")] * (len(shapes) if warm else 0), *answers]) as endpoint:
        models = Registry(endpoint.environ())
        model = models.get(name)
        if warm:
            for request in shapes:
                await model.call(request, lambda _: None)
            endpoint.requests.clear()
        yield endpoint, model
        await models.close()


def body(endpoint: Endpoint) -> dict[str, Any]:
    return endpoint.requests[-1].body


class Watched:
    """Counts the calls that went the short way to their end."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replies: list[ModelReply | None] = []
        ask_directly = Direct.ask

        async def counting(*given: Any) -> ModelReply | None:
            reply = await ask_directly(*given)
            self.replies.append(reply)
            return reply

        monkeypatch.setattr(Direct, "ask", counting)


@BOTH
@pytest.mark.parametrize("conversation", CONVERSATIONS)
async def test_a_conversation_is_sent_as_the_library_sends_it(name: str, conversation: str) -> None:
    request = ModelRequest("You are careful.", CONVERSATIONS[conversation], (BASH, READ))
    found: list[Any] = []
    for warm in (False, True):
        async with opened(name, Reply("Yes."), warm=warm) as (endpoint, model):
            try:
                await ask(model, request)
            except Exception as error:  # noqa: BLE001 - what the library refuses is refused either way
                found.append(repr(error))
            else:
                headers = {key: value for key, value in endpoint.requests[-1].headers.items() if key != "host"}
                found.append((json.dumps(body(endpoint), sort_keys=True), headers["authorization"], headers.keys()))
    assert found[0] == found[1]


@BOTH
async def test_without_a_prompt_or_tools_it_is_the_same(name: str) -> None:
    for request in (ModelRequest("", asked().messages, (BASH,)), ModelRequest("You are careful.", asked().messages)):
        bodies: list[Any] = []
        for warm in (False, True):
            async with opened(name, Reply("Yes."), warm=warm) as (endpoint, model):
                await ask(model, request)
                bodies.append(body(endpoint))
        assert bodies[0] == bodies[1]


ANSWERS: dict[str, Reply] = {
    "a text": Reply("A text that is long enough for several pieces, ä ☃."),
    "a call": Reply(calls=(Called("bash", '{"command":  "ls \\"ä\\""}', "c1"),)),
    "both": Reply("I look.", (Called("bash", '{"command": "ls"}', "c1"), Called("read", "{", "c2"))),
    "cut short": Reply("And then", finish="length"),
    "refused": Reply("I cannot", finish="refused"),
    "reasoning": Reply("So.", (Called("bash", "{}", "c1"),), "Hm, first one thing, then another.", "proof"),
    "cached": Reply("Yes.", usage=Usage(100, 800, 50, 20)),
    "all cached": Reply("Yes.", usage=Usage(0, 5, 0, 1)),
    "blanks first": Reply("  \n\n So."),
    "a joiner": Reply("See <\u200d|im_start|> there."),
    "a joiner in arguments": Reply(calls=(Called("bash", '{"command": "echo <\u200d|im_end|>"}', "c1"),)),
    "an escaped joiner": Reply(calls=(Called("bash", '{"command": "echo <\\u200d|im_end|>"}', "c1"),)),
    "a thought in the text": Reply("<think>Hm.</think>So."),
}


def told(pieces: list[Delta]) -> dict[tuple[int, str, str], str]:
    texts: dict[tuple[int, str, str], str] = {}
    for piece in pieces:
        key = (piece.part, piece.kind, piece.tool_name)
        texts[key] = texts.get(key, "") + piece.text
    return texts


@BOTH
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_reply_is_understood_as_the_library_does(name: str, answer: str) -> None:
    found: list[Any] = []
    for warm in (False, True):
        async with opened(name, ANSWERS[answer], warm=warm) as (_, model):
            reply, pieces = await ask(model)
            found.append((replace(reply, native=None), told(pieces), sorted(_kept(reply))))
    assert found[0] == found[1]


def _kept(reply: ModelReply) -> list[str]:
    message: Any = (reply.native or {})["message"]
    same = ("kind", "model_name", "provider_name", "provider_response_id", "finish_reason", "state")
    return [*(json.dumps(part, sort_keys=True) for part in message["parts"]), *(str(message[one]) for one in same)]


@BOTH
async def test_a_common_call_goes_the_short_way(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    async with opened(name, ANSWERS["both"], Reply("Yes."), warm=True) as (endpoint, model):
        watched.replies.clear()
        first, _ = await ask(model)
        results = tuple(ToolResult(call.id, call.name, "done") for call in first.tool_calls[:1])
        call = replace(first, parts=first.parts[:2])
        parts = first.native and {**first.native, "message": {**first.native["message"], "parts": []}}  # type: ignore[dict-item]
        after = (*asked().messages, ModelMessage(call.parts, parts), UserMessage(results=results))
        await ask(model, ModelRequest("You are careful.", after, (BASH, READ)))
        assert [reply is not None for reply in watched.replies] == [True, True]
        assert len(endpoint.requests) == 2


@BOTH
async def test_a_reply_of_the_short_way_goes_back_through_the_library(name: str) -> None:
    """A picture comes next, which is left to the library: it reads what the short way kept."""
    async with opened(name, ANSWERS["both"], Reply("Yes."), warm=True) as (endpoint, model):
        reply, _ = await ask(model)
        results = tuple(ToolResult(call.id, call.name, "done") for call in reply.tool_calls)
        after = UserMessage(results=results, parts=(Text("and this?"), PIXEL))
        again = ModelRequest(
            "You are careful.", (*asked().messages, ModelMessage(reply.parts, reply.native), after), (BASH,)
        )
        await ask(model, again)
    assert "I look." in json.dumps(body(endpoint))
    assert "c2" in json.dumps(body(endpoint))


@BOTH
@pytest.mark.parametrize("how", ["cut", "ends", "error"])
@pytest.mark.parametrize("after", [0, 1, 3, 6, 9])
async def test_a_reply_that_breaks_off_is_told_once_and_fails_as_the_library_says(
    name: str, how: str, after: int
) -> None:
    reply = Reply("A text that goes on for a while.", (Called("bash", '{"command": "ls -la /"}'),))
    found: list[Any] = []
    for warm in (False, True):
        pieces: list[Delta] = []
        async with opened(name, Broken(reply, after, how), warm=warm) as (_, model):  # type: ignore[arg-type]
            try:
                await model.call(asked(), pieces.append)
            except Exception as error:  # noqa: BLE001
                found.append((type(error), told(pieces)))
    assert found[0] == found[1]


async def test_what_the_library_sends_in_other_words_is_never_sent_by_us() -> None:
    """A library of another release may speak otherwise; then all goes its way."""
    async with opened(CHAT, Reply("Yes."), warm=False) as (_, model):
        assert isinstance(model, RemoteModel)
        direct = model._direct
        assert direct
        request = asked()
        other = {"messages": [{"role": "developer", "content": "You are careful."}], "tools": []}
        direct.learn(request, httpx2.Request("POST", "http://x/", json=other))
        assert direct.ready(request) is None


@pytest.mark.parametrize("key", ["sk-x\r\nx-more: 1", "sk-x\n", "sk-x\r\n\r\nPOST / HTTP/1.1"])
async def test_a_key_that_ends_a_header_is_never_sent(key: str) -> None:
    """The library shows a request before it refuses it."""
    async with opened(CHAT, Reply("Yes."), warm=False) as (_, model):
        assert isinstance(model, RemoteModel)
        direct = model._direct
        assert direct
        request = asked()
        fields = direct._dialect.fields(request)
        assert fields
        body = {name: json.loads(value) for name, value in fields.items()}
        direct.learn(request, httpx2.Request("POST", "http://x/", json=body, headers={"x-api-key": "sk-x"}))
        assert direct.ready(request) is not None
        direct._templates.clear()
        direct.learn(request, httpx2.Request("POST", "http://x/", json=body, headers={"x-api-key": key}))
        assert direct.ready(request) is None
