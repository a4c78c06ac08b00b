"""Turns: how they begin and end, the queue, the same input twice, stop and delete."""

import time
import uuid

from hostler.conformance.bench import Bench, Failed, Skipped, check, expect, expect_in, refused
from hostler.conformance.wire import Answer, Json


@check("turns.never-waiting-before-the-first", "hazard 3")
def not_waiting_before(bench: Bench) -> None:
    """An execution that nothing was sent to is PENDING, never WAITING_FOR_INPUT."""
    execution = bench.started()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        expect_in(bench.phase(execution), ("PENDING", "RUNNING"), "the phase before the first send")


@check("turns.send-flips-the-phase", "hazard 3")
def send_flips(bench: Bench) -> None:
    """When Send has answered, the execution is RUNNING (PENDING until its environment is up)."""
    execution = bench.said()
    bench.send(execution, bench.task)
    expect(bench.phase(execution), "RUNNING", "the phase right after Send")
    bench.rest(execution)


@check("turns.last-a-second", "hazard 3")
def lasts_a_second(bench: Bench) -> None:
    """A turn that Send started is seen RUNNING for a second, however fast it is."""
    execution = bench.said()
    bench.send(execution, bench.task)
    sent = time.monotonic()
    bench.rest(execution)
    took = time.monotonic() - sent
    if took < 0.8:
        raise Failed(f"the turn had ended {took:.2f} s after Send had answered")


@check("turns.end-waiting", "product words: phases")
def end_waiting(bench: Bench) -> None:
    """A turn that ends leaves the execution WAITING_FOR_INPUT, without a failure_message."""
    status = bench.get(bench.said()).get("status", {})
    expect(status.get("phase"), "PHASE_WAITING_FOR_INPUT", "the phase")
    expect(status.get("failureMessage", ""), "", "failureMessage")


@check("turns.no-failure-while-running", "hazard 4")
def no_failure_while_running(bench: Bench) -> None:
    """While a turn runs there is no failure_message, which clients take for the end."""
    execution = bench.fresh_turn()
    for _ in range(200):
        status = bench.get(execution).get("status", {})
        if status.get("phase") not in ("PHASE_PENDING", "PHASE_RUNNING"):
            return
        if status.get("failureMessage"):
            raise Failed(f"failureMessage while {status.get('phase')}: {status['failureMessage']!r}")


@check("turns.same-input-twice", "Sending: the id of a user input is its idempotency key")
def same_input(bench: Bench) -> None:
    """The same user input again is one input; another content under its id is already_exists and final."""
    execution, key = bench.said(), str(uuid.uuid4())
    block: Json = {"id": key, "inputs": [{"text": {"content": bench.task}}]}
    for _ in range(2):
        bench.call("SendToAgentExecution", {"agentExecutionId": execution, "userInput": block})
    other = {"agentExecutionId": execution, "userInput": {**block, "inputs": [{"text": {"content": "something else"}}]}}
    answer = bench.wire.post("SendToAgentExecution", other)
    refused(answer, 409, "already_exists", "another content under the same id")
    expect(answer.headers.get("x-should-retry"), "false", "x-should-retry of already_exists (hazard 6)")
    bench.rest(execution)


@check("turns.old-text", "AgentService: old clients send text; accept all three")
def old_text(bench: Bench) -> None:
    """A user input in the older form, `text` beside no inputs, is taken."""
    execution = bench.said()
    body = {"agentExecutionId": execution, "userInput": {"text": {"content": bench.task}}}
    bench.call("SendToAgentExecution", body)
    bench.rest(execution)


@check("turns.empty-input", "Sending: no content is refused")
def empty_input(bench: Bench) -> None:
    """A send without any input is invalid_argument."""
    execution = bench.idle()
    bodies: tuple[Json, ...] = ({}, {"userInput": {}}, {"userInput": {"inputs": []}})
    for body in bodies:
        answer = bench.wire.post("SendToAgentExecution", {"agentExecutionId": execution, **body})
        refused(answer, 400, "invalid_argument", f"{body}")


