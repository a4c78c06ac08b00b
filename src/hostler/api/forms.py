"""How a conversation is written for one kind of reader; the API's own forms are frames and plain JSON.

A form sees every event of the log once, in order, and says what is to be sent of it. It is shared by all readers of a
channel, so it knows nothing of who reads.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from hostler.api.codec import from_json, to_json
from hostler.contract.gitpod.v1.agent_input_pb import AgentMessage, UserInputBlock
from hostler.contract.gitpod.v1.agent_response_pb import AgentResponseBlock
from hostler.core.events import Recorded
from hostler.core.ports import OpenBlock
from hostler.projections.blocks import Frame
from hostler.projections.status import stamp

MESSAGES = {1: AgentResponseBlock, 2: UserInputBlock, 3: AgentMessage}
KINDS = {"text": "TYPE_USER_FACING_OUTPUT", "thinking": "TYPE_THOUGHTS"}
Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """One server-sent event: its name and its JSON, or what makes it, called once and only if somebody needs it."""

    event: str
    data: Data | Callable[[], Data]


class Form(Protocol):
    """What becomes of the log and of the text that is being said; one instance a channel. Nothing here may wait."""

    by_event: ClassVar[bool]
    """What cursors count: events of the log (each with any number of Tolds), or frames (one Told each)."""

    def event(self, recorded: Recorded, frames: Sequence[Frame]) -> Sequence[Told]:
        """Return what is told of an event that makes these frames."""
        ...

    def text(self, block: OpenBlock, offset: int, piece: str, at: datetime) -> Told:
        """Return what is told when a block says `piece` behind its first `offset` characters."""
        ...

    def broken(self, block: str, kind: str, text: str, at: datetime) -> Told | None:
        """Return what is told when a block was shown that the log will never have; None: nothing."""
        ...


Forms = Callable[[str], Form]
"""Makes the form of an execution's channel."""


class _OfFrames:
    """One Told a frame, and text as DELTA blocks; how a frame is written is left open."""

    by_event: ClassVar[bool] = False

    def __init__(self, execution: str) -> None:
        self._execution = execution

    def event(self, recorded: Recorded, frames: Sequence[Frame]) -> Sequence[Told]:
        """Return each frame."""
        return [self._told(frame.tag, frame.body) for frame in frames]

    def text(self, block: OpenBlock, offset: int, piece: str, at: datetime) -> Told:
        """Return a piece as clients append it."""
        text = {"type": KINDS[block.kind], "content": piece, "sequenceId": str(block.sequence)}
        return self._told(1, {"id": block.block, "phase": "PHASE_DELTA", "createdAt": stamp(at), "text": text})

    def broken(self, block: str, kind: str, text: str, at: datetime) -> Told | None:
        """Return the block as it was shown."""
        body = {"type": KINDS[kind], "content": text}
        return self._told(1, {"id": block, "phase": "PHASE_COMPLETED", "createdAt": stamp(at), "text": body})

    def _told(self, tag: int, body: Data) -> Told:
        return Told("block", lambda: self.written(tag, body))

    @staticmethod
    def written(tag: int, body: Data) -> Data:
        raise NotImplementedError


class FrameForm(_OfFrames):
    """Frames as the contract's clients read them: a tag and a message, in base64."""

    @staticmethod
    def written(tag: int, body: Data) -> Data:
        """Return one frame."""
        return {"frame": frame_bytes(tag, from_json(MESSAGES[tag], body).to_binary())}


class JsonForm(_OfFrames):
    """Frames for readers without the contract's types."""

    @staticmethod
    def written(tag: int, body: Data) -> Data:
        """Return one frame."""
        return {"tag": tag, "body": to_json(from_json(MESSAGES[tag], body))}


FORMS: Mapping[str, Forms] = {"frame": FrameForm, "json": JsonForm}


def frame_bytes(tag: int, message: bytes) -> str:
    """Return a frame as the wire has it: the tag and the message, in base64."""
    return base64.b64encode(bytes([tag]) + message).decode()
