"""The prompt library, the tokens, the rows of environments, the blobs, and kept work."""

# ruff: noqa: D102 - the names of the tests say what they show

import asyncio
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from hostler.core.errors import AlreadyExists, Conflict, FailedPrecondition, InvalidArgument, NotFound
from hostler.core.ports import ApiToken, EnvironmentRow, Principal
from hostler.core.prompts import Prompt, PromptQuery
from hostler.store import Store
from hostler.testing.store_suite.scene import NOW, StoreSuite, new_id


def prompt(name: str = "name", command: str = "", *, template: bool = False, description: str = "") -> Prompt:
    """Return a prompt with a fresh id."""
    return Prompt(
        id=new_id(),
        name=name,
        description=description,
        prompt="Do it.\n😀",
        is_template=template,
        is_command=bool(command),
        command=command,
        is_skill=False,
        creator_id="user-1",
        creator_kind="user",
        created_at=NOW,
        updated_at=NOW + timedelta(microseconds=1),
    )


class PromptLibrary(StoreSuite):
    """Prompts."""

    async def test_a_prompt_reads_back_as_it_was_saved(self, store: Store) -> None:
        first = prompt("Review", "review", template=True)
        await store.prompts.save(first, new=True)
        assert await store.prompts.get(first.id) == first
        changed = replace(first, name="Review!", command="check", is_skill=True)
        await store.prompts.save(changed, new=False)
        assert await store.prompts.get(first.id) == changed
        assert await store.prompts.delete(first.id)
        assert not await store.prompts.delete(first.id)
        assert await store.prompts.get(first.id) is None

    async def test_a_command_belongs_to_one_prompt_whatever_its_case(self, store: Store) -> None:
        first, second = prompt("a", "Straße"), prompt("b", "other")
        await store.prompts.save(first, new=True)
        await store.prompts.save(second, new=True)
        with pytest.raises(AlreadyExists):
            await store.prompts.save(prompt("c", "STRASSE"), new=True)
        with pytest.raises(AlreadyExists):
            await store.prompts.save(replace(second, command="strasse"), new=False)
        await store.prompts.save(replace(first, command="STRASSE"), new=False)
        assert len(await store.prompts.find(PromptQuery())) == 2

    async def test_of_ten_prompts_at_once_with_one_command_one_is_kept(self, store: Store) -> None:
        saves = (store.prompts.save(prompt(str(n), "go"), new=True) for n in range(10))
        answers = await asyncio.gather(*saves, return_exceptions=True)
        assert answers.count(None) == 1
        assert len(await store.prompts.find(PromptQuery())) == 1

    async def test_many_prompts_have_no_command(self, store: Store) -> None:
        for _ in range(3):
            await store.prompts.save(prompt(), new=True)
        assert len(await store.prompts.find(PromptQuery())) == 3

    async def test_a_prompt_that_is_gone_is_not_changed_and_one_that_is_there_not_made(self, store: Store) -> None:
        first = prompt()
        with pytest.raises(NotFound):
            await store.prompts.save(first, new=False)
        await store.prompts.save(first, new=True)
        with pytest.raises(AlreadyExists):
            await store.prompts.save(first, new=True)

    async def test_a_text_that_no_column_can_hold_is_refused(self, store: Store) -> None:
        for text in ("NUL \0", "half \ud83d"):
            with pytest.raises(InvalidArgument, match="description"):
                await store.prompts.save(prompt(description=text), new=True)
        assert await store.prompts.find(PromptQuery()) == ()

    async def test_search_folds_case_and_takes_every_character_as_itself(self, store: Store) -> None:
        saved = {
            "percent": prompt("100% sure"),
            "number": prompt("100 sure"),
            "under": prompt("x", description="snake_case"),
            "dash": prompt("x", description="snakeXcase"),
            "umlaut": prompt("ÜBERSICHT"),
            "command": prompt("x", "Fix-It"),
            "slash": prompt("a\\b /c"),
        }
        for one in saved.values():
            await store.prompts.save(one, new=True)
        for text, names in (
            ("0% S", ["percent"]),
            ("SNAKE_c", ["under"]),
            ("übersicht", ["umlaut"]),
            ("fix-", ["command"]),
            ("\\", ["slash"]),
            ("/", ["slash"]),
            ("%", ["percent"]),
            ("_", ["under"]),
            ("sure", ["number", "percent"]),
            ("nowhere", []),
        ):
            found = await store.prompts.find(PromptQuery(search=text))
            assert [one.id for one in found] == [saved[name].id for name in names], text

    async def test_filters_and_pages(self, store: Store) -> None:
        saved = [prompt(str(n), f"cmd_{n}" if n % 2 else f"cmdx{n}", template=n < 2) for n in range(6)]
        for one in saved:
            await store.prompts.save(one, new=True)
        ids = [one.id for one in saved]
        for query, wanted in (
            (PromptQuery(is_template=True), [1, 0]),
            (PromptQuery(is_command=True), [5, 4, 3, 2, 1, 0]),
            (PromptQuery(is_skill=True), []),
            (PromptQuery(command="CMD_3"), [3]),
            (PromptQuery(command="cmd_"), []),
            (PromptQuery(command_prefix="cmd_"), [5, 3, 1]),
            (PromptQuery(command_prefix="cmd", is_template=True), [1, 0]),
        ):
            assert [one.id for one in await store.prompts.find(query)] == [ids[n] for n in wanted]
        page = await store.prompts.find(PromptQuery(), ids[4], 3)
        assert [one.id for one in page] == [ids[3], ids[2], ids[1]]


