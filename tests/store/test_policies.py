"""The organization's policy in both databases."""

from datetime import UTC, datetime

import pytest

from hostler.core.errors import FailedPrecondition
from hostler.core.policy import Caps, Policy
from hostler.core.ports import Principal
from tests.store.conftest import Home

AT = datetime(2026, 11, 23, 8, tzinfo=UTC)
ANN = Principal("0198c2aa-0000-7000-8000-000000000001", "user", "Ann", role="admin")
STRICT = Policy(
    agents=("codex",),
    denied_hosts=("*.example.org",),
    sharing="view",
    sight="own",
    caps=Caps(running=2),
    caps_of={ANN.id: Caps(tokens_a_day=5)},
)


@pytest.fixture(params=["sqlite_home", "postgres_home"])
def home(request: pytest.FixtureRequest) -> Home:
    return request.getfixturevalue(request.param)


async def test_a_policy_is_kept_with_its_versions(home: Home):
    async with home.open() as store:
        assert (await store.policies.current()).version == 0
        await store.policies.adopt(Policy(), 0, AT, ANN)
        second = await store.policies.adopt(STRICT, 1, AT, ANN)
    async with home.open() as store:
        assert await store.policies.current() == second
        assert [one.version for one in await store.policies.versions()] == [2, 1]
        assert second.policy == STRICT


async def test_of_two_changes_at_once_the_later_one_is_refused(home: Home):
    async with home.open() as store:
        await store.policies.adopt(STRICT, 0, AT, ANN)
        with pytest.raises(FailedPrecondition, match="meanwhile"):
            await store.policies.adopt(Policy(), 0, AT, ANN)
        assert (await store.policies.current()).policy == STRICT
