import asyncio
import os
import subprocess
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hostler.core.errors import EnvironmentFailed
from hostler.core.kept import KeepRequest, OnPart, Snapshot
from hostler.core.machines import Machine
from hostler.core.providers import EnvSpec
from hostler.environments.keeping import KeptWork
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work, text
from tests.environments.git_server import git

pytestmark = pytest.mark.sandbox

BEGIN = "git init -q; echo one > one; echo two > two; mkdir sub; echo three > sub/three; git add .; git commit -qm base"
LIMIT = 32 << 20


@pytest.fixture
async def inside(root: Path) -> AsyncIterator[Work]:
    """A workspace without a repository."""
    provider = local_provider(root / "environments")
    (root / "environments").mkdir(mode=0o711)
    (root / "environments").chmod(0o711)
    handle = await provider.create(EnvSpec("env"))
    await provider.start(handle)
    yield await Work.begin(provider.machine(handle))
    await provider.delete(handle)


@pytest.fixture
def kept(root: Path) -> KeptWork:
    return KeptWork(root / "kept", LIMIT)


@pytest.fixture
def fresh(root: Path) -> Path:
    """A repository like the one inside, as its owner has it."""
    folder = root / "fresh"
    folder.mkdir()
    subprocess.run(["sh", "-c", BEGIN], cwd=folder, env={**os.environ, **NAMED}, check=True)
    return folder


