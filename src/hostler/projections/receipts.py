"""What the log itself can show for "done": commands with exit codes, files changed, checks, and a verdict on them.

Nothing here reads what the agent says. A check counts when its exit code is known and its own; a change counts when a
tool made it, when a command plainly makes one, or when the kept work differs and only a command can have done it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, cast

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Outcome
from hostler.core.events import Recorded
from hostler.core.kept import WorkKept
from hostler.projections.agent_blocks import file_modification
from hostler.projections.blocks import modification
from hostler.projections.checks import NOT_RUN, check_of, effect_of, inner, subject

Judgement = Literal["backed", "failed", "unchecked", "nothing_changed", "none"]
CheckResult = Literal["", "passed", "failed", "unclear", "running"]
SHOWN = 80
"""Characters of a command in a sentence."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One shell command. `check` names the check that it is or holds; `why` says why the result of one is unclear."""

    id: str
    command: str
    turn: int
    seq: int
    """Where it started in the log."""
    at: datetime
    agent: str = ""
    """The sub-agent that ran it; empty: the agent itself."""
    ended_seq: int = 0
    ended_at: datetime | None = None
    outcome: Outcome | Literal["running"] = "running"
    exit_code: int | None = None
    check: str = ""
    result: CheckResult = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """One file that tools changed: lines that came and went over all changes, and the last change."""

    path: str
    additions: int
    deletions: int
    turn: int
    seq: int
    at: datetime
    times: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the claim of the last finished turn is backed, in one sentence of plain words."""

    kind: Judgement
    sentence: str
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Receipts:
    """What a log can show; `kept_files` is how many files differ from the base in all, None when nothing was kept."""

    commands: tuple[Ran, ...]
    files: tuple[Changed, ...]
    verdict: Verdict
    kept_files: int | None = None

    @property
    def checks(self) -> tuple[Ran, ...]:
        """Return the commands that are checks."""
        return tuple(ran for ran in self.commands if ran.check)

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON, for programs and the judge."""
        return {
            "verdict": {"kind": self.verdict.kind, "sentence": self.verdict.sentence, "turn": self.verdict.turn},
            "commands": [_row(ran) for ran in self.commands],
            "files": [_row(file) for file in self.files],
            "keptFiles": self.kept_files,
        }


def receipts(log: Iterable[Recorded]) -> Receipts:
    """Return the receipts of a whole log."""
    book = Book()
    for recorded in log:
        book.feed(recorded)
    return book.receipts()


@dataclass(frozen=True, slots=True)
class _Change:
    """Something changed files: at `seq` it was so; `what` says it in a sentence."""

    seq: int
    at: datetime
    path: str = ""
    command: str = ""


