"""Logs that hold each kind of event, as real executions would write them."""

import base64
import json
import struct
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hostler.core import agent_events as ae
from hostler.core import approvals_events as aq
from hostler.core import approvals_plan, kept
from hostler.core import events as ev
from hostler.core import family_events as fm
from hostler.core import interests_events as ie
from hostler.core import mcp_events as mm
from hostler.core.agents import Child, Choice, FileChange, Goal, GoalChange, Question
from hostler.core.conversation import Text, Thinking, ToolCall, Usage
from hostler.core.events import Event, Recorded
from hostler.core.memory import shell_id
from hostler.core.memory_events import (
    Announced,
    Answered,
    CommandsAnnounced,
    CompactionStarted,
    ContextCleared,
    ContextCompacted,
    ShellFinished,
    ShellStarted,
)

SPACE = uuid.UUID("0d0ff7f6-6c1f-4b0c-9d7e-9a54f5c9a001")
BEGAN = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
OWNER = "00000000-0000-0000-0000-000000000001"
INSIDE = "supervisor-1"
DIFF = """@@ -8,3 +8,4 @@
 def most_frequent(found, limit):
     counts = Counter(found)
-    return counts.most_common(limit - 1)
+    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
+    return ranked[:limit]
"""


def named(*words: object) -> str:
    """Return the same uuid for the same words."""
    return str(uuid.uuid5(SPACE, "/".join(map(str, words))))


def png(width: int = 160, height: int = 90) -> str:
    """Return a small picture in base64: a wash of two colours."""
    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in (40 + x, 110 + y, 200 - x)) for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


class Writing:
    """A log that is written: each event comes some seconds after the one before."""

    def __init__(self, name: str, began: datetime = BEGAN) -> None:
        self.name = name
        self.at = began
        self.log: list[Recorded] = []

    def add(self, *events: Event, seconds: float = 1.0) -> None:
        for event in events:
            self.at += timedelta(seconds=seconds)
            self.log.append(Recorded(len(self.log) + 1, self.at, event))

    def queued(self, key: str, text: str, *more: Mapping[str, Any], **fields: Any) -> str:
        """Add an input; return its id."""
        id_ = named(self.name, "input", key)
        inputs = [{"text": {"content": text}}, *more]
        block = {"id": id_, "inputs": inputs, "createdAt": self.at.isoformat().replace("+00:00", "Z"), **fields}
        self.add(ev.InputQueued(id_, block, named("digest", key)))
        return id_

    def replied(self, call: str, *parts: Any, usage: Usage | None = None) -> None:
        """Add a model call and its reply."""
        blocks = tuple(named(self.name, call, number) for number in range(len(parts)))
        finish = "tools" if any(isinstance(part, ToolCall) for part in parts) else "stop"
        used = usage or Usage(220, 1800, 150, 60)
        self.add(ev.ModelCallStarted(call, "scripted:corpus"), seconds=0.2)
        self.add(ev.ModelReplied(call, parts, used, finish, blocks=blocks), seconds=2.5)

    def ran(self, call: str, name: str, arguments: Mapping[str, Any], text: str, **result: Any) -> None:
        """Add a tool call and its result."""
        inside = "" if name in ("todo", "add_agent_execution_result", "ask", "next_steps") else INSIDE
        self.add(ev.ToolStarted(call, name, json.dumps(arguments), inside), seconds=0.1)
        outcome = result.pop("outcome", "ok")
        self.add(ev.ToolFinished(call, outcome, text, **{"output_bytes": len(text), **result}), seconds=1.4)


def agent(driver: str) -> ev.Agent:
    known = {"builtin": ("7100", "hostler"), "codex": ("7800", "codex")}[driver]
    return ev.Agent(
        f"00000000-0000-0000-0000-00000000{known[0]}",
        known[1],
        driver,
        "scripted:corpus",
        limits=ev.Limits(max_iterations=200, max_input_tokens=2_000_000, max_seconds=7200),
        context_window=200_000,
        tools=("bash", "read", "write", "edit", "search", "todo", "add_agent_execution_result"),
        tools_inside=("bash", "read", "write", "edit", "search"),
    )


