"""Setup results of one environment for the next one like it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostler.core.desk import SecretMount
from hostler.core.providers import LocalRepository
from hostler.engine.setups import Setups
from hostler.environments.overlays import Overlays
from hostler.store.opening import Store
from tests.engine.homes import Home, home_in
from tests.environments.git_server import git

INSTALL = "python3 -m venv --without-pip .venv"
MARK = "echo ran >> $HOME/ran; mkdir -p build; echo made > build/made"
KEPT = "setup commands were not run"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with home_in(tmp_path) as home:
        follow(home, 1 << 30)
        yield home


def follow(home: Home, limit: int) -> None:
    store: Store = home.store
    overlays = Overlays(home.place / "setups", limit)
    home.environments.follow(
        Setups(store.environments, store.environment_logs, overlays, home.classes, home.ambient, home.redactor)
    )


@pytest.fixture
def project(tmp_path: Path) -> LocalRepository:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "requirements.txt").write_text("click==8.1\n")
    (folder / ".gitignore").write_text("build\n.venv\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return LocalRepository(str(folder))


def commit(project: LocalRepository, name: str, text: str) -> None:
    (Path(project.path) / name).write_text(text)
    git(Path(project.path), "add", ".")
    git(Path(project.path), "commit", "-qm", name)


async def test_what_the_setup_made_is_brought_back_and_not_made_again(home: Home, project: LocalRepository):
    first = await home.up(project, setup=(MARK,))
    assert "what the setup made is kept" in await home.log(first.id)
    second = await home.up(project, setup=(MARK,))
    assert f"1 {KEPT}" in await home.log(second.id)
    assert await home.said(second.id, "cat build/made $HOME/ran; git status --porcelain; ls -A") == (
        "made\nran\n.git\n.gitignore\nbuild\nrequirements.txt\n"
    )
    await home.environments.stop(second.id)
    await home.environments.start(second.id)
    await home.environments.settled()
    assert await home.said(second.id, "cat $HOME/ran") == "ran\n"


async def test_installing_depends_on_the_files_that_say_what_and_anything_else_on_the_commit(
    home: Home, project: LocalRepository
):
    for setup, told in (((INSTALL,), True), ((MARK,), False), ((f"{INSTALL} && {MARK}",), False)):
        await home.up(project, setup=setup)
        commit(project, "code.py", f"setup = {setup!r}\n")
        row = await home.up(project, setup=setup)
        assert (KEPT in await home.log(row.id)) is told, setup
    commit(project, "requirements.txt", "click==8.2\n")
    assert KEPT not in await home.log((await home.up(project, setup=(INSTALL,))).id)


@pytest.mark.parametrize(
    "setup",
    [
        f"{INSTALL} & echo made > made",
        f"{INSTALL} | cat",
        f"{INSTALL} $(true)",
        f"{INSTALL} `true`",
        "pip install . ; cd .",
        "pip3 install ./lib ; cd .",
        "python3 -m pip install --no-deps lib/ ; cd .",
        "pip install -e lib ; cd .",
    ],
)
async def test_what_may_depend_on_any_file_is_the_result_for_one_commit(
    home: Home, project: LocalRepository, setup: str
):
    commit(project, "code.py", "one\n")
    await home.up(project, setup=(setup,))
    commit(project, "code.py", "two\n")
    row = await home.up(project, setup=(setup,))
    assert KEPT not in await home.log(row.id)


async def test_scripts_of_a_package_may_depend_on_any_file(home: Home, project: LocalRepository):
    commit(project, "package.json", '{"scripts": {"postinstall": "cp code.py made"}}')
    npm = "npm install --version; cd ."
    await home.up(project, setup=(npm,))
    commit(project, "code.py", "two\n")
    assert KEPT not in await home.log((await home.up(project, setup=(npm,))).id)
    commit(project, "package.json", '{"scripts": {"test": "true"}}')
    await home.up(project, setup=(npm,))
    commit(project, "code.py", "three\n")
    assert KEPT in await home.log((await home.up(project, setup=(npm,))).id)


@pytest.mark.parametrize(
    "setup",
    [
        "git config core.hooksPath hooks",
        "mkdir -p .git/hooks && echo true > .git/hooks/pre-commit",
        "git checkout -q -b other",
        "git tag here",
    ],
)
async def test_a_setup_that_changed_the_repository_itself_is_run_every_time(
    home: Home, project: LocalRepository, setup: str
):
    for _ in range(2):
        row = await home.up(project, setup=(setup,))
        assert KEPT not in await home.log(row.id)


async def test_variables_of_the_class_do_not_share(home: Home, project: LocalRepository):
    await home.up(project, setup=(MARK,))
    await home.kill()
    home.classes = tuple(replace(one, variables={"MODE": "other"}) for one in home.classes)
    home.boot()
    follow(home, 1 << 30)
    assert KEPT not in await home.log((await home.up(project, setup=(MARK,))).id)


async def test_other_commands_another_ref_and_secrets_do_not_share(home: Home, project: LocalRepository):
    await home.up(project, setup=(MARK,))
    secret = SecretMount("token", "s3cret-value", variable="TOKEN")
    rows = (
        await home.up(project, setup=(MARK, "true")),
        await home.up(replace(project, ref="main"), setup=(MARK,)),
        await home.up(project, setup=(MARK,), secrets=(secret,)),
        await home.up(project, setup=(MARK,), variables={"MODE": "other"}),
    )
    for row in rows:
        assert KEPT not in await home.log(row.id)


async def test_a_setup_that_failed_or_changed_the_code_is_not_kept(home: Home, project: LocalRepository):
    for setup in ("exit 3", "echo more >> requirements.txt"):
        await home.up(project, setup=(setup,))
        row = await home.up(project, setup=(setup,))
        assert KEPT not in await home.log(row.id)
        assert await home.said(row.id, "ls -A | grep hostler") == ""


async def test_a_damaged_archive_is_of_no_use_and_the_setup_is_run(home: Home, project: LocalRepository):
    await home.up(project, setup=(MARK,))
    for archive in (home.place / "setups").glob("*/work"):
        archive.write_bytes(b"damaged" * 1000)
    row = await home.up(project, setup=(MARK,))
    assert "is run anew" in await home.log(row.id)
    assert await home.said(row.id, "cat build/made; ls -A | grep hostler") == "made\n"
    assert KEPT in await home.log((await home.up(project, setup=(MARK,))).id)


async def test_archives_that_do_not_fit_are_not_kept_and_it_can_be_switched_off(
    tmp_path: Path, project: LocalRepository
):
    for limit in (0, 2000):
        place = tmp_path / str(limit)
        place.mkdir()
        async with home_in(place) as home:
            follow(home, limit)
            for _ in range(2):
                row = await home.up(project, setup=(MARK,))
                assert KEPT not in await home.log(row.id)
