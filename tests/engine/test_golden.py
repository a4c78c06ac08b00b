"""The whole log of a story stands as text beside this file; `make golden` writes it anew, and the diff is reviewed."""

import json
import os
from pathlib import Path

from hostler.core.events import encode
from hostler.models.registry import Registry
from hostler.models.script import Rule, Script
from hostler.testing.stage import Stage
from tests.engine.test_crashes import STEPS

GOLDEN = Path(__file__).with_name("story.log")


async def test_the_log_of_the_story_is_as_it_was():
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=STEPS),))}))
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.rest(execution)
    log = await stage.log(execution)
    await stage.kill()
    lines: list[str] = []
    for recorded in log:
        kind, version, body = encode(recorded.event)
        body.pop("agent", None)
        lines.append(f"{recorded.seq:3} {kind}/{version} {json.dumps(body, sort_keys=True)}")
    said = "\n".join(lines) + "\n"
    if os.environ.get("HOSTLER_GOLDEN") == "write":
        GOLDEN.write_text(said)
    assert said == GOLDEN.read_text()
