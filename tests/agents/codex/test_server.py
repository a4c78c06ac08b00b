"""The real Codex in a sandbox of the real server, against a scripted provider: the whole way."""

import base64
import json
import shutil

import pytest

from hostler.core.conversation import Usage
from hostler.testing.answers import Called, Failure, Hold, Reply
from hostler.testing.endpoints import KEY, Received
from tests.agents.codex.provider import in_order
from tests.agents.codex.record import PATCH, QUESTIONS, call, patch, png, runs
from tests.agents.codex.standing import CODEX, WAITS, Begin, Run, codex_process, codex_processes
from tests.server import Refused

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]


def test_a_task_with_a_command_a_patch_and_a_final_text(begin: Begin) -> None:
    steps = in_order(
        Reply("I look first.", calls=(runs("c1", "cat a.txt"),), thinking="Hm.", usage=Usage(100, 20, 3, 7)),
        Reply("", calls=(patch("c2", PATCH),)),
        Reply("All is done."),
    )
    run = begin(steps)
    run.start("Mend it.", codexSettings={"reasoningEffort": "CODEX_REASONING_EFFORT_HIGH"})
    status = run.rest()
    assert status["phase"] == "PHASE_WAITING_FOR_INPUT", status
    assert (run.folder / "a.txt").read_text() == "new\n"
    assert (run.folder / "sub" / "b.txt").read_text() == "one\ntwo\n"
    assert run.texts() == ["I look first.", "All is done."]
    assert status["codexSettings"] == {
        "model": "CODEX_OPEN_AI_MODEL_GPT_5_5",
        "reasoningEffort": "CODEX_REASONING_EFFORT_HIGH",
    }
    assert (status["iterations"], status["contextWindowLimit"]) == ("3", "258400")
    assert run.model.bodies[0]["reasoning"]["effort"] == "high"
    assert run.log("EgressRefused") == []
    whole = run.blocks()
    kinds = [key for block in whole for key in block if key.startswith(("action", "file"))]
    assert kinds == [
        "actionStarted",
        "actionCompleted",
        "actionStarted",
        "fileModification",
        "fileModification",
        "actionCompleted",
    ]
    done = [block["actionCompleted"] for block in whole if "actionCompleted" in block]
    assert [each["actionId"] for each in done] == ["c1", "c2"]
    assert done[0]["resultDescription"] == "old\n"
    changed = [block["fileModification"] for block in whole if "fileModification" in block]
    assert [each["filePath"] for each in changed] == ["a.txt", "sub/b.txt"]


def test_a_queued_input_steers_the_running_turn(begin: Begin) -> None:
    run = begin(in_order(Reply("", calls=(runs("c1", WAITS),)), Reply("Both.")))
    run.start("go")
    run.until_command()
    run.send(userInput={"id": "more", "inputs": [{"text": {"content": "and that too"}}]})
    run.control(steerQueuedMessage={"userInputId": "more"})
    run.until_logged("InputTaken", 2)
    (run.folder / "go").touch()
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert "and that too" in json.dumps(run.model.bodies[1]["input"])
    assert (len(run.log("AgentTurnBegan")), len(run.log("InputSeen"))) == (1, 2)


def test_a_stop_ends_codex_and_its_command_and_the_next_input_goes_on_in_the_same_conversation(begin: Begin) -> None:
    steps = in_order(Reply("First.", calls=(runs("c1", f"{WAITS} & {WAITS}"),)), Reply("Second."))
    run = begin(steps)
    run.start("go")
    run.until_command()
    run.server.call("StopAgentExecution", {"agentExecutionId": run.id})
    assert run.rest()["phase"] == "PHASE_STOPPED"
    run.until_logged("GroupGone")
    assert codex_processes(run) == []
    (run.folder / "go").touch()
    run.server.send(run.id, "and now?")
    run.until(lambda: run.texts()[-1:] == ["Second."])
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert "First." in run.model.heard()
    assert len({body["thread"] for body in run.log("AgentOpened")}) == 1
    assert run.log("ActionFinished")[0]["outcome"] == "cancelled"


def test_the_context_is_compacted_on_demand(begin: Begin) -> None:
    run = begin(lambda _: Reply("Something or other."))
    run.start("go")
    run.rest()
    run.control(compact={})
    run.until_logged("Compacted")
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert len(run.model.bodies) == 2
    assert run.log("Compacted") == [{"problem": ""}]


