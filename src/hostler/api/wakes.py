"""WakeEvents from outside: what somebody who knows that an interest has come tells instead of the clock."""

from typing import Any

from hostler.api.call import current
from hostler.api.codec import to_json
from hostler.contract.gitpod.v1.agent_input_pb import WakeEvent
from hostler.core.ambient import Ambient
from hostler.core.commands import Wake
from hostler.core.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from hostler.core.redaction import Redactor
from hostler.projections.status import stamp

LONGEST_ID = 128
MOST = 20
LONGEST = 2000
"""Characters of one message about a failure, and how many there may be."""
FIELD = "wake_event"


def wake_of(event: WakeEvent, ambient: Ambient, redactor: Redactor) -> Wake:
    """Return the command of a wake; whether its interest is waited for is decided on the latest state.

    Raises PermissionDenied for a loop, whose conditions only the server evaluates, FailedPrecondition for one that
    names nothing, InvalidArgument for what nobody could read.
    """
    if current().visited:
        raise PermissionDenied("a visitor wakes nobody", field=FIELD)
    if event.payload is not None and event.payload.field == "loop_retrigger":
        raise PermissionDenied("only the server evaluates loop conditions", field=f"{FIELD}.loop_retrigger")
    if not event.interest_id:
        raise FailedPrecondition("a wake names the interest that has come", field=f"{FIELD}.interest_id")
    if event.payload is None:
        raise FailedPrecondition("a wake says what has come", field=f"{FIELD}.payload")
    if len(event.interest_id) > LONGEST_ID:
        raise InvalidArgument(f"an id has at most {LONGEST_ID} characters", field=f"{FIELD}.interest_id")
    block: dict[str, Any] = redactor.json(to_json(event))
    name = next(key for key in block if key != "interestId")
    failures = block[name].get("failureMessage", ())
    if len(failures) > MOST or any(len(one) > LONGEST for one in failures):
        reason = f"at most {MOST} messages of {LONGEST} characters are taken"
        raise InvalidArgument(reason, field=f"{FIELD}.{event.payload.field}.failure_message")
    now = ambient.now()
    if name == "timer":
        block["timer"] = {"firedAt": stamp(now)}
    return Wake(event.interest_id, now, block, outside=True)