def started(of: str, driver: str = "builtin", **fields: Any) -> ev.Started:
    context = {"codeContext": {"contextUrl": {"url": "https://code.example.org/team/wordcount"}}}
    request = {**context, "annotations": {"team": "docs"}, **fields.pop("request", {})}
    session = fields.pop("session", named("session"))
    return ev.Started(request, agent(driver), named(of, "environment"), True, OWNER, session, **fields)


def ready(name: str) -> ev.EnvironmentReady:
    instructions = "# Notes for agents\n\n- Run the tests with `python3 -m unittest -q`.\n"
    notes = ("The repository has no devcontainer.json; the plain image is used.",)
    return ev.EnvironmentReady(named(name, "environment"), INSIDE, "f3e7b8b2f887", notes, instructions)


def call(number: int, name: str, **arguments: Any) -> ToolCall:
    return ToolCall(f"call_{name}_{number}", name, json.dumps(arguments))


def todo(*states: str) -> tuple[ev.Todo, ...]:
    titles = ("Run the tests", "Find the mistake", "Mend it and run the tests again")
    return tuple(ev.Todo(title, state) for title, state in zip(titles, states, strict=True))  # pyright: ignore[reportArgumentType]


def builtin() -> Iterable[Recorded]:
    """The built-in agent: a turn with everything, a restart in the middle, a stop."""
    w = Writing("builtin")
    w.add(started("builtin", name="Mend the ranking"))
    picture = {"image": {"data": png(), "mimeType": "image/png"}}
    first = w.queued("first", "The ranking is wrong, see the **picture**. Mend it.", picture)
    w.add(ready("builtin"), seconds=4)
    w.add(ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((first,)))
    w.replied(
        "c1",
        Thinking("The picture shows one word too few. First the tests."),
        Text("I begin with the tests, to see what fails."),
        call(1, "todo", todos=[]),
        call(2, "bash", command="python3 -m unittest -q"),
        call(3, "read", path="wordcount/ranking.py"),
    )
    w.add(ev.ToolStarted("c1.0", "todo", '{"todos": []}', ""))
    w.add(ev.ToolFinished("c1.0", "ok", "noted"), ev.TodosSet(todo("in_progress", "pending", "pending")), seconds=0.1)
    failure = "FAIL: test_the_most_frequent_words_come_first\n" + "".join(f"  line {n}\n" for n in range(1, 41))
    w.ran("c1.1", "bash", {"command": "python3 -m unittest -q"}, failure + "FAILED", outcome="failed", exit_code=1)
    w.ran("c1.2", "read", {"path": "wordcount/ranking.py"}, "     1\tfrom collections import Counter\n")
    w.add(ev.EgressRefused("packages.example.net", "the environment's class does not allow it"))
    w.add(ev.EgressRefused("docs.example.net", "the environment's class does not allow it"))
    w.add(ev.EgressRefused("wheels.example.net", "the environment's class does not allow it"))
    w.add(ev.HostAllowed("docs.example.net", "once", "owner"), ev.HostAllowed("wheels.example.net", "class", "owner"))
    second = w.queued("second", "Keep the order of equal words.")
    third = w.queued("third", "And tell me why it happened.")
    gone = w.queued("gone", "Never mind this one.")
    w.add(ev.InputMoved(third, second), ev.InputDeleted(gone), ev.SteerRequested(second), seconds=0.5)
    w.add(ev.ModelCallStarted("c2", "scripted:corpus"), seconds=0.2)
    w.add(ev.ModelCallFailed("c2", "the provider is overloaded (529)", w.at + timedelta(seconds=3)), seconds=1)
    w.add(ev.InputTaken((second,)))
    edit = {"file": "wordcount/ranking.py", "old": "ranked[: limit - 1]", "new": "ranked[:limit]", "line": 11}
    w.replied(
        "c3",
        Text("`ranked[: limit - 1]` ends one too early:\n\n```python\nreturn ranked[:limit]\n```"),
        call(1, "edit", path=edit["file"], old=edit["old"], new=edit["new"]),
        call(2, "write", path="NEWS.md", content="- The ranking is complete.\n"),
        call(3, "search", pattern="most_frequent", path="."),
        call(4, "bash", command="sleep 600"),
    )
    w.ran("c3.0", "edit", {"path": edit["file"]}, "edited wordcount/ranking.py at line 11", details=edit)
    news = {"file": "NEWS.md", "old": "", "new": "- The ranking is complete.\n"}
    w.ran("c3.1", "write", {"path": "NEWS.md"}, "wrote NEWS.md", details=news)
    w.ran("c3.2", "search", {"pattern": "most_frequent", "path": "."}, "wordcount/ranking.py:7: def most_frequent")
    w.add(ev.ToolStarted("c3.3", "bash", '{"command": "sleep 600"}', INSIDE))
    w.add(ev.SupervisorLost(INSIDE), seconds=9)
    w.add(ev.TurnAdopted("life-2", w.at - timedelta(seconds=5)), ready("builtin"), seconds=3)
    w.add(ev.ToolFinished("c3.3", "unknown", "The supervisor died; nobody knows what became of this command."))
    w.add(ev.TodosSet(todo("done", "done", "in_progress")))
    w.add(ev.ModelCallStarted("c4", "scripted:corpus"), seconds=0.2)
    w.add(ev.ModelCallCut("c4", (ev.CutText(named("builtin", "cut"), "Now the te"),), again=True))
    w.add(ev.ModelCallFailed("c4", "the server ended while the model answered", w.at))
    w.replied("c4", Text("Now the tests again."), call(1, "bash", command="python3 -m unittest -q"))
    w.ran("c4.0", "bash", {"command": "python3 -m unittest -q"}, "Ran 5 tests in 0.001s\n\nOK\n", exit_code=0)
    w.replied("c5", Text("All pass."), call(1, "add_agent_execution_result", key="tests", value="5 passed"))
    w.ran("c5.0", "add_agent_execution_result", {"key": "tests", "value": "5 passed"}, "tests = '5 passed'")
    w.add(ev.OutputsSet({"tests": "5 passed", "coverage": 0.93, "mended": True}))
    w.replied("c6", Text("The slice left out the last word. It is mended, and **all 5 tests pass**."))
    steps = (ev.NextStep("Open a merge request", "Open a merge request."), ev.NextStep("Add a case", "Add a case."))
    w.add(ev.NextStepsProposed(steps))
    w.add(ev.TodosSet(todo("done", "done", "done")), ev.AnnotationsSet({"reviewed": "yes"}), ev.TurnEnded(1))
    w.add(kept.WorkKept(1, "95b87f0004c5", 2, 1031, "f3e7b8b2f887", "f3e7b8b2f887", "main", left_out=("ignored: x",)))
    w.add(kept.WorkApplied("95b87f0004c5"), ev.EnvironmentLost("the machine was restarted"))
    w.add(kept.WorkRestored(named("builtin", "again"), 1, "95b87f0004c5"), seconds=60)
    w.add(ev.TurnStarted(2, "life-2", 1.0), ready("builtin"), ev.InputTaken((third,)))
    w.add(ev.ModelCallStarted("c7", "scripted:corpus"), ev.ToolStarted("c7.9", "nothing", "{}", ""), seconds=0.2)
    said = (ev.CutText(named("builtin", "c7", 0), "It happened because"), ev.CutText(named("x"), "Hm,", thinking=True))
    dropped = w.queued("dropped", "One more thing.")
    w.add(ev.StopRequested(2), ev.ModelCallCut("c7", said))
    w.add(ev.ToolFinished("c7.9", "cancelled", "stopped before it ended"), ev.InputDropped(dropped))
    w.add(ev.Stopped(2), ev.GroupGone(2), kept.WorkNotKept(2, "the disk of the environment is full"))
    return w.log


