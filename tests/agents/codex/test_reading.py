"""What the reader makes of lines of the real Codex (corpus/), and of lines that no Codex should write."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.agents.codex.driver import CodexDriver
from hostler.core import agent_events as ae
from hostler.core.agents import Child, Choice, FileChange, Goal, Known, Launch, Piece, Question, Reader
from hostler.core.events import Event, Todo, TodosSet, decode, encode

CORPUS = Path(__file__).parent / "corpus"
THREAD = "01a20475-0000-7000-8000-000000000001"


def launch(**more: str) -> Launch:
    given = {"process": "agent-1", "model": "gpt-5.5", **more}
    return Launch("e", given.pop("process"), "/workspace", "/home/agent", "http://gateway", "t", **given)


def reader(known: Known | None = None, **more: str) -> Reader:
    return CodexDriver().reader(launch(**more), known or Known())


def lines_of(name: str) -> list[bytes]:
    return (CORPUS / f"{name}.jsonl").read_bytes().splitlines()


def read(name: str, known: Known | None = None, **more: str) -> list[Event]:
    feed = reader(known, **more).feed
    return [event for line in lines_of(name) for event in feed(line).events]


def only(events: Sequence[Event], *kinds: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def told(method: str, thread: str = THREAD, **params: object) -> bytes:
    return json.dumps({"method": method, "params": {"threadId": thread, **params}}).encode()


def item(kind: str, what: str = "completed", thread: str = THREAD, **fields: object) -> bytes:
    return told(f"item/{what}", thread, turnId="t1", item={"type": kind, "id": "i1", **fields})


def after(*lines: bytes, known: Known | None = None) -> list[Event]:
    feed = reader(known or Known(thread=THREAD, turn="t1")).feed
    return [event for line in lines for event in feed(line).events]


ALL = sorted(path.stem for path in CORPUS.glob("*.jsonl"))


@pytest.mark.parametrize("name", ALL)
def test_everything_that_codex_wrote_is_understood(name: str) -> None:
    thread = "earlier" if name in ("killed", "lost-thread") else ""
    events = read(name, thread=thread)
    strange = [
        event
        for event in only(events, ae.AgentNoted)
        if event.kind in ("not understood", "output") or "/" in event.kind
    ]
    assert strange == []
    assert only(events, ae.AgentOpened)[0].version == "0.163.0"
    assert [decode(*encode(event)) for event in events] == events


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("lost-thread",)])
def test_a_reader_that_takes_over_at_any_line_reads_the_same(name: str) -> None:
    """Another owner reads on from the journalled offset, with nothing but what the log knows."""
    lines, opened = lines_of(name), next(i for i, line in enumerate(lines_of(name)) if b'"id":"open"' in line)
    launched = launch(thread="earlier" if name == "killed" else "")
    whole = [CodexDriver().reader(launched, Known())]
    expected = [tuple(event for event in whole[0].feed(line).events if _durable(event)) for line in lines]
    for cut in range(opened + 1, len(lines)):
        known = known_after([event for each in expected[:cut] for event in each])
        taken = CodexDriver().reader(launched, known)
        got = [tuple(event for event in taken.feed(line).events if _durable(event)) for line in lines[cut:]]
        assert got == expected[cut:], f"cut at line {cut}"


def _durable(event: Event) -> bool:
    """A new reader may tell a goal, or a sub-agent by another name, once more; nothing is lost by that."""
    return not isinstance(event, ae.GoalChanged | ae.ChildReported)


def known_after(events: Sequence[Event]) -> Known:
    began = only(events, ae.AgentTurnBegan)
    over = {event.ref for event in only(events, ae.AgentTurnDone)}
    finished = {event.item for event in only(events, ae.ActionFinished)}
    started = (event.item for event in only(events, ae.ActionStarted))
    thread = only(events, ae.AgentOpened)[-1].thread
    turn = began[-1].ref if began and began[-1].ref not in over else ""
    return Known(thread, turn, (), tuple(ref for ref in started if ref not in finished))


def test_a_turn_with_a_command_patches_and_a_text() -> None:
    events = read("turn")
    assert only(events, ae.AgentSaid) == [
        ae.AgentSaid("rs_1", "Let me think.", thinking=True),
        ae.AgentSaid("msg_1", "I look first."),
        ae.AgentSaid("msg_5", "All is done."),
    ]
    assert only(events, ae.ActionStarted)[0] == ae.ActionStarted(
        "c1", "bash", '{"command": "echo hi; echo err >&2; exit 3"}'
    )
    first = only(events, ae.ActionFinished)[0]
    assert (first.item, first.outcome, first.exit_code, sorted(first.text.split())) == (
        "c1",
        "failed",
        3,
        ["err", "hi"],
    )
    assert [event.changes for event in only(events, ae.FilesChanged)] == [
        (
            FileChange("a.txt", "update", "@@ -1 +1 @@\n-old\n+new\n"),
            FileChange("sub/b.txt", "add", "one\ntwo\n"),
        ),
        (FileChange("a.txt", "move", "@@ -1 +1 @@\n-new\n+newer\n", "c.txt"),),
        (FileChange("c.txt", "delete", "newer\n"),),
    ]
    assert only(events, ae.InputSeen) == [ae.InputSeen("in-1")]
    assert len(only(events, ae.AgentTurnBegan)) == len(only(events, ae.AgentTurnDone)) == 1
    assert only(events, ae.ContextMeasured)[0] == ae.ContextMeasured(15, 258400)


def test_text_streams_under_the_item_that_holds_it_in_the_end() -> None:
    feed = reader().feed
    pieces = [piece for line in lines_of("turn") for piece in feed(line).pieces]
    assert "".join(piece.text for piece in pieces if piece.item == "msg_5") == "All is done."
    assert Piece("rs_1", "Let me t", thinking=True) in pieces


def test_a_command_that_outlives_its_turn_does_not_hold_it() -> None:
    events = read("background")
    assert only(events, ae.ActionFinished) == [ae.ActionFinished("c1", "ok", "It goes on in the background.")]
    assert only(events, ae.AgentNoted)[-1].body == "sleep 1; echo ended here"
    kinds = [type(event).__name__ for event in events]
    assert kinds.index("ActionFinished") < kinds.index("AgentTurnDone")


def test_a_steered_input_is_seen_and_one_that_came_late_is_missed() -> None:
    events = read("steer")
    assert only(events, ae.InputSeen, ae.SteerMissed) == [
        ae.InputSeen("in-1"),
        ae.InputSeen("in-2"),
        ae.SteerMissed("in-3"),
    ]


def test_an_interrupted_turn_says_so() -> None:
    events = read("interrupt")
    assert only(events, ae.AgentTurnDone)[0].status == "interrupted"
    assert only(events, ae.ActionFinished)[0].outcome == "unknown"


def test_compaction_is_confirmed_in_a_turn_of_its_own() -> None:
    events = read("compact")
    assert only(events, ae.Compacted) == [ae.Compacted()]
    assert len(only(events, ae.AgentTurnDone)) == 2


def test_a_compaction_that_fails_alone_is_no_fault_of_the_execution() -> None:
    failed = {"id": "t2", "status": "failed", "error": {"message": "no"}}
    events = after(
        told("turn/started", turn={"id": "t2"}),
        item("contextCompaction", "started"),
        told("turn/completed", turn=failed),
        known=Known(thread=THREAD),
    )
    assert events[1:] == [ae.Compacted("no"), ae.AgentTurnDone("t2", "failed")]


def test_a_compaction_that_fails_before_an_input_is_heard_is_a_fault() -> None:
    failed = {"id": "t2", "status": "failed", "error": {"message": "no"}}
    events = after(
        json.dumps({"id": "deliver/in-1", "result": {"turn": {"id": "t2"}}}).encode(),
        told("turn/started", turn={"id": "t2"}),
        item("contextCompaction", "started"),
        told("turn/completed", turn=failed),
        known=Known(thread=THREAD),
    )
    assert only(events, ae.AgentFault) == [ae.AgentFault("llm_integration", "Codex gave up: no")]


def test_questions_are_asked_under_a_name_of_the_process_and_closed() -> None:
    events = read("questions")
    assert only(events, ae.QuestionsAsked, ae.QuestionsClosed) == [
        ae.QuestionsAsked(
            "agent-1/0",
            (
                Question(
                    "colour",
                    "Which colour?",
                    (Choice("Blue", "Blue", "like the sky"), Choice("Red", "Red", "like fire")),
                ),
                Question("size", "How large?", (Choice("S", "S", "small"),)),
            ),
        ),
        ae.QuestionsClosed("agent-1/0"),
    ]


def test_a_goal_runs_over_turns_to_its_end() -> None:
    events = read("goal")
    changes = only(events, ae.GoalChanged)
    assert changes[0] == ae.GoalChanged(Goal("make it so", "active", 100_000), "r1")
    assert [change.goal and change.goal.status for change in changes[-2:]] == ["completed", None]
    assert changes[-1].request == "r2"
    assert len(only(events, ae.AgentTurnDone)) == 2


def test_a_spent_budget_ends_a_goal() -> None:
    last = only(read("goal-budget"), ae.GoalChanged)[-1].goal
    assert (last.status, last.token_budget, last.tokens_used) == ("budget_exhausted", 20, 30)


def test_a_wish_for_another_goal_is_answered_by_name_also_while_a_turn_runs() -> None:
    changes = only(read("goal-paused"), ae.GoalChanged)
    answered = {change.request: change.goal.status for change in changes if change.request}
    assert answered == {"r1": "active", "r2": "paused", "r3": "completed"}


def test_a_goal_that_cannot_be_changed_is_looked_up_so_that_the_wish_is_answered() -> None:
    feed = reader(Known(thread=THREAD)).feed
    heard = feed(b'{"id":"goal/r1","error":{"code":-32600,"message":"no such thing"}}')
    assert only(heard.events, ae.AgentNoted)[0].warning
    assert [reply.id for reply in heard.replies] == ["goal-now/r1"]
    assert feed(b'{"id":"goal-now/r1","result":{"goal":null}}').events == (ae.GoalChanged(None, "r1"),)


def test_a_new_process_says_which_inputs_its_history_shows() -> None:
    events = read("killed", Known(given=("in-1", "in-2")), process="agent-2", thread="earlier")
    assert only(events, ae.AgentOpened)[0].process == "agent-2"
    assert only(events, ae.InputSeen) == [ae.InputSeen("in-1")]


def test_a_conversation_that_is_lost_is_begun_anew_and_said_so() -> None:
    feed = reader(thread="01a20468-0000-7e61-b7af-000000000000").feed
    heard = [feed(line) for line in lines_of("lost-thread")]
    replies = [reply for each in heard for reply in each.replies]
    assert [reply.id for reply in replies] == ["anew"]
    assert json.loads(replies[0].data)["method"] == "thread/start"
    events = [event for each in heard for event in each.events]
    assert only(events, ae.AgentNoted)[0].warning
    assert only(events, ae.AgentOpened)
    assert only(events, ae.GoalChanged) == [ae.GoalChanged(None)]


def test_a_sub_agent_is_reported_and_its_commands_are_actions_of_their_own() -> None:
    events = read("child", model="gpt-5.4")
    children = only(events, ae.ChildReported)
    assert [report.child.state for report in (children[0], children[-1])] == ["running", "done"]
    assert children[-1].child.total_tokens == 30
    assert [(one.child.asked, one.child.said) for one in (children[0], children[-1])] == [
        ("", ""),
        ("help", "It is done."),
    ]
    notes = [note for note in only(events, ae.AgentNoted) if note.child]
    assert {note.child for note in notes} == {children[0].child.id}
    assert notes[-1].body == "It is done."
    inner = next(event for event in only(events, ae.ActionStarted) if event.item.endswith("/c2"))
    assert json.loads(inner.arguments) == {"command": "echo child", "agent": children[0].child.name}
    assert len(only(events, ae.AgentTurnBegan)) == 1


def test_settings_are_as_codex_confirms_them_and_a_lost_tier_is_a_warning() -> None:
    events = read("settings")
    assert [event.settings for event in only(events, ae.SettingsConfirmed)] == [
        {"model": "CODEX_OPEN_AI_MODEL_GPT_5_5"},
        {
            "model": "CODEX_OPEN_AI_MODEL_GPT_5_6_SOL",
            "reasoningEffort": "CODEX_REASONING_EFFORT_EXTRA_HIGH",
            "serviceTier": "CODEX_SERVICE_TIER_FAST",
        },
        {"model": "CODEX_OPEN_AI_MODEL_GPT_5_4", "reasoningEffort": "CODEX_REASONING_EFFORT_EXTRA_HIGH"},
    ]
    warnings = [event.body for event in only(events, ae.AgentNoted) if event.warning]
    assert "gpt-5.4 has no fast service tier: the ordinary one is used" in warnings
    assert any("fallback metadata" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("refused", "llm_integration", "The model cannot do that."),
        ("limited", "llm_integration", "429"),
        ("too-long", "agent_execution", "1048576"),
    ],
)
def test_a_failure_for_good_is_a_fault_in_readable_words(name: str, reason: str, words: str) -> None:
    (fault,) = only(read(name), ae.AgentFault)
    assert fault.reason == reason
    assert words in fault.message


def test_a_cut_that_is_tried_again_is_a_warning_and_no_fault() -> None:
    events = read("cut")
    assert only(events, ae.AgentFault) == []
    assert next(event for event in only(events, ae.AgentNoted)).warning
    assert [event.text for event in only(events, ae.AgentSaid)] == ["This is whole."]


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        ("usageLimitExceeded", "llm_integration"),
        ("unauthorized", "llm_integration"),
        ("contextWindowExceeded", "llm_integration"),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, "llm_integration"),
        ("sandboxError", "environment"),
        ("sessionBudgetExceeded", "agent_execution"),
        ("somethingNew", "llm_integration"),
        (None, "llm_integration"),
    ],
)
def test_a_fault_says_whose_it_is(info: object, reason: str) -> None:
    error = {"message": "it broke, url: http://127.0.0.1:3129/v1/responses", "codexErrorInfo": info}
    events = after(told("turn/completed", turn={"id": "t1", "status": "failed", "error": error}))
    (fault,) = only(events, ae.AgentFault)
    assert fault.reason == reason
    assert fault.message.endswith("it broke")


def test_the_plan_tool_sets_the_list_of_things_to_do() -> None:
    assert [[(todo.title, todo.state) for todo in told.todos] for told in only(read("plan"), TodosSet)] == [
        [("Look", "done"), ("Mend", "in_progress"), ("Test", "pending")],
        [("Look", "done"), ("Mend", "done"), ("Test", "pending")],
    ]


def test_a_plan_becomes_the_list_of_things_to_do() -> None:
    plan = [
        {"step": "look", "status": "completed"},
        {"step": "mend", "status": "inProgress"},
        {"step": "test", "status": "pending"},
    ]
    assert after(told("turn/plan/updated", turnId="t1", plan=plan)) == [
        TodosSet((Todo("look", "done"), Todo("mend", "in_progress"), Todo("test", "pending")))
    ]


def test_tools_of_other_servers_and_searches_are_actions() -> None:
    called = {"server": "calc", "tool": "add", "arguments": {"a": 1}}
    answer = {"content": [{"type": "text", "text": "2"}, {"type": "image"}]}
    assert after(
        item("mcpToolCall", "started", status="inProgress", **called),
        item("mcpToolCall", status="completed", result=answer, **called),
    ) == [
        ae.ActionStarted("i1", "calc.add", '{"arguments": {"a": 1}}'),
        ae.ActionFinished("i1", "ok", "2\n[image]"),
    ]
    failed = after(item("mcpToolCall", status="failed", error={"message": "no"}, **called))
    assert failed[-1] == ae.ActionFinished("i1", "failed", "no")
    assert after(item("webSearch", query="x"))[0] == ae.ActionStarted("i1", "web_search", '{"query": "x"}')


def test_a_long_output_keeps_its_head_and_tail() -> None:
    output = "a" * 30_000 + "b" * 30_000
    run = {"command": "/bin/bash -lc x", "status": "completed", "exitCode": 0, "aggregatedOutput": output}
    finished = after(item("commandExecution", "started", command="x"), item("commandExecution", **run))[-1]
    assert isinstance(finished, ae.ActionFinished)
    assert finished.text.startswith("aaa")
    assert finished.text.endswith("bbb")
    assert "[40000 characters left out]" in finished.text
    assert len(finished.text) < 20_100


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/bin/bash -lc 'echo hi'", "echo hi"),
        ("/usr/bin/zsh -c ls", "ls"),
        ("python3 -c 'print(1)'", "python3 -c 'print(1)'"),
        ("bash -lc 'unclosed", "bash -lc 'unclosed"),
    ],
)
def test_a_command_is_shown_without_the_shell_around_it(line: str, words: str) -> None:
    (started,) = after(item("commandExecution", "started", command=line))
    assert isinstance(started, ae.ActionStarted)
    assert json.loads(started.arguments) == {"command": words}


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("item/commandExecution/requestApproval", {"result": {"decision": "accept"}}),
        ("item/fileChange/requestApproval", {"result": {"decision": "accept"}}),
        ("execCommandApproval", {"result": {"decision": "approved"}}),
        ("something/new", {"error": {"code": -32601, "message": "something/new is not served here"}}),
    ],
)
def test_what_codex_asks_of_us_is_answered_at_once(method: str, answer: dict[str, Any]) -> None:
    line = json.dumps({"id": 7, "method": method, "params": {}}).encode()
    heard = reader(Known(thread=THREAD)).feed(line)
    assert [json.loads(reply.data) for reply in heard.replies] == [{"id": 7, **answer}]


def test_an_unknown_notification_is_kept_and_breaks_nothing() -> None:
    (noted,) = after(told("thread/dreamt", what="of sheep"))
    assert isinstance(noted, ae.AgentNoted)
    assert (noted.kind, noted.warning) == ("thread/dreamt", False)
    assert "of sheep" in noted.body


@pytest.mark.parametrize(
    "line",
    [
        b"thread 'main' panicked",
        b"\xff\xfe",
        b"[1, 2]",
        b'"text"',
        b"null",
        b"{}",
        b'{"method": 3}',
        b'{"method": "item/completed"}',
        b'{"method": "item/completed", "params": {"item": {"type": "commandExecution", "id": "x"}}}',
        b'{"method": "turn/completed", "params": {"turn": null}}',
        b'{"id": "open", "result": {}}',
        b'{"id": {"a": 1}, "result": null}',
        b'{"id": "goal/x", "result": 3}',
        b'{"id": "steer/x", "error": "text"}',
        b"[" * 100_000,
        b'{"method": "x", "params": {"big": "' + b"y" * (8 << 20) + b'"}}',
    ],
)
def test_garbage_is_a_short_note_and_never_an_exception(line: bytes) -> None:
    events = after(line)
    assert all(isinstance(event, ae.AgentNoted | ae.SteerMissed) for event in events)
    assert all(len(event.body) < 5_000 for event in only(events, ae.AgentNoted))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
METHODS = sorted({json.loads(line).get("method", "") for name in ALL for line in lines_of(name)} - {""})


@given(
    method=st.sampled_from(METHODS), params=JSON, field=st.sampled_from(["item", "turn", "goal", "tokenUsage", "plan"])
)
def test_a_known_notification_of_another_shape_is_never_an_exception(method: str, params: Any, field: str) -> None:
    feed: Callable[[bytes], Any] = reader(Known(thread=THREAD, turn="t1")).feed
    feed(json.dumps({"method": method, "params": params}).encode())
    feed(json.dumps({"method": method, "params": {"threadId": THREAD, field: params}}).encode())


@pytest.mark.parametrize("id_", ["deliver/in-1", "again/turn-9/in-1"])
def test_an_input_that_a_compaction_does_not_take_is_told_again_later(id_: str) -> None:
    message = "failed to submit turn input: ActiveTurnNotSteerable { turn_kind: Compact }"
    line = json.dumps({"id": id_, "error": {"code": -32603, "message": message}}).encode()
    assert after(line) == [ae.SteerMissed("in-1")]


def test_an_action_with_a_strange_name_ends_with_its_turn_and_that_of_a_sub_agent_does_not() -> None:
    child = "01a20475-963b-7db1-b7c5-fe935d8d4f13/c1"
    events = after(
        told("turn/completed", turn={"id": "t1", "status": "completed"}),
        known=Known(thread=THREAD, turn="t1", actions=("call/7", child)),
    )
    assert [event.item for event in only(events, ae.ActionFinished)] == ["call/7"]


def test_late_news_of_a_sub_agent_that_is_done_does_not_make_it_run_again_for_another_reader() -> None:
    done = Child("c1", "Euler", "done", 10)
    news = told("thread/tokenUsage/updated", thread="c1", tokenUsage={"total": {"totalTokens": 20}})
    heard = after(news, known=Known(thread=THREAD, turn="t1", children=(done,)))
    assert heard == [ae.ChildReported(Child("c1", "Euler", "done", 20))]


def test_a_goal_that_can_be_neither_changed_nor_asked_for_is_not_waited_for() -> None:
    refused = {"code": -32600, "message": "no"}
    lines = [json.dumps({"id": f"{what}/r1", "error": refused}).encode() for what in ("goal", "goal-now")]
    assert only(after(*lines), ae.GoalChanged) == [ae.GoalChanged(None, "r1")]
