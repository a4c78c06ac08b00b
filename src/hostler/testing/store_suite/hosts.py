"""What every store does with the hosts that are allowed for environment classes."""

# ruff: noqa: D102 - the names of the tests say what they show

from dataclasses import replace

import pytest

from hostler.core.egress import ClassHost
from hostler.core.errors import InvalidArgument
from hostler.store import Store
from hostler.testing.store_suite.scene import NOW, StoreSuite

HOST = ClassHost("class-1", "example.org", "owner", NOW)


class ClassHostBook(StoreSuite):
    """Hosts of classes."""

    async def test_hosts_read_back_by_class_and_name_and_are_removed_one_by_one(self, store: Store) -> None:
        mine = [HOST, replace(HOST, host="*.example.net:8443"), replace(HOST, class_id="class-2")]
        assert [await store.class_hosts.add(one) for one in mine] == [True, True, True]
        assert await store.class_hosts.find("class-1") == (mine[1], mine[0])
        assert await store.class_hosts.remove("class-1", "example.org")
        assert not await store.class_hosts.remove("class-1", "example.org")
        assert await store.class_hosts.find("class-1") == (mine[1],)
        assert await store.class_hosts.find("class-2") == (mine[2],)

    async def test_a_host_that_is_allowed_already_stays_as_it_was(self, store: Store) -> None:
        await store.class_hosts.add(HOST)
        assert not await store.class_hosts.add(replace(HOST, by="somebody else"))
        assert await store.class_hosts.find("class-1") == (HOST,)

    async def test_a_host_that_no_column_can_hold_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidArgument, match="host"):
            await store.class_hosts.add(replace(HOST, host="half \ud83d"))
        with pytest.raises(InvalidArgument, match="class"):
            await store.class_hosts.find("\0")
