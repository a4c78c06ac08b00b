"""The gateway: it takes a request from inside, checks it, has the call recorded, and passes the answer through.

The order is the promise: the beginning of a call is committed before the provider hears of it, and its one end before
the agent sees the end of the answer.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import h11
import httpx2
import structlog

from hostler.core.ambient import Ambient
from hostler.core.conversation import Usage
from hostler.core.errors import FailedPrecondition, HostlerError
from hostler.models.gateway.asked import Asked
from hostler.models.gateway.connection import Connection, Head, HungUp
from hostler.models.gateway.dialects import ROUTES, Body, Route, anthropic_error, openai_error
from hostler.models.gateway.events import Events
from hostler.models.gateway.flights import Carried, Flight, Flights, Unrecorded
from hostler.models.gateway.ledger import Grant, Ledger, LimitReached, NoLiveTurn
from hostler.models.gateway.masks import Mask
from hostler.models.gateway.meters import Meter
from hostler.models.gateway.refusals import (
    Problem,
    Refusal,
    away,
    bad_request,
    forbidden,
    not_found,
    over_limit,
    unauthenticated,
    unknown_model,
)
from hostler.models.gateway.room import Room
from hostler.models.gateway.scripted.provider import answering
from hostler.models.gateway.tokens import GatewayTokens
from hostler.models.gateway.upstreams import Answer, Outgoing, Target, Upstreams, target_of
from hostler.models.registry import Registry

log = structlog.get_logger(__name__)
MOST_BODY = 64 << 20
MOST_WHOLE = 64 << 20
"""Bytes of an answer that comes in one piece."""
LARGE = 1 << 20
"""Bytes from which on a request is read in a thread, for everybody else would wait for it."""
LOOK = timedelta(seconds=5)
"""How often it is looked whether the turn of a call still is."""
TAIL_SECONDS = 5.0
"""For what a provider still sends behind its last event."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request that may be made: of whom, on which path, for which of the allowed models."""

    grant: Grant
    route: Route
    model: str
    asked: Asked
    drop_usage: bool
    head: Head