NAMED = {f"GIT_{who}_{what}": "T" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


async def take(kept: KeptWork, machine: Machine, execution: str, turn: int, base: str) -> Snapshot:
    return (await kept.keep(machine, execution, turn, base, base, {})).snapshot


async def head(work: Work) -> str:
    return text(await work.run("git rev-parse HEAD")).strip()


async def begun(work: Work) -> str:
    """Make the repository inside and return its commit."""
    await work.run(BEGIN)
    return await head(work)


async def test_everything_that_changed_is_kept_and_the_repository_stays_as_it_is(
    inside: Work, kept: KeptWork, fresh: Path
) -> None:
    base = await begun(inside)
    change = (
        "echo more >> one; rm two; chmod +x sub/three; echo new > 'sub/a b'; head -c 3000 /dev/urandom > binary;"
        " ln -s one link; echo staged > staged; git add staged; git stash list; echo private > .ignored;"
        " echo .ignored > .gitignore; mkdir dep; echo x > dep/x; echo dep/ >> .gitignore"
    )
    await inside.run(change)
    look = "git status --porcelain; git for-each-ref; git stash list; find .git -type f | sort | xargs sha256sum"
    await inside.run(look)  # It writes the index that it reads.
    before = text(await inside.run(look))
    snapshot = await take(kept, inside.machine, "one", 1, base)
    assert text(await inside.run(look)) == before
    assert (snapshot.base, snapshot.head, snapshot.files) == (base, base, 8)
    assert snapshot.repository
    assert not snapshot.pushed
    assert snapshot.left_out == ("ignored by git: .ignored, dep/",)
    patch = await kept.diff("one", snapshot.base, snapshot.commit, LIMIT)
    subprocess.run(["git", "-C", str(fresh), "apply", "--whitespace=nowarn"], input=patch.data, check=True)
    assert (fresh / "one").read_text() == "one\nmore\n"
    assert not (fresh / "two").exists()
    assert os.access(fresh / "sub" / "three", os.X_OK)
    assert (fresh / "binary").stat().st_size == 3000
    assert os.readlink(fresh / "link") == "one"
    assert (fresh / "staged").exists()
    assert (fresh / "sub" / "a b").exists()
    assert not (fresh / ".ignored").exists()


async def test_unchanged_work_is_sent_once_and_new_work_alone(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("head -c 300000 /dev/urandom > large; git status >/dev/null")
    first = await take(kept, inside.machine, "one", 1, base)
    again = await take(kept, inside.machine, "one", 1, base)
    later = await take(kept, inside.machine, "one", 2, base)
    assert first.size > 300_000
    assert (again.commit, again.size) == (later.commit, later.size) == (first.commit, 0)
    await inside.run("echo more >> one")
    third = await take(kept, inside.machine, "one", 3, base)
    assert third.commit != first.commit
    assert 0 < third.size < 10_000
    assert third.files == 2
    other = await take(kept, inside.machine, "other", 1, base)
    assert (other.commit, other.size > 300_000) == (third.commit, True)
    assert b"large" in (await kept.diff("other", other.base, other.commit, LIMIT)).data


async def test_keeping_and_reading_the_same_work_at_once_disturb_nobody(
    inside: Work, kept: KeptWork, root: Path
) -> None:
    base = await begun(inside)
    await inside.run("head -c 9000000 /dev/urandom > large")
    (root / "kept").mkdir()
    (root / "kept" / "one.arriving").write_bytes(b"left by a server that was killed")
    found = await asyncio.gather(*(take(kept, inside.machine, "one", turn, base) for turn in (1, 1, 2)))
    assert len({one.commit for one in found}) == 1
    assert sorted(one.size > 0 for one in found) == [False, False, True]
    async with kept.packed("one") as first, kept.packed("one") as second:
        whole = first.read_bytes()
        assert second.read_bytes() == whole
        async with kept.packed("one"):
            pass
        assert first.read_bytes() == whole
    await kept.remove("one")
    assert not list((root / "kept").iterdir())


async def test_files_that_are_secret_are_not_kept(inside: Work, kept: KeptWork, root: Path) -> None:
    base, secret = await begun(inside), ("conf/.env", "two")
    await inside.run("mkdir conf; echo a-secret-value > conf/.env; echo a-secret-value > two")
    nothing = (await kept.keep(inside.machine, "one", 1, base, base, {}, secret)).snapshot
    assert (nothing.commit, nothing.files, nothing.pushed) == ("", 0, True)
    await inside.run("echo new > three")
    taken = (await kept.keep(inside.machine, "one", 2, base, base, {}, secret)).snapshot
    assert (taken.files, taken.left_out) == (1, ("secrets of the environment: two, conf/.env",))
    objects = ("git", "cat-file", "--batch", "--batch-all-objects")
    said = subprocess.run(objects, cwd=root / "kept" / "one.git", capture_output=True, check=True).stdout
    assert b"new" in said
    assert b"a-secret" not in said


async def test_kept_work_goes_past_the_servers_memory(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("head -c 20000000 /dev/urandom > large")
    await take(kept, inside.machine, "one", 1, base)
    tracemalloc.start()
    try:
        async with kept.packed("one") as pack:
            assert pack.stat().st_size > 20_000_000
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


async def test_work_that_changed_nothing_stores_nothing(inside: Work, kept: KeptWork, root: Path) -> None:
    base = await begun(inside)
    snapshot = await take(kept, inside.machine, "one", 1, base)
    assert (snapshot.commit, snapshot.files, snapshot.size) == ("", 0, 0)
    assert not list((root / "kept").glob("*"))


async def test_commits_of_the_agent_are_kept_and_what_was_pushed_is_told(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("git checkout -qb topic; echo more >> one; git commit -qam more; rm -rf sub; git commit -qam less")
    snapshot = await take(kept, inside.machine, "one", 1, base)
    assert (snapshot.head, snapshot.branch, snapshot.files, snapshot.pushed) == (await head(inside), "topic", 2, False)
    await inside.run("git update-ref refs/remotes/origin/topic HEAD")
    assert (await take(kept, inside.machine, "one", 2, base)).pushed
    await inside.run("echo after > after")
    assert not (await take(kept, inside.machine, "one", 3, base)).pushed


async def test_a_workspace_without_a_repository_is_kept_whole(inside: Work, kept: KeptWork) -> None:
    await inside.run("mkdir -p a/b; echo deep > a/b/c; head -c 100 /dev/zero > zeros")
    snapshot = await take(kept, inside.machine, "one", 1, "")
    assert (snapshot.files, snapshot.repository, snapshot.head) == (2, False, "")
    assert b"deep" in (await kept.diff("one", "", snapshot.commit, LIMIT)).data
    assert text(await inside.run("ls -A")).split() == ["a", "zeros"]
    await inside.run("git init -q")
    assert (await take(kept, inside.machine, "one", 2, "")).repository


async def test_what_is_too_large_or_a_repository_of_its_own_is_named(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("truncate -s 70M sparse; git init -q nested; echo in > nested/in; echo small > small")
    snapshot = await take(kept, inside.machine, "one", 1, base)
    assert snapshot.files == 1
    assert snapshot.left_out == ("larger than 64 MiB: sparse", "repositories of their own: nested/")


async def test_what_changed_in_a_submodule_is_named_for_it_is_not_kept(inside: Work, kept: KeptWork) -> None:
    await begun(inside)
    await inside.run("git clone -q . mod; git add mod; git commit -qm sub")
    base = await head(inside)
    await inside.run("echo x > x")
    assert (await take(kept, inside.machine, "one", 1, base)).left_out == ()
    await inside.run("echo changed > mod/one; echo y > y")
    snapshot = await take(kept, inside.machine, "one", 2, base)
    assert (snapshot.files, snapshot.left_out) == (2, ("changes in repositories of their own: mod",))
    await inside.run("git -C mod commit -qam inner")
    snapshot = await take(kept, inside.machine, "one", 3, base)
    assert (snapshot.files, snapshot.left_out) == (3, ("changes in repositories of their own: mod",))


async def test_more_than_fits_is_refused_in_words(inside: Work, root: Path) -> None:
    base = await begun(inside)
    await inside.run("head -c 3000000 /dev/urandom > large")
    with pytest.raises(EnvironmentFailed, match="too large to be kept: 2 MiB"):
        await take(KeptWork(root / "kept", 1 << 20), inside.machine, "one", 1, base)
    assert not list((root / "kept").glob("*"))


async def test_a_base_that_is_gone_a_split_index_and_a_worktree_do_no_harm(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("git update-index --split-index; echo more >> one")
    assert (await take(kept, inside.machine, "one", 1, base)).files == 1
    await inside.run("rm -rf .git; git init -q; git add one; git commit -qm anew")
    snapshot = await take(kept, inside.machine, "one", 2, base)
    assert (snapshot.base, snapshot.files) == ("", 3)
    await inside.run("mv .git /home/agent/elsewhere; echo 'gitdir: /home/agent/elsewhere' > .git; echo x > x")
    assert (await take(kept, inside.machine, "one", 3, base)).files == 4


async def test_expired_and_removed_work_is_gone(inside: Work, kept: KeptWork) -> None:
    base = await begun(inside)
    await inside.run("echo more >> one")
    for execution in ("one", "two"):
        snapshot = await take(kept, inside.machine, execution, 1, base)
    assert await kept.expire(datetime.now(UTC) - timedelta(hours=1)) == ()
    await kept.remove("one")
    assert not await kept.has("one", snapshot.commit)
    assert await kept.expire(datetime.now(UTC) + timedelta(hours=1)) == ("two",)
    with pytest.raises(EnvironmentFailed, match="not there any more"):
        await kept.diff("two", base, snapshot.commit, LIMIT)


class Liar:
    """A machine whose supervisor was taken over."""

    def __init__(self, snapshot: Snapshot, data: bytes) -> None:
        self._snapshot = snapshot
        self._data = data

    async def git_keep(self, request: KeepRequest, on_part: OnPart) -> Snapshot:
        await on_part(self._data)
        return self._snapshot


def packed(folder: Path, *objects: str) -> bytes:
    names = "".join(f"{one}\n" for one in objects).encode()
    return subprocess.run(
        ["git", "-C", str(folder), "pack-objects", "-q", "--stdout"], input=names, capture_output=True, check=True
    ).stdout


async def test_a_supervisor_that_lies_keeps_nothing_and_names_no_program(
    kept: KeptWork, fresh: Path, root: Path
) -> None:
    commit = git(fresh, "rev-parse", "HEAD")
    blob = git(fresh, "rev-parse", "HEAD:one")
    (fresh / "bad").write_bytes(b"100644 .git\0" + bytes.fromhex(blob))
    tree = git(fresh, "hash-object", "-t", "tree", "--literally", "-w", "bad")
    cases = {
        b"no pack at all": commit,
        packed(fresh, blob): commit,  # The commit is not in it.
        packed(fresh, blob)[:-5]: blob,
        packed(fresh, blob, commit): blob,  # Not a commit.
        packed(fresh, tree, commit): commit,  # A tree that would write into .git.
    }
    for data, claimed in cases.items():
        liar = Liar(Snapshot(claimed, "", "", "", True, 1, False, (), len(data)), data)
        with pytest.raises(EnvironmentFailed):
            await take(kept, liar, "one", 1, "")  # pyright: ignore[reportArgumentType]
    silent = Liar(Snapshot(commit, "", "", "", True, 1, False, (), 0), b"")
    with pytest.raises(EnvironmentFailed, match="sent nothing"):
        await take(kept, silent, "two", 1, "")  # pyright: ignore[reportArgumentType]
    assert not list((root / "kept").glob("*/refs/hostler/*"))