@dataclass(slots=True)
class Book:
    """Receipts as the log grows: feed it the events in order, ask at any time."""

    _turn: int = 0
    _commands: dict[str, Ran] = field(default_factory=dict[str, Ran])
    _files: dict[str, Changed] = field(default_factory=dict[str, Changed])
    _changes: list[_Change] = field(default_factory=list[_Change])
    _kept: WorkKept | None = None
    _began: int = 0
    _verdict: Verdict = field(default_factory=lambda: Verdict("none", "No turn has finished yet."))

    def feed(self, recorded: Recorded) -> None:
        """Take the next event."""
        event, seq = recorded.event, recorded.seq
        match event:
            case ev.TurnStarted(turn):
                self._turn, self._began = turn, seq
            case ev.ToolStarted(call, "bash", arguments) | ae.ActionStarted(call, "bash", arguments):
                self._begin(call, arguments, recorded)
            case ev.ToolFinished(call) | ae.ActionFinished(call):
                self._end(call, event, recorded)
            case ae.FilesChanged(_, changes):
                for each in changes:
                    self._changed(file_modification("", each), recorded)
            case WorkKept():
                self._work(event)
            case ev.TurnEnded(turn):
                self._verdict = self._judged(turn)
            case ev.Stopped(turn) if turn and turn == self._turn and self._verdict.turn != turn:
                self._verdict = Verdict("none", "The last turn was stopped before it finished.", turn)
            case _:
                pass

    def receipts(self) -> Receipts:
        """Return what is known so far."""
        kept = self._kept.files if self._kept else None
        return Receipts(tuple(self._commands.values()), tuple(self._files.values()), self._verdict, kept)

    def _begin(self, call: str, arguments: str, recorded: Recorded) -> None:
        given = _object(arguments)
        command = str(given.get("command", ""))
        names = [name for simple in inner(command) if (name := check_of(simple))]
        check = ", ".join(dict.fromkeys(names))
        self._commands[call] = Ran(
            call,
            command,
            self._turn,
            recorded.seq,
            recorded.at,
            str(given.get("agent", "")),
            check=check,
            result="running" if check else "",
        )

    def _end(self, call: str, event: ev.ToolFinished | ae.ActionFinished, recorded: Recorded) -> None:
        if isinstance(event, ev.ToolFinished) and event.outcome == "ok" and event.details and "file" in event.details:
            self._changed(modification(call, event.details), recorded)
        ran = self._commands.get(call)
        if ran is None or ran.outcome != "running":
            return
        ran = replace(
            ran,
            ended_seq=recorded.seq,
            ended_at=recorded.at,
            outcome=event.outcome,
            exit_code=event.exit_code,
        )
        result, why = _result(ran)
        self._commands[call] = replace(ran, result=result, why=why)
        if _leaves(ran, "changes"):
            self._changes.append(_Change(_changed_at(ran), recorded.at, command=ran.command))

    def _changed(self, body: Mapping[str, Any], recorded: Recorded) -> None:
        path, stats = str(body["filePath"]), body["diff"]["stats"]
        old = self._files.get(path) or Changed(path, 0, 0, 0, 0, recorded.at, 0)
        self._files[path] = Changed(
            path,
            old.additions + int(stats["additions"]),
            old.deletions + int(stats["deletions"]),
            self._turn,
            recorded.seq,
            recorded.at,
            old.times + 1,
        )
        self._changes.append(_Change(recorded.seq, recorded.at, path=path))

    def _work(self, kept: WorkKept) -> None:
        """Take what was kept after a turn: a difference that nothing explains was made by the turn's last command."""
        before, self._kept = self._kept, kept
        differs = kept.commit != before.commit if before else bool(kept.commit)
        explained = any(change.seq > self._began for change in self._changes)
        opaque = self._opaque(kept.turn)
        if differs and opaque and not explained:
            last = max(opaque, key=lambda ran: ran.ended_seq)
            self._changes.append(_Change(_changed_at(last), last.ended_at or last.at, command=last.command))
        if self._verdict.turn == kept.turn and self._verdict.kind != "none":
            self._verdict = self._judged(kept.turn)

    def _opaque(self, turn: int) -> list[Ran]:
        """Return the commands of a turn that may have changed files for all that is known."""
        return [ran for ran in self._commands.values() if ran.turn == turn and _leaves(ran, "opaque")]

    def _judged(self, turn: int) -> Verdict:
        if not self._changes and self._opaque(turn) and (self._kept is None or self._kept.turn != turn):
            return Verdict(
                "unchecked", "Commands ran that may have changed files, and what changed is not known.", turn
            )
        if not self._changes:
            return Verdict("nothing_changed", "No file was changed.", turn)
        last = max(self._changes, key=lambda change: change.seq)
        after = [ran for ran in self._commands.values() if ran.check and ran.ended_seq and ran.seq >= last.seq]
        after.sort(key=lambda ran: ran.ended_seq)
        if failed := _failing(after):
            return Verdict("failed", _failed_sentence(failed), turn)
        passed = [ran for ran in after if ran.result == "passed"]
        if passed:
            return Verdict("backed", _passed_sentence(passed, last), turn)
        if after:
            return Verdict(
                "unchecked", f"`{_short(after[-1].command)}` ran after the last change, but {after[-1].why}.", turn
            )
        return Verdict("unchecked", self._unchecked(last), turn)

    def _unchecked(self, last: _Change) -> str:
        checked = [ran for ran in self._commands.values() if ran.result in ("passed", "failed")]
        since = max((ran.seq for ran in checked), default=0)
        fresh = [change for change in self._changes if change.seq > since]
        files = len({change.path for change in fresh if change.path})
        ending = "since the last check" if checked else "and no check was run"
        if not files:
            return f"`{_short(last.command)}` changed files, {'after the last check' if checked else ending}."
        verb = "1 file changed" if files == 1 else f"{files} files changed"
        return f"{verb} {ending}."