class TokenBook(StoreSuite):
    """API tokens."""

    def token(self, n: int, principal: Principal) -> ApiToken:
        """Return a token."""
        at = NOW + timedelta(seconds=n)
        return ApiToken(new_id(), sha256(bytes([n])).hexdigest(), principal, f"token {n}", "all", at, at)

    async def test_tokens_are_found_by_hash_and_revoked_by_id(self, store: Store) -> None:
        user, bot = Principal("u", "user", "U", role="admin"), Principal("b", "service_account", "B")
        tokens = [self.token(1, user), self.token(2, bot), replace(self.token(3, user), expires_at=None, scope="read")]
        for token in tokens:
            await store.tokens.add(token)
        assert await store.tokens.find() == tuple(tokens[::-1])
        assert await store.tokens.by_sha256(tokens[1].sha256) == tokens[1]
        later = NOW + timedelta(days=1)
        await store.tokens.used(tokens[1].id, later)
        assert await store.tokens.by_sha256(tokens[1].sha256) == replace(tokens[1], last_used_at=later)
        await store.tokens.used("nobody", later)
        assert await store.tokens.revoke(tokens[1].id)
        assert not await store.tokens.revoke(tokens[1].id)
        assert await store.tokens.by_sha256(tokens[1].sha256) is None

    async def test_a_token_is_added_once(self, store: Store) -> None:
        token = self.token(1, Principal("u", "user", "U"))
        await store.tokens.add(token)
        for again in (token, replace(token, id=new_id()), replace(self.token(2, token.principal), id=token.id)):
            with pytest.raises(AlreadyExists):
                await store.tokens.add(again)
        assert await store.tokens.find() == (token,)

    async def test_a_principal_stays_as_it_was_first_written(self, store: Store) -> None:
        await store.tokens.add(self.token(1, Principal("u", "user", "U", role="admin")))
        await store.tokens.add(self.token(2, Principal("u", "user", "somebody else")))
        assert {token.principal for token in await store.tokens.find()} == {Principal("u", "user", "U", role="admin")}


def environment(runner: str = "runner-1", phase: str = "creating") -> EnvironmentRow:
    """Return a new environment's row."""
    return EnvironmentRow(
        id=new_id(),
        runner=runner,
        phase=phase,
        version=0,
        class_id="small",
        name="name",
        creator_id="user-1",
        created_at=NOW,
        last_used_at=NOW,
        spec={"text": "NUL \0 and half a pair \ud83d", "deep": {"list": [1, None]}},
        handle=None,
        status={},
    )


class EnvironmentBook(StoreSuite):
    """Rows of environments."""

    async def test_a_row_reads_back_with_the_next_version(self, store: Store) -> None:
        first = environment()
        saved = await store.environments.save(first)
        assert saved == replace(first, version=1) == await store.environments.get(first.id)
        changed = replace(saved, phase="running", handle={"pid": 1}, status={"a": "b"}, owner_execution="x")
        assert await store.environments.save(changed) == replace(changed, version=2)
        assert await store.environments.get(first.id) == replace(changed, version=2)

    async def test_a_write_from_an_older_version_is_refused(self, store: Store) -> None:
        first = await store.environments.save(environment())
        second = await store.environments.save(replace(first, phase="running"))
        for stale in (replace(first, phase="stopped"), replace(first, version=0), replace(first, version=7)):
            with pytest.raises(Conflict):
                await store.environments.save(stale)
        assert await store.environments.get(first.id) == second
        await store.environments.remove(first.id)
        with pytest.raises(Conflict):
            await store.environments.save(second)

    async def test_of_ten_writers_at_once_one_wins(self, store: Store) -> None:
        row = await store.environments.save(environment())
        saves = (store.environments.save(replace(row, name=str(n))) for n in range(10))
        answers = await asyncio.gather(*saves, return_exceptions=True)
        assert sum(isinstance(answer, EnvironmentRow) for answer in answers) == 1

    async def test_filters_and_pages(self, store: Store) -> None:
        rows = [
            await store.environments.save(environment(f"runner-{n % 2}", "running" if n < 3 else "stopped"))
            for n in range(6)
        ]
        for found, wanted in (
            (await store.environments.find(), [5, 4, 3, 2, 1, 0]),
            (await store.environments.find(runner="runner-1"), [5, 3, 1]),
            (await store.environments.find(phases=["running", "creating"]), [2, 1, 0]),
            (await store.environments.find(runner="runner-0", phases=["stopped"]), [4]),
            (await store.environments.find(before=rows[3].id, limit=2), [2, 1]),
        ):
            assert list(found) == [rows[n] for n in wanted]

    async def test_uses_are_noted_once_and_released(self, store: Store) -> None:
        row = await store.environments.save(environment())
        for execution in ("b", "a", "b"):
            await store.environments.use(row.id, execution, NOW)
        assert await store.environments.users(row.id) == ("a", "b")
        for _ in range(2):
            await store.environments.release(row.id, "a")
        assert await store.environments.users(row.id) == ("b",)
        await store.environments.remove(row.id)
        await store.environments.remove(row.id)
        assert await store.environments.users(row.id) == ()

    async def test_a_use_that_comes_between_makes_a_removal_look_again(self, store: Store) -> None:
        row = await store.environments.save(environment())
        await store.environments.use(row.id, "a", NOW)
        with pytest.raises(Conflict):
            await store.environments.save(replace(row, phase="deleting"))
        seen = await store.environments.get(row.id)
        assert seen is not None
        await store.environments.use(row.id, "a", NOW)
        await store.environments.release(row.id, "nobody")
        await store.environments.save(replace(seen, phase="deleting"))
        await store.environments.use(row.id, "a", NOW)
        with pytest.raises(FailedPrecondition):
            await store.environments.use(row.id, "b", NOW)
        with pytest.raises(NotFound):
            await store.environments.use(new_id(), "b", NOW)


