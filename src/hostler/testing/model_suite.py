"""The conformance suite of the port `Model`: what holds for the models of every family.

A test module subclasses `ModelSuite` and gives the fixture `served`: a function that takes answers and returns a
context manager with a model that gives them, one a call, the last one again and again.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from hostler.core.conversation import (
    Delta,
    Image,
    ModelMessage,
    ModelReply,
    ModelRequest,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    Usage,
    UserMessage,
)
from hostler.core.errors import ModelRefused, ModelUnavailable
from hostler.core.ports import Model
from hostler.testing.answers import Answer, Broken, Called, Failure, Hold, Reply

Served = Callable[..., AbstractAsyncContextManager[Model]]

BASH = ToolSpec(
    "bash",
    "Run a command.",
    {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
)
READ = ToolSpec(
    "read",
    "Read a file.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
        "required": ["path"],
    },
)
PIXEL = Image(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "image/png"
)


def asked(text: str = "Do it.", *before: UserMessage | ModelMessage) -> ModelRequest:
    """Return a request that ends with a user's text."""
    return ModelRequest("You are careful.", (*before, UserMessage(parts=(Text(text),))), (BASH, READ))


async def ask(model: Model, request: ModelRequest | None = None) -> tuple[ModelReply, list[Delta]]:
    """Make a call; return the reply and all pieces that came before it."""
    pieces: list[Delta] = []
    reply = await model.call(request or asked(), pieces.append)
    return reply, pieces


async def fails(model: Model, request: ModelRequest | None = None) -> ModelUnavailable | ModelRefused:
    """Make a call that must fail; return how it failed."""
    try:
        reply, _ = await ask(model, request)
    except (ModelUnavailable, ModelRefused) as failure:
        return failure
    raise AssertionError(f"the call went well: {reply}")


def joined(pieces: list[Delta]) -> dict[tuple[int, str], str]:
    """Return the pieces of each part put together."""
    texts: dict[tuple[int, str], str] = {}
    for piece in pieces:
        texts[piece.part, piece.kind] = texts.get((piece.part, piece.kind), "") + piece.text
    return texts


