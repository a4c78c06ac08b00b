"""What people say: three forms of a user input, read as one, checked, with the digest that makes it idempotent."""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from protobuf import Oneof
from protobuf.wkt import Timestamp

from hostler.api.codec import to_json
from hostler.api.settings import check_modes
from hostler.contract.gitpod.v1.agent_input_pb import UserInputBlock
from hostler.core.ambient import Ambient
from hostler.core.commands import Send
from hostler.core.errors import InvalidArgument
from hostler.core.redaction import Redactor

MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
LONGEST_ID = 128

Part = tuple[str, UserInputBlock.TextInput | UserInputBlock.ImageInput]


def parts_of(block: UserInputBlock) -> Sequence[Part]:
    """Return (field path, part) of all that an input says, whichever form it has; InvalidArgument for a mixture."""
    if block.input is not None and block.inputs:
        raise InvalidArgument("inputs and text or image exclude each other", field="user_input.inputs")
    if block.input is not None:
        return [(f"user_input.{block.input.field}", block.input.value)]
    return [
        (f"user_input.inputs[{number}].{one.input.field}", one.input.value)
        for number, one in enumerate(block.inputs)
        if one.input is not None
    ]


def has_image(block: UserInputBlock) -> bool:
    """Return whether an input contains a picture."""
    return any(isinstance(part, UserInputBlock.ImageInput) for _, part in parts_of(block))


def send_of(block: UserInputBlock, ambient: Ambient, redactor: Redactor) -> Send:
    """Return the command that queues an input; the server sets its time, and its id where there is none."""
    parts = parts_of(block)
    _check(block, parts)
    block.id = block.id or ambient.new_id()
    block.created_at = Timestamp.from_datetime(ambient.now())
    body: dict[str, Any] = redactor.json(to_json(block))
    return Send(block.id, body, digest(body))


def digest(body: dict[str, Any]) -> str:
    """Return the sha256 of what an input says, the same for all three forms."""
    said = body.get("inputs") or [{key: body[key] for key in ("text", "image") if key in body}]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _check(block: UserInputBlock, parts: Sequence[Part]) -> None:
    if len(block.id) > LONGEST_ID:
        raise InvalidArgument(f"an id has at most {LONGEST_ID} characters", field="user_input.id")
    if block.metadata is not None:
        check_modes(block.metadata.modes, "user_input.metadata.modes")
    if not parts:
        raise InvalidArgument("there is no content", field="user_input.inputs")
    for path, part in parts:
        if isinstance(part, UserInputBlock.ImageInput):
            _check_image(path, part)
    if all(isinstance(part, UserInputBlock.TextInput) and not part.content.strip() for _, part in parts):
        raise InvalidArgument("white space alone says nothing", field=parts[0][0])


def _check_image(path: str, image: UserInputBlock.ImageInput) -> None:
    if image.data_ref:
        raise InvalidArgument("only the server sets a reference; send the data", field=f"{path}.data_ref")
    if not image.data.startswith(MAGIC[image.mime_type]):
        raise InvalidArgument(f"the data is not {image.mime_type}", field=f"{path}.data")


def member(oneof: Oneof[Any, Any] | None) -> str:
    """Return the name of the member that is set; empty when none is."""
    return oneof.field if oneof else ""
