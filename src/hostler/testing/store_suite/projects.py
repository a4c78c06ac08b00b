"""Projects, how long their environments ran, and credentials for code hosts."""

# ruff: noqa: D102 - the names of the tests say what they show

from dataclasses import replace
from datetime import timedelta

import pytest

from hostler.core.errors import AlreadyExists, InvalidArgument, NotFound
from hostler.core.hosts import HostToken
from hostler.core.projects import Project, ProjectQuery, Usage, User
from hostler.store import Store
from hostler.testing.store_suite.scene import NOW, StoreSuite, new_id

ANN, BOT = User("user-1", "user"), User("bot-1", "service_account")
HOUR = timedelta(hours=1)


def project(name: str = "shop", repository: str = "git.example/ann/shop", creator: str = "user-1") -> Project:
    """Return a project with a fresh id."""
    return Project(
        id=new_id(),
        name=name,
        repository=repository,
        creator_id=creator,
        creator_kind="user",
        created_at=NOW,
        updated_at=NOW + timedelta(microseconds=1),
        class_ids=("class-1", "class-2"),
        setup=("make deps", "echo 'ß😀'"),
        body={"technicalDescription": "Zeilen\nand 😀"},
    )


def host_token(host: str = "git.example", subject: str = "user-1") -> HostToken:
    """Return a credential with a fresh id."""
    return HostToken(
        id=new_id(),
        runner="runner-1",
        host=host,
        subject_id=subject,
        subject_kind="user",
        source="pat",
        scopes=("repo", "read:org"),
        integration_id="",
        created_at=NOW,
        updated_at=NOW,
        expires_at=NOW + HOUR,
        sealed="c2VhbGVk",
    )


class ProjectBook(StoreSuite):
    """Projects."""

    async def test_a_project_reads_back_as_it_was_saved(self, store: Store) -> None:
        first = project()
        await store.projects.save(first, new=True)
        assert await store.projects.get(first.id) == first
        changed = replace(first, name="shop!", class_ids=(), setup=("true",), body={})
        await store.projects.save(changed, new=False)
        assert await store.projects.get(first.id) == changed
        assert await store.projects.delete(first.id)
        assert not await store.projects.delete(first.id)
        assert await store.projects.get(first.id) is None

    async def test_a_project_is_neither_made_twice_nor_changed_when_it_is_gone(self, store: Store) -> None:
        known = project()
        await store.projects.save(known, new=True)
        with pytest.raises(AlreadyExists):
            await store.projects.save(known, new=True)
        with pytest.raises(NotFound):
            await store.projects.save(project(), new=False)
        with pytest.raises(InvalidArgument, match="name"):
            await store.projects.save(replace(known, name="a\0b"), new=False)

    async def test_projects_are_found_by_each_condition_newest_first(self, store: Store) -> None:
        shop = project("Straße")
        tool = project("tool", "git.example/bob/100%_tool", "user-2")
        for one in (shop, tool):
            await store.projects.save(one, new=True)

        async def found(**asked: object) -> list[str]:
            return [one.name for one in await store.projects.find(ProjectQuery(**asked))]  # type: ignore[arg-type]

        assert await found() == ["tool", "Straße"]
        assert await found(search="STRASSE") == ["Straße"]
        assert await found(search="100%_T") == ["tool"]
        assert await found(search="1000") == []
        assert await found(repositories=("git.example/ann/shop",)) == ["Straße"]
        assert await found(creator_ids=("user-2",), search="tool") == ["tool"]
        assert await found(creator_ids=("user-2",), ids=(shop.id,)) == []
        assert await store.projects.count(ProjectQuery()) == 2
        assert await store.projects.count(ProjectQuery(search="tool")) == 1

    async def test_pages_of_projects_follow_one_another(self, store: Store) -> None:
        known = [project(str(n)) for n in range(5)]
        for one in known:
            await store.projects.save(one, new=True)
        first = await store.projects.find(ProjectQuery(), limit=3)
        rest = await store.projects.find(ProjectQuery(), before=first[-1].id, limit=3)
        assert [one.name for one in (*first, *rest)] == ["4", "3", "2", "1", "0"]


