"""What passes, byte for byte, and what never does."""

import asyncio
import gzip
import json
from typing import Any

import pytest

from hostler.core.conversation import Usage
from hostler.models.gateway.room import Room
from hostler.testing.answers import Reply
from hostler.testing.ledger import Finished, WasCut
from hostler.testing.protocols import DIALECTS
from tests.models.gateway.raw import Got, head, raw
from tests.models.gateway.stand import standing

ASK: dict[str, Any] = {"model": "gpt-x", "stream": True, "input": "hello"}
STREAM, JSON = "text/event-stream", "application/json"
USED = {"input_tokens": 30, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 4}
RESPONSE = {"object": "response", "output": [{"type": "function_call"}], "usage": USED}
COMPLETED = b"event: x\ndata: " + json.dumps({"type": "response.completed", "response": RESPONSE}).encode() + b"\n\n"
COUNTED = Usage(input=10, cached_input=20, output=4)


async def test_a_chunk_that_only_we_asked_for_is_taken_out_again() -> None:
    reply = Reply("Words.", usage=COUNTED)
    async with standing([reply]) as stand:
        asked = {"model": "chat-x", "stream": True, "messages": [], "stream_options": {"other": 1}}
        answer = await stand.client().ask("/v1/chat/completions", asked)
        whole = DIALECTS["/v1/chat/completions"].events(reply, "chat-x")
        assert answer.body == b"".join([*whole[:-2], whole[-1]])
        assert stand.endpoint.requests[0].body["stream_options"] == {"other": 1, "include_usage": True}
        assert isinstance(end := stand.ledger.entries[-1], Finished)
        assert end.usage == COUNTED


PIECES = {
    "byte by byte": [bytes([byte]) for byte in COMPLETED],
    "at once, and more behind it": [b": note\n\n" + COMPLETED + b": tail\n\n"],
    "with carriage returns": [COMPLETED.replace(b"\n", b"\r\n")],
    "in two lines of data": [
        b'data: {"type": "response.completed",\ndata: "response": {"usage": {"input_tokens": 30,'
        b' "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 4}}}\n\n'
    ],
}


@pytest.mark.parametrize("how", PIECES)
async def test_a_stream_is_read_however_it_is_cut(how: str) -> None:
    async with raw(lambda got: [head(STREAM), *PIECES[how]]) as provider:
        async with standing([], environ=provider.environ()) as stand:
            answer = await stand.client().ask("/v1/responses", ASK)
            assert answer.body == b"".join(PIECES[how])
            assert isinstance(end := stand.ledger.entries[-1], Finished)
            assert end.usage == COUNTED