def codex() -> Iterable[Recorded]:
    """Codex: thoughts, actions, changed files, a goal, sub-agents, a question that is open at the end."""
    w = Writing("codex", BEGAN + timedelta(hours=1))
    w.add(started("codex", "codex", name="Make the output nicer"))
    first = w.queued("first", "Make the output nicer to read.")
    w.add(ready("codex"), ev.TurnStarted(1, "life-1", 1.0))
    w.add(ae.AgentStarting("p1", INSIDE), ae.AgentOpened("p1", "thread-1", "0.163.0"), ev.InputTaken((first,)))
    w.add(ae.AgentTurnBegan("turn-1"), ae.InputSeen(first), ae.AgentRead("p1", 4096))
    w.add(ae.SettingsConfirmed({"model": "gpt-5", "reasoningEffort": "medium"}))
    w.add(ae.AgentCallStarted("g1", "openai-responses:gpt-5", "/v1/responses"), seconds=0.3)
    w.add(ae.AgentSaid("i1", "**Looking at the output**\n\nColumns first.", thinking=True, block=named("codex", "i1")))
    w.add(ae.AgentCallFinished("g1", Usage(900, 2100, 0, 140), "tools"), ae.ContextMeasured(3000, 272_000))
    w.add(ae.AgentSaid("i2", "I look at what it prints now.", block=named("codex", "i2")))
    w.add(ae.ActionStarted("a1", "bash", json.dumps({"command": "python3 -m wordcount README.md --top 3"})))
    w.add(ae.ActionFinished("a1", "ok", "     4 the\n     3 a\n     2 words\n", 0))
    w.add(ae.ActionStarted("a2", "edit", json.dumps({"path": "wordcount/ranking.py, README.md, old.txt"})))
    changes = (
        FileChange("wordcount/ranking.py", "update", DIFF),
        FileChange("NOTES.md", "add", "# Notes\n\nColumns are aligned.\n"),
        FileChange("old.txt", "delete", "nothing here\n"),
        FileChange("a.txt", "move", "", "docs/a.txt"),
    )
    w.add(ae.FilesChanged("a2", changes), ae.ActionFinished("a2", "ok", "changed: wordcount/ranking.py"))
    w.add(ae.ActionStarted("a3", "web_search", json.dumps({"query": "align columns python"})))
    w.add(ae.ActionFinished("a3", "ok", "str.ljust, str.rjust"))
    w.add(ae.ActionStarted("a4", "files.list", json.dumps({"arguments": {"path": "."}})))
    w.add(ae.ActionFinished("a4", "failed", "the server files does not answer"))
    w.add(ae.GoalRequested(named("goal"), GoalChange("set", "All output is aligned", token_budget=200_000)))
    w.add(ae.GoalChanged(Goal("All output is aligned", "active", 200_000, 5200, 41.0), named("goal")))
    w.add(ae.ActionStarted("a5", "agent", json.dumps({"does": "spawnAgent", "prompt": "Check the README"})))
    w.add(ae.ChildReported(Child("child-1", "reader", "running")), ae.ActionFinished("a5", "ok", "running"))
    w.add(ae.ActionStarted("a6", "bash", json.dumps({"command": "grep -n top README.md", "agent": "reader"})))
    w.add(ae.ActionFinished("a6", "ok", "6:python3 -m wordcount README.md --top 3", 0))
    w.add(ae.ChildReported(Child("child-1", "reader", "done", 1800)))
    w.add(ae.AgentCallStarted("g2", "openai-responses:gpt-5", "/v1/responses"))
    w.add(ae.AgentCallCut("g2", Usage(1000, 0, 0, 20), "the process died"), ae.AgentEnded("p1", "signal 9", died=True))
    w.add(ae.AgentStarting("p2", INSIDE), ae.AgentOpened("p2", "thread-1", "0.163.0"), ae.AgentTurnBegan("turn-2"))
    steer = w.queued("steer", "Mind the width of the terminal.")
    w.add(ev.SteerRequested(steer), ev.InputTaken((steer,)), ae.SteerMissed(steer), ae.InputSeen(steer))
    w.add(ae.AgentNoted("deprecationNotice", "this option goes away"), ae.AgentNoted("warning", "slow disk", True))
    w.add(ae.CompactRequested(named("compact")), ae.Compacted(), ae.Compacted("the model refused"))
    w.add(ev.TodosSet(todo("done", "in_progress", "pending")))
    questions = (
        Question(
            "how",
            "How should the words be shown?",
            (
                Choice("Aligned columns", "Aligned columns", "Numbers right, words left"),
                Choice("A bar chart", "A bar chart", "One bar a word"),
            ),
        ),
        Question("width", "How wide may it be?"),
    )
    w.add(ae.QuestionsAsked("ask-0", questions[1:]), ev.TurnEnded(1))
    answer = w.queued("answer", "100 columns.")
    w.add(ev.TurnStarted(2, "life-1", 1.0), ev.InputTaken((answer,)), ae.QuestionsClosed("ask-0"))
    w.add(ae.AgentTurnDone("turn-2", "interrupted"), ae.AgentTurnBegan("turn-3"))
    w.add(ae.QuestionsAsked("ask-1", questions), ev.TurnEnded(2))
    return w.log


