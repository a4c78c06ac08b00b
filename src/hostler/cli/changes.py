"""What an execution changed: shown, or brought onto the working tree or a branch, with the user's own git."""

import base64
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.extras import Patch, applied, patch, seen
from hostler.cli.kept import Turn
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import Problem
from hostler.cli.screen import clean, colourful, emit, line, note, paint, say

COLOURS = (("+++", "bold"), ("---", "bold"), ("diff ", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))


def diff(execution: Execution, turn: Turn = 0, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what an execution changed, as a git patch.

    When its environment is gone, it is what was kept at the end of its last turn.

    Examples:

        hostler diff 0198c2

        hostler diff 0198c2 > change.patch
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    made = patch(client, found, turn)
    if json:
        text, raw = made.data.decode(errors="replace"), base64.b64encode(made.data).decode()
        emit({"id": found, "cut": made.cut, "keptTurn": made.turn or None, "patch": text, "patchBase64": raw})
    elif colourful(sys.stdout):
        for row in clean(made.data.decode(errors="replace")).splitlines():
            style = next((style for start, style in COLOURS if row.startswith(start)), None)
            say(paint(row, style) if style else row)
    else:
        sys.stdout.buffer.write(made.data)
        sys.stdout.buffer.flush()
    _say_where_from(made, turn)
    if made.cut:
        note("the patch is too large and was cut", "yellow")
    if not made.data and not json:
        note("no changes")


def apply(
    execution: Execution,
    branch: Annotated[str, typer.Option(help="Commit onto a new branch of this name; the working tree stays.")] = "",
    repo: Annotated[Path, typer.Option(help="The repository to change.")] = Path("."),
    turn: Turn = 0,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Bring an execution's changes into your repository.

    Onto the working tree, or with --branch into a commit on a new branch.

    Uncommitted work is safe: where it is in the way, nothing is changed and the command says so.

    Examples:

        hostler apply 0198c2

        hostler apply 0198c2 --branch agent/mend-ranking
    """
    git = Git(repo)
    client = Client(places.find(data_dir))
    found = seen(client, ids.execution(client, execution))
    made = patch(client, found["id"], turn)
    _say_where_from(made, turn)
    if made.cut:
        raise Problem("the patch is too large and was cut, so it cannot be applied; look into the environment instead")
    if not made.data:
        emit({"id": found["id"], "files": []}) if json else say("nothing to apply: the execution changed nothing")
        return
    if branch:
        commit = on_branch(git, made, branch, _message(found), str(found.get("hostler", {}).get("baseCommit", "")))
        files = git.text("diff", "--name-only", f"{commit}^", commit).splitlines()
        done, told = (
            {"branch": branch, "commit": commit},
            f"committed to {branch}; look at it with: git switch {branch}",
        )
    else:
        files = onto_tree(git, made)
        done, told = {}, "applied to the working tree; look at it with: git diff"
    kept: dict[str, Any] | None = found.get("hostler", {}).get("kept")
    if kept and not turn:
        with contextlib.suppress(Problem):  # It is done here, whether or not the server hears of it.
            applied(client, found["id"], str(kept["commit"]))
    if json:
        emit({"id": found["id"], "files": files, **done})
        return
    for file in files:
        say(f"  {clean(file)}")
    say(told)


def _say_where_from(made: Patch, turn: int) -> None:
    if made.turn and not turn:
        note(f"the environment does not have it any more; this was kept at the end of turn {made.turn}", "yellow")


class Git:
    """The user's git in one repository."""

    def __init__(self, folder: Path) -> None:
        self.top = folder
        try:
            self.top = Path(self.text("rev-parse", "--show-toplevel"))
        except FileNotFoundError:
            raise Problem("git is needed and was not found") from None

    def run(
        self, *words: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run git and return how it ended."""
        command = ["git", "-C", str(self.top), *words]
        return subprocess.run(command, input=stdin, capture_output=True, env={**os.environ, **(environ or {})})

    def text(self, *words: str, stdin: bytes = b"", environ: Mapping[str, str] | None = None) -> str:
        """Run git and return what it printed; raises Problem with its complaint."""
        done = self.run(*words, stdin=stdin, environ=environ)
        if done.returncode:
            raise Problem(f"git {words[0]}: {complaint(done.stderr)}")
        return done.stdout.decode(errors="surrogateescape").strip()


def complaint(said: bytes) -> str:
    """Return git's complaint in one line."""
    rows = [row for row in said.decode(errors="replace").splitlines() if row.strip() and not row.startswith("hint:")]
    return "; ".join(line(row).removeprefix("fatal: ").removeprefix("error: ") for row in rows[:3]) or "it failed"


def onto_tree(git: Git, made: Patch) -> list[str]:
    """Apply a patch to the working tree; raises Problem with everything unchanged when work there is in the way."""
    files = [part for part in git.text("apply", "--numstat", "-z", stdin=made.data).split("\0") if part]
    names = [part.split("\t", 2)[-1] for part in files]
    checked = git.run("apply", "--check", stdin=made.data)
    if checked.returncode == 0:
        git.text("apply", "--whitespace=nowarn", stdin=made.data)
        return names
    if git.run("apply", "--check", "--reverse", stdin=made.data).returncode == 0:
        raise Problem("the changes are in your working tree already")
    if dirty := git.text("status", "--porcelain", "--untracked-files=no"):
        changed = ", ".join(row.split(maxsplit=1)[-1] for row in dirty.splitlines()[:5])
        raise Problem(
            f"your working tree has uncommitted changes ({changed}) and the patch does not apply on top of them: "
            f"{complaint(checked.stderr)}. Commit or stash them, or use --branch NAME"
        )
    merged = git.run("apply", "--3way", "--whitespace=nowarn", stdin=made.data)
    if conflicts := git.text("diff", "--name-only", "--diff-filter=U"):
        raise Problem(f"applied with conflicts; resolve them in: {', '.join(conflicts.splitlines())}")
    if merged.returncode:
        raise Problem(f"the patch does not apply here: {complaint(merged.stderr)}")
    return names


def on_branch(git: Git, made: Patch, branch: str, message: str, base: str) -> str:
    """Commit a patch to a new branch without touching index or working tree; return the commit.

    The branch begins where the agent began if that commit is known here, else at HEAD.
    """
    git.text("check-ref-format", "--branch", branch)
    if git.run("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}").returncode == 0:
        raise Problem(f"there is a branch {branch} already")
    known = bool(base) and git.run("cat-file", "-e", f"{base}^{{commit}}").returncode == 0
    parent = git.text("rev-parse", "--verify", f"{base if known else 'HEAD'}^{{commit}}")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.text("read-tree", parent, environ=index)
        applied = git.run("apply", "--cached", "--whitespace=nowarn", stdin=made.data, environ=index)
        if applied.returncode:
            applied = git.run("apply", "--cached", "--3way", "--whitespace=nowarn", stdin=made.data, environ=index)
        if applied.returncode:
            raise Problem(
                f"the patch does not apply to {'its base' if known else 'HEAD'}: {complaint(applied.stderr)}. "
                "The agent may have begun from uncommitted changes: commit them first"
            )
        tree = git.text("write-tree", environ=index)
    commit = git.text("commit-tree", tree, "-p", parent, stdin=message.encode())
    git.text("update-ref", f"refs/heads/{branch}", commit, "0" * 40)
    return commit


def _message(found: Mapping[str, Any]) -> str:
    name = line(str(found.get("metadata", {}).get("name", "")))
    return f"{name or 'Changes of an agent'}\n\nHostler execution {found['id']}\n"