def test_a_goal_is_pursued_over_turns_until_its_budget_is_spent(begin: Begin) -> None:
    run = begin(lambda _: Reply("A step.", usage=Usage(input=100, output=20)))
    run.start("hello")
    run.rest()
    run.control(goal={"set": {"objective": "--budget 300 Make it so."}})
    run.until(lambda: run.status.get("goal", {}).get("status") == "GOAL_STATUS_BUDGET_EXHAUSTED")
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    goal = run.status["goal"]
    assert (goal["objective"], goal["tokenBudget"], goal["tokensUsed"]) == ("Make it so.", "300", "360")
    assert len(run.model.bodies) == 4
    run.control(goal={"clear": {}})
    run.until(lambda: "goal" not in run.status)


def test_a_goal_can_be_paused_while_it_is_pursued_and_input_goes_first(begin: Begin) -> None:
    run = begin(lambda _: Reply("A step."))
    run.start("hello")
    run.rest()
    run.control(goal={"set": {"objective": "Never to be reached."}})
    run.until(lambda: len(run.model.bodies) > 3)
    run.server.send(run.id, "listen to me")
    run.until(lambda: len(run.log("InputSeen")) == 2)
    run.control(goal={"pause": {}})
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert run.status["goal"]["status"] == "GOAL_STATUS_PAUSED"


def test_codex_sees_an_image(begin: Begin) -> None:
    run = begin(in_order(Reply("A red square.")))
    run.start()
    image = {"data": base64.b64encode(png(8, 8)).decode(), "mimeType": "image/png"}
    run.send(userInput={"inputs": [{"text": {"content": "What is this?"}}, {"image": image}]})
    run.until(lambda: run.texts() == ["A red square."])
    parts = [part for one in run.model.bodies[0]["input"] for part in one.get("content", ())]
    shown = next(part["image_url"] for part in parts if part["type"] == "input_image")
    assert shown.startswith("data:image/png;base64,")


def test_questions_of_codex_are_answered_by_the_next_input(begin: Begin) -> None:
    asks = Reply("", calls=(call("request_user_input", "c1", questions=QUESTIONS),))
    run = begin(in_order(asks, Reply("Blue it is.")))
    run.start("Paint it.")
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    asked = next(block["clarifyingQuestions"] for block in run.blocks() if "clarifyingQuestions" in block)
    assert [one["questionId"] for one in asked["questions"]] == ["colour", "size"]
    run.server.send(run.id, "blue\nXL")
    run.until(lambda: run.texts() == ["Blue it is."])
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    outputs = [one["output"] for one in run.model.bodies[-1]["input"] if one["type"] == "function_call_output"]
    answers = {"colour": {"answers": ["Blue"]}, "size": {"answers": ["XL"]}}
    assert json.loads(outputs[-1]) == {"answers": answers}


def test_a_provider_that_refuses_stops_the_execution_with_its_own_words(begin: Begin) -> None:
    run = begin(lambda _: Failure(400, "this model is not for you"))
    run.start("go")
    status = run.rest()
    assert status["phase"] == "PHASE_STOPPED"
    assert status["failureReason"] == "AGENT_EXECUTION_FAILURE_REASON_LLM_INTEGRATION"
    assert "this model is not for you" in status["failureMessage"]


def test_a_limit_holds_for_codex_and_is_named(begin: Begin) -> None:
    steps = in_order(Reply("", calls=(runs("c1", "echo 1"),)), Reply("", calls=(runs("c2", "echo 2"),)), Reply("Done."))
    run = begin(steps)
    run.start("go", annotations={"hostler/limits": '{"max_iterations": 1}'})
    status = run.rest()
    assert (status["phase"], status["failureReason"]) == (
        "PHASE_STOPPED",
        "AGENT_EXECUTION_FAILURE_REASON_AGENT_EXECUTION",
    )
    assert "1" in status["failureMessage"]
    assert len(run.model.bodies) == 1


def test_settings_that_cannot_apply_are_refused(begin: Begin) -> None:
    run = begin(in_order(Reply("Yes.")))
    fast = {"serviceTier": "CODEX_SERVICE_TIER_FAST"}
    with pytest.raises(Refused, match="not a Codex agent"):
        run.server.call("StartAgent", {"codexSettings": fast})
    with pytest.raises(Refused, match="not configured") as refused:
        body = {"agentId": CODEX, "codexSettings": {"model": "CODEX_OPEN_AI_MODEL_GPT_5_6_SOL"}}
        body["annotations"] = {"hostler/model": "scripted:demo"}
        run.server.call("StartAgent", body)
    assert refused.value.code == "failed_precondition"