def failed() -> Iterable[Recorded]:
    """Three ends that nobody asked for: no environment, a limit, a fault of the agent; and a message of a parent."""
    w = Writing("failed", BEGAN + timedelta(hours=2))
    w.add(
        started("failed", "codex", name="Look into the flaky job", request={"annotations": {"hostler/parent": OWNER}})
    )
    id_ = named("failed", "message")
    message = {"type": "TYPE_UPDATE", "payload": "Look into the flaky job.", "role": "ROLE_PARENT"}
    w.add(ev.InputQueued(id_, {**message, "senderExecutionId": named("builtin")}, "d1", "agent"))
    w.add(ev.EnvironmentFailed("git could not clone: code.example.org does not resolve"))
    w.add(ev.InputDropped(id_), ev.Stopped(0, "environment", "git could not clone: code.example.org does not resolve"))
    again = w.queued("again", "Try once more.")
    w.add(ev.TurnStarted(1, "life-1", 1.0), ready("failed"), ae.AgentStarting("p1", INSIDE), ev.InputTaken((again,)))
    w.add(ae.AgentCallRefused("max_input_tokens", "the limit of 2000000 input tokens is reached"))
    why = "the limit max_input_tokens = 2000000 is reached; raise it with `hostler limits ID max_input_tokens=3000000`"
    w.add(ev.Stopped(1, "agent_execution", why, "max_input_tokens"), ev.GroupGone(1))
    last = w.queued("last", "Now?")
    w.add(ev.TurnStarted(2, "life-1", 1.0), ready("failed"), ae.AgentStarting("p2", INSIDE), ev.InputTaken((last,)))
    w.add(ae.AgentFault("llm_integration", "the provider refuses the key (401)"))
    w.add(ev.Stopped(2, "llm_integration", "the provider refuses the key (401)"), ev.GroupGone(2), ev.Deleted())
    return w.log


