"""What the model behind Codex says: a few tasks, each known by a word of it, and for all else a plain answer."""

import json
from collections.abc import Callable, Mapping

from hostler.core.conversation import Usage
from hostler.testing.answers import Answer, Called, Reply
from hostler.testing.endpoints import Received
from tests.agents.codex.provider import in_order

PATCH = """\
*** Begin Patch
*** Update File: src/tool.txt
@@
-two
+2
*** Add File: notes.md
+# Notes
*** End Patch
"""
GOAL = "Have a file that says done"
NOTES = "ona-codex-agent-notes.md"


def runs(id_: str, command: str) -> Called:
    """Return Codex's call of its shell."""
    return Called("exec_command", json.dumps({"cmd": command}), id_)


TASKS: Mapping[str, Callable[[Received], Answer]] = {
    "Write 2": in_order(
        Reply("I look first.", calls=(runs("look-1", "cat src/tool.txt"),), usage=Usage(100, 20, 3, 7)),
        Reply("", calls=(Called("apply_patch", PATCH, "patch-1", custom=True),)),
        Reply("It says 2 now."),
        Reply("You are welcome."),
    ),
    NOTES: in_order(
        Reply("I read it.", calls=(runs("read-1", "ls"),)),
        Reply("", calls=(runs("write-1", f"echo '# Summary' > {NOTES}"),)),
        Reply(f"I wrote {NOTES}."),
    ),
    GOAL: in_order(
        Reply("I begin.", calls=(runs("begin-1", "echo done > goal.txt"),)),
        Reply("", calls=(Called("update_goal", json.dumps({"status": "complete"}), "goal-1"),)),
        Reply("The goal is reached."),
        Reply("A summary of it all."),
        Reply("I still know it."),
    ),
}


def answered(request: Received) -> Answer:
    """Return what the model says to a request."""
    said = json.dumps(request.body.get("input"))
    task = next((task for mark, task in TASKS.items() if mark in said), None)
    return task(request) if task else Reply("Hello from the model.")