class BlobBook(StoreSuite):
    """Blobs."""

    async def test_bytes_read_back_by_their_sha256(self, store: Store) -> None:
        for data in (b"", b"\0\xff", b"x" * 3_000_000):
            name = await store.blobs.put("e", data)
            assert name == sha256(data).hexdigest()
            assert await store.blobs.put("e", data) == name
            assert await store.blobs.get(name) == data
        for odd in ("", "../../etc/passwd", sha256(b"never").hexdigest()):
            assert await store.blobs.get(odd) is None

    async def test_a_purge_spares_what_somebody_else_names(self, store: Store) -> None:
        own, shared = await store.blobs.put("e", b"own"), await store.blobs.put("e", b"shared")
        assert (await store.blobs.get(own, "e"), await store.blobs.get(own, "f")) == (b"own", None)
        await store.blobs.put("f", b"shared")
        for _ in range(2):
            await store.blobs.purge("e")
        assert await store.blobs.get(own) is None
        assert await store.blobs.get(shared) == b"shared"
        await store.blobs.purge("f")
        assert await store.blobs.get(shared) is None

    async def test_a_put_beside_a_purge_of_the_same_bytes_is_there(self, store: Store) -> None:
        for n in range(10):
            await store.blobs.put("old", b"same")
            name, _ = await asyncio.gather(store.blobs.put(f"new-{n}", b"same"), store.blobs.purge("old"))
            assert await store.blobs.get(name) == b"same"
            await store.blobs.purge(f"new-{n}")


class BundleBook(StoreSuite):
    """Kept work for other machines."""

    async def test_a_file_reads_back_whole_and_the_last_one_counts(self, store: Store, tmp_path: Path) -> None:
        execution, out = await self.begin(store), tmp_path / "out"
        assert not await store.bundles.load(execution, out)
        assert not out.exists()
        for data in (b"", b"x" * (1 << 20), bytes(range(256)) * 10_000, b"small"):
            (tmp_path / "in").write_bytes(data)
            for _ in range(2):
                await store.bundles.save(execution, tmp_path / "in")
            assert await store.bundles.load(execution, out)
            assert out.read_bytes() == data

    async def test_it_can_be_removed_and_goes_with_its_execution(self, store: Store, tmp_path: Path) -> None:
        execution, file = await self.begin(store), tmp_path / "in"
        file.write_bytes(b"work")
        await store.bundles.save(execution, file)
        for _ in range(2):
            await store.bundles.remove(execution)
        assert not await store.bundles.load(execution, tmp_path / "out")
        await store.bundles.save(execution, file)
        await store.executions.purge(execution)
        assert not await store.bundles.load(execution, tmp_path / "out")
        with pytest.raises(NotFound):
            await store.bundles.save(execution, file)

    async def test_who_loads_while_another_is_saved_gets_one_of_them_whole(self, store: Store, tmp_path: Path) -> None:
        execution, sizes = await self.begin(store), (3 << 20, 2 << 20)
        for name, size in zip("ab", sizes, strict=True):
            (tmp_path / name).write_bytes(name.encode() * size)
        await store.bundles.save(execution, tmp_path / "a")
        for name in "baba":
            out = tmp_path / "out"
            _, found = await asyncio.gather(
                store.bundles.save(execution, tmp_path / name), store.bundles.load(execution, out)
            )
            assert found
            assert out.read_bytes() in [one.encode() * size for one, size in zip("ab", sizes, strict=True)]
