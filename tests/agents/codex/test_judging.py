"""Codex is held to what a run is judged by: conditions wake it, a judge reads its receipts, a price bounds it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from hostler.core.conversation import Usage
from hostler.testing.answers import Answer, Reply
from tests.agents.codex.provider import provider
from tests.agents.codex.record import runs
from tests.agents.codex.standing import CODEX, MODEL, Run, Steps
from tests.server import HostlerProcess, repository_at, short_folder

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]
JUDGED = "You judge the work"
WOKEN = "You are not done"
TERMS = f"""
[models."{MODEL}"]
price = {{ input = 1000, output = 2000 }}

[[agents]]
id = "{CODEX}"
name = "codex"
driver = "codex"
model = "{MODEL}"
"""
AGENT = """
judgement_prompt = "Be strict."
conditions = [{ id = "green", expression = "outputs.green == true", description = "the tests are green" }]
"""


@contextmanager
def configured(terms: str, answers: Steps) -> Generator[Run]:
    with short_folder() as place, provider(answers) as model:
        files, data = place / "files", place / "data"
        files.mkdir()
        (files / "a.txt").write_text("old\n")
        repository_at(place / "project", files)
        data.mkdir(mode=0o711)
        (data / "hostler.toml").write_text(TERMS + terms)
        server = HostlerProcess(data, {**model.endpoint.environ(), "HOSTLER_MODEL": MODEL}).start()
        try:
            yield Run(server, model)
        finally:
            server.close()


def test_a_condition_wakes_codex_until_its_output_is_reported_and_a_judge_reads_what_ran() -> None:
    def answer(request: Any) -> Answer:
        said = str(request.body)
        if JUDGED in said:
            return Reply("Not shown: no check ran.")
        return (
            Reply("", calls=(runs("call_make", "echo hello > made"),))
            if "call_make" not in said
            else Reply("Done, believe me.")
        )

    with configured(AGENT, answer) as run:
        run.start("Make it green.")
        run.until(lambda: len(run.log("ConditionsEvaluated")) >= 1)
        report = {"agentExecutionId": run.id, "outputs": {"green": {"boolValue": True}}}
        run.server.call("ReportAgentExecutionOutputs", report)
        status = run.rest()
        assert any(WOKEN in str(body) for body in run.model.bodies)
        [result] = status["loopConditionResults"]
        assert (result["conditionId"], result["met"]) == ("green", True)
        assert status["judgement"] == "Not shown: no check ran."
        [judge] = [str(body) for body in run.model.bodies if JUDGED in str(body)]
        assert "made" in judge
        assert "believe me" not in judge
        assert len(run.log("Judged")) == 1


def test_a_condition_of_codex_is_evaluated_once_a_round_though_the_server_is_killed() -> None:
    with configured(AGENT, lambda request: Reply("Done.")) as run:
        run.start("Make it green.")
        run.until_logged("ConditionsEvaluated")
        run.server.restart()
        run.server.call(
            "ReportAgentExecutionOutputs", {"agentExecutionId": run.id, "outputs": {"green": {"boolValue": True}}}
        )
        assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
        steps = [body["step"] for body in run.log("ConditionsEvaluated")]
        assert len(run.log("Judged")) == 1
        assert steps == sorted(steps)


def test_a_price_bounds_what_codex_may_cost_before_its_next_call() -> None:
    def answer(request: Any) -> Answer:
        number = str(request.body).count("function_call_output") + 1
        return Reply("", calls=(runs(f"c{number}", "true"),), usage=Usage(input=1000, output=0), number=number)

    with configured("limits = { max_cost = 2.5 }\n", answer) as run:
        run.start("Go on for ever.")
        status = run.rest()
        assert status["phase"] == "PHASE_STOPPED"
        assert "max_cost" in status["failureMessage"]
        assert len(run.log("AgentCallFinished")) == 3
        assert len(run.log("AgentCallRefused")) == 1