def test_the_scoped_token_is_hidden_from_commands_and_the_key_is_nowhere(begin: Begin) -> None:
    look = (
        "env | grep -c HOSTLER; cat /proc/*/environ ~/.hostler/*/codex/*.toml 2>/dev/null | grep -c 'key-for[-]tests'"
    )
    run = begin(in_order(Reply("", calls=(runs("c1", look),)), Reply("Done.")))
    run.start("go")
    run.rest()
    assert KEY == "key-for-tests"
    assert run.log("ActionFinished")[0]["text"] == "0\n0\n"


def test_settings_change_with_an_input_and_codex_confirms_them(begin: Begin) -> None:
    run = begin(lambda _: Reply("Yes."))
    run.start("go")
    run.rest()
    settings = {"model": "CODEX_OPEN_AI_MODEL_GPT_5_6_LUNA", "reasoningEffort": "CODEX_REASONING_EFFORT_EXTRA_HIGH"}
    settings["serviceTier"] = "CODEX_SERVICE_TIER_FAST"
    run.send(userInput={"inputs": [{"text": {"content": "and now?"}}]}, codexSettings=settings)
    run.until(lambda: len(run.log("AgentTurnDone")) == 2)
    last = run.model.bodies[-1]
    assert (last["model"], last["reasoning"]["effort"], last["service_tier"]) == ("gpt-5.6-luna", "xhigh", "priority")
    assert run.rest()["codexSettings"] == settings


def test_queued_inputs_are_given_one_after_the_other(begin: Begin) -> None:
    run = begin(in_order(Reply("", calls=(runs("c1", WAITS),)), Reply("One."), Reply("Two."), Reply("Three.")))
    run.start("first")
    run.until_command()
    run.server.send(run.id, "second")
    run.server.send(run.id, "third")
    (run.folder / "go").touch()
    run.until(lambda: run.texts() == ["One.", "Two.", "Three."])
    assert run.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert len(run.log("AgentTurnDone")) == 3
    assert len(run.log("TurnEnded")) == 1


def test_a_sub_agent_of_codex_is_shown_and_waited_for(begin: Begin) -> None:
    spawn = Called("spawn_agent", '{"message": "help me"}', "s1", namespace="multi_agent_v1")

    def answer(request: Received) -> Reply:
        said = json.dumps(request.body["input"])
        if '"s1"' in said:
            return Reply("I leave it to my helper.")
        if "help me" not in said:
            return Reply("", calls=(spawn,))
        return Reply("I helped.") if '"c1"' in said else Reply("", calls=(runs("c1", "sleep 0.5; touch helped"),))

    run = begin(answer)
    run.start("go", annotations={"hostler/model": "openai-responses:gpt-5.4"})
    status = run.rest()
    assert (run.folder / "helped").exists()
    (child,) = status["subagents"]
    assert child["id"] in json.dumps(run.log("ChildReported")[-1])
    told = run.log("ChildReported")[-1]["child"]
    assert (told["state"], told["asked"], told["said"]) == ("done", "help me", "I helped.")
    assert child["statusMessage"] == "I helped."
    assert any(one["item"].startswith(f"{child['id']}/") for one in run.log("ActionStarted"))
    assert [one["body"] for one in run.log("AgentNoted") if one.get("child") == child["id"]][-1] == "I helped."
    assert run.texts() == ["I leave it to my helper."]


def test_the_plan_of_codex_is_the_list_of_things_to_do(begin: Begin) -> None:
    plan = [{"step": "Look", "status": "completed"}, {"step": "Mend", "status": "in_progress"}]
    run = begin(in_order(Reply("", calls=(call("update_plan", "p1", plan=plan),)), Reply("Planned.")))
    run.start("go")
    run.rest()
    assert run.log("TodosSet") == [
        {"todos": [{"title": "Look", "state": "done"}, {"title": "Mend", "state": "in_progress"}]}
    ]


