"""What the scripted model does while we measure: small prompts, one command a step, no delay."""

from typing import Any


def bash(command: str) -> dict[str, Any]:
    """Return a step with one command."""
    return {"text": "Next.", "calls": [{"name": "bash", "arguments": {"command": command}}]}


def _steps(count: int) -> dict[str, Any]:
    return {"match": f"^steps {count}$", "steps": [*[bash("true")] * count, {"text": "Done."}]}


def quick(*counts: int) -> dict[str, Any]:
    """`steps N` runs `true` N times, `run COMMAND` runs a command once, everything else is answered with a word."""
    named = {"match": "^run (?P<command>.+)$", "steps": [bash("${command}"), {"text": "Done."}]}
    return {"rules": [*map(_steps, counts), named, {"steps": [{"text": "Done."}]}]}


SLOW: dict[str, Any] = {
    "pace": 0.02,
    "rules": [
        {
            "steps": [
                bash("true"),
                {
                    "text": "A long answer in many pieces that takes its time. " * 2000,
                    "faults": [{"kind": "hold", "after": 3, "reached": "@/streams", "until": "@"}],
                },
            ]
        }
    ],
}
"""A command, then an answer that streams for a minute and more; the file `streams` appears when it has begun."""


def talkative(steps: int) -> dict[str, Any]:
    """Say a word and wait for the file `go`, then step after step with words and a to-do list, without any pause."""
    text = "Some words about what comes next, in pieces as models say them. " * 3
    todos = {"todos": [{"title": "Say it", "state": "in_progress"}, {"title": "Do it", "state": "pending"}]}
    hold = {"kind": "hold", "after": 1, "until": "@/go"}
    first = {"text": text, "calls": [{"name": "todo", "arguments": todos}], "faults": [hold]}
    others = [{"text": text, "calls": [{"name": "todo", "arguments": todos}]}] * steps
    return {"rules": [{"steps": [first, *others, {"text": "Done."}]}]}