class ModelSuite:
    """What every model keeps to."""

    async def test_a_text_streams_in_pieces_that_make_up_the_reply(self, served: Served) -> None:
        """The pieces are all of the text, in order, and more than one."""
        async with served(Reply("A text that is long enough for several pieces.")) as model:
            reply, pieces = await ask(model)
        assert reply.parts == (Text("A text that is long enough for several pieces."),)
        assert joined(pieces) == {(0, "text"): "A text that is long enough for several pieces."}
        assert len(pieces) > 1
        assert reply.finish == "stop"

    async def test_thinking_comes_as_a_part_of_its_own_before_the_text(self, served: Served) -> None:
        """Reasoning and text are told apart, in the pieces and in the reply."""
        async with served(Reply("The answer.", thinking="First one thing, then another.", signature="proof")) as model:
            reply, pieces = await ask(model)
        first, second = reply.parts
        assert isinstance(first, Thinking)
        assert first.text == "First one thing, then another."
        assert second == Text("The answer.")
        assert joined(pieces) == {(0, "thinking"): first.text, (1, "text"): "The answer."}

    async def test_a_tool_call_keeps_its_arguments_as_written(self, served: Served) -> None:
        """The arguments are the model's own text; pieces name the tool from the first one on."""
        written = '{"command":  "ls -l \\"ä\\""}'
        async with served(Reply("I look.", (Called("bash", written),))) as model:
            reply, pieces = await ask(model)
        (call,) = reply.tool_calls
        assert (call.name, call.arguments) == ("bash", written)
        assert call.id
        assert reply.finish == "tools"
        assert joined(pieces)[1, "tool"] == written
        assert {piece.tool_name for piece in pieces if piece.kind == "tool"} == {"bash"}

    async def test_broken_arguments_arrive_as_they_are(self, served: Served) -> None:
        """The tool's own check answers the model; the adapter does not judge."""
        async with served(Reply(calls=(Called("bash", '{"command": '),))) as model:
            reply, _ = await ask(model)
            assert reply.tool_calls[0].arguments == '{"command": '
            again, _ = await ask(model, _answered(reply, "that was no JSON"))
        assert again.tool_calls

    async def test_parallel_tool_calls_keep_order_and_ids_apart(self, served: Served) -> None:
        """Two calls of one reply are two parts with two ids."""
        two = (Called("bash", '{"command": "ls"}', "call_a"), Called("read", '{"path": "x"}', "call_b"))
        async with served(Reply("Both.", two)) as model:
            reply, pieces = await ask(model)
        assert [call.name for call in reply.tool_calls] == ["bash", "read"]
        assert len({call.id for call in reply.tool_calls}) == 2
        assert joined(pieces) == {(0, "text"): "Both.", (1, "tool"): two[0].arguments, (2, "tool"): two[1].arguments}

    async def test_a_conversation_goes_on_after_tools_answered(self, served: Served) -> None:
        """A reply sent back with its native form and its results gets the next reply."""
        first = Reply("I look.", (Called("bash", '{"command": "ls"}'),), "Hm.", "proof")
        async with served(first, Reply("It is done.")) as model:
            reply, _ = await ask(model)
            last, _ = await ask(model, _answered(reply, "a.py"))
        assert last.parts == (Text("It is done."),)

    async def test_an_image_is_accepted(self, served: Served) -> None:
        """A picture beside a text is a message like any other."""
        request = ModelRequest("", (UserMessage(parts=(Text("What is this?"), PIXEL)),))
        async with served(Reply("A dot.")) as model:
            reply, _ = await ask(model, request)
        assert reply.parts == (Text("A dot."),)

    async def test_the_usage_counters_are_disjoint(self, served: Served) -> None:
        """What was cached is not counted as input again, whatever the provider's own way to count."""
        usage = Usage(input=100, cached_input=800, cache_creation=50, output=20)
        async with served(Reply("Yes.", usage=usage)) as model:
            reply, _ = await ask(model)
        assert reply.usage == usage

    async def test_a_reply_that_was_cut_short_says_so(self, served: Served) -> None:
        """Reaching the longest output is not a normal end."""
        async with served(Reply("And then", finish="length")) as model:
            reply, _ = await ask(model)
        assert reply.finish == "length"

    async def test_a_refusal_says_so(self, served: Served) -> None:
        """A provider that holds its model back is not a normal end."""
        async with served(Reply("I cannot", finish="refused")) as model:
            reply, _ = await ask(model)
        assert reply.finish == "refused"

    async def test_too_many_requests_are_worth_another_try_when_the_provider_says(self, served: Served) -> None:
        """The next try is left to the caller, and it works."""
        async with served(Failure(429, headers={"Retry-After": "7"}), Reply("Now.")) as model:
            failure = await fails(model)
            assert isinstance(failure, ModelUnavailable)
            assert failure.retry_after == 7
            reply, _ = await ask(model)
        assert reply.parts == (Text("Now."),)

    async def test_an_error_of_the_provider_is_worth_another_try(self, served: Served) -> None:
        """A 500 says nothing about the request."""
        async with served(Failure(500), Reply("Now.")) as model:
            assert isinstance(await fails(model), ModelUnavailable)
            reply, _ = await ask(model)
        assert reply.parts == (Text("Now."),)

    async def test_a_stream_that_is_cut_is_worth_another_try(self, served: Served) -> None:
        """Half a reply is no reply."""
        async with served(Broken(Reply("A text that is cut in the middle of it."), after=5), Reply("Now.")) as model:
            pieces: list[Delta] = []
            try:
                await model.call(asked(), pieces.append)
            except ModelUnavailable:
                cut = True
            else:
                cut = False
            assert cut
            assert pieces
            reply, _ = await ask(model)
        assert reply.parts == (Text("Now."),)

    async def test_a_key_that_is_not_accepted_is_not_tried_again(self, served: Served) -> None:
        """A 401 is a refusal."""
        async with served(Failure(401)) as model:
            failure = await fails(model)
        assert isinstance(failure, ModelRefused)
        assert not failure.context_overflow

    async def test_a_conversation_that_is_too_long_is_told_apart(self, served: Served) -> None:
        """The caller can make it shorter."""
        async with served(Failure(400, overflow=True)) as model:
            failure = await fails(model)
        assert isinstance(failure, ModelRefused)
        assert failure.context_overflow

    async def test_a_cancelled_call_ends_while_the_provider_still_streams(self, served: Served) -> None:
        """Nobody waits for a provider that was told to stop."""
        hold = Hold(Reply("A text that never comes to its end."), after=3)
        async with served(hold) as model:
            call = asyncio.ensure_future(ask(model))
            await hold.reached.wait()
            call.cancel()
            results = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)

    async def test_fifty_calls_run_at_once(self, served: Served) -> None:
        """None waits for another: all are held open together before one may end."""
        hold = Hold(Reply("Together."), after=1)
        started = 0

        def started_one(_: Delta) -> None:
            nonlocal started
            started += 1

        async with served(hold) as model:
            calls = [asyncio.ensure_future(model.call(asked(str(n)), started_one)) for n in range(50)]
            await self.all_held(model, 50)
            assert not any(call.done() for call in calls)
            hold.gate.set()
            replies = await asyncio.gather(*calls)
        assert {reply.parts for reply in replies} == {(Text("Together."),)}

    async def all_held(self, model: Model, calls: int) -> None:
        """Return when so many calls are open at the provider; each family knows how to see it."""
        raise NotImplementedError

    async def test_a_failure_of_the_listener_is_not_blamed_on_the_provider(self, served: Served) -> None:
        """What `on_delta` raises comes out as it is."""

        def broken(_: Delta) -> None:
            raise ValueError("mine")

        async with served(Reply("Hello.")) as model:
            try:
                await model.call(asked(), broken)
            except ValueError as failure:
                said = str(failure)
            else:
                said = ""
        assert said == "mine"

    async def test_a_model_knows_its_own_name(self, served: Served) -> None:
        """PROVIDER:NAME, and numbers that need no call."""
        async with served(Reply("Hello.")) as model:
            assert ":" in model.info.name
            assert model.info.context_window >= 0


def _answered(reply: ModelReply, text: str) -> ModelRequest:
    results = tuple(ToolResult(call.id, call.name, text) for call in reply.parts if isinstance(call, ToolCall))
    said = ModelMessage(reply.parts, reply.native)
    first = UserMessage(parts=(Text("Do it."),))
    return ModelRequest("You are careful.", (first, said, UserMessage(results=results)), (BASH, READ))


__all__ = ["Answer", "ModelSuite", "Served", "ask", "asked", "fails", "joined"]
