"""The way of a read that was answered before: the same bytes asked again get the same bytes, while they are true.

Only GetAgentExecution goes this way, for clients ask for it over and over. An answer is remembered as the ordinary way
gave it, with everything that it follows from: the bytes of the request (who asks, in which encoding, through which
host), the row, the truth about its owner, and what let the caller in. It is shown while none of that has changed:

- a commit that changes the row takes it out before anybody can read the commit (`core/changes.py`), and one that does
  not say what it changes, such as of a role or the policy, takes out all;
- a caller whose credential was taken back, has expired or was not looked at for `LOOK_AGAIN` goes the ordinary way;
- the owner is asked for anew each time, for he may vanish without a commit;
- an execution with sub-agents is not remembered: its answer follows from their rows as well.

Where other processes write to the database too, nothing is remembered.
"""

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock

from starlette.types import Message, Receive, Scope, Send

from hostler.api.call import PEER, Call, Caller
from hostler.core.ambient import Ambient
from hostler.core.changes import ANYTHING, Changes
from hostler.core.desk import Desk, Seen

PATH = "/api/gitpod.v1.AgentService/GetAgentExecution"
LONGEST_BODY = 256
"""Bytes; a request for one id has some sixty."""
LARGEST = 64 << 10
"""Bytes of an answer that is remembered."""
MOST = 512
"""Answers that are remembered."""
LOOK_AGAIN = 30.0
"""Seconds until a credential is looked at again, however often it is used."""
VARYING = frozenset({b"x-request-id", b"content-length"})
"""Headers of a request that its answer's content does not follow from."""

Key = tuple[object, ...]


@dataclass(slots=True, eq=False)
class Asked:
    """A request that may have been answered before; `receive` gives its body again."""

    key: Key | None
    receive: Receive
    changed: set[str] = field(default_factory=set[str])
    """What changed since it was asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and what that follows from."""

    seen: Seen
    caller: Caller
    principal: str
    """Its id as JSON."""
    until: float
    headers: tuple[tuple[bytes, bytes], ...]
    body: Message


class Answers:
    """What was answered before; `admit` says for each caller whether the fast way is open to him."""

    def __init__(
        self, desk: Desk, ambient: Ambient, changes: Changes | None, admit: Callable[[Caller], bool] = lambda _: True
    ) -> None:
        self._desk = desk
        self._ambient = ambient
        self._admit = admit
        self._on = changes is not None
        self._known: OrderedDict[Key, Answer] = OrderedDict()
        self._of: dict[str, set[Key]] = {}
        self._asked: set[Asked] = set()
        self._under_way: Counter[str] = Counter()
        self._lock = Lock()
        if changes is not None:
            changes.follow(self)

    async def asked(self, scope: Scope, receive: Receive) -> Asked | None:
        """Read a request that may have been answered before; None for any other, of which nothing was read."""
        if not self._on or scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
            return None
        message = await receive()
        again = _Again(message, receive)
        body = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > LONGEST_BODY:
            return Asked(None, again)
        client, headers = scope.get("client"), [one for one in scope["headers"] if one[0] not in VARYING]
        return Asked((body, scope["scheme"], scope.get(PEER), client and client[0], *headers), again)

    def known(self, asked: Asked) -> Answer | None:
        """Return what was answered before, if that is still true."""
        if asked.key is None or (answer := self._known.get(asked.key)) is None:
            return None
        caller = answer.caller
        if (
            caller.validity.over
            or self._ambient.now().timestamp() >= answer.until
            or self._desk.liveness(answer.seen.row) != answer.seen.liveness
        ):
            self._drop(asked.key)
            return None
        return answer if self._admit(caller) else None

    @contextmanager
    def following(self, asked: Asked) -> Generator[None]:
        """Note what changes while a request is answered in the ordinary way."""
        with self._lock:
            self._asked.add(asked)
        try:
            yield
        finally:
            with self._lock:
                self._asked.discard(asked)

    def keep(self, asked: Asked, call: Call, heard: "Heard") -> None:
        """Remember an answer, unless something changed since it was asked for or is changing now."""
        seen, caller = call.answered, call.caller
        if asked.key is None or seen is None or caller is None or not heard.whole or heard.size > LARGEST:
            return
        until = self._ambient.now().timestamp() + LOOK_AGAIN
        until = min(until, caller.expires_at) if caller.expires_at else until
        answer = Answer(seen, caller, json.dumps(caller.principal.id), until, heard.sized, heard.body)
        with self._lock:
            own = {seen.row.id, ANYTHING}
            if own & asked.changed or any(self._under_way[one] for one in own):
                return
            self._known[asked.key] = answer
            self._of.setdefault(seen.row.id, set()).add(asked.key)
        while len(self._known) > MOST:
            self._drop(next(iter(self._known)))

    def changing(self, ids: frozenset[str]) -> None:
        """Forget what follows from these rows, and remember nothing of them until the commit is over."""
        with self._lock:
            if ANYTHING in ids:
                self._known.clear()
                self._of.clear()
            for one in ids:
                self._under_way[one] += 1
                for key in self._of.pop(one, ()):
                    self._known.pop(key, None)
            for asked in self._asked:
                asked.changed |= ids

    def changed(self, ids: frozenset[str]) -> None:
        """Know that a commit is over."""
        with self._lock:
            self._under_way.subtract(ids)
            for one in ids:
                if not self._under_way[one]:
                    del self._under_way[one]

    def _drop(self, key: Key) -> None:
        with self._lock:
            if answer := self._known.pop(key, None):
                self._of.get(answer.seen.row.id, set[Key]()).discard(key)


class _Again:
    """Gives a message that was taken once more, then what comes after it."""

    def __init__(self, message: Message, receive: Receive) -> None:
        self._message: Message | None = message
        self._receive = receive

    async def __call__(self) -> Message:
        message, self._message = self._message, None
        return message if message is not None else await self._receive()


@dataclass(slots=True)
class Heard:
    """An answer as it went out."""

    headers: tuple[tuple[bytes, bytes], ...] = ()
    content: bytes = b""
    status: int = 0
    over: bool = False

    def hearing(self, send: Send) -> Send:
        """Return what sends on and notes what was sent."""

        async def sending(message: Message) -> None:
            self._hear(message)
            await send(message)

        return sending

    def _hear(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(one for one in message["headers"] if one[0] != b"x-request-id")
        elif message["type"] == "http.response.body":
            self.content += message.get("body", b"")
            self.over = not message.get("more_body", False)

    @property
    def whole(self) -> bool:
        """Return whether it was a good answer and came to its end."""
        return self.over and self.status == 200

    @property
    def size(self) -> int:
        """Return the bytes of its content."""
        return len(self.content)

    @property
    def sized(self) -> tuple[tuple[bytes, bytes], ...]:
        """Return its headers with the length of its content."""
        others = (one for one in self.headers if one[0] != b"content-length")
        return (*others, (b"content-length", str(self.size).encode()))

    @property
    def body(self) -> Message:
        """Return its content in one message."""
        return {"type": "http.response.body", "body": self.content}


async def repeat(answer: Answer, request_id: str, send: Send) -> None:
    """Send an answer once more, under the id of another request."""
    headers = [*answer.headers, (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(answer.body)
