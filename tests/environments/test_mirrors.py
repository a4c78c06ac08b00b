import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hostler.core.ambient import SystemAmbient
from hostler.core.providers import EnvSpec, NetworkPolicy, RemoteRepository, Workspace
from hostler.environments.egress import Egress
from hostler.environments.mirrors import Mirrors, Wanted
from hostler.environments.registry import Outside
from hostler.testing.environments_suite import Work, text
from tests.environments.git_server import git, serving

pytestmark = pytest.mark.sandbox


@pytest.fixture
def original(root: Path) -> Path:
    folder = root / "original"
    folder.mkdir()
    git(folder, "init", "-q")
    for name in ("one", "two"):
        (folder / name).write_text(f"{name}\n")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", name)
    return folder


@pytest.fixture
def port(original: Path) -> Iterator[int]:
    git(original, "config", "uploadpack.allowAnySHA1InWant", "true")
    with serving(original.parent, smart=True) as port:
        yield port


@dataclass
class Places:
    """Environments that clone, and their mirrors."""

    outside: Outside
    url: str
    policy: NetworkPolicy
    made: int = 0

    async def clone(self, ref: str | None = None) -> tuple[Workspace, Work]:
        self.made += 1
        spec = EnvSpec(f"env-{self.made}", network=self.policy, source=RemoteRepository(self.url, ref))
        handle = await self.outside.provider.create(spec)
        await self.outside.provider.start(handle)
        machine = self.outside.machine(handle)
        workspace = await self.outside.bring(machine, spec, 0)
        await self.outside.mirrors.settled()
        return workspace, await Work.begin(machine)


@pytest.fixture
async def places(root: Path, port: int) -> AsyncIterator[Places]:
    (root / "data" / "environments").mkdir(parents=True)
    for folder in (root / "data", root / "data" / "environments"):
        folder.chmod(0o711)
    outside = Outside("bubblewrap", root / "data" / "environments", {}, mirror_bytes=1 << 30)
    policy = NetworkPolicy((f"127.0.0.1:{port}",), (f"127.0.0.1:{port}",))
    yield Places(outside, f"http://127.0.0.1:{port}/original/.git", policy)
    async for handle in outside.provider.list():
        await outside.provider.delete(handle)
    await outside.close()


def generations(root: Path) -> list[Path]:
    return sorted((root / "data" / "mirrors").glob("*/seen/*.git"))


async def test_a_second_clone_borrows_what_the_first_one_left_in_the_mirror(
    places: Places, original: Path, root: Path
) -> None:
    _, first = await places.clone()
    assert text(await first.run("git rev-list --count HEAD; cat .git/objects/info/alternates 2>&1")).startswith("1\n")
    (original / "three").write_text("three\n")
    git(original, "add", ".")
    git(original, "commit", "-qm", "three")
    workspace, second = await places.clone()
    assert workspace.base == git(original, "rev-parse", "HEAD")
    assert text(await second.run("git rev-list --count HEAD; git status --porcelain; cat three")) == "3\nthree\n"
    (mirror,) = generations(root)
    assert text(await second.run("cat .git/objects/info/alternates")) == f"/run/hostler/mirror/{mirror.name}/objects\n"
    assert text(await second.run("touch /run/hostler/mirror/x 2>&1 || echo refused")).endswith("refused\n")
    assert text(await second.run("git commit -q --allow-empty -m mine && git fsck 2>&1 && echo whole")) == "whole\n"


async def test_what_an_environment_borrows_is_there_after_every_start(places: Places) -> None:
    await places.clone()
    await places.clone()
    provider = places.outside.provider
    spec = EnvSpec("env-2", network=places.policy, source=RemoteRepository(places.url))
    handle = await provider.create(spec)
    for variables in ({}, {"CHANGED": "since"}):
        await provider.stop(handle)
        await provider.create(replace(spec, env=variables))
        await provider.start(handle)
        work = await Work.begin(provider.machine(handle))
        assert text(await work.run("git fsck 2>&1 && git log --format=%s && echo $CHANGED")).split() == [
            "two",
            "one",
            *variables.values(),
        ]


async def test_a_mirror_holds_what_its_own_credential_may_see(places: Places, root: Path) -> None:
    await places.clone()
    await places.clone()
    assert len(generations(root)) == 1
    one = Wanted(places.url, "", "", places.policy)
    assert len({one.key, replace(one, identity="a").key, replace(one, url=f"{places.url}x").key}) == 3


async def test_a_host_that_is_not_allowed_is_not_mirrored_either(places: Places, root: Path) -> None:
    spec = EnvSpec("other", network=NetworkPolicy(), source=RemoteRepository(places.url))
    await places.outside.provider.create(spec)
    assert not (root / "data" / "mirrors").exists()


async def test_what_a_mirror_does_not_hold_yet_comes_from_the_remote(
    places: Places, root: Path, original: Path
) -> None:
    await places.clone()
    (mirror,) = generations(root)
    wanted = Wanted("http://127.0.0.1:9/gone", "", "", places.policy)
    assert await places.outside.mirrors.ready(wanted) == ""
    git(original, "checkout", "-qb", "topic")
    (original / "topic").write_text("topic\n")
    git(original, "add", ".")
    git(original, "commit", "-qm", "topic")
    workspace, work = await places.clone("topic")
    assert (workspace.branch, text(await work.run("cat topic"))) == ("topic", "topic\n")
    assert generations(root) == [mirror]