class ProjectRuns(StoreSuite):
    """How long environments of projects ran."""

    async def test_only_the_time_within_the_period_counts_and_open_runs_count_to_now(self, store: Store) -> None:
        shop, tool = project("shop"), project("tool")
        for one in (shop, tool):
            await store.projects.save(one, new=True)
        use = store.project_use
        await use.began("env-1", shop.id, ANN, NOW)
        await use.began("env-1", shop.id, ANN, NOW + HOUR)
        await use.ended("env-1", NOW + 2 * HOUR)
        await use.ended("env-1", NOW + 3 * HOUR)
        await use.began("env-2", tool.id, BOT, NOW + HOUR)
        assert await use.top(NOW - HOUR, NOW + 9 * HOUR, NOW + 4 * HOUR) == (
            Usage(tool.id, 3 * 3600),
            Usage(shop.id, 2 * 3600),
        )
        cut = await use.top(NOW + 1.5 * HOUR, NOW + 2 * HOUR, NOW + 4 * HOUR)
        assert sorted(cut, key=lambda one: one.project) == [Usage(shop.id, 1800), Usage(tool.id, 1800)]
        assert await use.top(NOW - 2 * HOUR, NOW, NOW + 4 * HOUR) == ()
        assert await use.users((shop.id, tool.id), NOW + 3 * HOUR) == {tool.id: (BOT,)}
        assert await use.users((shop.id, tool.id), NOW) == {shop.id: (ANN,), tool.id: (BOT,)}

    async def test_an_environment_that_stops_and_starts_again_counts_both_times(self, store: Store) -> None:
        shop = project()
        await store.projects.save(shop, new=True)
        use = store.project_use
        for hours in (0, 2):
            await use.began("env-1", shop.id, ANN, NOW + hours * HOUR)
            await use.ended("env-1", NOW + (hours + 1) * HOUR)
        assert await use.top(NOW, NOW + 9 * HOUR, NOW + 9 * HOUR) == (Usage(shop.id, 2 * 3600),)

    async def test_a_deleted_project_takes_its_runs_along_and_begins_none(self, store: Store) -> None:
        shop = project()
        await store.projects.save(shop, new=True)
        await store.project_use.began("env-1", shop.id, ANN, NOW)
        assert await store.projects.delete(shop.id)
        await store.project_use.ended("env-1", NOW + HOUR)
        await store.project_use.began("env-2", shop.id, ANN, NOW)
        assert await store.project_use.top(NOW - HOUR, NOW + HOUR, NOW + HOUR) == ()


class HostTokenBook(StoreSuite):
    """Credentials for code hosts."""

    async def test_a_credential_reads_back_as_it_was_saved(self, store: Store) -> None:
        first = host_token()
        await store.host_tokens.save(first, new=True)
        assert await store.host_tokens.get(first.id) == first
        changed = first.changed(NOW + HOUR, "bmV3", None, ())
        await store.host_tokens.save(changed, new=False)
        assert await store.host_tokens.get(first.id) == changed
        assert await store.host_tokens.delete(first.id)
        assert not await store.host_tokens.delete(first.id)
        with pytest.raises(NotFound):
            await store.host_tokens.save(changed, new=False)

    async def test_a_subject_has_one_credential_for_a_host(self, store: Store) -> None:
        mine, theirs = host_token(), host_token(subject="user-2")
        for one in (mine, theirs, host_token("other.example")):
            await store.host_tokens.save(one, new=True)
        with pytest.raises(AlreadyExists, match="host"):
            await store.host_tokens.save(host_token(), new=True)
        assert await store.host_tokens.find(subject_id="user-2") == (theirs,)
        assert await store.host_tokens.find(runner="another") == ()
        assert len(await store.host_tokens.find(runner="runner-1")) == 3
        newest = await store.host_tokens.find(limit=1)
        assert len(await store.host_tokens.find(before=newest[0].id)) == 2