def test_a_stop_cuts_the_model_call_that_codex_has_open(begin: Begin) -> None:
    held = Hold(Reply("Never said to the end."), after=3)
    run = begin(in_order(held))
    run.start("go")
    run.until(held.reached.is_set)
    before = run.model.endpoint.disconnects
    run.server.call("StopAgentExecution", {"agentExecutionId": run.id})
    assert run.rest()["phase"] == "PHASE_STOPPED"
    run.until(lambda: run.model.endpoint.disconnects > before)
    run.until_logged("GroupGone")
    assert (len(run.log("AgentCallStarted")), len(run.log("AgentCallCut"))) == (1, 1)


def test_a_deleted_execution_leaves_no_codex(begin: Begin) -> None:
    run = begin(in_order(Reply("", calls=(runs("c1", WAITS),))))
    run.start("go")
    run.until_command()
    assert codex_process(run)
    run.server.call("DeleteAgentExecution", {"agentExecutionId": run.id})

    run.until(lambda: not codex_processes(run))


def test_what_changed_after_the_last_turn_of_codex_is_shown_when_its_environment_is_gone(begin: Begin) -> None:
    run = begin(in_order(Reply("", calls=(runs("c1", "echo one > one"),)), Reply("Done.")))
    run.start("go")
    run.rest()
    run.until_logged("WorkKept")
    folder = run.folder
    (folder / "late").write_text("after the turn\n")
    shutil.chown(folder / "late", *folder.stat()[4:6])
    environment = run.status["usedEnvironments"][0]["environmentId"]
    run.server.call("DeleteEnvironment", {"environmentId": environment, "force": True}, "EnvironmentService")
    run.until(lambda: not folder.exists())
    before, at_the_end = run.until_logged("WorkKept", 2)
    assert at_the_end["files"] == before["files"] + 1


def test_two_runs_of_codex_share_an_environment_and_a_stop_ends_one_of_them(begin: Begin) -> None:
    def answer(request: Received) -> Reply:
        said = json.dumps(request.body["input"])
        if '"c1"' in said:
            return Reply("Done.")
        name = "first" if "I am the first" in said else "second"
        return Reply("", calls=(runs("c1", f"touch {name}; until [ -e go ]; do sleep 0.02; done"),))

    first = begin(answer)
    first.start("I am the first")
    first.until(lambda: first.status.get("usedEnvironments") and (first.folder / "first").exists())
    second = Run(first.server, first.model)
    environment = first.status["usedEnvironments"][0]["environmentId"]
    second.id = second.server.start_agent("I am the other", agentId=CODEX, codeContext={"environmentId": environment})
    second.until((first.folder / "second").exists)
    first.server.call("StopAgentExecution", {"agentExecutionId": first.id})
    assert first.rest()["phase"] == "PHASE_STOPPED"
    (first.folder / "go").touch()
    assert second.rest()["phase"] == "PHASE_WAITING_FOR_INPUT"
    assert second.texts() == ["Done."]
    assert first.texts() == []


def test_slash_commands_mean_their_prompt_and_typed_commands_are_heard_with_the_next_message(begin: Begin) -> None:
    run = begin(lambda _: Reply("I see."))
    prompt = {"name": "Greet", "description": "Greets", "prompt": "Greet $1 kindly.", "isCommand": True}
    made = run.server.call("CreatePrompt", {**prompt, "command": "greet"})["prompt"]["id"]
    run.start("/greet Anna")
    run.rest()
    assert "Greet Anna kindly." in json.dumps(run.model.bodies[-1]["input"])
    assert "/greet" not in json.dumps(run.model.bodies[-1]["input"])
    (announced,) = run.log("CommandsAnnounced")
    assert [one["name"] for one in announced["commands"]] == ["support-bundle", "greet"]
    calls = len(run.model.bodies)
    run.server.send(run.id, "!echo made tea > cup; cat cup")
    (result,) = run.until_logged("ShellFinished")
    assert (result["outcome"], result["text"]) == ("ok", "made tea\n")
    run.rest()
    assert len(run.model.bodies) == calls
    run.server.send(run.id, "what did I do?")
    run.until(lambda: len(run.model.bodies) > calls)
    run.rest()
    heard = json.dumps(run.model.bodies[-1]["input"])
    assert "$ echo made tea > cup; cat cup" in heard
    with pytest.raises(Refused, match="failed_precondition"):
        run.server.send(run.id, "/clear")
    run.server.call("DeletePrompt", {"promptId": made})
