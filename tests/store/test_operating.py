"""The audit log, webhooks with what is due to them, and maintenance mode, in both databases."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from hostler.core import events as ev
from hostler.core.audit import AuditQuery, Entry
from hostler.core.maintenance import Maintenance
from hostler.core.webhooks import Webhook, headers, secret_of
from hostler.store import Store
from tests.store.conftest import Home

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANN, BOT = "0198c2aa-0000-7000-8000-000000000001", "0198c2aa-0000-7000-8000-000000000002"


@pytest.fixture(params=["sqlite_home", pytest.param("postgres_home", marks=pytest.mark.postgres)])
def home(request: pytest.FixtureRequest) -> Home:
    return request.getfixturevalue(request.param)


def entry(number: int, actor: str = ANN, subject: str = "", outcome: str = "done") -> Entry:
    at = AT + number * MINUTE
    return Entry(f"id{number:03}", at, actor, "user", "Ann", "StopAgentExecution", outcome, "agent_execution", subject)  # pyright: ignore[reportArgumentType]


async def test_entries_are_found_by_who_what_and_when(home: Home):
    async with home.open() as store:
        for number in range(6):
            await store.audit.write(entry(number, (ANN, BOT)[number % 2], f"s{number % 3}"))
        assert [one.id for one in await store.audit.find(AuditQuery(), limit=2)] == ["id005", "id004"]
        assert [one.id for one in await store.audit.find(AuditQuery(), beyond="id004", limit=2)] == ["id003", "id002"]
        ascending = await store.audit.find(AuditQuery(actors=(BOT,)), oldest_first=True, beyond="id001")
        assert [one.id for one in ascending] == ["id003", "id005"]
        between = AuditQuery(since=AT + 2 * MINUTE, until=AT + 4 * MINUTE)
        assert [one.id for one in await store.audit.find(between)] == ["id003", "id002"]
        both = AuditQuery(subjects=("s0",), subject_kinds=("agent_execution",), actor_kinds=("user",))
        assert [one.id for one in await store.audit.find(both)] == ["id003", "id000"]
        assert await store.audit.expire(AT + 3 * MINUTE) == 3
        assert len(await store.audit.find(AuditQuery())) == 3


async def test_what_was_asked_gets_its_end(home: Home):
    async with home.open() as store:
        await store.audit.write(entry(1, outcome="asked"))
        await store.audit.write(replace(entry(1, subject="s"), details={"code": "not_found"}, outcome="failed"))
        (found,) = await store.audit.find(AuditQuery())
        assert (found.outcome, found.subject_id, found.details) == ("failed", "s", {"code": "not_found"})


async def test_maintenance_outlasts_the_process(home: Home):
    async with home.open() as store:
        assert await store.maintenance.current() is None
        await store.maintenance.turn_on(Maintenance(AT, "moving house", ANN, "Ann"))
        await store.maintenance.turn_on(Maintenance(AT + MINUTE, "still moving", BOT, "bot"))
    async with home.open() as store:
        assert await store.maintenance.current() == Maintenance(AT, "still moving", BOT, "bot")
        assert await store.maintenance.turn_off()
        assert not await store.maintenance.turn_off()
        assert await store.maintenance.current() is None


def hook(name: str, *phases: str) -> Webhook:
    return Webhook(name, name, f"https://{name}.example/", phases, ANN, "Ann", AT)


async def begun(store: Store, execution: str) -> None:
    agent = ev.Agent("a", "hostler", "builtin", "scripted:demo")
    started = ev.Started({}, agent, "e", True, ANN, "s")
    await store.executions.create(execution, "runner", [started], AT)


async def stop(store: Store, execution: str) -> None:
    row = await store.executions.row(execution)
    assert row
    await store.executions.append(execution, row.position, AT, decisions=[ev.Stopped(0)], new_fence=True)


async def test_an_append_that_changes_the_phase_writes_what_is_to_be_told(home: Home):
    async with home.open() as store:
        await begun(store, "early")
        await store.webhooks.add(hook("all"))
        await store.webhooks.add(hook("stops", "STOPPED"))
        await begun(store, "one")
        await stop(store, "one")
        row = await store.executions.row("early")
        assert row
        await store.executions.append("early", row.position, AT, decisions=[ev.AnnotationsSet({"a": "b"})])
    async with home.open() as store:
        told = [(one.execution_id, one.seq, one.phase) for one in await store.webhooks.deliveries("all", 10)]
        assert sorted(told) == [("one", 1, "PENDING"), ("one", 2, "STOPPED")]
        assert [one.phase for one in await store.webhooks.deliveries("stops", 10)] == ["STOPPED"]
        assert await store.webhooks.due() == 3


async def test_what_is_due_is_taken_once_and_in_the_order_of_the_log(home: Home):
    async with home.open() as store:
        await store.webhooks.add(hook("all"))
        await begun(store, "one")
        await stop(store, "one")
        (first,) = await store.webhooks.take(AT, AT + MINUTE, 10)
        assert first.phase == "PENDING"
        assert await store.webhooks.take(AT, AT + MINUTE, 10) == ()
        later = AT + 2 * MINUTE
        assert [one.id for one in await store.webhooks.take(later, later + MINUTE, 10)] == [first.id]
        failed = replace(first, tries=1, due_at=later + MINUTE, status=500, problem="status 500")
        await store.webhooks.done(failed, later)
        assert await store.webhooks.take(later, later + MINUTE, 10) == ()
        (known,) = await store.webhooks.all()
        assert (known.failing_since, known.problem) == (later, "status 500")
        (again,) = await store.webhooks.take(later + MINUTE, later + 2 * MINUTE, 10)
        assert again.tries == 1
        await store.webhooks.done(replace(again, tries=2, state="delivered", status=200, ended_at=later), later)
        assert [one.phase for one in await store.webhooks.take(later, later + MINUTE, 10)] == ["STOPPED"]
        assert (await store.webhooks.all())[0].failing_since is None
        await store.webhooks.expire(later + MINUTE)
        assert len(await store.webhooks.deliveries("all", 10)) == 1


async def test_a_webhook_that_is_disabled_is_told_nothing_until_it_is_enabled(home: Home):
    async with home.open() as store:
        await store.webhooks.add(hook("all"))
        await begun(store, "one")
        await store.webhooks.disable("all", AT, "it failed for 5 days")
        await begun(store, "two")
        assert await store.webhooks.take(AT, AT + MINUTE, 10) == ()
        assert [one.state for one in await store.webhooks.deliveries("all", 10)] == ["dropped"]
        assert await store.webhooks.enable("all", AT)
        await begun(store, "three")
        assert [one.execution_id for one in await store.webhooks.take(AT, AT + MINUTE, 10)] == ["three"]
        assert await store.webhooks.remove("all")
        assert not await store.webhooks.remove("all")
        assert await store.webhooks.due() == 0


def test_signatures_are_those_of_standard_webhooks():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    at = datetime.fromtimestamp(1614265330, UTC)
    made = dict(headers(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}'))
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert secret_of(b"k" * 32, "one") == secret_of(b"k" * 32, "one") != secret_of(b"k" * 32, "two")
