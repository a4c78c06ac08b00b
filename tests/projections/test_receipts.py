"""What a log can show for "done": stories told by hand, and the verdict on each."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import FileChange
from hostler.core.conversation import Usage
from hostler.core.events import Event, Recorded
from hostler.core.kept import WorkKept
from hostler.core.state import State
from hostler.projections.receipts import Verdict, receipts
from hostler.projections.spent import spent

T0 = datetime(2030, 1, 1, tzinfo=UTC)
TURN, END = ev.TurnStarted(1, "s"), ev.TurnEnded(1)


def log(*steps: Event | Sequence[Event]) -> list[Recorded]:
    """Return the steps as a log, a second apart."""
    flat: list[Event] = []
    for step in steps:
        flat.extend(step if isinstance(step, Sequence) else (step,))
    return [Recorded(n, T0 + timedelta(seconds=n), event) for n, event in enumerate(flat, 1)]


def ran(command: str, code: int | None = 0, outcome: str = "", call: str = "") -> tuple[Event, Event]:
    """Return a command of the built-in agent from start to end."""
    call = call or f"call {command}"
    how: Any = outcome or ("ok" if code == 0 else "failed")
    return (
        ev.ToolStarted(call, "bash", json.dumps({"command": command}), "i"),
        ev.ToolFinished(call, how, "", code),
    )


def wrote(path: str, text: str = "a\nb\n", call: str = "") -> tuple[Event, Event]:
    """Return a file that the built-in agent writes."""
    call = call or f"write {path}"
    details = {"file": path, "old": "", "new": text, "line": 1}
    return (ev.ToolStarted(call, "write", "{}", "i"), ev.ToolFinished(call, "ok", "", details=details))


def verdict(*steps: Event | Sequence[Event]) -> Verdict:
    """Return the verdict on a turn of these steps."""
    return receipts(log(TURN, *steps, END)).verdict


def kinds(stories: Iterable[Sequence[Any]]) -> list[str]:
    """Return the kind of verdict on each."""
    return [verdict(*story).kind for story in stories]


def test_a_check_that_passed_after_the_last_change_backs_the_claim():
    found = verdict(wrote("a.py"), ran("pytest -q"))
    assert (found.kind, found.turn) == ("backed", 1)
    assert found.sentence == "`pytest -q` passed 2 s after the last change."


def test_a_check_that_failed_after_the_last_change_fails_it_until_the_same_passes():
    found = verdict(wrote("a.py"), ran("pytest -q", 1), ran("ruff check"))
    assert found.kind == "failed"
    assert found.sentence == "`pytest -q` failed after the last change (exit code 1)."
    assert verdict(wrote("a.py"), ran("pytest -q", 1), ran("pytest", call="2")).kind == "backed"


def test_a_narrower_check_does_not_make_up_for_one_that_failed():
    assert verdict(wrote("a.py"), ran("pytest -q", 1), ran("pytest tests/test_easy.py")).kind == "failed"
    assert verdict(wrote("a.py"), ran("pytest tests/test_a.py", 1), ran("pytest")).kind == "backed"


def test_a_change_after_the_check_leaves_it_unchecked():
    found = verdict(wrote("a.py"), ran("pytest"), wrote("b.py"), wrote("c.py"))
    assert (found.kind, found.sentence) == ("unchecked", "2 files changed since the last check.")
    assert verdict(wrote("b.py")).sentence == "1 file changed and no check was run."
    assert verdict(ran("pytest"), ran("sed -i s/a/b/ c.py")).sentence == (
        "`sed -i s/a/b/ c.py` changed files, after the last check."
    )


def test_a_check_that_began_before_the_change_was_made_does_not_count():
    edit, check = wrote("a.py"), ran("pytest")
    assert verdict(edit[0], check[0], edit[1], check[1]).kind == "unchecked"


def test_what_hides_its_exit_code_or_checks_nothing_is_no_pass_and_no_failure():
    hidden = verdict(wrote("a.py"), ran("pytest -q | tail -3"))
    assert hidden.kind == "unchecked"
    assert hidden.sentence == (
        "`pytest -q | tail -3` ran after the last change, but its exit code is hidden by the rest of the command."
    )
    stories = [
        ran("pytest || true"),
        ran("pytest", 127),
        ran("pytest nowhere", 4),
        ran("pytest", None, "timed_out"),
        ran("pytest", None, "cancelled"),
        ran("pytest", None, "unknown"),
    ]
    assert kinds([wrote("a.py"), story] for story in stories) == ["unchecked"] * len(stories)


def test_a_change_and_its_check_in_one_command_are_seen_in_their_order():
    assert verdict(ran("sed -i s/a/b/ a.py && pytest")).kind == "backed"
    assert verdict(ran("sed -i s/a/b/ a.py && pytest", 1)).kind == "failed"
    assert verdict(ran("pytest && ruff format .")).kind == "unchecked"


def test_nothing_changed_and_nothing_finished_are_said_so():
    assert verdict(ran("ls"), ran("pytest")).kind == "nothing_changed"
    assert receipts(log(TURN, wrote("a.py"))).verdict.kind == "none"
    stopped = receipts(log(TURN, wrote("a.py"), ev.StopRequested(1), ev.Stopped(1))).verdict
    assert (stopped.kind, stopped.sentence) == ("none", "The last turn was stopped before it finished.")


def test_a_claim_stands_while_the_next_turn_runs_and_when_the_execution_is_stopped_after_it():
    done = (TURN, wrote("a.py"), ran("pytest"), END)
    assert receipts(log(*done, ev.TurnStarted(2, "s"), wrote("b.py"))).verdict.kind == "backed"
    assert receipts(log(*done, ev.StopRequested(1), ev.Stopped(1))).verdict.kind == "backed"
    assert receipts(log(*done, ev.TurnStarted(2, "s"), wrote("b.py"), ev.TurnEnded(2))).verdict.kind == "unchecked"
    assert receipts(log(*done, ev.TurnStarted(2, "s"), ran("ls"), ev.TurnEnded(2))).verdict.kind == "backed"


def test_kept_work_that_no_tool_explains_is_the_last_commands_that_can_have_made_it():
    turn = (TURN, ran("pytest"), ran("python generate.py"), END)
    assert receipts(log(*turn)).verdict == Verdict(
        "unchecked", "Commands ran that may have changed files, and what changed is not known.", 1
    )
    assert receipts(log(*turn, WorkKept(1, ""))).verdict.kind == "nothing_changed"
    found = receipts(log(*turn, WorkKept(1, "c" * 40, files=2)))
    assert found.verdict.sentence == "`python generate.py` changed files, after the last check."
    assert found.kept_files == 2
    other = (TURN, ran("python generate.py"), ran("pytest"), END, WorkKept(1, "c" * 40, files=2))
    assert receipts(log(*other)).verdict.kind == "backed"


def test_an_agent_in_the_environment_is_judged_by_the_same_rules():
    diff = "@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
    change = ae.FilesChanged("f", (FileChange("a.py", "update", diff),))
    check = (
        ae.ActionStarted("x", "bash", json.dumps({"command": "pytest -q", "agent": "helper"})),
        ae.ActionFinished("x", "ok", "1 passed", 0),
    )
    found = receipts(log(TURN, change, check, END))
    assert found.verdict.kind == "backed"
    assert [(file.path, file.additions, file.deletions) for file in found.files] == [("a.py", 1, 1)]
    assert [(one.command, one.agent, one.exit_code, one.result) for one in found.checks] == [
        ("pytest -q", "helper", 0, "passed")
    ]
    unknown = (check[0], ae.ActionFinished("x", "ok", "It goes on in the background."))
    assert receipts(log(TURN, change, unknown, END)).verdict.kind == "unchecked"


def test_files_are_summed_by_path_and_commands_that_run_are_shown():
    found = receipts(log(TURN, wrote("a.py"), wrote("a.py", "x\n", call="2"), ran("sleep 9")[0]))
    assert [(file.path, file.additions, file.times) for file in found.files] == [("a.py", 3, 2)]
    assert [(one.command, one.outcome, one.exit_code) for one in found.commands] == [("sleep 9", "running", None)]
    assert json.loads(json.dumps(found.to_json()))["commands"][0]["exitCode"] is None


def test_what_was_spent_has_its_limit_and_share_and_counts_the_turn_that_runs():
    agent = ev.Agent("a", "demo", "builtin", "m:x", limits=ev.Limits(max_iterations=4, max_seconds=60))
    begun = ev.Started({}, agent, "e", owns_environment=True, creator_id="p", session_id="s")
    state = State(started=begun, iterations=3, usage=Usage(5, 6, 7, 8), ran=20.0, ran_since=T0)
    rows = spent(state, T0 + timedelta(seconds=10))
    assert [(row.label, row.used, row.limit, row.share) for row in rows] == [
        ("Model calls", 3, 4, 0.75),
        ("Input tokens", 18, 0, None),
        ("Output tokens", 8, 0, None),
        ("Running time", 30, 60, 0.5),
    ]
