"""Input while a turn runs: it is queued, in an order that clients may change, and each input is taken once."""

import json
from collections.abc import Callable
from typing import Any

from tests.sdk.clients import Client
from tests.sdk.conftest import Gate

GateMaker = Callable[..., Gate]

STORY = """
    from pathlib import Path
    from uuid import uuid4

    ids = {name: str(uuid4()) for name in ("one", "two", "three", "four")}
    for name in ids:
        say(run, name, id=ids[name])
    control(run, moveQueuedMessage={"userInputId": ids["four"], "beforeUserInputId": ids["one"]})
    control(run, moveQueuedMessage={"userInputId": ids["one"]})
    control(run, deleteQueuedMessage={"userInputId": ids["two"]})
    unknown = refusal(control, run, deleteQueuedMessage={"userInputId": str(uuid4())})
    Path(arguments[1]).touch()
    frames = conversation(talk)
    late = refusal(control, run, deleteQueuedMessage={"userInputId": ids["one"]})
    tell(ids=ids, frames=frames, unknown=unknown, late=late)
    """


def ordered(seen: dict[str, Any]) -> None:
    """Check that four came before three and one, and that two never came."""
    ids = seen["ids"]
    blocks = [body for _, kind, body in seen["frames"] if kind == 1]
    taken = [block["userInputSeen"]["id"] for block in blocks if "userInputSeen" in block]
    assert taken[1:] == [ids["four"], ids["three"], ids["one"]]
    queues = [
        block["userInputQueueUpdated"].get("queuedUserInputIds", [])
        for block in blocks
        if "userInputQueueUpdated" in block
    ]
    assert [ids[name] for name in ("four", "three", "one")] in queues
    assert queues[-1] == []
    assert seen["unknown"]["code"] == "not_found"
    assert seen["late"]["code"] == "failed_precondition"
    assert "already sent" in seen["late"]["message"]


def test_a_connect_client_orders_the_queue(new: Client, gate: GateMaker) -> None:
    held = gate()
    seen = new.run(
        """
    def say(run, text, id):
        block = {"id": id, "inputs": [{"text": {"content": text}}]}
        call("SendToAgentExecution", agentExecutionId=run, userInput=block)

    def control(run, **what):
        call("SendToAgentExecution", agentExecutionId=run, controlInput=what)

    talk = start(task="hold", annotations=json.loads(arguments[0]))
    talk.wait_running()
    run = talk.id()
    """
        + STORY,
        json.dumps(held.annotations),
        held.until,
    )
    ordered(seen)


def test_a_json_client_orders_the_queue(old: Client, gate: GateMaker) -> None:
    """This generation has no types for control input, but sends what it is given beside them."""
    held = gate()
    seen = old.run(
        """
    def control(run, **what):
        agents.send_to_execution(agent_execution_id=run, extra_body={"controlInput": what})

    talk = run = start(task="hold", extra_body={"annotations": json.loads(arguments[0])})
    """
        + STORY,
        json.dumps(held.annotations),
        held.until,
    )
    ordered(seen)


def test_the_same_input_again_is_taken_once_and_another_under_its_id_is_refused(new: Client, gate: GateMaker) -> None:
    held = gate()
    seen = new.run(
        """
        from pathlib import Path
        def say(text, id="input-1"):
            message = {"id": id, "inputs": [{"text": {"content": text}}]}
            call("SendToAgentExecution", agentExecutionId=talk.id(), userInput=message)
        talk = start(annotations=json.loads(arguments[0]))
        say("hold"), say("hold")
        clash = refusal(say, "something else")
        Path(arguments[1]).touch()
        frames = conversation(talk)
        say("hold")
        tell(frames=frames, clash=clash, after=get(talk.id())["status"]["iterations"])
        """,
        json.dumps(held.annotations),
        held.until,
    )
    assert seen["clash"]["code"] == "already_exists"
    assert [body["id"] for _, kind, body in seen["frames"] if kind == 2] == ["input-1"]
    assert seen["after"] == "1"


def test_all_three_forms_of_an_input_are_taken(new: Client) -> None:
    seen = new.run(
        """
        talk = start()
        def say(**block):
            call("SendToAgentExecution", agentExecutionId=talk.id(), userInput=block)
        image = {"data": "iVBORw0KGgo=", "mimeType": "image/png"}
        say(text={"content": "the old form"})
        say(inputs=[{"text": {"content": "a list"}}, {"image": image}])
        say(image=image)
        mixed = refusal(say, text={"content": "x"}, inputs=[{"text": {"content": "y"}}])
        empty = refusal(say, inputs=[])
        blank = refusal(say, text={"content": "  "})
        wrong = refusal(say, image={"data": "AAAA", "mimeType": "image/png"})
        talk.wait_running()
        tell(frames=conversation(talk), refused=[mixed, empty, blank, wrong])
        """
    )
    inputs = [body for _, kind, body in seen["frames"] if kind == 2]
    assert [sorted(set(body) - {"id", "createdAt"}) for body in inputs] == [["text"], ["inputs"], ["image"]]
    assert [one["code"] for one in seen["refused"]] == ["invalid_argument"] * 4


def test_a_reader_who_comes_back_gets_only_what_is_new(new: Client) -> None:
    """Cut behind the first message, for how many pieces the answer comes in is a matter of time."""
    seen = new.run(
        """
        talk = start(task="hello")
        talk.wait_running()
        frames = conversation(talk)
        last = next(number for number, _, body in frames if body.get("phase") != "PHASE_DELTA")
        tell(frames=frames, again=conversation(talk, **{"Last-Event-ID": last}))
        """
    )
    _, *new_ones = [body["id"] for _, _, body in seen["frames"] if body.get("phase") != "PHASE_DELTA"]
    assert new_ones
    assert [body["id"] for _, _, body in seen["again"]] == new_ones


def test_a_steered_message_joins_the_turn_that_runs(new: Client, gate: GateMaker) -> None:
    """It goes to the model with the results of the turn's tools, so that two calls of the model are enough."""
    held = gate(
        steps=[{"text": "I look.", "calls": [{"name": "bash", "arguments": {"command": "true"}}]}, {"text": "So."}]
    )
    seen = new.run(
        """
        from pathlib import Path
        talk = start(task="hold", annotations=json.loads(arguments[0]))
        talk.wait_running()
        aside = {"id": "aside", "inputs": [{"text": {"content": "by the way"}}]}
        call("SendToAgentExecution", agentExecutionId=talk.id(), userInput=aside)
        steer = {"steerQueuedMessage": {"userInputId": "aside"}}
        call("SendToAgentExecution", agentExecutionId=talk.id(), controlInput=steer)
        Path(arguments[1]).touch()
        frames = conversation(talk)
        tell(frames=frames, status=get(talk.id())["status"])
        """,
        json.dumps(held.annotations),
        held.until,
    )
    blocks = [body for _, kind, body in seen["frames"] if kind == 1]
    taken = [block["userInputSeen"]["id"] for block in blocks if "userInputSeen" in block]
    assert (len(taken), taken[-1]) == (2, "aside")
    assert seen["status"]["iterations"] == "2"
