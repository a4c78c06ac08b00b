"""The methods of the operations service for git, which itself runs inside; what it says, in the contract's words."""

import re
from dataclasses import dataclass

from hostler.api.inside import Inside
from hostler.api.ops_parts import Context, OpsParts, path_of
from hostler.contract.gitpod.v1.environment_status_pb import EnvironmentGitStatus, FileChange
from hostler.contract.supervisor.v1 import git_pb as pb
from hostler.contract.supervisor.v1.git_pb import GetGitDiffResponse, GitHunk
from hostler.core.ambient import Ambient
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from hostler.core.machines import FileProblem

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
if [ -n "$1" ]; then base=$(git merge-base HEAD "$1") || { git cat-file -e "$1^{commit}" && exit 9; exit 3; }; fi
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
FILES = """
empty=4b825dc642cb6eb9a060e54bf8d69288fbee4904
base=$(git rev-parse --quiet --verify 'HEAD^{commit}') || base=$empty
if [ -n "$1" ]; then base=$(git merge-base HEAD "$1") || { git cat-file -e "$1^{commit}" && exit 9; exit 3; }; fi
git rev-parse --git-dir >/dev/null || exit 5
git diff --no-color --no-ext-diff --no-textconv --find-renames --name-status --relative -z "$base" || exit 6
git ls-files --others --exclude-standard -z | sed -z 's/^/?\\x00/'
"""
"""What differs from the base, as git's letters and paths; what is new and not added comes last."""
ORIGINAL = """
base=$(git rev-parse --quiet --verify 'HEAD^{commit}') || exit 7
if [ -n "$1" ]; then base=$(git merge-base HEAD "$1") || { git cat-file -e "$1^{commit}" && exit 9; exit 3; }; fi
old=$(git diff --no-ext-diff --find-renames --name-status --relative -z --diff-filter=R "$base" | tr '\\0' '\\n' |
    awk -v want="$2" 'NR % 3 == 2 { from = $0 } NR % 3 == 0 && $0 == want { print from }')
path=${old:-$2}
git cat-file -e "$base:./$path" 2>/dev/null || exit 7
[ "$(git cat-file -s "$base:./$path")" -le "$3" ] || exit 8
git cat-file blob "$base:./$path"
"""
"""The file as it was, under the name that it had."""
BRANCH = """
git rev-parse --git-dir >/dev/null || exit 5
name=$(git symbolic-ref --quiet --short refs/remotes/origin/HEAD) && { echo "${name#origin/}"; exit; }
for name in main master; do
    git show-ref --quiet --verify "refs/remotes/origin/$name" && { echo "$name"; exit; }
done
for name in main master "$(git config init.defaultBranch)" "$(git symbolic-ref --quiet --short HEAD)"; do
    [ -n "$name" ] && git show-ref --quiet --verify "refs/heads/$name" && { echo "$name"; exit; }
done
git symbolic-ref --quiet --short HEAD
"""
"""The remote's default branch, as far as it is known here; else the likeliest one."""
MOST_BYTES = 8 << 20
"""Of either side of a file in one answer."""
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)")


