"""Sign-ins, links that open once, and shares."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from hostler.core import events as ev
from hostler.core.admission import LINK, LONGEST, Link, Share, SignIn
from hostler.core.errors import InvalidArgument, NotFound
from hostler.core.ports import ApiToken, Position, Principal
from hostler.store import Store
from hostler.testing.store_suite.scene import NOW, StoreSuite, new_id

DAY = timedelta(days=1)


def digest(text: str) -> str:
    """Return what is kept of a secret."""
    return sha256(text.encode()).hexdigest()


async def token(store: Store) -> ApiToken:
    """Return an API token that the store keeps."""
    made = ApiToken(new_id(), digest(new_id()), Principal("u", "user", "U", role="admin"), "laptop", "read", NOW, None)
    await store.tokens.add(made)
    return made


def sign_in(of: ApiToken, secret: str = "s") -> SignIn:
    """Return a sign-in with an API token."""
    return SignIn(new_id(), digest(secret), of.id, NOW, NOW + timedelta(microseconds=1))


class SignInBook(StoreSuite):
    """Sign-ins and links."""

    async def test_a_sign_in_reads_back_with_its_token_and_is_forgotten(self, store: Store) -> None:
        of = await token(store)
        mine, other = sign_in(of, "mine"), sign_in(await token(store), "other")
        await store.sign_ins.add(mine)
        await store.sign_ins.add(other)
        assert await store.sign_ins.by_sha256(mine.sha256) == (mine, of)
        await store.sign_ins.used(mine.id, NOW + DAY)
        assert await store.sign_ins.by_sha256(mine.sha256) == (replace(mine, used_at=NOW + DAY), of)
        await store.sign_ins.used("nobody", NOW)
        assert await store.sign_ins.remove(mine.sha256)
        assert not await store.sign_ins.remove(mine.sha256)
        assert await store.sign_ins.by_sha256(mine.sha256) is None
        assert await store.sign_ins.by_sha256(other.sha256)

    async def test_a_revoked_token_takes_its_sign_ins_and_links_with_it(self, store: Store) -> None:
        gone, stays = await token(store), await token(store)
        for number, of in enumerate((gone, gone, stays)):
            await store.sign_ins.add(sign_in(of, f"s{number}"))
            await store.sign_ins.add_link(Link(digest(f"l{number}"), of.id, "/", NOW + LINK), NOW)
        await store.tokens.revoke(gone.id)
        found = [await store.sign_ins.by_sha256(digest(f"s{number}")) for number in range(3)]
        assert [one is not None for one in found] == [False, False, True]
        taken = [await store.sign_ins.take_link(digest(f"l{number}")) for number in range(3)]
        assert [one is not None for one in taken] == [False, False, True]
        with pytest.raises(NotFound):
            await store.sign_ins.add(sign_in(gone, "late"))
        with pytest.raises(NotFound):
            await store.sign_ins.add_link(Link(digest("late"), gone.id, "/", NOW + LINK), NOW)

    async def test_sign_ins_that_are_too_old_are_forgotten_by_the_next_one(self, store: Store) -> None:
        of = await token(store)
        old = sign_in(of, "old")
        await store.sign_ins.add(old)
        await store.sign_ins.add(replace(sign_in(of, "a"), created_at=NOW + LONGEST))
        assert await store.sign_ins.by_sha256(old.sha256)
        await store.sign_ins.add(replace(sign_in(of, "b"), created_at=NOW + LONGEST + DAY))
        assert await store.sign_ins.by_sha256(old.sha256) is None

    async def test_a_link_is_taken_once_by_one_of_many(self, store: Store) -> None:
        link = Link(digest("code"), (await token(store)).id, "/executions/ä", NOW + LINK)
        await store.sign_ins.add_link(link, NOW)
        taken = await asyncio.gather(*(store.sign_ins.take_link(link.sha256) for _ in range(10)))
        assert [one for one in taken if one] == [link]
        assert await store.sign_ins.take_link(link.sha256) is None

    async def test_expired_links_are_forgotten_by_the_next_one(self, store: Store) -> None:
        of = await token(store)
        await store.sign_ins.add_link(Link(digest("old"), of.id, "/", NOW + LINK), NOW)
        await store.sign_ins.add_link(Link(digest("new"), of.id, "/", NOW + LINK + LINK), NOW + LINK)
        assert await store.sign_ins.take_link(digest("old")) is None
        assert await store.sign_ins.take_link(digest("new"))

    async def test_a_path_that_no_column_can_hold_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidArgument, match="path"):
            await store.sign_ins.add_link(Link(digest("x"), (await token(store)).id, "/\0", NOW + LINK), NOW)


def share(execution: str, secret: str = "c", name: str = "for the review") -> Share:
    """Return a share of an execution."""
    return Share(new_id(), digest(secret), execution, "send", name, "user-1", NOW, NOW + DAY)


class ShareBook(StoreSuite):
    """Shares."""

    async def test_shares_read_back_newest_first_and_are_revoked_one_by_one(self, store: Store) -> None:
        execution, other = await self.begin(store), await self.begin(store)
        mine = [share(execution, "a"), replace(share(execution, "b", ""), may="view"), share(other, "c")]
        for one in mine:
            await store.shares.add(one)
        assert await store.shares.find(execution) == (mine[1], mine[0])
        assert await store.shares.by_sha256(mine[0].sha256) == mine[0]
        assert not await store.shares.revoke(other, mine[0].id)
        assert await store.shares.revoke(execution, mine[0].id)
        assert not await store.shares.revoke(execution, mine[0].id)
        assert await store.shares.by_sha256(mine[0].sha256) is None
        assert await store.shares.find(execution) == (mine[1],)

    async def test_a_share_goes_with_its_execution(self, store: Store) -> None:
        execution = await self.begin(store)
        made = share(execution)
        await store.shares.add(made)
        await store.executions.append(execution, Position(0, 1), NOW, decisions=[ev.Deleted()])
        assert await store.shares.by_sha256(made.sha256) is None
        await store.executions.purge(execution)
        assert await store.shares.find(execution) == ()
        with pytest.raises(NotFound):
            await store.shares.add(share(execution, "d"))

    async def test_a_name_that_no_column_can_hold_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidArgument, match="name"):
            await store.shares.add(share(await self.begin(store), name="half \ud83d"))