WHOLE = {
    "/v1/responses": ("gpt-x", RESPONSE),
    "/v1/chat/completions": (
        "chat-x",
        {
            "choices": [{"finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 30, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 20}},
        },
    ),
    "/v1/messages": (
        "claude-x",
        {"stop_reason": "tool_use", "usage": {"input_tokens": 10, "cache_read_input_tokens": 20, "output_tokens": 4}},
    ),
}


@pytest.mark.parametrize("path", WHOLE)
async def test_an_answer_in_one_piece_is_counted_as_well(path: str) -> None:
    model, body = WHOLE[path]
    async with raw(lambda got: [head(JSON), json.dumps(body).encode()]) as provider:
        async with standing([], environ=provider.environ()) as stand:
            answer = await stand.client().ask(path, {"model": model})
            assert answer.json == body
            assert isinstance(end := stand.ledger.entries[-1], Finished)
            assert (end.usage, end.finish) == (COUNTED, "tools")


@pytest.mark.parametrize("kind", [STREAM, JSON])
@pytest.mark.parametrize("status", [200, 401, 302])
async def test_the_key_never_comes_back(kind: str, status: int) -> None:
    def echo(got: Got) -> list[bytes]:
        key = got.headers["authorization"].encode()
        name = f"X-Request-Id: {key.decode()}"
        return [
            head(kind, name, f"Location: http://x/?{key.decode()}", status=status),
            b"data: ",
            key[:12],
            key[12:19],
            key[19:],
            b" ",
            key,
            b"\n\n",
        ]

    async with raw(echo) as provider:
        async with standing([], environ=provider.environ()) as stand:
            answer = await stand.client().ask("/v1/responses", ASK)
            assert answer.body == b"data: Bearer [redacted] Bearer [redacted]\n\n"
            assert provider.key not in str(answer.headers)
            assert "location" not in answer.headers
            assert len(provider.requests) == 1  # a redirect is not followed with the key in hand
            assert provider.key not in str(stand.ledger.entries)


async def test_an_agent_chooses_neither_the_key_nor_whose_account_is_charged() -> None:
    mine = {"openai-organization": "other", "openai-project": "other", "cookie": "a=b", "x-forwarded-for": "1.2.3.4"}
    through = {"openai-beta": "responses=v1", "originator": "codex", "user-agent": "codex/1"}
    async with raw(lambda got: [head(STREAM), COMPLETED]) as provider:
        async with standing([], environ=provider.environ()) as stand:
            client = stand.client()
            await client.ask("/v1/responses?beta=true", ASK, {**mine, **through, "accept-encoding": "gzip"})
            await stand.client().ask("/v1/responses?key=x&beta=true", ASK)
            sent = provider.requests[0]
            assert sent.line == "POST /v1/responses?beta=true HTTP/1.1"
            assert provider.requests[1].line == "POST /v1/responses HTTP/1.1"
            assert sent.headers.items() >= through.items()
            assert not mine.keys() & sent.headers.keys()
            assert sent.headers["accept-encoding"] == "identity"
            assert sent.headers["authorization"] == f"Bearer {provider.key}"
            assert client.token not in str(provider.requests)


async def test_an_answer_that_is_compressed_against_our_wish_is_unpacked() -> None:
    packed = gzip.compress(COMPLETED)
    async with raw(lambda got: [head(STREAM, "Content-Encoding: gzip"), packed[:20], packed[20:]]) as provider:
        async with standing([], environ=provider.environ()) as stand:
            answer = await stand.client().ask("/v1/responses", ASK)
            assert answer.body == COMPLETED
            assert "content-encoding" not in answer.headers
            assert isinstance(stand.ledger.entries[-1], Finished)


async def test_an_answer_that_cannot_be_unpacked_breaks_off() -> None:
    async with raw(lambda got: [head(STREAM, "Content-Encoding: gzip"), b"not packed"]) as provider:
        async with standing([], environ=provider.environ()) as stand:
            assert (await stand.client().ask("/v1/responses", ASK)).cut
            assert isinstance(stand.ledger.entries[-1], WasCut)


async def test_counting_tokens_is_not_a_call() -> None:
    async with raw(lambda got: [head(JSON), b'{"input_tokens": 12}']) as provider:
        async with standing([], environ=provider.environ()) as stand:
            answer = await stand.client().ask("/v1/messages/count_tokens?beta=true", {"model": "claude-x"})
            assert answer.json == {"input_tokens": 12}
            assert provider.requests[0].line == "POST /v1/messages/count_tokens?beta=true HTTP/1.1"
            assert provider.requests[0].headers["x-api-key"] == provider.key
            assert stand.ledger.entries == []


async def test_a_large_request_passes_and_one_that_is_too_large_is_told_so() -> None:
    async with standing([Reply("yes")]) as stand:
        client = stand.client()
        assert (await client.ask("/v1/responses", {**ASK, "input": "x" * (5 << 20)})).status == 200
        assert len(stand.endpoint.requests[0].body["input"]) == 5 << 20
        refused = await stand.client().ask("/v1/responses", b"x" * ((64 << 20) + 1))
        assert refused.status == 413


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with standing([Reply("yes")]) as stand:
        client = stand.client()
        for _ in range(3):
            assert (await client.ask("/v1/responses", ASK)).status == 200
        assert (await client.ask("/v1/nothing", ASK)).status == 404
        reader, writer = await asyncio.open_unix_connection(client.path)
        request = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode()
        writer.write(request * 2)
        for _ in range(2):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"]}")
        writer.close()


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000, b"\0" * 100])
async def test_what_is_not_a_request_is_closed(sent: bytes) -> None:
    async with standing([Reply("no")]) as stand:
        reader, writer = await asyncio.open_unix_connection(stand.folder / "env" / "llm.sock")
        writer.write(sent)
        assert await reader.read() == b""
        writer.close()


async def test_room_is_given_in_order_and_given_back() -> None:
    room = Room(10)
    order: list[int] = []

    async def take(number: int, size: int) -> None:
        with room.entered() as place:
            await place.reserve(size, 10)
            order.append(number)
            await leave.wait()

    leave = asyncio.Event()
    tasks = [asyncio.ensure_future(take(number, size)) for number, size in enumerate((6, 6, 1))]
    while not order:
        await asyncio.sleep(0)
    assert order == [0]  # the small one does not overtake
    tasks[1].cancel()
    while len(order) < 2:
        await asyncio.sleep(0)
    assert order == [0, 2]
    leave.set()
    await asyncio.wait(tasks)
    assert room.idle
    await room.take(10)


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with standing([Reply("yes")]) as stand:
        token, body = stand.client().token, json.dumps(ASK).encode()
        reader, writer = await asyncio.open_unix_connection(stand.folder / "env" / "llm.sock")
        head = f"POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nExpect: 100-continue\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()


async def test_a_body_that_comes_in_chunks_is_read() -> None:
    async with standing([Reply("yes")]) as stand:
        token, body = stand.client().token, json.dumps(ASK).encode()
        reader, writer = await asyncio.open_unix_connection(stand.folder / "env" / "llm.sock")
        head = f"POST /v1/responses HTTP/1.1\r\nHost: x\r\nX-Api-Key: {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        assert stand.endpoint.requests[0].body == ASK
