"""People and service accounts, and those who are signing in elsewhere."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from hostler.core.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from hostler.core.outside import Attempt
from hostler.core.people import PeopleQuery, Person, PersonChange
from hostler.core.ports import ApiToken
from hostler.store import Store
from hostler.testing.store_suite.scene import NOW, StoreSuite, new_id

LATER = NOW + timedelta(hours=1)


def person(name: str, **more: object) -> Person:
    """Return a new person."""
    return replace(Person(new_id(), "user", name, made_at=NOW), **more)  # type: ignore[arg-type]


def token_of(one: Person, secret: str) -> ApiToken:
    """Return a token of somebody."""
    return ApiToken(new_id(), sha256(secret.encode()).hexdigest(), one.principal, secret, "all", NOW, None)


class PeopleBook(StoreSuite):
    """Accounts."""

    async def test_a_person_reads_back_whole(self, store: Store) -> None:
        ann = person(
            "Ann",
            role="admin",
            email="ann@example.com",
            subject="oidc x ann",
            description="d",
            creator_id="o",
            creator_kind="user",
            git_name="Ann",
            git_email="ann@example.com",
            until=LATER,
        )
        await store.people.add(ann)
        assert await store.people.get(ann.id) == ann
        assert await store.people.by_subject("oidc x ann") == ann
        assert await store.people.by_subject("") is None
        assert await store.people.get("nobody") is None

    async def test_people_are_found_oldest_first(self, store: Store) -> None:
        ann, bot = person("Ann"), replace(person("bot", made_at=LATER), kind="service_account")
        for one in (bot, ann):
            await store.people.add(one)
        assert await store.people.find(PeopleQuery()) == (ann, bot)
        assert await store.people.find(PeopleQuery("service_account")) == (bot,)
        assert await store.people.find(PeopleQuery(ids=(ann.id, "x"))) == (ann,)

    async def test_an_account_and_its_subject_are_there_once(self, store: Store) -> None:
        ann = person("Ann", subject="oidc x ann")
        await store.people.add(ann)
        for again in (ann, person("Eve", subject="oidc x ann")):
            with pytest.raises(AlreadyExists):
                await store.people.add(again)
        with pytest.raises(InvalidArgument, match="name"):
            await store.people.add(person("A\0"))
        assert await store.people.find(PeopleQuery()) == (ann,)

    async def test_what_changes_of_a_person_his_tokens_show_at_once(self, store: Store) -> None:
        boss, ann = person("Boss", role="admin"), person("Ann")
        for one in (boss, ann):
            await store.people.add(one)
        token = token_of(ann, "s")
        await store.tokens.add(token)
        changed = await store.people.change(ann.id, PersonChange(role="read", suspended=True), LATER)
        assert (changed.role, changed.suspended_at) == ("read", LATER)
        found = await store.tokens.by_sha256(token.sha256)
        assert found is not None
        assert (found.bearer.role, found.principal.suspended, found.holds(NOW)) == ("read", True, False)
        again = await store.people.change(ann.id, PersonChange(suspended=True), LATER + timedelta(hours=1))
        assert again.suspended_at == LATER
        assert (await store.people.change(ann.id, PersonChange(suspended=False), LATER)).suspended_at is None

    async def test_who_leaves_loses_his_tokens_and_keeps_his_name(self, store: Store) -> None:
        boss, ann = person("Boss", role="admin"), person("Ann", subject="oidc x ann")
        for one in (boss, ann):
            await store.people.add(one)
        await store.tokens.add(token_of(ann, "s"))
        await store.people.change(ann.id, PersonChange(left=True), LATER)
        assert await store.tokens.find(ann.id) == ()
        assert await store.people.by_subject("oidc x ann") is None
        assert await store.people.find(PeopleQuery()) == (boss,)
        assert [one.name for one in await store.people.find(PeopleQuery(left=True))] == ["Boss", "Ann"]
        with pytest.raises(NotFound):
            await store.people.change(ann.id, PersonChange(role="admin"), LATER)

    @pytest.mark.parametrize(
        "change", [PersonChange(role="run"), PersonChange(suspended=True), PersonChange(left=True)]
    )
    async def test_the_last_administrator_stays(self, store: Store, change: PersonChange) -> None:
        boss, ann = person("Boss", role="admin"), person("Ann", role="admin", suspended_at=NOW)
        bot = replace(person("bot", role="admin"), kind="service_account")
        for one in (boss, ann, bot):
            await store.people.add(one)
        with pytest.raises(FailedPrecondition):
            await store.people.change(boss.id, change, LATER)
        assert await store.people.get(boss.id) == boss
        await store.people.change(ann.id, PersonChange(suspended=False), LATER)
        await store.people.change(boss.id, change, LATER)

    async def test_of_two_administrators_who_demote_each_other_one_stays(self, store: Store) -> None:
        two = person("Ann", role="admin"), person("Ben", role="admin")
        for one in two:
            await store.people.add(one)
        changes = [store.people.change(one.id, PersonChange(role="run"), LATER) for one in two]
        ended = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(isinstance(one, FailedPrecondition) for one in ended) == 1
        assert len([one for one in await store.people.find(PeopleQuery()) if one.role == "admin"]) == 1

    async def test_whoever_watches_hears_of_people_and_tokens(self, store: Store) -> None:
        boss, ann = person("Boss", role="admin"), person("Ann")
        for one in (boss, ann):
            await store.people.add(one)
        token = token_of(ann, "s")
        await store.tokens.add(token)
        async with store.executions.watch() as watch:
            await store.people.change(ann.id, PersonChange(suspended=True), LATER)
            assert ann.id in await watch.changed(5)
            await store.tokens.revoke(token.id)
            assert token.id in await watch.changed(5)

    async def test_tokens_of_browsers_go_when_they_are_over(self, store: Store) -> None:
        ann = person("Ann")
        await store.people.add(ann)
        old = replace(token_of(ann, "old"), purpose="sign_in", expires_at=NOW)
        kept = replace(token_of(ann, "kept"), expires_at=NOW)
        new = replace(token_of(ann, "new"), purpose="sign_in", expires_at=LATER, created_at=NOW)
        for one in (old, kept, new):
            await store.tokens.add(one)
        assert {one.name for one in await store.tokens.find(ann.id)} == {"kept", "new"}

    async def test_an_attempt_is_taken_once(self, store: Store) -> None:
        attempt = Attempt("a" * 64, "b" * 64, "nonce", "verifier", "/x", LATER)
        await store.attempts.add(attempt, NOW)
        taken = await asyncio.gather(*(store.attempts.take("a" * 64) for _ in range(3)))
        assert sorted(taken, key=bool) == [None, None, attempt]
        await store.attempts.add(attempt, NOW)
        await store.attempts.add(replace(attempt, sha256="c" * 64, expires_at=LATER + timedelta(hours=1)), LATER)
        assert await store.attempts.take("a" * 64) is None
