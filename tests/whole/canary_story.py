"""What the providers of the canaries' server say: to the built-in agent, to Codex, and in the middle of a reply."""

import json
from collections.abc import Mapping
from typing import Any

from hostler.testing.answers import Answer, Called, Failure, Hold, Reply
from hostler.testing.endpoints import Received
from tests.agents.codex.provider import in_order
from tests.agents.codex.record import patch, runs
from tests.whole.canary import CHANNELS, Canary, canary

BIRDS: Mapping[str, Canary] = {channel: canary(channel) for channel in CHANNELS}
KEY = "sk-cnry-of-the-provider-0123456789"
WAITING = "until [ -e go ]; do sleep 0.05; done"


def tool(name: str, id_: str, **arguments: Any) -> Called:
    return Called(name, json.dumps(arguments), id_)


def shell(id_: str, command: str) -> Called:
    return tool("bash", id_, command=command)


def said(channel: str) -> str:
    return BIRDS[channel].said


STORY: tuple[Reply, ...] = (
    Reply(
        said("model-text"),
        (shell("t1", f"cat {BIRDS['command-output'].file}; {WAITING}"),),
        thinking=said("model-thought"),
        signature="proof",
        chunk=7,
    ),
    Reply(
        "Split.", (shell("t2", "python3 split.py"), shell("t3", "python3 encodings.py"), shell("t4", "python3 long.py"))
    ),
    Reply(
        "Files.", (tool("read", "t5", path=BIRDS["file-read"].file), tool("search", "t6", pattern="mark.file-found"))
    ),
    Reply("Edits.", (tool("edit", "t7", path=BIRDS["file-edited"].file, old="two", new="three"),)),
    Reply(
        "More.",
        (
            tool("write", "t8", path="written", content=said("tool-arguments")),
            tool("add_agent_execution_result", "t9", key="result", value=said("outputs")),
            tool("todo", "t10", todos=[{"title": said("todos")}]),
        ),
    ),
    Reply(
        "New things.",
        (
            Called("skill", json.dumps({"name": "birds"}), "t12"),
            tool("annotate", "t13", file="split.py", start=1, title="T", description=said("annotated")),
            tool("mcp__birds__sing", "t14"),
        ),
    ),
    Reply("And now?", (tool("ask", "t11", questions=[{"question": said("questions"), "choices": []}]),)),
    Reply("Done."),
)
CODEX_STORY = in_order(
    Reply(said("agent-text"), (runs("k1", f"cat {BIRDS['agent-command'].file}"),), thinking="Hm.", chunk=7),
    Reply(
        "A patch.",
        (patch("k2", f"*** Begin Patch\n*** Add File: patched\n+{said('agent-patch')}\n*** End Patch\n"),),
    ),
    Reply("Done with it."),
)


SPOKEN = Hold(Reply(f"{said('spoken')} and so on{', and on' * 20}.", chunk=7), after=26)
"""A reply that stops in the middle, when people have seen some of it."""


def answered(request: Received) -> Answer:
    """Speak for the provider: to Codex in its own protocol, to the built-in agent by what it has been told so far."""
    if "input" in request.body:
        return CODEX_STORY(request)
    text = json.dumps(request.body.get("messages"))
    if "You judge the work" in json.dumps(request.body):
        return Reply(said("verdict"))
    if "hold this" in text:
        return Reply("Said again.") if SPOKEN.reached.is_set() else SPOKEN
    if "refuse this" in text:
        return Failure(401, f"the key {KEY} is not known")
    turns = [message for message in request.body["messages"] if message["role"] == "assistant"]
    return STORY[min(len(turns), len(STORY) - 1)]