def memory() -> Iterable[Recorded]:
    """A context that is compacted, with a summary and without, and cleared; commands that a person typed."""
    w = Writing("memory", BEGAN + timedelta(hours=3))
    w.add(started("memory", "builtin", name="A long story"))
    task = w.queued("task", "Make the table faster.")
    listed = (Announced("review", "Review the last change"), Announced("clear", "Begin with an empty context"))
    w.add(ready("memory"), CommandsAnnounced(listed), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((task,)))
    w.add(ev.ModelCallStarted("c1", "anthropic:claude"), ev.ModelCallFailed("c1", "the context is full", None, True))
    w.add(CompactionStarted("k1"))
    w.add(ContextCompacted("k1", "The index is built twice.", 0, 9000, 150_000, 3000, "m:m", Usage(900, 0, 0, 40)))
    w.add(
        ev.ModelCallStarted("c2", "anthropic:claude"),
        ev.ModelReplied("c2", (Text("Built once now."),), Usage(9, 0, 0, 4)),
    )
    w.add(ae.CompactRequested(named("compact")), CompactionStarted("k2", named("compact")))
    w.add(ContextCompacted("k2", "", 10, 9000, 3100, 2900, truncated=True, problem="the provider does not answer"))
    for number, command in enumerate(("make bench", "sleep 100")):
        input_id = named("memory", f"typed{number}")
        block = {"id": input_id, "inputs": [{"text": {"content": f"!{command}"}}]}
        w.add(ev.InputQueued(input_id, block, "d", local="shell"), ShellStarted(shell_id(input_id), INSIDE))
        outcome = ("ok", "12 ms\n", 0) if number == 0 else ("cancelled", "[stopped]", None)
        w.add(ShellFinished(shell_id(input_id), *outcome))
    w.add(ev.TurnEnded(1))
    for local, text in (("bundle", "/support-bundle"), ("clear", "/clear")):
        input_id = named("memory", local)
        block = {"id": input_id, "inputs": [{"text": {"content": text}}]}
        w.add(ev.InputQueued(input_id, block, "d", local=local))
        w.add(Answered(input_id, "hostler show ID --bundle FILE") if local == "bundle" else ContextCleared("a person"))
    return w.log