def _result(ran: Ran) -> tuple[CheckResult, str]:
    """Return what a finished command says about its check."""
    checks = [simple for simple in inner(ran.command) if check_of(simple)]
    if not checks:
        return "", ""
    name = check_of(checks[-1])
    if ran.outcome == "timed_out":
        return "unclear", "it was ended at its deadline"
    if ran.outcome in ("cancelled", "unknown") or ran.exit_code is None:
        return "unclear", "it did not come to an end that is known"
    if ran.exit_code in NOT_RUN[""] | NOT_RUN.get(name, frozenset()):
        return "unclear", f"it checked nothing (exit code {ran.exit_code})"
    if not all(simple.tells for simple in checks):
        return "unclear", "its exit code is hidden by the rest of the command"
    return ("passed" if ran.exit_code == 0 else "failed"), ""


def _leaves(ran: Ran, effect: str) -> bool:
    """Return whether a command that ran has a part with this effect on files."""
    return ran.outcome != "running" and any(effect_of(simple) == effect for simple in inner(ran.command))


def _changed_at(ran: Ran) -> int:
    """Return since when a command's change stands: before the check that it holds too, or when it ended."""
    parts = inner(ran.command)
    last_check = max((number for number, simple in enumerate(parts) if check_of(simple)), default=-1)
    changes = [number for number, simple in enumerate(parts) if effect_of(simple) != "looks"]
    return ran.seq if changes and changes[-1] < last_check else ran.ended_seq


def _failing(after: Sequence[Ran]) -> Ran | None:
    """Return a check that failed and did not pass since: the same about the same, or about everything."""
    failed: dict[tuple[str, tuple[str, ...]], Ran] = {}
    for ran in after:
        for key in _keys(ran):
            if ran.result == "failed":
                failed[key] = ran
            elif ran.result == "passed":
                failed = {known: it for known, it in failed.items() if known != key and (known[0], ()) != key}
    return max(failed.values(), key=lambda ran: ran.ended_seq, default=None)


def _keys(ran: Ran) -> Iterator[tuple[str, tuple[str, ...]]]:
    for simple in inner(ran.command):
        if name := check_of(simple):
            yield name, tuple(word for word in subject(simple) if word not in name.split())


def _failed_sentence(ran: Ran) -> str:
    return f"`{_short(ran.command)}` failed after the last change (exit code {ran.exit_code})."


def _passed_sentence(passed: Sequence[Ran], last: _Change) -> str:
    """Return what passed, and how long after the change the last of it did."""
    ran = passed[-1]
    seconds = max(0.0, ((ran.ended_at or ran.at) - last.at).total_seconds())
    others = len({one.command for one in passed} - {ran.command})
    more = f" and {others} more {'check' if others == 1 else 'checks'}" if others else ""
    when = (
        f"{_duration(seconds)} after the last change"
        if ran.command != last.command
        else "together with the last change"
    )
    return f"`{_short(ran.command)}`{more} passed {when}."


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "right"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"


def _object(text: str) -> Mapping[str, Any]:
    try:
        found: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _row(value: Ran | Changed) -> dict[str, Any]:
    names = {"ended_seq": "endedSeq", "ended_at": "endedAt", "exit_code": "exitCode"}
    fields = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
    return {
        names.get(name, name): one.isoformat().replace("+00:00", "Z") if isinstance(one, datetime) else one
        for name, one in fields
    }