async def test_a_damaged_mirror_is_followed_by_another_and_the_clone_goes_on_without(
    places: Places, root: Path
) -> None:
    await places.clone()
    (mirror,) = generations(root)
    for pack in (*mirror.glob("objects/pack/*.pack"), *mirror.glob("objects/??/*")):
        pack.chmod(0o644)
        pack.write_bytes(b"damaged")
    _, work = await places.clone()
    assert text(await work.run("cat two; git fsck 2>&1 && echo whole")) == "two\nwhole\n"
    assert len(generations(root)) == 2
    _, work = await places.clone()
    newest = next(one for one in generations(root) if one != mirror)
    assert newest.name in text(await work.run("cat .git/objects/info/alternates"))


async def test_locks_that_a_killed_fetch_left_do_not_stop_the_next_one(
    root: Path, places: Places, original: Path
) -> None:
    await places.clone()
    (mirror,) = generations(root)
    for name in ("packed-refs.lock", "refs/heads/main.lock", "refs/heads/master.lock", "shallow.lock"):
        (mirror / name).touch()
    (mirror / "objects" / "pack" / "tmp_pack_left").write_bytes(b"half of one")
    git(original, "commit", "-q", "--allow-empty", "-m", "three")
    wanted = Wanted(places.url, "", "", places.policy)
    again = Mirrors(root / "data" / "mirrors", Egress(), 1 << 30, SystemAmbient(), lives=lambda _: True)
    assert await again.ready(wanted) == mirror.name
    await again.settled()
    assert git(mirror, "rev-parse", "--verify", git(original, "rev-parse", "HEAD"))
    assert not list(mirror.glob("objects/pack/tmp_*"))


async def test_a_slow_mirror_is_borrowed_from_as_it_is_and_brought_up_to_date_meanwhile(
    root: Path, places: Places, original: Path
) -> None:
    await places.clone()
    (mirror,) = generations(root)
    git(original, "commit", "-q", "--allow-empty", "-m", "three")
    wanted = Wanted(places.url, "", "", places.policy)
    folder = root / "data" / "mirrors"
    slow = Mirrors(folder, Egress(), 1 << 30, SystemAmbient(), lives=lambda _: True, update_seconds=0)
    assert await slow.ready(wanted) == mirror.name
    await slow.settled()
    assert git(mirror, "rev-parse", "--verify", git(original, "rev-parse", "HEAD"))


async def test_an_environment_that_saw_another_mirror_borrows_from_none(places: Places, root: Path) -> None:
    await places.clone()
    spec = EnvSpec("env-2", network=places.policy, source=RemoteRepository(places.url))
    handle = await places.outside.provider.create(replace(spec, source=RemoteRepository(f"{places.url}/other")))
    await places.outside.provider.start(handle)
    machine = places.outside.machine(handle)
    await places.outside.bring(machine, spec, 0)
    work = await Work.begin(machine)
    assert text(await work.run("cat .git/objects/info/alternates 2>&1; git fsck 2>&1 && echo whole")).endswith(
        "No such file or directory\nwhole\n"
    )


async def test_an_environment_that_is_only_being_made_holds_its_mirror_too(root: Path) -> None:
    alive: set[str] = set()
    mirrors = Mirrors(root / "mirrors", Egress(), 1, SystemAmbient(), lives=alive.__contains__)
    folder = mirrors.use("k" * 40, "env")
    (folder / "one.git").mkdir()
    (folder / "one.git" / "large").write_bytes(b"more than fits")
    await mirrors.prune()
    assert (folder / "one.git" / "large").exists()
    alive.add("env")
    await mirrors.prune()
    assert (folder / "one.git" / "large").exists()


async def test_mirrors_that_nobody_borrows_from_go_the_longest_unused_first(
    root: Path, original: Path, port: int
) -> None:
    policy = NetworkPolicy((f"127.0.0.1:{port}",), (f"127.0.0.1:{port}",))
    living: set[str] = set()
    egress = Egress()
    mirrors = Mirrors(root / "mirrors", egress, 1, SystemAmbient(), lives=living.__contains__)
    shutil.copytree(original, root / "second")
    url: Callable[[str], str] = lambda name: f"http://127.0.0.1:{port}/{name}/.git"  # noqa: E731
    first, second = (Wanted(url(name), "", "", policy) for name in ("original", "second"))
    mirrors.use(first.key, "env")
    living.add("env")
    for wanted in (first, second):
        mirrors.begin(wanted)
        await mirrors.settled()
    assert [bool(await mirrors.ready(one)) for one in (first, second)] == [True, False]
    living.clear()
    long_ago = 1_000_000
    os.utime(root / "mirrors" / first.key / "users" / "env", (long_ago, long_ago))
    await mirrors.prune()
    assert await mirrors.ready(first) == ""
    await egress.close_all()


async def test_nobody_uses_the_way_of_a_mirror_without_its_word(root: Path, port: int, original: Path) -> None:
    seen: list[str] = []

    class Way:
        """Looks at who comes while the way is open."""

        async def open(self, environment: str, folder: Path, uid: int, policy: NetworkPolicy) -> None:
            seen.append(environment)

        async def close(self, environment: str) -> None:
            seen.append("closed")

    mirrors = Mirrors(root / "mirrors", Way(), 1 << 30, SystemAmbient(), lives=lambda _: True)
    wanted = Wanted(f"http://127.0.0.1:{port}/original/.git", "me", "", NetworkPolicy())
    mirrors.begin(wanted)
    await mirrors.settled()
    assert seen == [f"mirror-{wanted.key}", "closed"]
    assert (await mirrors.ready(wanted), mirrors.subjects) == ("", {})
    done = subprocess.run(["git", "-C", str(original), "log", "--format=%s"], capture_output=True, check=True)
    assert done.stdout.split() == [b"two", b"one"]