def family() -> Iterable[Recorded]:
    """A sub-agent with sub-agents of its own: reports, shares, ends, and a parent that is gone."""
    w = Writing("family", BEGAN + timedelta(hours=4))
    above = ev.Parent(named("failed"), "c1.0", 1)
    asked = {"annotations": {"hostler/parent": above.execution}}
    w.add(started("family", "builtin", name="scout", request=asked, parent=above))
    id_ = named("family", "task")
    said = {"type": "TYPE_UPDATE", "payload": "Find the slow queries.", "role": "ROLE_PARENT"}
    w.add(ev.InputQueued(id_, {**said, "senderExecutionId": above.execution}, "task", "agent", expansion="Find them."))
    w.add(ready("family"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((id_,)))
    share = fm.Share(20, 40_000, 2000, 0.5, 1)
    for number, name in enumerate(("reader", "writer", "never")):
        call = f"c1.{number}"
        w.add(fm.SubAgentSpawned(call, name, "", share), ev.ToolStarted(call, "spawn_agent", "{}", ""))
        if name == "never":
            w.add(fm.SubAgentEnded(call, "never started", fm.Share()))
            break
        w.add(ev.ToolFinished(call, "ok", f"Sub-agent {name!r} is at work."))
        w.add(fm.SubAgentStarted(call, named("family", name), "hostler", named("family", "environment")))
    used = fm.Share(3, 5000, 200, 0.01)
    w.add(fm.SubAgentReported("c1.0", named("family", "reader"), 1, "rests", used))
    reply = {"type": "TYPE_COMPLETE", "payload": "Two of them.", "role": "ROLE_CHILD"}
    block = {**reply, "senderExecutionId": named("family", "reader")}
    w.add(ev.InputQueued(named("family", "report"), block, "report", "agent", expansion="[reader] Two of them."))
    w.add(fm.SubAgentGranted("c1.0", share, 1), fm.SubAgentStopAsked("c1.1"))
    w.add(fm.SubAgentEnded("c1.1", "stopped", used))
    w.add(ev.InputTaken((named("family", "report"),)), ev.TurnEnded(1))
    w.add(fm.ParentNotified(1, "rests"))
    more = w.queued("more", "Look again.")
    w.add(ev.TurnStarted(2, "life-1", 1.0), ready("family"), fm.ShareGranted(share, 1), ev.InputTaken((more,)))
    w.add(ev.Stopped(2), fm.ParentNotified(2, "stopped", gone=True))
    w.add(ev.TurnStarted(3, "life-1", 1.0), ready("family"), fm.ShareDenied("Nothing is left to share."))
    w.add(ev.Stopped(3, "agent_execution", "Nothing is left to share.", "max_iterations"))
    return w.log


def servers() -> Iterable[Recorded]:
    """MCP servers: one that starts, fails and comes back, and one that is written wrongly."""
    w = Writing("servers", BEGAN + timedelta(hours=6))
    w.add(started("servers", "builtin", name="With tools of others"))
    task = w.queued("task", "Look it up.")
    wrong = mm.McpStatus("bad", "bad", "failed", "exactly one of command and url is needed")
    starting = mm.McpStatus("docs", "Documentation", "initializing", process="mcp-docs-1-1")
    ready_ = replace(starting, phase="ready", tools=("search", "read"))
    w.add(ready("servers"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((task,)))
    w.add(
        ev.ModelCallStarted("c1", "anthropic:claude"), mm.McpChanged((wrong, starting)), mm.McpChanged((wrong, ready_))
    )
    call = ToolCall("a", "mcp__docs__search", '{"for": "indexes"}')
    w.add(ev.ModelReplied("c1", (call,), Usage(9, 0, 0, 4)), ev.ToolStarted("c1.0", call.name, call.arguments, ""))
    fell = replace(starting, phase="failed", failure="the server has ended (exit code 3)", process="")
    w.add(mm.McpChanged((wrong, fell)))
    w.add(ev.ToolFinished("c1.0", "failed", "The MCP server 'Documentation' did not answer."))
    w.add(mm.McpChanged((wrong, replace(ready_, process="mcp-docs-1-2"))))
    w.add(ev.ModelCallStarted("c2", "anthropic:claude"))
    w.add(ev.ModelReplied("c2", (Text("It is not there."),), Usage(9, 0, 0, 4)), ev.TurnEnded(1))
    rests = replace(starting, phase="unavailable", warning="closed while the agent rests", process="")
    w.add(mm.McpChanged((wrong, rests)), mm.McpReported("docs", "ready"))
    return w.log


def waits() -> Iterable[Recorded]:
    """An agent that waits: for a timer that fires late, for one that repeats, for things that are dropped."""
    w = Writing("waits", BEGAN + timedelta(hours=7))
    w.add(started("waits", "builtin", name="Watch the pipeline"))
    task = w.queued("task", "Tell me when it is green.")
    w.add(ready("waits"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((task,)))
    w.add(ev.ModelCallStarted("c1", "anthropic:claude"))
    asked = (call(1, "wait", duration="5m", note="look at the pipeline"), call(2, "rebuild_devcontainer"))
    w.add(ev.ModelReplied("c1", asked, Usage(9, 0, 0, 4)))
    timer = ie.Interest("timer-1", "timer", "5m", fires_at=w.at + timedelta(minutes=5), note="look at the pipeline")
    again = ie.Interest(
        "timer-2", "timer", cron="0 9 * * *", zone="Europe/Berlin", fires_at=w.at + timedelta(days=1), repeats=True
    )
    place, until = named("environment", "waits"), w.at + timedelta(days=1)
    rebuild = ie.Interest("rebuild-1", "devcontainer_rebuild", subject=place, phases=("running", "failed"), until=until)
    stopped = ie.Interest("place-1", "environment", subject=place, phase="stopped", until=until)
    for number, interests in enumerate(((timer, again, stopped), (rebuild,))):
        w.add(ev.ToolStarted(f"c1.{number}", asked[number].name, asked[number].arguments, ""))
        w.add(ev.ToolFinished(f"c1.{number}", "ok", "Your turn ends here."))
        w.add(ie.InterestsRegistered(f"c1.{number}", interests))
    w.add(ev.TurnEnded(1))
    said = {"interestId": "timer-1", "timer": {"firedAt": "2026-05-04T16:36:00Z"}}
    w.add(ie.InterestFired("timer-1", 3600.0, timer.fires_at), seconds=3900.0)
    heard = "timer 5m (look at the pipeline); 1 h late, as nothing could be run then"
    w.add(ev.InputQueued("timer-1@1", said, "timer-1@1", "wake", expansion=heard))
    w.add(ev.TurnStarted(2, "life-2", 0.0), ev.EnvironmentReady(place, INSIDE), ev.InputTaken(("timer-1@1",)))
    w.add(ev.ModelCallStarted("c2", "anthropic:claude"))
    w.add(ev.ModelReplied("c2", (Text("It is green."),), Usage(9, 0, 0, 4)), ev.TurnEnded(2))
    w.add(ie.InterestFired("timer-2", 0.0, again.fires_at, w.at + timedelta(days=2), outside=True))
    w.add(ie.InterestsDropped(("place-1",), "nothing came in time"))
    w.add(
        ev.StopRequested(2), ie.InterestsDropped(("timer-2", "rebuild-1"), "the execution was stopped"), ev.Stopped(2)
    )
    return w.log


def approvals() -> Iterable[Recorded]:
    """Calls that need a person's word: one is allowed for the conversation, one is denied, one has nobody."""
    w = Writing("approvals", BEGAN + timedelta(hours=9))
    w.add(started("approvals", "builtin", name="Publish the release"))
    task = w.queued("task", "Publish the release.")
    w.add(ready("approvals"), ev.TurnStarted(1, "life-1", 1.0), ev.InputTaken((task,)))
    w.add(ev.ModelCallStarted("c1", "anthropic:claude"))
    asked = (call(1, "bash", command="git push origin main"), call(2, "bash", command="make publish"))
    w.add(ev.ModelReplied("c1", (*asked, call(3, "write", path=".env", content="x")), Usage(9, 0, 0, 4)))
    cards = [
        aq.ApprovalAsked("c1.0", "bash", "git push origin main", w.at, "it leaves this machine", ("bash git push *",)),
        aq.ApprovalAsked("c1.1", "bash", "make publish", w.at, "", ("bash make publish",)),
        aq.ApprovalAsked("c1.2", "write", ".env", w.at, "", ("write *.env",)),
    ]
    for turn, (card, said) in enumerate(
        zip(cards, ("Allow for this conversation", "not on a Friday", ""), strict=True), 1
    ):
        w.add(card, ae.QuestionsAsked(card.call_id, (approvals_plan.question(card),)), ev.TurnEnded(turn))
        word = w.queued(f"word-{turn}", said) if said else ""
        allowed = said.startswith("Allow")
        by = approvals_plan.PERSON if said else "the deadline"
        reason = "" if allowed else said or "nobody answered in time"
        given = aq.ApprovalGiven(card.call_id, allowed, by, reason, allowed, word)
        if not word:
            w.add(given, ae.QuestionsClosed(card.call_id))
        w.add(ev.TurnStarted(turn + 1, "life-1", 1.0), ready("approvals"))
        if word:
            w.add(given, ev.InputTaken((word,)), ae.QuestionsClosed(card.call_id))
        if allowed:
            w.ran("c1.0", "bash", {"command": "git push origin main"}, "main -> main", exit_code=0)
        else:
            w.add(ev.ToolFinished(card.call_id, "failed", approvals_plan.denied(by, reason)))
    w.replied("c2", Text("The push is done; the rest waits for you."))
    w.add(ev.TurnEnded(4))
    return w.log


ALL: Mapping[str, Callable[[], Iterable[Recorded]]] = {
    "builtin": builtin,
    "codex": codex,
    "failed": failed,
    "memory": memory,
    "family": family,
    "servers": servers,
    "approvals": approvals,
    "waits": waits,
}
