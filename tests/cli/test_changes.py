"""diff and apply, on real Git repositories."""

import base64
import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.scripted import ID, OWN, Raw, Scripted

BINARY = bytes(range(256)) * 4
LATIN = "naïve\n".encode("latin-1")


def git(folder: Path, *words: str) -> str:
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *settings, *words], capture_output=True, check=True)
    return done.stdout.decode(errors="replace").strip()


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which the test stands, with one commit and an identity."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "a.txt").write_text("".join(f"line {n}\n" for n in range(20)))
    (folder / "latin.txt").write_bytes(LATIN)
    (folder / "sub").mkdir()
    (folder / "sub" / "gone.txt").write_text("old\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "First")
    monkeypatch.chdir(folder)
    return folder


def offered(server: Scripted, repo: Path) -> bytes:
    """Let the server have a patch as an agent makes one: text, bytes that are no UTF-8, a binary file, a deletion."""
    (repo / "a.txt").write_text((repo / "a.txt").read_text().replace("line 10\n", "line ten\n"))
    (repo / "latin.txt").write_bytes(LATIN * 2)
    (repo / "bin.dat").write_bytes(BINARY)
    (repo / "sub" / "gone.txt").unlink()
    git(repo, "add", "-A")
    patch = subprocess.run(
        ["git", "-C", str(repo), "diff", "--cached", "--binary"], capture_output=True, check=True
    ).stdout
    git(repo, "reset", "-q", "--hard")
    server.answers[f"{OWN}/executions/{ID}/diff"] = Raw(patch, {"x-hostler-cut": "false"})
    return patch


def test_diff_writes_the_patch_byte_for_byte(cli: Cli, server: Scripted, repo: Path) -> None:
    patch = offered(server, repo)
    assert cli("diff", ID).raw == patch
    told = json.loads(cli("diff", ID, "--json").out)
    assert base64.b64decode(told["patchBase64"]) == patch


def test_diff_on_a_terminal_has_colour_unless_no_color_is_set(
    cli: Cli, server: Scripted, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(server, repo)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m+line ten\x1b[0m" in cli("diff", ID).out.replace("\x1b[1m", "")
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b" not in cli("diff", ID).raw


def test_apply_changes_the_working_tree(
    cli: Cli, server: Scripted, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(server, repo)
    monkeypatch.chdir(repo / "sub")
    ended = cli("apply", ID)
    assert ended.code == 0
    assert "line ten\n" in (repo / "a.txt").read_text()
    assert (repo / "bin.dat").read_bytes() == BINARY
    assert (repo / "latin.txt").read_bytes() == LATIN * 2
    assert not (repo / "sub" / "gone.txt").exists()
    assert git(repo, "log", "--format=%s") == "First"
    assert "  a.txt\n" in ended.out


def test_apply_twice_says_that_it_is_there_already(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    assert cli("apply", ID).code == 0
    again = cli("apply", ID)
    assert again.code == 1
    assert "already" in again.err


def test_apply_on_top_of_uncommitted_work_that_is_not_in_the_way(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    (repo / "a.txt").write_text((repo / "a.txt").read_text() + "mine\n")
    assert cli("apply", ID).code == 0
    assert (repo / "a.txt").read_text().endswith("mine\n")
    assert "line ten\n" in (repo / "a.txt").read_text()


def test_apply_changes_nothing_when_uncommitted_work_is_in_the_way(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    mine = (repo / "a.txt").read_text().replace("line 10\n", "mine\n")
    (repo / "a.txt").write_text(mine)
    ended = cli("apply", ID)
    assert ended.code == 1
    assert "a.txt" in ended.err
    assert "--branch" in ended.err
    assert (repo / "a.txt").read_text() == mine
    assert not (repo / "bin.dat").exists()
    assert git(repo, "status", "--porcelain") == "M a.txt"


def test_apply_never_overwrites_an_untracked_file(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    (repo / "bin.dat").write_text("mine")
    assert cli("apply", ID).code == 1
    assert (repo / "bin.dat").read_text() == "mine"
    assert "line 10\n" in (repo / "a.txt").read_text()


def test_apply_merges_into_newer_commits(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    (repo / "a.txt").write_text((repo / "a.txt").read_text().replace("line 12\n", "newer\n"))
    git(repo, "commit", "-q", "-am", "Second")
    assert cli("apply", ID).code == 0
    assert "line ten\nline 11\nnewer\n" in (repo / "a.txt").read_text()


def test_apply_names_the_files_with_conflicts(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    (repo / "a.txt").write_text((repo / "a.txt").read_text().replace("line 10\n", "theirs\n"))
    git(repo, "commit", "-q", "-am", "Second")
    ended = cli("apply", ID)
    assert ended.code == 1
    assert "conflicts" in ended.err
    assert "a.txt" in ended.err
    assert "<<<<<<<" in (repo / "a.txt").read_text()


def test_apply_to_a_branch_leaves_working_tree_index_and_head(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    (repo / "a.txt").write_text("my unfinished work\n")
    git(repo, "add", "a.txt")
    ended = cli("apply", ID, "--branch", "agent/mend", "--json")
    assert ended.code == 0
    told = json.loads(ended.out)
    assert sorted(told["files"]) == ["a.txt", "bin.dat", "latin.txt", "sub/gone.txt"]
    assert (repo / "a.txt").read_text() == "my unfinished work\n"
    assert git(repo, "status", "--porcelain") == "M  a.txt"
    assert git(repo, "branch", "--show-current") == "main"
    assert git(repo, "log", "--format=%s %an", "agent/mend") == "Mend it Ada\nFirst Ada"
    assert ID in git(repo, "log", "-1", "--format=%b", "agent/mend")
    assert "line ten" in git(repo, "show", "agent/mend:a.txt")


def test_a_branch_begins_where_the_agent_began(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    base = git(repo, "rev-parse", "HEAD")
    server.extra = {"baseCommit": base}
    (repo / "a.txt").write_text((repo / "a.txt").read_text().replace("line 10\n", "theirs\n"))
    git(repo, "commit", "-q", "-am", "Second")
    assert cli("apply", ID, "--branch", "agent/mend").code == 0
    assert git(repo, "rev-parse", "agent/mend^") == base


def test_a_branch_that_exists_or_cannot_be_made_is_refused(cli: Cli, server: Scripted, repo: Path) -> None:
    offered(server, repo)
    head = git(repo, "rev-parse", "main")
    assert "already" in cli("apply", ID, "--branch", "main").err
    assert cli("apply", ID, "--branch", "no..name").code == 1
    assert git(repo, "for-each-ref", "--format=%(objectname)") == head


def test_a_patch_that_leaves_the_repository_is_refused(cli: Cli, server: Scripted, repo: Path) -> None:
    for path in ("../outside.txt", ".git/hooks/post-checkout"):
        head = f"diff --git a/{path} b/{path}\nnew file mode 100755\n--- /dev/null\n+++ b/{path}\n"
        server.answers[f"{OWN}/executions/{ID}/diff"] = Raw(f"{head}@@ -0,0 +1 @@\n+evil\n".encode())
        assert cli("apply", ID).code == 1
        assert cli("apply", ID, "--branch", "agent/x").code == 1
        assert not (repo / path).exists()


def test_a_cut_patch_is_shown_with_a_warning_and_never_applied(cli: Cli, server: Scripted, repo: Path) -> None:
    patch = offered(server, repo)
    server.answers[f"{OWN}/executions/{ID}/diff"] = Raw(patch, {"x-hostler-cut": "true"})
    assert "cut" in cli("diff", ID).err
    assert cli("apply", ID).code == 1
    assert git(repo, "status", "--porcelain") == ""


def test_nothing_changed_is_nothing_to_apply(cli: Cli, server: Scripted, repo: Path) -> None:
    server.answers[f"{OWN}/executions/{ID}/diff"] = Raw(b"")
    assert cli("apply", ID).code == 0
    assert cli("diff", ID).err == "no changes\n"


def test_apply_outside_a_repository_says_so(
    cli: Cli, server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    ended = cli("apply", ID, "--repo", str(tmp_path))
    assert ended.code == 1
    assert "not a git repository" in ended.err