@check("queue.waits", "AgentService: user input sent while a turn runs is queued")
def queue_waits(bench: Bench) -> None:
    """What is sent while a turn runs is taken afterwards, in order, and can be taken back before."""
    execution = bench.fresh_turn()
    taken, deleted = str(uuid.uuid4()), str(uuid.uuid4())
    bench.send(execution, bench.task, id=taken)
    bench.send(execution, bench.task, id=deleted)
    answer = control(bench, execution, deleteQueuedMessage={"userInputId": deleted})
    if answer.code == "failed_precondition":
        raise Skipped(f"the turn was over before the queue could be changed: {answer.json.get('message')}")
    expect(answer.status, 200, "deleteQueuedMessage", answer)
    again = control(bench, execution, deleteQueuedMessage={"userInputId": deleted})
    expect_in(again.code, ("not_found", "failed_precondition"), "deleteQueuedMessage once more", again)
    bench.rest(execution)


@check("queue.unknown", "Sending: queue control of an unknown id is not_found")
def queue_unknown(bench: Bench) -> None:
    """Deleting, moving and steering what is not queued is not_found."""
    execution, missing = bench.said(), str(uuid.uuid4())
    for name in ("deleteQueuedMessage", "moveQueuedMessage", "steerQueuedMessage"):
        refused(control(bench, execution, **{name: {"userInputId": missing}}), 404, "not_found", name)


@check("stop.stops", "Stopping: Stop on STOPPED succeeds")
def stops(bench: Bench) -> None:
    """Stop ends an execution, and once more changes nothing."""
    execution = bench.started()
    for _ in range(2):
        bench.call("StopAgentExecution", {"agentExecutionId": execution})
    bench.until(lambda: bench.phase(execution) == "STOPPED", "the execution is STOPPED")


@check("stop.in-a-turn", "Stopping: it stops the turn the server finds")
def stops_a_turn(bench: Bench) -> None:
    """Stop ends an execution in the middle of its turn, without a failure_message."""
    execution = bench.fresh_turn()
    bench.call("StopAgentExecution", {"agentExecutionId": execution})
    bench.until(lambda: bench.phase(execution) == "STOPPED", "the execution is STOPPED")
    expect(bench.get(execution)["status"].get("failureMessage", ""), "", "failureMessage after a stop")


@check("delete.removes", "Deleting: a second Delete is not_found")
def removes(bench: Bench) -> None:
    """A deleted execution is not_found, in lists too, and a second Delete is as well."""
    execution = bench.started()
    bench.call("DeleteAgentExecution", {"agentExecutionId": execution})
    for method in ("GetAgentExecution", "DeleteAgentExecution"):
        refused(bench.wire.post(method, {"agentExecutionId": execution}), 404, "not_found", f"{method} afterwards")
    found = bench.call("ListAgentExecutions", {"filter": {"agentExecutionIds": [execution]}})
    expect(found.get("agentExecutions", []), [], "what is listed of it")


@check("start.fields", "Status fields: what is sent comes back")
def start_fields(bench: Bench) -> None:
    """Name, annotations and session of a start come back, and every id is a uuid."""
    session = str(uuid.uuid4())
    execution = bench.started(sessionId=session, annotations={"k": "v"})
    metadata = bench.get(execution).get("metadata", {})
    expect(metadata.get("name"), "hostler conformance", "metadata.name")
    expect(metadata.get("annotations", {}).get("k"), "v", "the annotation k")
    expect(metadata.get("sessionId"), session, "metadata.sessionId")
    for one in (execution, str(metadata.get("creator", {}).get("id", ""))):
        try:
            uuid.UUID(one)
        except ValueError:
            raise Failed(f"an id is no uuid: {one!r}") from None


@check("start.missing-things", "Starting: unknown agent, project, environment: not_found naming the field")
def missing_things(bench: Bench) -> None:
    """An agent, project or environment that is not there is not_found."""
    missing = str(uuid.uuid4())
    for body in (
        {"agentId": missing},
        {"codeContext": {"environmentId": missing}},
        {"codeContext": {"projectId": missing}},
    ):
        refused(bench.wire.post("StartAgent", body), 404, "not_found", f"{body}")


def control(bench: Bench, execution: str, **block: object) -> Answer:
    """Send a control input."""
    return bench.wire.post("SendToAgentExecution", {"agentExecutionId": execution, "controlInput": block})
