"""What all methods of the operations service share: the way inside, paths, and masking what comes out."""

import asyncio
import contextlib
import posixpath
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from connectrpc.request import RequestContext
from protobuf import Message

from hostler.api.call import current
from hostler.api.codec import from_json, to_json
from hostler.api.inside import Inside
from hostler.api.parts import ApiParts
from hostler.core.errors import FailedPrecondition, HostlerError, InvalidArgument, NotFound
from hostler.core.machines import FileProblem
from hostler.core.redaction import SHORTEST, Redactor

Context = RequestContext[Any, Any]
M = TypeVar("M", bound=Message)
ROOTS = ("/workspace", "/home/agent", "/tmp")
"""Where absolute paths may lead."""
LONGEST_PATH = 4096
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_VARIABLES = 100
LONGEST_VALUE = 32 << 10
STILL = ("stopping", "stopped", "deleting", "deleted")
TOUCH = timedelta(seconds=60)
"""How often an environment is noted as used while somebody is at work in it."""
QUIET = 0.2
"""Seconds after which what could still become a secret is shown."""


class OpsParts:
    """The parts that the service's methods use."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def _inside(self) -> Inside:
        machine = await self._parts.environments.machine(current().environment)
        return await Inside.entered(machine)

    async def _there(self) -> Inside:
        """Return the inside for what must be there already; a stopped environment has nothing and is not started."""
        await running(self._parts, current().environment)
        return await self._inside()

    def _masked(self, answer: M) -> M:
        """Return an answer with secrets masked in every text of it: names and remarks from inside may hold them too."""
        return from_json(type(answer), self._parts.redactor.json(to_json(answer)))

    @contextlib.asynccontextmanager
    async def _awake(self) -> AsyncGenerator[None]:
        """Keep the environment from being stopped as idle for as long as this lasts."""
        touching = asyncio.create_task(touch(self._parts, current().environment))
        try:
            yield
        finally:
            touching.cancel()


async def running(parts: ApiParts, environment: str) -> None:
    """Raise FailedPrecondition when an environment is stopped, or on its way there."""
    row = await parts.environments.get(environment)
    if row.phase in STILL:
        raise FailedPrecondition(f"the environment is {row.phase}: what ran in it is gone")


async def touch(parts: ApiParts, environment: str) -> None:
    """Note an environment as used, again and again, until it is gone."""
    with contextlib.suppress(HostlerError):
        while True:
            await parts.ambient.until(parts.ambient.now() + TOUCH)
            await parts.environments.machine(environment)


def path_of(path: str, field: str) -> str:
    """Return a path inside the workspace, the home folder or /tmp; relative ones start at the workspace."""
    if not path or "\0" in path:
        raise InvalidArgument("a path is needed", field=field)
    if len(path.encode(errors="replace")) > LONGEST_PATH:
        raise InvalidArgument(f"at most {LONGEST_PATH} bytes", field=field)
    plain = posixpath.normpath(posixpath.join(ROOTS[0], path))
    if not any(plain == root or plain.startswith(f"{root}/") for root in ROOTS):
        raise InvalidArgument(f"the path must lead into {', '.join(ROOTS)}", field=field)
    within = plain == ROOTS[0] or plain.startswith(f"{ROOTS[0]}/")
    return posixpath.relpath(plain, ROOTS[0]) if within else plain


def variables_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables as asked for; InvalidArgument for names and values that no program can have."""
    if len(given) > MOST_VARIABLES:
        raise InvalidArgument(f"at most {MOST_VARIABLES} variables", field="env")
    for name, value in given.items():
        if not VARIABLE.fullmatch(name):
            raise InvalidArgument(f"{name[:100]!r} is not the name of a variable", field="env")
        if "\0" in value or len(value) > LONGEST_VALUE:
            raise InvalidArgument(f"the value of {name[:100]} holds a NUL or is too long", field="env")
    return dict(given)


@contextlib.contextmanager
def telling(field: str) -> Generator[None]:
    """Name the field of the request in what a missing thing inside is answered with."""
    try:
        yield
    except FileProblem as problem:
        if problem.kind == "not_found":
            raise NotFound(problem.message, field=field) from None
        raise


class Masking:
    """Masks bytes that arrive in pieces; it holds back what could still become a secret.

    What was held back may be shown when nothing follows: a prompt must not wait for the next key. If a secret comes of
    it all the same, the rest of that is masked.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.held: bytes = b""
        self._shown: bytes = b""

    @property
    def waits(self) -> bool:
        """Return whether something is held back that may be shown when it is quiet: too little to tell a secret."""
        return bool(self.held) and len(self._shown) + len(self.held) < SHORTEST

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown now."""
        shown, self._shown = self._shown, b""
        raw = shown + self.held + data
        end = self._redactor.safe_end(raw.decode("latin-1"))
        self.held = raw[end:]
        if end < len(shown):
            self._shown, self.held = shown, raw[len(shown) :]
            return b""
        said = self._redactor.data(raw[:end])
        return said.removeprefix(shown)

    def flush(self) -> bytes:
        """Return what was held back, and remember it."""
        held, self.held = self.held, b""
        self._shown += held
        return self._redactor.data(held)


async def masked(pieces: AsyncIterator[bytes], redactor: Redactor) -> AsyncGenerator[bytes]:
    """Yield pieces with secrets masked; an end that looks like the beginning of one is shown when it is quiet."""
    masking = Masking(redactor)
    coming: asyncio.Future[bytes] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(pieces))
            await asyncio.wait({coming}, timeout=QUIET if masking.waits else None)
            try:
                shown = masking.feed(coming.result()) if coming.done() else masking.flush()
            except StopAsyncIteration:
                break
            coming = None if coming.done() else coming
            if shown:
                yield shown
        if rest := masking.flush():
            yield rest
    finally:
        if coming is not None:
            coming.cancel()
