"""Recorded conversations that hold everything an execution can show: logs as JSON lines, and frames of other kinds.

The files are what counts: later releases must go on reading them. `python -m tests.corpus.write` makes them from
`logs.py` when there is a new kind of event.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from hostler.core.events import Recorded, decode

HERE = Path(__file__).parent
LOGS = ("builtin", "codex", "failed", "memory", "family", "servers", "waits", "approvals", "modes", "review", "judged")


def log(name: str) -> list[Recorded]:
    """Return a recorded log."""
    lines = (json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines())
    return [
        Recorded(line["seq"], datetime.fromisoformat(line["at"]), decode(line["kind"], line["version"], line["body"]))
        for line in lines
    ]


def frames() -> list[dict[str, Any]]:
    """Return frames {tag, body} of the kinds that no event makes yet, as a stream would bring them."""
    return json.loads((HERE / "frames.json").read_text())
