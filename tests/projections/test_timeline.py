"""A log as people read it: stories told by hand, item by item."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import pytest

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core.agents import Choice, FileChange, Question
from hostler.core.conversation import Text, Thinking, Usage
from hostler.core.state import fold
from hostler.projections import items
from hostler.projections.actions import intent
from hostler.projections.changes import of_patch
from hostler.projections.glance import stands, waits
from hostler.projections.items import Action, FileChanged, NextSteps, Note, Questions, RefusedHost, TurnEnd, UserInput
from hostler.projections.timeline import Timeline, timeline
from tests import corpus
from tests.corpus.logs import INSIDE, Writing, call, ready, started

T = TypeVar("T")
ASKED = Question("q1", "Which way?", (Choice("Left", "Go left"), Choice("Right", "Go right")))


def begun(driver: str = "builtin") -> Writing:
    """Return a log whose first turn has just begun with one input."""
    w = Writing("story")
    w.add(started("story", driver, name="A story"))
    first = w.queued("first", "Do it.")
    w.add(ready("story"), ev.TurnStarted(1, "life-1", 0.0), ev.InputTaken((first,)))
    return w


def told(w: Writing) -> Timeline:
    return timeline(w.name, w.log)


def only(line: Timeline, kind: type[T]) -> T:
    found = [one for one in line.items if isinstance(one, kind)]
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("name", corpus.LOGS)
def test_fed_event_by_event_or_at_once_it_is_the_same(name: str):
    log = corpus.log(name)
    line = Timeline(name)
    seen: dict[str, items.AnyItem] = {}
    for recorded in log:
        for item in line.feed(recorded):
            seen[item.id] = item
    assert list(seen.values()) == list(line.items) == list(timeline(name, log).items)
    assert line.state == fold(log)


@pytest.mark.parametrize("name", corpus.LOGS)
def test_ids_are_unique_safe_in_addresses_and_in_order(name: str):
    line = timeline(name, corpus.log(name))
    ids = [item.id for item in line.items]
    assert len(ids) == len(set(ids))
    assert all(one.replace("-", "").replace("_", "").isalnum() for one in ids)
    assert [line.previous(one) for one in ids] == ["", *ids[:-1]]


def test_an_input_waits_in_the_queue_and_comes_into_the_conversation_when_it_is_taken():
    w = Writing("story")
    w.add(started("story"))
    first = w.queued("first", "Do it.")
    line = told(w)
    assert not line.items
    assert [one.text for one in line.waiting if isinstance(one, UserInput)] == ["Do it."]
    line = told(begun())
    assert [type(one).__name__ for one in line.items] == ["Note", "TurnStart", "UserInput"]
    assert only(line, UserInput).input_id == first
    assert not line.waiting


def test_what_was_deleted_or_dropped_unread_is_told_as_that():
    w = begun()
    deleted, dropped = w.queued("a", "Never mind."), w.queued("b", "One more.")
    w.add(ev.InputDeleted(deleted), ev.StopRequested(1), ev.InputDropped(dropped), ev.Stopped(1))
    states = {one.text: one.state for one in told(w).items if isinstance(one, UserInput)}
    assert states == {"Do it.": "seen", "Never mind.": "deleted", "One more.": "dropped"}


def test_a_steered_input_says_so():
    w = begun()
    second = w.queued("second", "And this.")
    w.add(ev.SteerRequested(second), ev.InputTaken((second,)))
    assert [one.steered for one in told(w).items if isinstance(one, UserInput)] == [False, True]


def test_what_came_through_a_share_names_the_visitor():
    w = begun()
    second = w.queued("second", "Hello.", metadata={"source": "share:01 (Ann)"})
    w.add(ev.InputTaken((second,)))
    assert [one.through for one in told(w).items if isinstance(one, UserInput)] == ["", "visitor (Ann)"]


def test_an_input_to_an_agent_inside_is_sent_and_then_seen():
    w = begun("codex")
    assert only(told(w), UserInput).state == "sent"
    w.add(ae.InputSeen(only(told(w), UserInput).input_id))
    assert only(told(w), UserInput).state == "seen"


def test_a_command_runs_and_ends_with_its_exit_code_output_and_check():
    w = begun()
    w.replied("c1", Text("First the tests."), call(1, "bash", command="pytest -q"))
    w.add(ev.ToolStarted("c1.0", "bash", json.dumps({"command": "pytest -q"}), INSIDE))
    running = only(told(w), Action)
    assert (running.state, running.command, running.check, running.seconds) == ("running", "pytest -q", "pytest", None)
    assert told(w).running == (running,)
    w.add(ev.ToolFinished("c1.0", "failed", "1 failed", 1, "ab" * 32, 90_000), seconds=4)
    done = only(told(w), Action)
    assert done.id == running.id
    assert (done.state, done.exit_code, done.output, done.seconds) == ("failed", 1, "1 failed", 4.0)
    assert (done.blob, done.output_bytes) == ("ab" * 32, 90_000)
    assert not told(w).running


def test_a_call_that_never_started_is_told_when_a_stop_ends_it():
    w = begun()
    w.replied("c1", call(1, "bash", command="sleep 9"))
    w.add(ev.StopRequested(1), ev.ToolFinished("c1.0", "cancelled", ""), ev.Stopped(1))
    stopped = only(told(w), Action)
    assert (stopped.state, stopped.title) == ("cancelled", "sleep 9")


def test_an_edit_that_worked_becomes_the_change_and_one_that_failed_stays_an_action():
    w = begun()
    w.replied("c1", call(1, "edit", path="a.py"), call(2, "edit", path="b.py"))
    details: Mapping[str, Any] = {"file": "a.py", "old": "one\ntwo", "new": "one\n2", "line": 7}
    w.ran("c1.0", "edit", {"path": "a.py"}, "edited", details=details)
    w.ran("c1.1", "edit", {"path": "b.py"}, "there is no such text", outcome="failed")
    changed = only(told(w), FileChanged)
    assert (changed.path, changed.kind, changed.additions, changed.deletions) == ("a.py", "update", 1, 1)
    assert [(one.sign, one.old, one.new, one.text) for one in changed.hunks[0]] == [
        (" ", 7, 7, "one"),
        ("-", 8, 0, "two"),
        ("+", 0, 8, "2"),
    ]
    assert only(told(w), Action).state == "failed"


def test_several_files_of_one_change_are_told_apart():
    w = begun("codex")
    w.add(ae.ActionStarted("i1", "edit", '{"path": "a, b"}'))
    diff = "@@ -1,2 +1,2 @@\n x\n-y\n+z\n@@ -9 +9 @@\n-p\n+q\n"
    w.add(ae.FilesChanged("i1", (FileChange("a", "update", diff), FileChange("b", "add", "n\n"))))
    w.add(ae.ActionFinished("i1", "ok", "changed: a"))
    first, second = (one for one in told(w).items if isinstance(one, FileChanged))
    assert (first.path, len(first.hunks), first.additions, first.deletions) == ("a", 2, 2, 2)
    assert (second.path, second.kind, second.additions) == ("b", "add", 1)
    assert not [one for one in told(w).items if isinstance(one, Action)]


def test_text_keeps_the_id_under_which_it_streamed_and_says_when_it_was_cut():
    w = begun()
    w.replied("c1", Thinking("Hm."), Text("Hello."))
    w.add(
        ev.ModelCallStarted("c2", "m"),
        ev.ModelCallCut("c2", (ev.CutText("11111111-1111-4111-8111-111111111111", "And"),)),
    )
    texts = [one for one in told(w).items if isinstance(one, items.Text)]
    assert [(one.text, one.cut) for one in texts] == [("Hello.", False), ("And", True)]
    assert texts[1].id == "block-11111111-1111-4111-8111-111111111111"
    assert only(told(w), items.Thought).text == "Hm."


def test_tries_of_the_model_are_one_note_that_ends_with_the_answer():
    w = begun()
    w.add(ev.ModelCallStarted("c1", "m"))
    again = w.at.replace(year=2027)
    w.add(ev.ModelCallFailed("c1", "overloaded", again), ev.ModelCallFailed("c1", "overloaded", again))
    line = told(w)
    note = [one for one in line.items if isinstance(one, Note) and one.kind == "retry"]
    assert [(one.text, one.until) for one in note] == [("The model could not be called; attempt 3 follows.", again)]
    waiting = waits(line, "live")
    assert (waiting.who, waiting.what, waiting.until) == ("model", "the model, attempt 3", again)
    w.add(ev.ModelReplied("c1", (Text("Here."),), Usage(1, 0, 0, 1)))
    assert [one.text for one in told(w).items if isinstance(one, Note) and one.kind == "retry"] == [
        "The model answered at attempt 3."
    ]


def test_a_call_that_is_made_again_after_a_crash_is_waited_for_since_it_began():
    w = begun()
    w.add(ev.ModelCallStarted("c1", "m"))
    since = told(w).calling_since
    said = (ev.CutText("11111111-1111-4111-8111-111111111111", "And"),)
    w.add(ev.TurnAdopted("life-2"), ev.EnvironmentReady("e", "life-2"), ev.ModelCallCut("c1", said, again=True))
    waiting = waits(told(w), "live")
    assert (waiting.who, waiting.since) == ("model", since)
    assert since is not None


def test_to_dos_of_a_turn_are_one_item_and_silent_tools_show_no_call():
    w = begun()
    for state in ("pending", "done"):
        w.replied(f"c-{state}", call(1, "todo"))
        w.add(ev.ToolStarted(f"c-{state}.0", "todo", "{}", ""))
        w.add(ev.ToolFinished(f"c-{state}.0", "ok", "noted"), ev.TodosSet((ev.Todo("Look", state),)))  # pyright: ignore[reportArgumentType]
    assert [todo.state for todo in only(told(w), items.Todos).todos] == ["done"]
    assert not [one for one in told(w).items if isinstance(one, Action)]


def test_a_question_of_either_agent_is_open_then_answered_in_words():
    for driver in ("builtin", "codex"):
        w = begun(driver)
        w.add(ae.QuestionsAsked("ask-1", (ASKED,)))
        if driver == "builtin":
            w.add(ev.TurnEnded(1))
        assert only(told(w), Questions).state == "open"
        assert stands(told(w), "live").word == ("Needs an answer" if driver == "builtin" else "Working")
        assert waits(told(w), "live").what == "your answer: Which way?"
        answer = w.queued("answer", '{"q1": "Left"}')
        if driver == "builtin":
            w.add(ev.TurnStarted(2, "life-1", 0.0))
        w.add(ev.InputTaken((answer,)), ae.QuestionsClosed("ask-1"))
        asked = only(told(w), Questions)
        assert (asked.state, asked.answers) == ("answered", (("Which way?", "Go left"),))
        said = [one for one in told(w).items if isinstance(one, UserInput)][-1]
        assert (said.answers, said.text, said.state) == (True, "Which way?\n→ Go left", "seen")


def test_a_stop_takes_questions_back():
    w = begun("codex")
    w.add(ae.QuestionsAsked("ask-1", (ASKED,)), ev.StopRequested(1), ev.Stopped(1))
    assert only(told(w), Questions).state == "closed"


def test_next_steps_stand_at_the_end_of_their_turn_until_one_is_chosen_or_something_else_said():
    for said, state, chosen in (("Write a test.", "chosen", 1), ("Stop here.", "past", -1)):
        w = begun()
        steps = (ev.NextStep("Docs", "Write docs."), ev.NextStep("Test", "Write a test."))
        w.add(ev.NextStepsProposed(steps))
        w.replied("c1", Text("Done."))
        w.add(ev.TurnEnded(1))
        assert [type(one).__name__ for one in told(w).items][-2:] == ["NextSteps", "TurnEnd"]
        assert only(told(w), NextSteps).state == "open"
        w.add(ev.TurnStarted(2, "life-1", 0.0), ev.InputTaken((w.queued("next", said),)))
        assert (only(told(w), NextSteps).state, only(told(w), NextSteps).chosen) == (state, chosen)


def test_a_refused_host_is_one_card_until_it_is_allowed():
    w = begun()
    w.add(ev.EgressRefused("example.org:443", "not allowed"), ev.EgressRefused("example.org:443", "not allowed"))
    card = only(told(w), RefusedHost)
    assert (card.name, card.times, card.state) == ("example.org", 2, "open")
    w.add(ev.HostAllowed("example.org", "class", "owner"))
    card = only(told(w), RefusedHost)
    assert (card.state, card.by) == ("class", "owner")


def test_a_turn_ends_with_what_it_took_and_why_it_stopped():
    w = begun()
    w.replied("c1", Text("One."), usage=Usage(10, 5, 0, 7))
    w.add(ev.Stopped(1, "agent_execution", "limit max_iterations reached", "max_iterations"))
    end = only(told(w), TurnEnd)
    assert (end.how, end.limit, end.calls, end.usage) == ("limit", "max_iterations", 1, Usage(10, 5, 0, 7))
    assert stands(told(w), "live").word == "Limit reached"
    w = begun()
    w.add(ev.TurnEnded(1), seconds=61)
    assert (only(told(w), TurnEnd).how, only(told(w), TurnEnd).seconds) == ("idle", 62.0)


def test_true_liveness_wins_over_what_the_log_says():
    w = begun()
    w.replied("c1", call(1, "bash", command="pytest -q"))
    w.add(ev.ToolStarted("c1.0", "bash", json.dumps({"command": "pytest -q"}), INSIDE))
    line = told(w)
    assert (stands(line, "live").word, waits(line, "live").what) == ("Working", "the command `pytest -q`")
    assert (stands(line, "recovering").word, waits(line, "recovering").who) == ("Recovering", "server")
    assert stands(line, "gone").word == "Its runner is away"
    assert stands(line, "waiting_for_slot").word == "Waiting for a slot"


def test_a_restart_and_a_lost_supervisor_are_notes():
    w = begun()
    w.add(ev.TurnAdopted("life-2"), ev.SupervisorLost(INSIDE), ev.SupervisorLost(INSIDE))
    kinds = [one.kind for one in told(w).items if isinstance(one, Note)]
    assert kinds == ["environment", "restarted"]
    w = begun()
    w.add(ev.SupervisorLost(INSIDE), ev.SupervisorLost(INSIDE))
    assert [one.kind for one in told(w).items if isinstance(one, Note)].count("supervisor_lost") == 1


def test_a_patch_is_read_file_by_file():
    patch = (
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
        "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+n\n"
    )
    files = of_patch(patch)
    assert files is not None
    assert [(one.path, one.kind, one.additions, one.deletions) for one in files] == [
        ("x", "update", 1, 1),
        ("new", "add", 1, 0),
    ]
    assert of_patch("") == ()


def test_an_output_is_folded_in_the_middle_and_wide_lines_are_cut():
    folded = items.folded("\n".join(map(str, range(100))))
    assert (folded.head[0], folded.tail[-1], folded.left_out, folded.lines) == ("0", "99", 64, 100)
    assert items.folded("a\nb").head == ("a", "b")
    assert len(items.folded("x" * 10_000).head[0]) < 2_100


def test_restarts_in_a_row_are_one_note():
    w = begun()
    w.add(ev.TurnAdopted("life-2"), ev.TurnAdopted("life-3"))
    w.replied("c1", Text("I go on."))
    w.add(ev.TurnAdopted("life-4"))
    told_of = [one.text for one in told(w).items if isinstance(one, Note) and one.kind == "restarted"]
    assert told_of == [
        "The server was restarted 2 times and took up the turn where it was.",
        "The server was restarted and took up the turn where it was.",
    ]


def test_a_warning_of_the_agent_says_what_it_warns_of_without_being_opened():
    w = begun("codex")
    w.add(ae.AgentNoted("warning", "slow disk", True), ae.AgentNoted("warning", "Two things:\nfirst, second", True))
    short, long = (one for one in told(w).items if isinstance(one, Note) and one.kind == "warning")
    assert (short.text, short.detail) == ("The agent warns: slow disk", "")
    assert (long.text, long.detail) == ("The agent warns: Two things:", "Two things:\nfirst, second")


def test_a_pattern_is_shown_as_the_agent_wrote_it():
    assert intent("search", json.dumps({"pattern": r"def it\b", "path": "src"})) == r"search 'def it\b' in src"
    assert intent("web_search", json.dumps({"query": "it's\nnew"})) == "search the web for 'it's new'"


def test_a_host_in_a_private_network_is_told_apart_from_one_that_a_person_may_allow():
    w = begun()
    w.add(
        ev.EgressRefused(
            "a.example:443", "it resolves to 10.0.0.1, which is not a public address; list the host in private_hosts."
        )
    )
    w.add(ev.EgressRefused("b.example:443", "b.example:443 is not on this environment's list of allowed hosts."))
    assert [one.private for one in told(w).items if isinstance(one, RefusedHost)] == [True, False]
