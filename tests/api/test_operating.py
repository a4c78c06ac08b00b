"""What stands around every request: metrics, rates, the audit log, maintenance mode; as clients meet it."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openly
from prometheus_client.parser import text_string_to_metric_families as plainly

from hostler.api.metrics import Measured
from hostler.api.operations import Operations, RateBox, Reloaded
from hostler.api.rates import RateLimits
from hostler.api.server import build
from hostler.core.audit import AuditQuery, Entry
from hostler.core.errors import InvalidArgument, Unavailable
from hostler.store import Store, open_store
from hostler.testing.store_suite import FOLD
from hostler.web.routes import routes
from tests.api.conftest import BOT, OWNER, SECRET, Api, Listening

EVENTS = "gitpod.v1.EventService"
HOUSE = "/api/hostler/v1"
ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}
"""What a proxy on this machine says of a client."""


@dataclass
class Operated:
    """A server with a real audit log and switch, and the way to its routes."""

    api: Api
    store: Store
    rates: RateBox
    operations: Operations

    async def ask(
        self, verb: str, path: str, body: Any = None, token: str | None = "owner-token", **headers: str
    ) -> Response:
        content = None if body is None else json.dumps(body).encode()
        return await self.api.http.request(
            verb, f"{self.api.url}{path}", headers=self.api.headers(headers, token), content=content
        )

    async def entries(self, **query: Any) -> list[Entry]:
        """Return the entries, oldest first, once those of all answered requests are there."""
        return list(await self.store.audit.find(AuditQuery(**query), oldest_first=True, limit=1000))

    async def until(self, number: int) -> list[Entry]:
        """Return the entries once there are so many."""
        while len(found := await self.entries()) < number:
            await self.api.http.get(f"{self.api.url}/healthz")
        return found

    async def metrics(self, accept: str = "", **headers: str) -> dict[str, Any]:
        """Return the samples by name and labels, as a scraper on this machine reads them."""
        response = await self.api.http.get(f"{self.api.url}/metrics", headers={"accept": accept, **headers})
        assert response.status_code == 200, response.content
        read = openly if "openmetrics" in response.headers["content-type"] else plainly
        return {
            f"{sample.name}{json.dumps(sample.labels, sort_keys=True)}": sample.value
            for family in read(response.text)
            for sample in family.samples
        }


async def reloaded() -> Reloaded:
    raise InvalidArgument("nothing was changed: slots: a number is needed")


@pytest.fixture
async def operated(api: Api, tmp_path: Path) -> AsyncIterator[Operated]:
    async with open_store(f"sqlite:///{tmp_path}/hostler.db", blobs=tmp_path / "blobs", fold=FOLD) as store:
        rates = RateBox()
        operations = Operations(
            measured=Measured(),
            rates=rates,
            audit=store.audit,
            maintenance=store.maintenance,
            webhooks=store.webhooks,
            reload=reloaded,
        )
        server = Listening(build(replace(api.parts, operations=operations)))
        api.url = f"http://127.0.0.1:{await server.start()}"
        yield Operated(api, store, rates, operations)
        await server.stop()


# --- metrics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
async def test_requests_are_counted_by_method_and_code(operated: Operated, accept: str):
    execution = await operated.api.started()
    await operated.api.refused("GetAgentExecution", {"agentExecutionId": execution}, token="wrong")
    await operated.ask("GET", f"{HOUSE}/tokens/{execution}/nothing")
    seen = await operated.metrics(accept)
    name = "hostler_request_seconds_count"
    assert seen[name + json.dumps({"code": "ok", "method": "AgentService/StartAgent"})] == 1
    assert seen[name + json.dumps({"code": "unauthenticated", "method": "AgentService/GetAgentExecution"})] == 1
    assert execution not in str(seen), "an id is no label"
    buckets = [key for key in seen if "request_seconds_bucket" in key and "StartAgent" in key]
    assert len(buckets) > 10


async def test_metrics_are_for_scrapers_on_this_machine_and_for_tokens(operated: Operated):
    url = f"{operated.api.url}/metrics"
    for headers in (ELSEWHERE, {"host": "rebound.example"}, {"forwarded": "for=203.0.113.9"}):
        assert (await operated.api.http.get(url, headers=headers)).status_code == 401
        shown = await operated.api.http.get(url, headers={**headers, "authorization": "Bearer read-token"})
        assert shown.status_code == 200
    assert (await operated.api.http.get(url)).status_code == 200


async def test_a_server_that_is_open_to_others_asks_everybody_for_a_token(operated: Operated):
    server = Listening(build(replace(operated.api.parts, loopback=False)))
    url = f"http://127.0.0.1:{await server.start()}/metrics"
    assert (await operated.api.http.get(url)).status_code == 401
    await server.stop()


# --- rates ----------------------------------------------------------------------------------------------------------


async def test_a_caller_who_asks_too_often_is_told_when_to_come_back(operated: Operated):
    operated.rates.limits = RateLimits(caller=3)
    answers = [await operated.api.post("ListAgentExecutions") for _ in range(6)]
    assert [one.status_code for one in answers[:3]] == [200] * 3
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.json()["code"] == "resource_exhausted"
    assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("20", "true")
    other = await operated.api.post("ListAgentExecutions", token="bot-token")
    assert other.status_code == 200, "others have their own"
    operated.api.clock.advance(20)
    assert (await operated.api.post("ListAgentExecutions")).status_code == 200
    assert (await operated.metrics())['hostler_requests_over_rate_total{"by": "caller"}'] >= 1


async def test_an_address_that_guesses_is_refused_but_not_those_with_good_credentials(operated: Operated):
    operated.rates.limits = RateLimits(attempts=5)
    assert (await operated.api.post("ListAgentExecutions", more=ELSEWHERE)).status_code == 200
    for number in range(5):
        guess = await operated.api.post("ListAgentExecutions", more=ELSEWHERE, token=f"guess-{number}")
        assert guess.status_code == 401
    barred = await operated.api.post("ListAgentExecutions", more=ELSEWHERE, token="bot-token")
    assert barred.status_code == 429, "even a good one, for nobody looks"
    assert (await operated.api.post("ListAgentExecutions", more=ELSEWHERE)).status_code == 200, "known to be good"
    assert (await operated.api.post("ListAgentExecutions", token="bot-token")).status_code == 200, "another address"
    operated.api.clock.advance(60)
    late = await operated.api.post("ListAgentExecutions", more=ELSEWHERE, token="bot-token")
    assert late.status_code == 200


# --- the audit log --------------------------------------------------------------------------------------------------


async def test_changes_are_written_with_who_what_and_to_what(operated: Operated):
    execution = await operated.api.prepared()
    await operated.api.send(execution, f"the secret is {SECRET}")
    await operated.api.call("GetAgentExecution", {"agentExecutionId": execution})
    await operated.api.call("StopAgentExecution", {"agentExecutionId": execution}, token="bot-token")
    await operated.ask("POST", f"{HOUSE}/executions/{execution}/inputs", {"userInput": {}})
    found = await operated.until(3)
    assert [(one.actor_id, one.action, one.subject_id, one.outcome) for one in found] == [
        (OWNER.id, "AgentService/StartAgent", execution, "done"),
        (OWNER.id, "AgentService/SendToAgentExecution", execution, "done"),
        (BOT.id, "AgentService/StopAgentExecution", execution, "done"),
    ]
    assert {one.subject_kind for one in found} == {"agent_execution"}
    assert SECRET not in str(found)
    assert "owner-token" not in str(found)


async def test_what_is_refused_for_want_of_permission_is_written_too(operated: Operated):
    refused = await operated.ask("POST", f"{HOUSE}/reload", {}, token="bot-token")
    assert refused.status_code == 403
    assert (await operated.api.post("StartAgent", token="read-token")).status_code == 403
    found = await operated.until(2)
    assert {(one.actor_id, one.action, one.outcome) for one in found} == {
        (BOT.id, f"POST {HOUSE}/reload", "refused"),
        (BOT.id, "AgentService/StartAgent", "refused"),
    }


async def test_what_was_asked_in_vain_is_written_where_it_is_administration(operated: Operated):
    assert (await operated.ask("POST", f"{HOUSE}/reload", {})).status_code == 400
    await operated.api.refused("StopAgentExecution", {"agentExecutionId": OWNER.id})
    (entry,) = await operated.until(1)
    assert (entry.action, entry.outcome, entry.details["code"]) == (
        f"POST {HOUSE}/reload",
        "failed",
        "invalid_argument",
    )


async def test_signing_in_is_written_and_in_vain_it_is_not(operated: Operated):
    with_pages = Listening(build(replace(operated.api.parts, operations=operated.operations), routes))
    operated.api.url = f"http://127.0.0.1:{await with_pages.start()}"
    for token in ("wrong", "bot-token"):
        await operated.ask("POST", "/sign-in", {"token": token}, None, origin=operated.api.url)
    (entry,) = await operated.until(1)
    assert (entry.action, entry.actor_id, entry.outcome) == ("sign in", BOT.id, "done")
    assert "bot-token" not in str(entry)
    await with_pages.stop()


class Full:
    """An audit log that cannot be written."""

    async def write(self, entry: Entry) -> None:
        raise Unavailable("the disk is full")

    async def find(self, query: AuditQuery, **_: Any) -> tuple[Entry, ...]:
        return ()

    async def expire(self, before: Any) -> int:
        return 0


async def test_administration_that_cannot_be_written_does_not_happen_and_other_work_goes_on(operated: Operated):
    server = Listening(build(replace(operated.api.parts, operations=replace(operated.operations, audit=Full()))))
    operated.api.url = f"http://127.0.0.1:{await server.start()}"
    refused = await operated.ask("PUT", f"{HOUSE}/maintenance", {"message": "moving"})
    assert refused.status_code == 503
    assert "nothing was changed" in refused.json()["message"]
    assert await operated.store.maintenance.current() is None
    await operated.api.started()
    await server.stop()


async def test_the_contract_lists_entries_by_filter_and_page(operated: Operated):
    executions = [await operated.api.started() for _ in range(5)]
    await operated.api.call("StopAgentExecution", {"agentExecutionId": executions[0]}, token="bot-token")
    await operated.until(6)

    async def listed(body: Mapping[str, Any]) -> dict[str, Any]:
        return await operated.api.call(f"{EVENTS}/ListAuditLogs", body)

    first = await listed({"pagination": {"pageSize": 4}})
    rest = await listed({"pagination": {"pageSize": 4, "token": first["pagination"]["nextToken"]}})
    actions = [one["action"] for one in (*first["entries"], *rest["entries"])]
    assert actions == ["AgentService/StopAgentExecution", *["AgentService/StartAgent"] * 5]
    (stop,) = (await listed({"filter": {"actorIds": [BOT.id]}}))["entries"]
    assert stop["actorPrincipal"] == "PRINCIPAL_SERVICE_ACCOUNT"
    assert stop["subjectType"] == "RESOURCE_TYPE_AGENT_EXECUTION"
    assert stop["subjectId"] == executions[0]
    assert stop["kind"] == "AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE"
    about = await listed({"filter": {"subjectIds": [executions[0]], "subjectTypes": ["RESOURCE_TYPE_AGENT_EXECUTION"]}})
    assert len(about["entries"]) == 2
    assert not (await listed({"filter": {"subjectTypes": ["RESOURCE_TYPE_COUPON"]}})).get("entries")
    assert not (await listed({"filter": {"to": "2001-01-01T00:00:00Z"}})).get("entries")
    oldest = await listed({"sort": {"field": "created_at", "order": "SORT_ORDER_ASC"}, "pagination": {"pageSize": 1}})
    assert oldest["entries"][0]["subjectId"] == executions[0]
    assert (await operated.api.refused(f"{EVENTS}/ListAuditLogs", token="bot-token"))["status"] == 403


# --- maintenance mode -----------------------------------------------------------------------------------------------


async def test_in_maintenance_nothing_is_begun_and_all_else_goes_on(operated: Operated):
    execution = await operated.api.prepared()
    on = await operated.ask("PUT", f"{HOUSE}/maintenance", {"message": "back at ten"})
    assert on.json()["on"] is True
    started = await operated.api.refused("StartAgent")
    assert (started["code"], started["message"]) == ("unavailable", "back at ten")
    assert started["headers"]["retry-after"] == "60"
    block = {"inputs": [{"text": {"content": "hello"}}]}
    sent = await operated.api.refused("SendToAgentExecution", {"agentExecutionId": execution, "userInput": block})
    assert sent["code"] == "unavailable"
    said = await operated.ask("POST", f"{HOUSE}/executions/{execution}/inputs", {"userInput": block})
    assert said.status_code == 503
    await operated.api.call("GetAgentExecution", {"agentExecutionId": execution})
    await operated.api.call("StopAgentExecution", {"agentExecutionId": execution})
    assert (await operated.api.post("StartAgent", token="wrong")).status_code == 401, "strangers are told nothing"
    assert (await operated.ask("DELETE", f"{HOUSE}/maintenance", token="bot-token")).status_code == 403
    assert (await operated.ask("DELETE", f"{HOUSE}/maintenance")).json() == {"on": False}
    await operated.api.started()


# --- webhooks -------------------------------------------------------------------------------------------------------


async def test_webhooks_are_made_shown_without_their_secret_and_removed(operated: Operated):
    made = await operated.ask("POST", f"{HOUSE}/webhooks", {"url": "https://a.example/x", "phases": ["PHASE_STOPPED"]})
    assert made.status_code == 201
    assert made.json()["secret"].startswith("whsec_")
    listed = (await operated.ask("GET", f"{HOUSE}/webhooks")).json()["webhooks"]
    assert [(one["url"], one["phases"], one["state"]) for one in listed] == [
        ("https://a.example/x", ["STOPPED"], "enabled")
    ]
    assert "whsec" not in str(listed)
    webhook = made.json()["id"]
    tested = await operated.ask("POST", f"{HOUSE}/webhooks/{webhook}/test", {})
    deliveries = (await operated.ask("GET", f"{HOUSE}/webhooks/{webhook}/deliveries")).json()["deliveries"]
    assert [(one["id"], one["state"]) for one in deliveries] == [(tested.json()["deliveryId"], "due")]
    assert (await operated.ask("DELETE", f"{HOUSE}/webhooks/{webhook}")).status_code == 200
    assert (await operated.ask("DELETE", f"{HOUSE}/webhooks/{webhook}")).status_code == 404
    subjects = [(one.action, one.subject_id, one.outcome) for one in await operated.until(4)]
    assert subjects[0] == (f"POST {HOUSE}/webhooks", webhook, "done")
    assert subjects[-1] == (f"DELETE {HOUSE}/webhooks/{{webhook}}", webhook, "failed")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"url": 5}, "url"),
        ({"url": "https://a.example/", "phases": ["SLEEPING"]}, "phases"),
        ({"url": "https://a.example/", "phases": "STOPPED"}, "phases"),
        ({"url": "https://a.example/", "name": "x" * 101}, "name"),
    ],
)
async def test_a_webhook_that_cannot_be_is_refused(operated: Operated, body: Any, field: str):
    refused = await operated.ask("POST", f"{HOUSE}/webhooks", body)
    assert refused.status_code == 400
    assert refused.json()["message"].startswith(f"{field}: ")
    assert not await operated.store.webhooks.all()
