"""The live stream of a conversation: frames, texts by pieces, its end, and who may read it."""

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from hostler.conformance.bench import Bench, Failed, check, expect, expect_in
from hostler.conformance.wire import first, text

BLOCK, INPUT, MESSAGE = 1, 2, 3
"""The tags of frames."""
UPDATE, COMPLETED, DELTA = 1, 2, 3
"""Phases of a block."""
TEXT, SEEN = 10, 8
"""Numbers of AgentResponseBlock's fields: text, user_input_seen."""


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    kind: str
    id: str
    data: str

    @property
    def frame(self) -> bytes:
        """Return the frame of a block; Failed when it has none."""
        try:
            raw = base64.b64decode(json.loads(self.data)["frame"], validate=True)
        except (ValueError, KeyError, TypeError):
            raise Failed(f'a block is not {{"frame": "<base64>"}}: {self.data[:200]!r}') from None
        if not raw:
            raise Failed("a frame is empty")
        return raw


def live_url(bench: Bench, execution: str) -> str:
    """Return the address of the stream, as clients find it."""
    urls = bench.get(execution).get("status", {}).get("conversationUrls", {})
    if not (url := urls.get("live")):
        raise Failed(f"status.conversationUrls has no live: {urls}")
    return str(url)


def token_for(bench: Bench, execution: str) -> str:
    """Return a conversation token."""
    token = bench.call("CreateAgentExecutionConversationToken", {"agentExecutionId": execution}).get("token")
    if not token:
        raise Failed("CreateAgentExecutionConversationToken answers without token")
    return str(token)


def events(bench: Bench, execution: str, token: str, **more: str) -> list[Event]:
    """Return all of a stream up to its end."""
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream", **more}
    url = live_url(bench, execution)
    with bench.wire.http.stream("GET", url, headers=headers, timeout=max(bench.patience, 60)) as got:
        if got.status_code != 200:
            raise Failed(f"the live stream was answered with HTTP {got.status_code}: {got.read()[:200]!r}")
        if not got.headers.get("content-type", "").startswith("text/event-stream"):
            raise Failed(f"the content type of the live stream is {got.headers.get('content-type')!r}")
        return list(parsed(got.iter_lines()))


def parsed(lines: Iterator[str]) -> Iterator[Event]:
    """Yield server-sent events up to the event `end`."""
    known: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(":")
            known[name] = value.removeprefix(" ")
            continue
        if known.get("event"):
            yield Event(known["event"], known.get("id", ""), known.get("data", ""))
            if known["event"] == "end":
                return
        known = {}


def turn(bench: Bench) -> tuple[str, list[Event]]:
    """Return an execution whose turn has ended, and its stream."""
    execution = bench.said()
    return execution, events(bench, execution, token_for(bench, execution))


@check("stream.frames", "conversation stream: a frame is one tag byte and a protobuf message")
def frames(bench: Bench) -> None:
    """The events `block` of a turn carry frames of the three kinds, whose messages can be read."""
    _, told = turn(bench)
    blocks = [event for event in told if event.kind == "block"]
    if not blocks:
        raise Failed(f"a turn has ended and its stream has no block: {told}")
    for event in blocks:
        frame = event.frame
        expect_in(frame[0], (BLOCK, INPUT, MESSAGE), "the tag of a frame")
        try:
            text(frame[1:], 1)
        except ValueError as fault:
            raise Failed(f"a frame is no protobuf message: {fault}") from None
    expect_in(BLOCK, [event.frame[0] for event in blocks], "an AgentResponseBlock among the frames")


@check("stream.block-ids", "conversation stream: block ids are uuids")
def block_ids(bench: Bench) -> None:
    """The ids of blocks are uuids."""
    for event in turn(bench)[1]:
        if event.kind == "block" and event.frame[0] == BLOCK:
            try:
                uuid.UUID(text(event.frame[1:], 1))
            except ValueError:
                raise Failed(f"a block's id is no uuid: {text(event.frame[1:], 1)!r}") from None


@check("stream.ends", "conversation stream: it must end when the run goes idle")
def ends(bench: Bench) -> None:
    """The stream of an execution that waits for input ends, with the event `end`."""
    _, told = turn(bench)
    expect(told[-1].kind if told else "nothing", "end", "the last event")


@check("stream.texts", "conversation stream: COMPLETED carries the full text")
def texts(bench: Bench) -> None:
    """Pieces of a text are numbered without a gap, from the first one told, and add up to what COMPLETED carries."""
    execution = bench.fresh_turn()
    pieces: dict[str, list[str]] = {}
    last: dict[str, int] = {}
    whole: dict[str, str] = {}
    for event in events(bench, execution, token_for(bench, execution)):
        if event.kind != "block" or event.frame[0] != BLOCK:
            continue
        block = event.frame[1:]
        said = first(block, TEXT)
        if not isinstance(said, bytes):
            continue
        name, phase, number = text(block, 1), first(block, 2) or 0, first(said, 3) or 0
        if phase == COMPLETED:
            whole[name] = text(said, 2)
        elif phase == DELTA:
            if name in last and number != last[name] + 1:
                raise Failed(f"sequence_id {number!r} came after {last[name]} in block {name}")
            last[name] = number if isinstance(number, int) else 0
            pieces.setdefault(name, []).append(text(said, 2))
    if not whole:
        raise Failed("no text of the turn was completed")
    for name, have in pieces.items():
        expect("".join(have), whole.get(name), f"the pieces of block {name}")


@check("stream.resumes", "conversation stream: Last-Event-ID")
def resumes(bench: Bench) -> None:
    """Who names the last event he has, by Last-Event-ID, is told what came after it and nothing twice."""
    execution, told = turn(bench)
    blocks = [event for event in told if event.kind == "block" and event.id]
    if len(blocks) < 2:
        raise Failed("the blocks of the stream have no ids to come back with")
    middle = blocks[len(blocks) // 2]
    more = events(bench, execution, token_for(bench, execution), **{"last-event-id": middle.id})
    found = [event.id for event in more if event.kind == "block" and event.id]
    expect(found, [event.id for event in blocks[blocks.index(middle) + 1 :]], f"blocks after {middle.id}")


@check("stream.access", "conversation stream: Authorization: Bearer <conversation token>")
def access(bench: Bench) -> None:
    """Nobody reads the stream without a token, or with the token of another execution."""
    execution, other = bench.idle(), bench.once("second", bench.started)
    url = live_url(bench, execution)
    strange = token_for(bench, other)
    for token, what in (("", "no token"), ("garbage", "garbage"), (strange, "a token of another execution")):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        with bench.wire.http.stream("GET", url, headers=headers) as got:
            if got.status_code not in (401, 403, 404):
                raise Failed(f"the stream was answered with HTTP {got.status_code} with {what}")


@check("stream.token-is-narrow", "Tokens: a conversation token: read and send for one execution")
def narrow(bench: Bench) -> None:
    """A conversation token is good for its own execution only."""
    one, other = bench.idle(), bench.once("second", bench.started)
    token = token_for(bench, one)
    delete = "DeleteAgentExecution"
    for method, execution in (("GetAgentExecution", other), (delete, one), (delete, other)):
        answer = bench.wire.post(method, {"agentExecutionId": execution}, token=token)
        expect_in(answer.status, (401, 403, 404), f"{method} with a conversation token", answer)
