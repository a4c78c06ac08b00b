"""What is written and measured of work on an execution: lines that name it, and figures that are those of its log."""

import asyncio
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from hostler.core.meters import Meters, meters
from hostler.core.pieces import Piece
from hostler.core.ports import Model
from hostler.models.registry import Registry
from hostler.models.script import Fault, Rule, Script, Step
from hostler.telemetry.following import Following
from hostler.testing.stage import Stage
from tests.engine.stories import BASH

STEPS = (Step(text="I look.", calls=(BASH,)), Step(text="All is well."))


class Talkative(Registry):
    """Models whose library writes to the log when it is called."""

    async def prepare(self, name: str) -> Model:
        structlog.get_logger("library").info("asked", model=name)
        return await super().prepare(name)


@pytest.fixture
def lines() -> Iterator[list[MutableMapping[str, Any]]]:
    """Every line that is written, with what it was bound to."""
    before, written = structlog.get_config(), list[MutableMapping[str, Any]]()

    def keep(_: Any, __: str, event: MutableMapping[str, Any]) -> Any:
        written.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    yield written
    structlog.configure(**before)


async def test_lines_of_work_on_an_execution_name_it_its_runner_and_turn(lines: list[MutableMapping[str, Any]]):
    stage = Stage(Talkative({}, plans={"story": Script(rules=(Rule(steps=STEPS),))}))
    await stage.boot()
    executions = [await stage.start("scripted:story", "mend it") for _ in range(2)]
    for execution in executions:
        await stage.rest(execution)
    asked = [line for line in lines if line["event"] == "asked"]
    assert {line["execution"] for line in asked} == set(executions)
    assert {(line["runner"], line["turn"]) for line in asked} == {("runner", 1)}
    await stage.kill()


@dataclass
class Book:
    """What was measured."""

    figures: Meters = field(default_factory=meters)
    pieces: list[Piece] = field(default_factory=list[Piece])

    def value(self, metric: str, *labels: str) -> float:
        return getattr(self.figures, metric).values.get(labels, 0.0)


async def measured(stage: Stage, execution: str, first: int = 1) -> Book:
    """Measure the events of a log from a seq on, as the process does that appended them."""
    book = Book()
    following = Following(stage.executions.read, book.figures, lambda _, piece: book.pieces.append(piece))
    running = asyncio.create_task(following.run())
    for recorded in (await stage.log(execution))[first - 1 :]:
        following.heard(execution, [recorded])
    await following.settled()
    running.cancel()
    return book


async def told(*steps: Step) -> tuple[Stage, str]:
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=steps),))}))
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.rest(execution)
    return stage, execution


def of_kind(pieces: Sequence[Piece], kind: str) -> list[str]:
    return [piece.outcome for piece in pieces if piece.kind == kind]


async def test_what_is_measured_is_what_the_log_says():
    stage, execution = await told(*STEPS)
    book = await measured(stage, execution)
    usage = (await stage.rest(execution)).usage
    assert book.value("tokens", "scripted:story", "output") == usage.output
    assert book.value("tokens", "scripted:story", "input") == usage.input
    assert book.value("model_calls", "scripted:story", "ok") == 2
    assert book.value("tool_calls", "bash", "ok") == 1
    assert book.value("turns_ended", "done") == 1
    assert book.value("executions_started") == 1
    assert of_kind(book.pieces, "turn") == ["done"]
    await stage.kill()


async def test_a_process_that_saw_only_the_end_knows_the_beginning_from_the_log():
    stage, execution = await told(*STEPS)
    log = await stage.log(execution)
    end = next(one.seq for one in log if type(one.event).__name__ == "ToolFinished")
    book = await measured(stage, execution, end)
    assert of_kind(book.pieces, "tool") == ["ok"]
    assert {piece.name for piece in book.pieces} == {"bash", "scripted:story", "stage"}
    (turn,) = (piece for piece in book.pieces if piece.kind == "turn")
    assert turn.began == next(one.at for one in log if type(one.event).__name__ == "TurnStarted")
    assert book.value("model_calls", "scripted:story", "ok") == 1, "what another process had counted is not again"
    await stage.kill()


async def test_calls_that_failed_are_told_apart_from_those_that_are_tried_again():
    stage = Stage(Registry({}, plans={"story": Script(rules=(Rule(steps=(Step(faults=(Fault("refused"),)),)),))}))
    await stage.boot()
    execution = await stage.start("scripted:story", "mend it")
    await stage.rest(execution)
    book = await measured(stage, execution)
    assert of_kind(book.pieces, "model") == ["failed"]
    assert book.value("turns_ended", "llm_integration") == 1
    assert all(piece.failed for piece in book.pieces)
    await stage.kill()


def test_a_metric_holds_only_so_many_names():
    figures = meters()
    for number in range(2000):
        figures.tool_calls.add(f"tool-{number}", "ok")
    assert len(figures.tool_calls.values) <= 501
    assert figures.tool_calls.values["other", "other"] == 1500
    assert sum(figures.tool_calls.values.values()) == 2000
