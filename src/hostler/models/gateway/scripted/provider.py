"""Answers a request from a script, in the protocol in which it came, marked as what it is."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from typing import Any

from hostler.core.conversation import Delta, ModelReply
from hostler.core.errors import ModelRefused, ModelUnavailable
from hostler.core.ports import Model
from hostler.models.gateway.asked import Asked
from hostler.models.gateway.refusals import Problem, Refusal
from hostler.models.gateway.scripted.hands import Hands
from hostler.models.gateway.scripted.heard import heard, offered
from hostler.models.gateway.scripted.said_chat import ChatSpeech
from hostler.models.gateway.scripted.said_messages import MessagesSpeech
from hostler.models.gateway.scripted.said_responses import ResponsesSpeech
from hostler.models.gateway.scripted.speech import Speech
from hostler.models.gateway.upstreams import Answer

MARK = ("x-hostler-scripted", "true")
"""No answer of a real provider carries this header."""

SPEECHES: Mapping[str, Callable[[str, str, Callable[[str], Mapping[str, Any]]], Speech]] = {
    "/v1/responses": ResponsesSpeech,
    "/v1/chat/completions": ChatSpeech,
    "/v1/messages": MessagesSpeech,
}
Piece = Delta | ModelReply | Exception


@asynccontextmanager
async def answering(model: Model, path: str, asked: Asked) -> AsyncGenerator[Answer]:
    """Yield the answer of a scripted model; Refusal when the script has the call fail before its first word."""
    if path == "/v1/messages/count_tokens":
        yield _one_piece({"input_tokens": asked.tokens()})
        return
    hands = Hands(offered(asked.fields))
    speech = SPEECHES[path](asked.model, sha256(asked.raw).hexdigest()[:16], hands.tool)
    pieces: asyncio.Queue[Piece] = asyncio.Queue()
    speaking = asyncio.ensure_future(_speak(model, path, asked.fields, pieces))
    try:
        first = await pieces.get()
        if isinstance(first, Exception):
            raise _refused(first) from first
        if asked.streams:
            yield Answer(200, [("content-type", "text/event-stream"), MARK], _stream(first, pieces, speech, hands))
        else:
            reply = await _last(first, pieces)
            yield _one_piece(speech.whole(hands.reply(reply)))
    finally:
        speaking.cancel()
        with suppress(asyncio.CancelledError):
            await speaking


async def _speak(model: Model, path: str, fields: Mapping[str, Any], pieces: asyncio.Queue[Piece]) -> None:
    try:
        pieces.put_nowait(await model.call(heard(path, fields), pieces.put_nowait))
    except (ModelRefused, ModelUnavailable) as problem:
        pieces.put_nowait(problem)


async def _stream(piece: Piece, pieces: asyncio.Queue[Piece], speech: Speech, hands: Hands) -> AsyncIterator[bytes]:
    for data in speech.begin():
        yield data
    while isinstance(piece, Delta):
        for data in speech.delta(piece):
            yield data
        piece = await pieces.get()
    if isinstance(piece, Exception):
        raise ConnectionError("the script broke off") from piece
    for data in speech.end(hands.reply(piece)):
        yield data


async def _last(piece: Piece, pieces: asyncio.Queue[Piece]) -> ModelReply:
    while isinstance(piece, Delta):
        piece = await pieces.get()
    if isinstance(piece, Exception):
        raise _refused(piece) from piece
    return piece


def _one_piece(body: Mapping[str, Any]) -> Answer:
    async def chunks() -> AsyncIterator[bytes]:
        yield json.dumps(body, ensure_ascii=False).encode()

    return Answer(200, [("content-type", "application/json"), MARK], chunks())


def _refused(problem: Exception) -> Refusal:
    """Return the script's failure as a provider would put it."""
    headers: dict[str, str] = {MARK[0]: MARK[1]}
    if isinstance(problem, ModelRefused):
        code = "context_length_exceeded" if problem.context_overflow else "invalid_request"
        text = f"prompt is too long: {problem.message}" if problem.context_overflow else problem.message
        return Refusal(Problem(400, text, code=code, headers=headers))
    if isinstance(problem, ModelUnavailable) and problem.retry_after is not None:
        headers["retry-after"] = str(problem.retry_after)
    return Refusal(Problem(503, str(problem), "server_error", "server_error", headers))