class GitOps(OpsParts):
    """Git, by the machine in which it runs."""

    async def get_git_status(self, request: pb.GetGitStatusRequest, ctx: Context, /) -> pb.GetGitStatusResponse:
        """Read branch, commits and changed files."""
        found = await status(await self._inside(), self._parts.ambient)
        return pb.GetGitStatusResponse(status=self._masked(found))

    async def get_git_diff(self, request: pb.GetGitDiffRequest, ctx: Context, /) -> pb.GetGitDiffResponse:
        """Read the hunks by which one file differs from its base."""
        path, base = path_of(request.path, "path"), base_of(request.base_ref)
        if not 0 <= request.unified <= 10_000:
            raise InvalidArgument("from 0 (the default) to 10000 lines", field="unified")
        inside = await self._inside()
        return self._masked(await diff(inside, Asked(path, base, request.unified or 3), self._parts.ambient))

    async def get_git_diff_files(
        self, request: pb.GetGitDiffFilesRequest, ctx: Context, /
    ) -> pb.GetGitDiffFilesResponse:
        """List the files that differ from the base; at most 101, with the true total."""
        base = base_of(request.base_ref)
        inside = await self._inside()
        code, text = await inside.must(self._parts.ambient.new_id(), "sh", "-c", FILES, "sh", base)
        refuse(code)
        changes = changed(text)
        found = pb.GetGitDiffFilesResponse(changed_files=changes[:SHOWN], total_changed_files=len(changes))
        return self._masked(found)

    async def get_file_diff_content(
        self, request: pb.GetFileDiffContentRequest, ctx: Context, /
    ) -> pb.GetFileDiffContentResponse:
        """Read both sides of one file; of a binary one only when asked to."""
        path, base = path_of(request.path, "path"), base_of(request.base_ref)
        inside = await self._inside()
        found = await diff(inside, Asked(path, base, 0), self._parts.ambient)
        old, new = await self._original(inside, path, base), await current_content(inside, path)
        binary = found.is_binary or b"\0" in old[:8000] + new[:8000]
        if binary and not request.include_binary_content:
            old = new = b""
        redact = self._parts.redactor.data
        return pb.GetFileDiffContentResponse(
            file_change=self._masked(found).file_change,
            original_content=redact(old),
            new_content=redact(new),
            is_binary=binary,
        )

    async def get_default_branch(
        self, request: pb.GetDefaultBranchRequest, ctx: Context, /
    ) -> pb.GetDefaultBranchResponse:
        """Name the default branch of the remote."""
        code, text = await (await self._inside()).must(self._parts.ambient.new_id(), "sh", "-c", BRANCH)
        refuse(5 if code == 5 else 0)
        return self._masked(pb.GetDefaultBranchResponse(branch=text.strip()))

    async def _original(self, inside: Inside, path: str, base: str) -> bytes:
        words = ("sh", "-c", ORIGINAL, "sh", base, path, str(MOST_BYTES))
        code, data = await inside.said(self._parts.ambient.new_id(), *words)
        if code == 7:
            return b""
        refuse(code)
        return data


def base_of(given: str) -> str:
    """Return the name of a commit that git cannot take for an option."""
    if given.startswith("-") or "\0" in given or len(given) > 1000:
        raise InvalidArgument("this is not the name of a commit", field="base_ref")
    return given


def refuse(code: int) -> None:
    """Raise what the exit code of one of our scripts means."""
    match code:
        case 0:
            return
        case 3:
            raise NotFound("git knows no such commit", field="base_ref")
        case 5:
            raise NotFound("the workspace is not a git repository")
        case 9:
            reason = "its history and that of HEAD do not meet here; fetch more of it: git fetch --unshallow"
            raise FailedPrecondition(reason, field="base_ref")
        case 8:
            raise ResourceExhausted(f"the file is larger than {MOST_BYTES} bytes", field="path")
        case _:
            raise NotFound("git knows no such file", field="path")


async def current_content(inside: Inside, path: str) -> bytes:
    """Return a file as it is; nothing when it is not there."""
    try:
        part = await inside.machine.read(path, limit=MOST_BYTES)
    except FileProblem as problem:
        if problem.kind == "not_found":
            return b""
        raise
    if part.size > MOST_BYTES:
        refuse(8)
    return part.data


def changed(text: str) -> list[FileChange]:
    """Return the changes that `git diff --name-status -z` tells, and what follows them."""
    parts = iter(text.split("\0"))
    found: list[FileChange] = []
    for code in parts:
        if not code:
            continue
        old = next(parts, "") if code[0] in "RC" else ""
        found.append(FileChange(path=next(parts, ""), change_type=change_of(code[0]), old_path=old))
    return found


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
    refuse(code)
    return parsed(asked.path, text)


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
