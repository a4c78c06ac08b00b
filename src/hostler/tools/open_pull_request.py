"""The tool that commits, pushes a branch and opens a pull request, each at most once.

Git runs inside, its push through the egress proxy, which adds the credential; the host's API is asked from outside.
Every step inside is an operation named by the call, so that a repeat joins it or hears what it came to. The host is
looked at before it is asked for a pull request, and what it has of this call carries the call's mark.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import Field

from hostler.core.errands import Errand
from hostler.core.events import Event
from hostler.core.forge import ASKED_BY_GIT
from hostler.core.forge_events import BranchPushed, HostAuthenticationRequired, PullRequestOpened, Purpose
from hostler.core.forges import CredentialNeeded, ForgeError, Forges, ForgeUnknown, Missing, Proposal
from hostler.core.hosts import host_of
from hostler.core.machines import Cancelled, Command, ExecResult, Exited, Unknown
from hostler.tools.tool import STOPPED, Answer, Arguments, Inside

SPACE = uuid.UUID("f2a3a0f0-6f0e-5c39-8c7b-2a6e5f6c1d34")
SECONDS = 900.0
LOOK = """
url=$(git config --get remote.origin.url) || { echo "the workspace has no remote called origin" >&2; exit 3; }
branch=$(git symbolic-ref --short -q HEAD)
if [ -z "$BASE" ]; then
  said=$(git ls-remote --symref origin HEAD) || exit 4
  BASE=$(printf '%s\\n' "$said" | sed -n 's,^ref: refs/heads/\\(.*\\)[[:space:]]HEAD$,\\1,p')
fi
printf '%s\\n%s\\n%s\\n' "$url" "$branch" "$BASE"
"""
COMMIT = """
set -e
if [ "$(git symbolic-ref --short -q HEAD || true)" != "$BRANCH" ]; then
  if git show-ref -q --verify "refs/heads/$BRANCH"; then
    echo "there is a branch $BRANCH here already, and it is not checked out" >&2
    exit 5
  fi
  git checkout -q -b "$BRANCH"
fi
if [ -n "$ALL" ]; then git add -A; else git add --pathspec-from-file=- --pathspec-file-nul; fi
git diff --cached --quiet || git commit -q -m "$MESSAGE" >&2
git rev-parse HEAD
"""
PUSH = """
remote=$(git config --get "branch.$BRANCH.remote" || echo origin)
exec git push -u "$remote" "refs/heads/$BRANCH:refs/heads/$BRANCH"
"""
REFUSED = re.compile(r"hostler egress: ([^\n]+)")
NO_CREDENTIAL = re.compile(r"asks for a credential|refused the credential|authentication failed", re.IGNORECASE)
BRANCH = r"^(?!-)(?!.*\.\.)(?!.*@\{)(?!.*//)[^\x00-\x20\x7f~^:?*\[\\]+(?<![/.])$"


class PullRequestArguments(Arguments):
    """A pull request, and what goes into it."""

    title: str = Field(min_length=1, max_length=250)
    body: str = Field("", max_length=60_000, description="What it does and why, in Markdown.")
    branch: str = Field(
        "", max_length=200, description="The branch to push; the current one, or a new one where that is the base."
    )
    base: str = Field("", max_length=200, description="The branch to merge into; the repository's default otherwise.")
    draft: bool = False
    paths: list[str] = Field(
        default_factory=list[str], max_length=1000, description="What to commit; every change when empty."
    )
    message: str = Field("", max_length=10_000, description="The commit's message; the title otherwise.")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the workspace stands: its remote, its branch ('' when detached), and the branch to merge into."""

    url: str
    branch: str
    base: str


