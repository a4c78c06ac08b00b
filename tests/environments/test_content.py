import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hostler.core.errors import EnvironmentFailed
from hostler.core.machines import ExecResult, Exited, Operation, Output
from hostler.core.providers import EnvSpec, LocalRepository, NetworkPolicy, RemoteRepository, Scratch
from hostler.environments.content import Site, address_of, bring, explain
from hostler.environments.egress import Egress
from hostler.environments.local import local_provider
from hostler.testing.environments_suite import Work, text
from tests.environments.git_server import git, serving

pytestmark = pytest.mark.sandbox


@pytest.fixture
def original(root: Path) -> Path:
    """A repository with two commits, a branch, a tag and a pull request."""
    folder = root / "original"
    folder.mkdir()
    git(folder, "init", "-q")
    for name in ("one", "two"):
        (folder / f"{name}.txt").write_text(f"{name}\n")
        git(folder, "add", ".")
        git(folder, "commit", "-qm", name)
    git(folder, "tag", "-am", "tagged", "v1")
    git(folder, "checkout", "-qb", "topic/side")
    (folder / "side.txt").write_text("side\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "side")
    git(folder, "update-ref", "refs/pull/7/head", "HEAD")
    git(folder, "checkout", "-q", "main")
    return folder


@dataclass(frozen=True)
class Served:
    """A server of repositories on loopback."""

    port: int

    def url(self, path: str = "original/.git") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


@pytest.fixture
def served(original: Path) -> Iterator[Served]:
    git(original, "config", "uploadpack.allowAnySHA1InWant", "true")
    with serving(original.parent, smart=True) as port:
        yield Served(port)


Sites = Callable[[NetworkPolicy], Awaitable[tuple[Site, Work]]]


@pytest.fixture
async def sites(root: Path) -> AsyncIterator[Sites]:
    """Make environments with a network policy; returns the site and the execution at work there."""
    egress = Egress()
    provider = local_provider(root / "environments", ways=egress)

    async def make(policy: NetworkPolicy) -> tuple[Site, Work]:
        handle = await provider.create(EnvSpec("env", network=policy))
        await provider.start(handle)
        work = await Work.begin(provider.machine(handle))
        refused = lambda: egress.last_refusal("env")  # noqa: E731
        return Site(work.machine, Operation("work", 1, "bring"), work.incarnation, policy, refused), work

    (root / "environments").mkdir()
    (root / "environments").chmod(0o711)
    yield make
    async for handle in provider.list():
        await provider.delete(handle)
    await egress.close_all()


async def test_an_empty_workspace_is_empty(sites: Sites) -> None:
    site, work = await sites(NetworkPolicy())
    assert (await bring(site, Scratch())).base is None
    assert await work.machine.list() == []


async def test_a_clone_is_shallow_and_on_the_default_branch(sites: Sites, served: Served, original: Path) -> None:
    site, work = await sites(NetworkPolicy(private=(f"127.0.0.1:{served.port}",)))
    workspace = await bring(site, RemoteRepository(served.url()))
    assert (workspace.base, workspace.branch) == (git(original, "rev-parse", "main"), "main")
    assert text(await work.run("git rev-list --count HEAD; git status --porcelain; cat two.txt")) == "1\ntwo\n"
    again = await bring(site, RemoteRepository(served.url()))
    assert again == workspace
    await work.run("git fetch -q --unshallow 2>/dev/null; echo more > more.txt")
    assert b"more.txt" in (await work.machine.git_diff(workspace.base)).data


@pytest.mark.parametrize(
    ("ref", "branch", "commit"),
    [
        ("topic/side", "topic/side", "topic/side"),
        ("refs/heads/topic/side", "topic/side", "topic/side"),
        ("v1", None, "main"),
        ("refs/pull/7/head", "pull/7", "topic/side"),
        ("COMMIT", None, "topic/side"),
        ("SHORT", None, "main~1"),
    ],
)
async def test_a_ref_may_be_a_branch_tag_commit_or_pull_request(
    sites: Sites, served: Served, original: Path, ref: str, branch: str | None, commit: str
) -> None:
    expected = git(original, "rev-parse", f"{commit}^{{commit}}")
    ref = {"COMMIT": expected, "SHORT": expected[:10]}.get(ref, ref)
    site, _ = await sites(NetworkPolicy(private=("127.0.0.1",)))
    workspace = await bring(site, RemoteRepository(served.url(), ref))
    assert (workspace.base, workspace.branch) == (expected, branch)


async def test_a_server_of_plain_files_gives_the_whole_history(sites: Sites, original: Path) -> None:
    git(original, "update-server-info")
    with serving(original.parent, smart=False) as port:
        site, work = await sites(NetworkPolicy(private=("127.0.0.1",)))
        workspace = await bring(site, RemoteRepository(f"http://127.0.0.1:{port}/original/.git"))
    assert workspace.branch == "main"
    assert text(await work.run("git rev-list --count HEAD")) == "2\n"


async def test_what_goes_wrong_is_said_with_what_to_do(sites: Sites, served: Served) -> None:
    site, _ = await sites(NetworkPolicy(private=("127.0.0.1",), allow=("no-such-name.invalid",)))
    cases = {
        served.url("missing.git"): "There is no repository at",
        served.url("private/repository"): "not authenticated",
        "http://no-such-name.invalid/a": "cannot be resolved",
        "http://other.test/a": "Add other.test to the allowed hosts",
        "ftp://other.test/a": "is not an https or http address",
        "https://user:key@other.test/a": "user name and password",
    }
    for number, (url, message) in enumerate(cases.items()):
        step = Site(site.machine, Operation("work", 1, f"bring-{number}"), site.incarnation, site.network, site.refused)
        with pytest.raises(EnvironmentFailed, match=message):
            await bring(step, RemoteRepository(url))
    step = Site(site.machine, Operation("work", 1, "ref"), site.incarnation, site.network, site.refused)
    with pytest.raises(EnvironmentFailed, match="no branch, tag or commit 'nope'"):
        await bring(step, RemoteRepository(served.url(), "nope"))


def test_a_number_in_an_address_is_not_taken_for_a_status() -> None:
    said = b"fatal: repository 'http://127.0.0.1:40145/502/missing.git/' not found; returned error: 404"
    told = explain(ExecResult(Exited(128), err=Output(said)), "http://127.0.0.1:40145/502/missing.git", None)
    assert told.startswith("There is no repository at")
    said = b"CONNECT tunnel failed, response 403"
    assert "not authenticated" in explain(ExecResult(Exited(128), err=Output(said)), "https://a.test/404", None)


async def test_a_private_address_that_is_not_listed_is_explained(sites: Sites, served: Served) -> None:
    site, _ = await sites(NetworkPolicy(allow=(f"127.0.0.1:{served.port}",)))
    with pytest.raises(EnvironmentFailed, match="list the host in private_hosts"):
        await bring(site, RemoteRepository(served.url()))


def test_an_ssh_address_is_rewritten() -> None:
    assert address_of("git@host.test:group/repo.git") == "https://host.test/group/repo.git"
    assert address_of("ssh://git@host.test:22/group/repo") == "https://host.test/group/repo"


def snapshot(folder: Path) -> dict[str, bytes | str]:
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


async def test_uncommitted_changes_come_along_and_the_original_is_untouched(sites: Sites, original: Path) -> None:
    (original / "one.txt").write_text("changed\n")
    (original / "two.txt").unlink()
    (original / "staged.bin").write_bytes(os.urandom(2000))
    git(original, "add", "staged.bin")
    (original / "new").mkdir()
    (original / "new" / "script").write_text("#!/bin/sh\n")
    (original / "new" / "script").chmod(0o755)
    (original / ".gitignore").write_text("ignored\n")
    (original / "ignored").write_text("no\n")
    hook = original / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {original}/ran\n")
    hook.chmod(0o755)
    git(original, "config", "remote.origin.url", "https://host.test/group/repo.git")
    before = snapshot(original)
    site, work = await sites(NetworkPolicy())
    workspace = await bring(site, LocalRepository(str(original)))
    assert snapshot(original) == before
    assert workspace.notes == ("Uncommitted changes in 5 files came along as one commit on top.",)
    assert workspace.branch == "main"
    script = (
        "git rev-list --count HEAD; git status --porcelain; cat one.txt; ls -A; stat -c %a new/script;"
        " wc -c < staged.bin; git rev-parse HEAD~1; git config remote.origin.url; git for-each-ref | wc -l; ls .git"
    )
    lines = text(await work.run(script)).split()
    assert lines[:2] == ["3", "changed"]
    assert set(lines) >= {"755", "2000", git(original, "rev-parse", "main"), "https://host.test/group/repo.git"}
    assert not set(lines) & {"ignored", "two.txt", "hostler.bundle"}
    assert (await work.machine.git_diff(workspace.base)).data == b""


async def test_a_clean_repository_comes_as_it_is_and_a_ref_without_changes(sites: Sites, original: Path) -> None:
    site, work = await sites(NetworkPolicy())
    workspace = await bring(site, LocalRepository(str(original)))
    assert (workspace.base, workspace.notes) == (git(original, "rev-parse", "main"), ())
    (original / "one.txt").write_text("changed\n")
    other = Site(site.machine, Operation("work", 1, "second"), site.incarnation)
    await work.run("rm -rf .git *")
    workspace = await bring(other, LocalRepository(str(original), "topic/side"))
    assert (workspace.base, workspace.branch) == (git(original, "rev-parse", "topic/side"), "topic/side")
    assert text(await work.run("cat one.txt side.txt")) == "one\nside\n"


async def test_a_worktree_a_shallow_clone_and_a_repository_without_commits_work(
    sites: Sites, original: Path, root: Path
) -> None:
    git(original, "worktree", "add", "-q", str(root / "tree"), "topic/side")
    subprocess.run(["git", "clone", "-q", "--depth=1", f"file://{original}", str(root / "shallow")], check=True)
    (root / "unborn").mkdir()
    git(root / "unborn", "init", "-q")
    (root / "unborn" / "first.txt").write_text("first\n")
    (root / "void").mkdir()
    git(root / "void", "init", "-q")
    site, work = await sites(NetworkPolicy())
    for name, shown in (("tree", "side.txt"), ("shallow", "two.txt"), ("unborn", "first.txt"), ("void", "")):
        step = Site(site.machine, Operation("work", 1, name), site.incarnation)
        workspace = await bring(step, LocalRepository(str(root / name)))
        assert (workspace.base is None) is (name == "void")
        listed = text(await work.run("git status --porcelain; git log --oneline >/dev/null && ls; rm -rf .git *"))
        assert shown in listed


async def test_a_path_that_is_no_repository_is_said_so(sites: Sites, root: Path) -> None:
    (root / "plain").mkdir()
    site, _ = await sites(NetworkPolicy())
    for path, message in ((root / "plain", "is not a git repository"), (root / "absent", "There is no folder")):
        with pytest.raises(EnvironmentFailed, match=message):
            await bring(site, LocalRepository(str(path)))
    shutil.rmtree(root / "plain")