class Gateway:
    """Serves every environment; holds no grant and no count between two requests."""

    def __init__(self, ledger: Ledger | None, models: Registry, tokens: GatewayTokens, ambient: Ambient) -> None:
        self.ledger = ledger
        """Set by whoever wires the server; without one nobody is served."""
        self._models = models
        self._tokens = tokens
        self._ambient = ambient
        self._upstreams = Upstreams()
        self._flights = Flights()
        self._rooms: dict[str, Room] = {}

    def token(self, execution: str, environment: str) -> str:
        """Return what goes inside instead of a key: good during the execution's turns, in this environment."""
        return self._tokens.sign(execution, environment)

    async def cut_all(self, execution: str, reason: str = "stopped") -> None:
        """Cut all calls of an execution at once, and return when each has its end in the log."""
        await self._flights.cut(execution, reason)

    def estimates(self, execution: str) -> Mapping[str, Usage]:
        """Return what the calls under way have used so far, by call; for who records their end itself."""
        return self._flights.estimates(execution)

    def cut_now(self, execution: str, reason: str = "stopped") -> None:
        """Cut all calls of an execution without waiting; for who has recorded their end already."""
        self._flights.cut_now(execution, reason)

    async def close(self) -> None:
        """Cut everything and close all connections."""
        await self._flights.close()
        await self._upstreams.close()

    async def serve(self, environment: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection that came through the environment's own socket, and close it."""
        connection, proper = Connection(reader, writer), False
        try:
            while (head := await connection.request()) is not None:
                await self._answer(environment, head, connection)
            proper = True
        except (OSError, h11.ProtocolError, Unrecorded):
            pass
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is one connection's
            log.error("the gateway failed", environment=environment, problem=repr(problem))
        finally:
            await connection.close(proper=proper)

    async def _answer(self, environment: str, head: Head, connection: Connection) -> None:
        route = ROUTES.get((head.method, head.path))
        try:
            if route is None and (head.method, head.path) != ("GET", "/v1/models"):
                raise not_found(head.method, head.path)
            grant = await self._admitted(environment, head)
            if route is None:
                await connection.body(0)
                return await _say(connection, 200, _models_list(grant, head))
            await self._roomy(environment, grant, route, head, connection)
        except Refusal as refusal:
            if connection.started:
                raise ConnectionError("the answer cannot go on") from refusal
            await _refuse(connection, refusal.problem, route, head)

    async def _roomy(self, environment: str, grant: Grant, route: Route, head: Head, connection: Connection) -> None:
        """Carry a request when there is room for its body."""
        room = self._rooms.setdefault(environment, Room())
        try:
            with room.entered() as place:
                await place.reserve(head.length, MOST_BODY)
                body = await connection.body(MOST_BODY)
                if len(body) > LARGE:
                    order = await asyncio.to_thread(self._order, grant, route, head, body)
                else:
                    order = self._order(grant, route, head, body)

                def work(carried: Carried) -> Awaitable[None]:
                    return self._carry(order, connection, carried)

                await self._flights.carry(grant.execution, work, self._left(grant, connection))
        finally:
            if room.idle:
                self._rooms.pop(environment, None)

    async def _left(self, grant: Grant, connection: Connection) -> str:
        """Return when nobody wants the answer any more, with the reason."""
        hung_up = asyncio.ensure_future(_gone(connection))
        moved = asyncio.ensure_future(self._moved(grant))
        try:
            await asyncio.wait({hung_up, moved}, return_when=asyncio.FIRST_COMPLETED)
            return "the agent hung up" if hung_up.done() else "the turn is over"
        finally:
            hung_up.cancel()
            moved.cancel()

    async def _moved(self, grant: Grant) -> None:
        """Return when the turn is over or has another owner; who ends it cuts at once, and this is for who forgot."""
        while True:
            await self._ambient.until(self._ambient.now() + LOOK)
            try:
                if self.ledger is None or (await self.ledger.grant(grant.execution)).fence != grant.fence:
                    return
            except NoLiveTurn:
                return
            except HostlerError as problem:
                log.warning("the turn of a model call cannot be looked up", problem=problem.message)

    async def _admitted(self, environment: str, head: Head) -> Grant:
        """Return what the sender may do at this moment; Refusal when that is nothing."""
        scheme, _, given = head.headers.get("authorization", "").partition(" ")
        token = given.strip() if scheme.lower() == "bearer" else head.headers.get("x-api-key", "")
        bearer = self._tokens.read(token) if token else None
        if bearer is None or self.ledger is None:
            raise unauthenticated()
        if bearer.environment != environment:
            raise forbidden("this token belongs to another environment")
        try:
            grant = await self.ledger.grant(bearer.execution)
        except NoLiveTurn as problem:
            raise forbidden(problem.message) from problem
        except HostlerError as problem:
            raise away(503, "the server cannot look up this execution now") from problem
        if grant.environment != environment:
            raise forbidden("this token's execution has left this environment")
        return grant

    def _order(self, grant: Grant, route: Route, head: Head, body: bytes) -> Order:
        """Return the request as it is sent on; Refusal when it may not be."""
        if head.headers.get("content-encoding", "identity").lower() != "identity":
            raise bad_request("a compressed request is not read here", 415)
        asked = Asked.read(body)
        if asked.fields.get("background"):
            raise bad_request("background: calls in the background are not served, for nobody could count them")
        model = _allowed(grant, route, asked.model)
        name = model.partition(":")[2]
        if asked.model != name:
            asked = asked.changed(model=name)
        sent, drop_usage = route.sent(asked)
        return Order(grant, route, model, sent, drop_usage, head)

    async def _carry(self, order: Order, connection: Connection, carried: Carried) -> None:
        source, mask = self._source(order)
        if order.route.meter is None:
            async with source as answer:
                await Passing(connection, mask).whole(answer, await _read(answer))
            return
        flight = carried.flight = await self._begun(order, order.route.meter())
        try:
            async with source as answer:
                await self._pass(flight, answer, Passing(connection, mask), order)
        except Refusal as refusal:
            await flight.cut(refusal.problem.message, None if connection.started else Usage())
            raise
        except (httpx2.HTTPError, OSError, ValueError) as problem:
            reason = str(problem) if isinstance(problem, HungUp) else "the stream broke"
            await flight.cut(reason)
            raise ConnectionError(reason) from problem
        except BaseException:
            await flight.cut(carried.why)
            raise

    async def _begun(self, order: Order, meter: Meter) -> Flight:
        """Have the call recorded; Refusal when it may not begin."""
        assert self.ledger
        beginning = asyncio.ensure_future(self.ledger.begin(order.grant, order.model, order.route.path))
        try:
            call = await asyncio.shield(beginning)
        except asyncio.CancelledError:
            # It may be in the log already, and then it needs an end.
            await asyncio.wait({beginning})
            if beginning.exception() is None:
                flight = Flight(beginning.result(), meter, order.asked.tokens, self.ledger, self._ambient)
                await flight.cut("it was not sent", Usage())
            raise
        except LimitReached as problem:
            raise over_limit(problem.message) from problem
        except NoLiveTurn as problem:
            raise forbidden(problem.message) from problem
        except HostlerError as problem:
            raise away(503, "the server cannot record a call now") from problem
        return Flight(call, meter, order.asked.tokens, self.ledger, self._ambient)

    def _source(self, order: Order) -> tuple[AbstractAsyncContextManager[Answer], Mask]:
        """Return where the answer will come from, and what keeps the key out of it."""
        try:
            if order.model.startswith("scripted:"):
                return answering(self._models.get(order.model), order.route.path, order.asked), Mask("")
            target: Target = target_of(self._models.opening(order.model))
        except FailedPrecondition as problem:
            raise bad_request(f"the model is not configured on this server: {problem.message}") from problem
        outgoing = Outgoing(order.route.path, order.head.query, order.head.headers, order.asked.raw)
        return self._upstreams.open(target, outgoing), Mask(target.key)

    async def _pass(self, flight: Flight, answer: Answer, passing: "Passing", order: Order) -> None:
        if answer.status >= 300 or not answer.streams:
            body = await _read(answer)
            if answer.status >= 300:
                await flight.cut(f"the provider answered {answer.status}", Usage())
            else:
                flight.meter.whole(_object(body))
                await flight.finish()
            return await passing.whole(answer, body)
        await passing.start(answer)
        events = Events(flight.meter, drop_usage=order.drop_usage)
        async for data in _until_over(answer.chunks, flight.meter):
            now, late = events.feed(data)
            await passing.send(now)
            if late:
                await flight.finish()
                await passing.send(late)
        if not flight.ended:
            if flight.meter.usage is None:
                await flight.cut("the stream ended early")
            else:
                await flight.finish()
        await passing.send(events.rest())
        await passing.end()


@dataclass(frozen=True, slots=True)
class Passing:
    """An answer on its way inside."""

    connection: Connection
    mask: Mask

    async def start(self, answer: Answer) -> None:
        """Send the head of a stream."""
        await self.connection.start(answer.status, [*self._headers(answer), ("cache-control", "no-store")])

    async def whole(self, answer: Answer, body: bytes) -> None:
        """Send an answer in one piece; the agent is not sent elsewhere."""
        status = answer.status if not 300 <= answer.status < 400 else 502
        await self.connection.whole(status, self._headers(answer), self.mask.feed(body) + self.mask.flush())

    def _headers(self, answer: Answer) -> list[tuple[str, str]]:
        return [(name, self.mask.text(value)) for name, value in answer.headers]

    async def send(self, data: bytes) -> None:
        """Send a piece."""
        await self.connection.send(self.mask.feed(data))

    async def end(self) -> None:
        """Send what is left, and the end."""
        await self.connection.send(self.mask.flush())
        await self.connection.end()


async def _until_over(chunks: AsyncIterator[bytes], meter: Meter) -> AsyncIterator[bytes]:
    """Yield a stream's pieces; one that has said its last word is not waited for, and may break."""
    while not meter.complete:
        data = await anext(chunks, None)
        if data is None:
            return
        yield data
    try:
        async with asyncio.timeout(TAIL_SECONDS):
            async for data in chunks:
                yield data
    except Exception:  # noqa: BLE001 - the answer was whole before
        return


async def _gone(connection: Connection) -> None:
    with contextlib.suppress(OSError):
        await connection.gone()


def _allowed(grant: Grant, route: Route, asked: str) -> str:
    """Return the PROVIDER:NAME that is meant; Refusal when the execution may not call it on this path."""
    fit = [name for name in grant.models if name.partition(":")[0] in route.families]
    for name in fit:
        if asked in (name, name.partition(":")[2]):
            return name
    raise unknown_model(asked, ", ".join(name.partition(":")[2] for name in fit))


def _models_list(grant: Grant, head: Head) -> Body:
    """Return the allowed models, in the words of whoever asks."""
    names = [name.partition(":")[2] for name in grant.models]
    if "anthropic-version" in head.headers:
        data = [{"type": "model", "id": name, "display_name": name, "created_at": _LONG_AGO} for name in names]
        return {
            "data": data,
            "has_more": False,
            "first_id": next(iter(names), None),
            "last_id": next(reversed(names), None),
        }
    return {
        "object": "list",
        "data": [{"id": n, "object": "model", "created": 0, "owned_by": "hostler"} for n in names],
    }


_LONG_AGO = "1970-01-01T00:00:00Z"


async def _read(answer: Answer) -> bytes:
    whole = bytearray()
    async for data in answer.chunks:
        whole += data
        if len(whole) > MOST_WHOLE:
            raise away(502, "the provider's answer is too long")
    return bytes(whole)


def _object(body: bytes) -> Body:
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("Body", found) if isinstance(found, dict) else {}


async def _say(connection: Connection, status: int, body: Body, headers: tuple[tuple[str, str], ...] = ()) -> None:
    data = json.dumps(body, ensure_ascii=False).encode()
    await connection.whole(status, [("content-type", "application/json"), *headers], data)


async def _refuse(connection: Connection, problem: Problem, route: Route | None, head: Head) -> None:
    anthropic = head.path.startswith("/v1/messages") or "anthropic-version" in head.headers
    body = (route.error if route else anthropic_error if anthropic else openai_error)(problem)
    await _say(connection, problem.status, body, tuple(problem.headers.items()))
