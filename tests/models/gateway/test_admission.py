import json
from typing import Any

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.core.errors import Unavailable
from hostler.core.ports import Principal
from hostler.models.gateway.ledger import LimitReached, NoLiveTurn
from hostler.models.gateway.tokens import GatewayTokens
from hostler.testing.answers import Reply
from tests.models.gateway.stand import SIGNING, standing

ASK: dict[str, Any] = {"model": "gpt-x", "stream": True, "input": "hello"}
PATHS = {"/v1/responses": "gpt-x", "/v1/chat/completions": "chat-x", "/v1/messages": "claude-x"}


@pytest.mark.parametrize("path", [*PATHS, "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    "token", ["", "nonsense", GatewayTokens(b"another key of thirty-two bytes!", SystemAmbient()).sign("run", "env")]
)
async def test_a_token_that_is_none_of_ours_is_refused_unread(path: str, token: str) -> None:
    async with standing([Reply("no")]) as stand:
        answer = await stand.client(token).ask(path, b"x" * 100_000)
        assert answer.status == 401
        assert answer.json["error"]["type"] == "authentication_error"
        assert (answer.json.get("type") == "error") == path.startswith("/v1/messages")
        assert (stand.endpoint.requests, stand.ledger.entries) == ([], [])


async def test_the_token_of_a_conversation_opens_no_model() -> None:
    from hostler.api.auth import Signer

    async with standing([Reply("no")]) as stand:
        token = Signer(SIGNING, SystemAmbient()).sign("conversation", "run", Principal("p", "user", "p"))
        assert (await stand.client(token).ask("/v1/responses", ASK)).status == 401


async def test_a_gateways_token_opens_no_api() -> None:
    from hostler.api.auth import Signer

    token = GatewayTokens(SIGNING, SystemAmbient()).sign("run", "env")
    for kind in ("conversation", "environment"):
        assert Signer(SIGNING, SystemAmbient()).read(token, kind) is None


async def test_the_token_may_come_as_an_api_key() -> None:
    async with standing([Reply("yes")]) as stand:
        client = stand.client()
        answer = await client.ask("/v1/responses", ASK, {"authorization": "", "x-api-key": client.token})
        assert answer.status == 200


async def test_without_a_live_turn_nothing_is_asked() -> None:
    async with standing([Reply("no")]) as stand:
        stand.ledger.grants.clear()
        for path in ("/v1/responses", "/v1/messages"):
            answer = await stand.client().ask(path, ASK)
            assert answer.status == 403
            assert "no turn under way" in answer.json["error"]["message"]
            assert answer.headers["x-should-retry"] == "false"
        assert stand.endpoint.requests == []


async def test_a_token_is_refused_on_another_environments_socket() -> None:
    async with standing([Reply("no")]) as stand:
        assert (await stand.client(environment="other").ask("/v1/responses", ASK)).status == 403
        moved = stand.gateway.token("run", "other")
        assert (await stand.client(moved, environment="other").ask("/v1/responses", ASK)).status == 403
        assert (stand.endpoint.requests, stand.ledger.entries) == ([], [])


async def test_a_token_does_not_move_with_its_execution_to_another_environment() -> None:
    async with standing([Reply("yes")]) as stand:
        stand.allow("openai-responses:gpt-x", environment="other")
        assert (await stand.client(environment="other").ask("/v1/responses", ASK)).status == 403
        fresh = stand.gateway.token("run", "other")
        assert (await stand.client(fresh, environment="other").ask("/v1/responses", ASK)).status == 200


async def test_a_grant_is_not_remembered_between_two_requests_of_a_connection() -> None:
    async with standing([Reply("yes")]) as stand:
        client = stand.client()
        assert (await client.ask("/v1/responses", ASK)).status == 200
        stand.ledger.grants.clear()
        assert (await client.ask("/v1/responses", ASK)).status == 403


async def test_a_fence_that_moves_before_the_call_begins_keeps_it_from_the_provider() -> None:
    async with standing([Reply("no")]) as stand:
        stand.ledger.failures.append(NoLiveTurn())
        assert (await stand.client().ask("/v1/responses", ASK)).status == 403
        assert stand.endpoint.requests == []


@pytest.mark.parametrize("path", PATHS)
async def test_a_limit_is_refused_with_every_mark_that_keeps_agents_from_trying_again(path: str) -> None:
    async with standing([Reply("no")]) as stand:
        stand.ledger.failures.append(LimitReached("the limit of 3 iterations is reached"))
        answer = await stand.client().ask(path, {**ASK, "model": PATHS[path]})
        assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
        assert answer.json["error"]["code"] == "insufficient_quota"
        assert answer.json["error"]["message"] == "the limit of 3 iterations is reached"
        assert stand.endpoint.requests == []


async def test_a_server_that_cannot_record_a_call_does_not_make_it() -> None:
    async with standing([Reply("no")]) as stand:
        stand.ledger.failures.append(Unavailable("database: secret detail"))
        answer = await stand.client().ask("/v1/responses", ASK)
        assert answer.status == 503
        assert b"secret detail" not in answer.body
        assert stand.endpoint.requests == []


@pytest.mark.parametrize("model", ["gpt-y", "GPT-X", "claude-x", "anthropic:claude-x", "openai-responses:gpt-y"])
async def test_a_model_that_is_not_allowed_is_refused(model: str) -> None:
    async with standing([Reply("no")]) as stand:
        answer = await stand.client().ask("/v1/responses", {**ASK, "model": model})
        assert (answer.status, answer.json["error"]["code"]) == (400, "model_not_found")
        assert "gpt-x" in answer.json["error"]["message"]
        assert (stand.endpoint.requests, stand.ledger.entries) == ([], [])


async def test_a_full_name_means_the_same_model() -> None:
    async with standing([Reply("yes")]) as stand:
        assert (await stand.client().ask("/v1/responses", {**ASK, "model": "openai-responses:gpt-x"})).status == 200
        assert stand.endpoint.requests[0].body["model"] == "gpt-x"


BAD = {
    "not json": b"{",
    "not an object": b"[]",
    "no model": b"{}",
    "two models": b'{"model": "gpt-x", "model": "gpt-y"}',
    "two models, one in disguise": b'{"mod\\u0065l": "gpt-y", "model": "gpt-x"}',
    "two models, one in large letters": b'{"model": "gpt-x", "MODEL": "gpt-y"}',
    "in the background, with a sign that is a k to some": '{"model": "gpt-x", "bac\u212aground": true}'.encode(),
    "models to try": b'{"model": "gpt-x", "models": ["gpt-y"]}',
    "half a character": b'{"model": "openai-responses:gpt-x", "input": "\\ud800"}',
    "not utf-8": json.dumps(ASK).encode("utf-16"),
    "too deep": b"[" * 100_000,
    "in the background": json.dumps({**ASK, "background": True}).encode(),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_request_that_cannot_be_checked_is_refused(what: str) -> None:
    async with standing([Reply("no")]) as stand:
        answer = await stand.client().ask("/v1/responses", BAD[what])
        assert answer.status == 400
        assert answer.json["error"]["message"]
        assert (stand.endpoint.requests, stand.ledger.entries) == ([], [])


@pytest.mark.parametrize("part", [b"[],", b"{},", b'"ab",'])
async def test_a_request_that_would_fill_the_servers_memory_is_refused(part: bytes) -> None:
    async with standing([Reply("no")]) as stand:
        answer = await stand.client().ask("/v1/responses", b'{"model": "gpt-x", "input": [%b0]}' % (part * (3 << 20)))
        assert (answer.status, stand.endpoint.requests, stand.ledger.entries) == (413, [], [])


async def test_a_compressed_request_is_refused() -> None:
    async with standing([Reply("no")]) as stand:
        assert (await stand.client().ask("/v1/responses", b"xx", {"content-encoding": "gzip"})).status == 415


@pytest.mark.parametrize(
    "path", ["/", "/v1/files", "/v1/responses/resp_1", "/v1/responses/", "//v1/responses", "/v1/models/x"]
)
async def test_nothing_else_is_served(path: str) -> None:
    async with standing([Reply("no")]) as stand:
        for body in (ASK, None):
            answer = await stand.client().ask(path, body)
            assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
        assert stand.endpoint.requests == []


async def test_the_models_are_those_that_are_allowed() -> None:
    async with standing([Reply("no")]) as stand:
        listed = (await stand.client().ask("/v1/models")).json
        assert [model["id"] for model in listed["data"]] == ["gpt-x", "chat-x", "claude-x"]
        other = (await stand.client().ask("/v1/models", None, {"anthropic-version": "2023-06-01"})).json
        assert other["data"][0]["type"] == "model"
        assert (await stand.client("none").ask("/v1/models")).status == 401
