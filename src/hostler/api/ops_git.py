"""What git says inside an environment, in the contract's words. Git itself runs inside."""

import re
from dataclasses import dataclass

from hostler.api.inside import Inside
from hostler.contract.gitpod.v1.environment_status_pb import EnvironmentGitStatus, FileChange
from hostler.contract.supervisor.v1.git_pb import GetGitDiffResponse, GitHunk
from hostler.core.ambient import Ambient
from hostler.core.errors import NotFound

SHOWN = 101
"""Files and commits that are listed; the totals are true."""
CHANGES = FileChange.ChangeType
LETTERS = {
    "A": CHANGES.ADDED,
    "M": CHANGES.MODIFIED,
    "T": CHANGES.MODIFIED,
    "D": CHANGES.DELETED,
    "R": CHANGES.RENAMED,
    "C": CHANGES.COPIED,
}
UNPUSHED = "git log --format='%h %s' HEAD --not --remotes 2>/dev/null || true"
DIFF = """
empty=4b825dc642cb6eb9a060e54bf8d69288fbee4904
base=$(git rev-parse --quiet --verify 'HEAD^{commit}') || base=$empty
if [ -n "$1" ]; then base=$(git merge-base HEAD "$1") || exit 3; fi
set -- "$base" "-U$2" "$3"
options="--no-color --no-ext-diff --no-textconv --find-renames"
if git ls-files --error-unmatch -- "$3" >/dev/null 2>&1 || git cat-file -e "$1:./$3" 2>/dev/null; then
    git -c core.quotePath=false diff $options "$2" "$1" -- "$3"
elif [ -e "$3" ]; then
    git -c core.quotePath=false diff $options "$2" --no-index -- /dev/null "$3" || true
else
    exit 4
fi
"""
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


@dataclass(frozen=True, slots=True)
class Asked:
    """One file, against what, with how many lines around each change."""

    path: str
    base: str
    unified: int


async def status(inside: Inside, ambient: Ambient) -> EnvironmentGitStatus:
    """Return branch, commits and changed files; FileProblem where there is no repository."""
    now = await inside.machine.git_status()
    _, url = await inside.must(ambient.new_id(), "git", "config", "--get", "remote.origin.url")
    _, log = await inside.must(ambient.new_id(), "sh", "-c", UNPUSHED)
    unpushed = log.splitlines() if url.strip() else []
    changed = [FileChange(path=one.path, change_type=change_of(one.code)) for one in now.changes]
    return EnvironmentGitStatus(
        clone_url=url.strip(),
        branch=now.branch or "",
        latest_commit=now.head or "",
        unpushed_commits=unpushed[:SHOWN],
        total_unpushed_commits=len(unpushed),
        changed_files=changed[:SHOWN],
        total_changed_files=len(changed),
    )


def change_of(code: str) -> FileChange.ChangeType:
    """Return the kind of a change from git's two letters."""
    if "?" in code:
        return CHANGES.UNTRACKED
    if "U" in code or code in ("AA", "DD"):
        return CHANGES.UPDATED_BUT_UNMERGED
    return next((LETTERS[letter] for letter in code if letter in LETTERS), CHANGES.UNSPECIFIED)


async def diff(inside: Inside, asked: Asked, ambient: Ambient) -> GetGitDiffResponse:
    """Return how one file differs; NotFound for an unknown base or file."""
    words = ("sh", "-c", DIFF, "sh", asked.base, str(asked.unified), asked.path)
    code, text = await inside.must(ambient.new_id(), *words)
    match code:
        case 0:
            return parsed(asked.path, text)
        case 3:
            raise NotFound("git knows no such commit", field="base_ref")
        case _:
            raise NotFound("git knows no such file", field="path")


def parsed(path: str, text: str) -> GetGitDiffResponse:
    """Return a file's diff from git's text of it."""
    head, *rest = re.split(r"^(?=@@ )", text, flags=re.MULTILINE)
    change, old = CHANGES.MODIFIED if text else CHANGES.UNSPECIFIED, ""
    for line in head.splitlines():
        if line.startswith("new file"):
            change = CHANGES.ADDED
        elif line.startswith("deleted file"):
            change = CHANGES.DELETED
        elif line.startswith("rename from "):
            change, old = CHANGES.RENAMED, line.removeprefix("rename from ")
    binary = any(line.startswith(("Binary files", "GIT binary patch")) for line in head.splitlines())
    hunks: list[GitHunk] = []
    position = 0
    for one in rest:
        hunks.append(_hunk(one, position))
        position += len(one.splitlines())
    file_change = FileChange(path=path, change_type=change, old_path=old)
    return GetGitDiffResponse(file_change=file_change, hunks=hunks, is_binary=binary)


def _hunk(text: str, position: int) -> GitHunk:
    """Return one hunk; `body` are its lines with git's first characters, without the `@@` line."""
    first, _, body = text.partition("\n")
    found = HUNK.match(first)
    assert found is not None, "git begins a hunk with its range"
    return GitHunk(
        original_start_line=int(found[1]),
        original_lines=int(found[2] or 1),
        original_no_newline_at=_no_newline(body),
        new_start_line=int(found[3]),
        new_lines=int(found[4] or 1),
        section=found[5],
        start_position=position,
        body=body,
    )


def _no_newline(body: str) -> int:
    """Return the line of the hunk, from 1, after which the old file ends without a newline; 0 for none."""
    lines = body.splitlines()
    ends = (number for number, line in enumerate(lines) if line.startswith("\\") and lines[number - 1][:1] in "- ")
    return next(ends, 0)