class Failed(Exception):
    """A step did not succeed; `answer` is what the call comes to."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.text)
        self.answer = answer


class OpenPullRequest:
    """Commits, pushes and opens a pull request on GitHub or GitLab."""

    name = "open_pull_request"
    description = (
        "Commit the changes, push a branch and open a pull request (merge request) on GitHub or GitLab. Where one is "
        "open from the branch already, the push updates it. Credentials are added outside; you need none."
    )
    arguments = PullRequestArguments
    inside = True

    async def go(self, arguments: PullRequestArguments, errand: Errand, inside: Inside | None) -> Answer:
        """Do it once; what was done before a crash is not done again."""
        assert inside is not None
        if errand.services.forges is None:
            return Answer("failed", "Pull requests cannot be opened from here.")
        try:
            return await _Opening(arguments, errand, inside, errand.services.forges).done()
        except Failed as failed:
            return failed.answer


@dataclass(slots=True)
class _Opening:
    """One call on its way."""

    asked: PullRequestArguments
    errand: Errand
    inside: Inside
    forges: Forges
    url: str = ""

    async def done(self) -> Answer:
        for name in (self.asked.branch, self.asked.base):
            if name and not re.match(BRANCH, name):
                raise Failed(Answer("failed", f"{name!r} is not the name of a branch."))
        spot = await self._look()
        branch = self.asked.branch or (spot.branch if spot.branch not in ("", spot.base) else self._new_branch())
        if branch == spot.base:
            raise Failed(Answer("failed", f"{branch} is what it is to be merged into; name another branch."))
        commit = await self._commit(branch)
        await self._push(branch)
        pushed = BranchPushed(self.errand.call_id, branch, commit)
        given = self.errand.state.forge.pull
        if given and given.checked_out and given.head == branch:
            opened = PullRequestOpened(self.errand.call_id, given.url, given.number, given.title, existed=True)
            return Answer("ok", f"pushed {branch} to the pull request {given.url}", events=(pushed, opened))
        return await self._open(branch, spot.base, pushed)

    def _new_branch(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", self.asked.title.lower()).strip("-")[:40].strip("-") or "change"
        return f"hostler/{slug}-{self._mark()[:6]}"

    def _mark(self) -> str:
        return str(uuid.uuid5(SPACE, f"{self.errand.execution}/{self.errand.call_id}"))

    async def _look(self) -> Spot:
        given = self.errand.state.forge.pull
        base = self.asked.base or (given.base if given and not self.asked.branch else "")
        result = await self._step("look", LOOK, {"BASE": base})
        url, branch, base = (*_out(result).split("\n"), "", "", "")[:3]
        self.url = url
        if result.outcome != Exited(0):
            raise Failed(await self._refused(result, "The repository could not be looked at"))
        if not base:
            raise Failed(Answer("failed", "The repository has no default branch; name the base."))
        return Spot(url, branch, base)

    async def _commit(self, branch: str) -> str:
        asked = self.asked
        variables = {"BRANCH": branch, "ALL": "" if asked.paths else "1", "MESSAGE": asked.message or asked.title}
        given = "\0".join(asked.paths).encode()
        result = await self._step("commit", COMMIT, variables, given)
        if result.outcome != Exited(0):
            raise Failed(Answer("failed", f"The changes could not be committed: {_err(result)}"))
        return _out(result).strip()

    async def _push(self, branch: str) -> None:
        result = await self._step("push", PUSH, {"BRANCH": branch})
        if result.outcome != Exited(0):
            raise Failed(await self._refused(result, f"{branch} could not be pushed"))

    async def _step(self, step: str, script: str, variables: Mapping[str, str], stdin: bytes = b"") -> ExecResult:
        """Run a script as one step of the call, or hear what it came to."""
        env = {"NO_PROXY": "", "no_proxy": "", "GIT_TERMINAL_PROMPT": "0", **variables}
        command = Command(("/bin/sh", "-c", script), env=env, stdin=stdin, timeout=SECONDS, merge=False)
        operation = replace(self.inside.operation, id=f"{self.inside.operation.id}/{step}")
        result = await self.inside.machine.exec(operation, command, incarnation=self.inside.incarnation)
        match result.outcome:
            case Cancelled():
                raise Failed(STOPPED)
            case Unknown(reason):
                raise Failed(Answer("unknown", f"The outcome of the {step} is unknown: {reason}"))
            case _:
                return result

    async def _refused(self, result: ExecResult, what: str) -> Answer:
        """Return why git was refused; for want of a credential, that the turn goes on when there is one."""
        said = _err(result)
        reason = found[1] if (found := REFUSED.search(said)) else said
        if not (ASKED_BY_GIT.search(said) or NO_CREDENTIAL.search(said)):
            return Answer("failed", f"{what}: {reason}")
        host = host_of(self.url) if "://" in self.url else ""
        if not host and (asked := ASKED_BY_GIT.search(said)):
            host = asked[1].lower()
        return self._waits(await self.forges.missing(self.errand.state.environment.id, host), what, "push")

    def _waits(self, missing: Missing, what: str, purpose: Purpose, *events: Event) -> Answer:
        why = "the credential was refused" if missing.credential else "there is no credential"
        text = (
            f"{what}: {why} for {missing.host}. A person has been asked to set one with `hostler secret set "
            f"{missing.host}`. Do what does not need it, then end your turn: you will be told when it is there."
        )
        needed = HostAuthenticationRequired(
            self.errand.call_id, missing.host, what, purpose, missing.subject, missing.credential, missing.runner
        )
        return Answer("failed", text, events=(*events, needed))

    async def _open(self, branch: str, base: str, pushed: BranchPushed) -> Answer:
        asked = self.asked
        proposal = Proposal(
            self.url, asked.title, asked.body, branch, base, asked.draft, f"opened by Hostler: {self._mark()}"
        )
        at = f"{branch} was pushed at {pushed.commit[:12]}"
        try:
            pull, existed = await self.forges.open(self.errand.state.environment.id, proposal)
        except CredentialNeeded as problem:
            return self._waits(problem.missing, f"{at}, and the pull request could not be opened", "api", pushed)
        except ForgeUnknown as problem:
            text = (
                f"{at}. Whether the pull request was opened is unknown: {problem.message}. Look before you repeat it."
            )
            return Answer("unknown", text, events=(pushed,))
        except ForgeError as problem:
            text = f"{at}, and the pull request could not be opened: {problem.message}"
            return Answer("failed", text, events=(pushed,))
        opened = PullRequestOpened(self.errand.call_id, pull.url, pull.number, pull.title, existed=existed)
        verb = "was open already and has the push now" if existed else "opened"
        return Answer("ok", f"{at}; pull request #{pull.number} {verb}: {pull.url}", events=(pushed, opened))


def _out(result: ExecResult) -> str:
    return (result.out.head + result.out.tail).decode(errors="replace")


def _err(result: ExecResult) -> str:
    said = (result.err.head + result.err.tail).decode(errors="replace").strip() or _out(result).strip()
    return said[-1500:] or str(result.outcome)
