"""What goes wrong at a provider, and whether another try may help."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hostler.core.conversation import ModelRequest, Text, Usage, UserMessage
from hostler.core.errors import ModelRefused, ModelUnavailable
from hostler.core.ports import Model
from hostler.models.registry import Registry
from hostler.models.settings import Override
from hostler.testing.answers import Answer, Broken, Called, Failure, Garbage, Reply
from hostler.testing.endpoints import KEY, Endpoint
from hostler.testing.model_suite import ask, fails

REMOTE = ("anthropic:claude-sonnet-4-6", "openai-responses:gpt-5", "openai-chat:llama3")
VARIABLES = {REMOTE[0]: "ANTHROPIC_API_KEY", REMOTE[1]: "OPENAI_API_KEY", REMOTE[2]: "OPENAI_API_KEY"}

pytestmark = pytest.mark.parametrize("name", REMOTE)


WARM: list[bool] = [False]
"""Whether a model has answered before, so that it may go the short way."""


@pytest.fixture(params=["cold", "warm"], autouse=True)
def warm(request: pytest.FixtureRequest) -> None:
    WARM[0] = request.param == "warm"


@asynccontextmanager
async def model(name: str, *answers: Answer) -> AsyncIterator[Model]:
    async with Endpoint([*[Reply("Warm.")] * WARM[0], *answers]) as endpoint:
        models = Registry(endpoint.environ())
        if WARM[0]:
            await ask(models.get(name))
        yield models.get(name)
        await models.close()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 422])
async def test_what_the_request_is_to_blame_for_is_refused_with_the_providers_words(name: str, status: int) -> None:
    async with model(name, Failure(status, "a sentence of the provider")) as opened:
        failure = await fails(opened)
    assert isinstance(failure, ModelRefused)
    assert "a sentence of the provider" in failure.message
    assert name in failure.message
    assert KEY not in failure.message
    assert failure.context_overflow == (status == 413)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_what_the_provider_is_to_blame_for_is_worth_another_try(name: str, status: int) -> None:
    async with model(name, Failure(status, "a sentence of the provider")) as opened:
        failure = await fails(opened)
    assert isinstance(failure, ModelUnavailable)
    assert "a sentence of the provider" in failure.message
    assert failure.retry_after is None


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_not_accepted_names_the_variable(name: str, status: int) -> None:
    async with model(name, Failure(status)) as opened:
        assert VARIABLES[name] in (await fails(opened)).message


async def test_the_library_makes_no_second_try_by_itself(name: str) -> None:
    async with Endpoint([Failure(500)]) as endpoint:
        models = Registry(endpoint.environ())
        await fails(models.get(name))
        await models.close()
    assert len(endpoint.requests) == 1


@pytest.mark.parametrize(("header", "seconds"), [("12", 12.0), ("0.5", 0.5), ("0", 0.0)])
async def test_retry_after_is_read_as_seconds(name: str, header: str, seconds: float) -> None:
    async with model(name, Failure(503, headers={"Retry-After": header})) as opened:
        failure = await fails(opened)
    assert isinstance(failure, ModelUnavailable)
    assert failure.retry_after == seconds


async def test_retry_after_is_read_as_a_date(name: str) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    async with model(name, Failure(429, headers={"Retry-After": date})) as opened:
        failure = await fails(opened)
    assert isinstance(failure, ModelUnavailable)
    assert failure.retry_after
    assert 7000 < failure.retry_after <= 7200


async def test_a_date_that_is_none_is_no_wait(name: str) -> None:
    async with model(name, Failure(429, headers={"Retry-After": "soon"})) as opened:
        failure = await fails(opened)
    assert isinstance(failure, ModelUnavailable)
    assert failure.retry_after is None


async def test_a_provider_that_says_not_to_try_again_is_believed(name: str) -> None:
    async with model(name, Failure(429, headers={"x-should-retry": "false"})) as opened:
        assert isinstance(await fails(opened), ModelRefused)


async def test_a_long_error_text_is_cut(name: str) -> None:
    async with model(name, Failure(400, "word " * 5000)) as opened:
        assert len((await fails(opened)).message) < 600


@pytest.mark.parametrize("how", ["cut", "ends", "error"])
@pytest.mark.parametrize("after", [1, 3, 6])
async def test_a_reply_that_breaks_off_anywhere_is_worth_another_try(name: str, how: str, after: int) -> None:
    reply = Reply("A text that goes on for a while.", (Called("bash", '{"command": "ls -la /"}'),))
    async with model(name, Broken(reply, after, how)) as opened:  # type: ignore[arg-type]
        assert isinstance(await fails(opened), ModelUnavailable)


@pytest.mark.parametrize(
    "body",
    [
        b"data: {not json\n\n",
        b"data: [1, 2]\n\n",
        b'data: {"type": "from another world"}\n\n',
        b'event: message_start\ndata: {"type": "message_start"}\n\n',
        b'event: response.completed\ndata: {"type": "response.completed", "response": null}\n\n',
        b'data: {"choices": [{"delta": 3}]}\n\n',
        b"\xff\xfe\x00garbage",
        b"",
        b"data: [DONE]\n\n",
    ],
)
async def test_garbage_is_worth_another_try(name: str, body: bytes) -> None:
    async with model(name, Garbage(body)) as opened:
        assert isinstance(await fails(opened), ModelUnavailable)


async def test_a_page_instead_of_a_stream_is_worth_another_try(name: str) -> None:
    async with model(name, Garbage(b"<html>Log in to the guest network</html>", "text/html")) as opened:
        assert isinstance(await fails(opened), ModelUnavailable)


async def test_json_instead_of_a_stream_is_worth_another_try(name: str) -> None:
    body = json.dumps({"id": "x", "content": "not streamed"}).encode()
    async with model(name, Garbage(body, "application/json")) as opened:
        assert isinstance(await fails(opened), ModelUnavailable)


async def test_a_reply_without_anything_in_it_is_worth_another_try(name: str) -> None:
    async with model(name, Reply("")) as opened:
        assert isinstance(await fails(opened), ModelUnavailable)


async def test_nobody_listening_is_worth_another_try(name: str) -> None:
    async with Endpoint([Reply("Yes.")]) as endpoint:
        environ = endpoint.environ()
    models = Registry(environ)
    failure = await fails(models.get(name))
    await models.close()
    assert isinstance(failure, ModelUnavailable)
    assert re.search(r"reach|connect", failure.message, re.IGNORECASE)


async def test_a_host_that_does_not_exist_is_worth_another_try(name: str) -> None:
    override = Override(base_url="http://nowhere.invalid/v1", api_key="k")
    models = Registry({}, overrides={name: override})
    failure = await fails(models.get(name))
    await models.close()
    assert isinstance(failure, ModelUnavailable)


async def test_an_input_that_was_all_cached_counts_nothing_twice(name: str) -> None:
    async with model(name, Reply("Yes.", usage=Usage(0, 5, 0, 1))) as opened:
        reply, _ = await ask(opened, ModelRequest("", (UserMessage(parts=(Text("x"),)),)))
    assert reply.usage == Usage(0, 5, 0, 1)
