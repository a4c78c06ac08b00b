"""Sends spans and metrics over OTLP/HTTP; imported only where OpenTelemetry is installed and on.

Spans of turns, model calls and tool calls are made of the log when they end, with the log's own times. Their ids follow
from what they are about, so a turn that outlives its server is one span, and one that is sent twice is the same.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export as out
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.trace.span import NonRecordingSpan
from opentelemetry.trace.status import Status, StatusCode
from starlette.types import Scope

from hostler import __version__
from hostler.config import TelemetrySection
from hostler.core.meters import Meters
from hostler.core.metrics import Histogram, Metric, Registry
from hostler.core.pieces import Piece
from hostler.telemetry import names

log = structlog.get_logger(__name__)

CUMULATIVE = out.AggregationTemporality.CUMULATIVE
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
Attributes = Mapping[str, str | int | float | bool | Sequence[str]]


@dataclass(frozen=True, slots=True)
class Begun:
    """A request whose span has begun."""

    at: int
    context: SpanContext
    parent: SpanContext | None


class Telemetry:
    """Makes spans and sends them in batches, from a thread of its own; metrics every so many seconds."""

    def __init__(self, endpoint: str, section: TelemetrySection, meters: Meters, runner: str) -> None:
        told = {names.SERVICE: "hostler", names.VERSION: __version__, names.INSTANCE: runner}
        self._resource = Resource.create(told)
        self._scope = InstrumentationScope("hostler", __version__)
        self._seconds = section.seconds
        headers = dict(section.headers) or None
        self._metrics = OTLPMetricExporter(f"{endpoint}/v1/metrics", headers=headers)
        self._spans = BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces", headers=headers))
        self._meters = meters
        self._gen_ai = Registry()
        labels = (names.OPERATION, names.PROVIDER, names.MODEL)
        self._durations = Histogram(names.DURATION, "How long calls took.", labels, names.DURATIONS)
        self._usage = Histogram(names.TOKEN_USAGE, "Tokens.", (*labels, names.TOKEN_TYPE), names.TOKENS)
        self._gen_ai.metrics.extend((self._durations, self._usage))
        self._began = time.time_ns()
        self.spans = Requests(self)

    async def run(self) -> None:
        """Send metrics every so often until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(self._seconds)
                await asyncio.to_thread(self._export)
        finally:
            with suppress(Exception):
                self.close()

    def close(self) -> None:
        """Send what is left."""
        self._spans.shutdown()
        self._export()
        self._metrics.shutdown()  # pyright: ignore[reportUnknownMemberType]

    # --- pieces of the log --------------------------------------------------------------------------------------

    def piece(self, execution: str, piece: Piece) -> None:
        """Send the span of what has ended in an execution."""
        trace = int.from_bytes(_digest(execution, str(piece.turn))[:16], "big")
        turn = SpanContext(trace, _span_id(execution, "turn", str(piece.turn)), False, SAMPLED)
        if piece.kind == "turn":
            self._send(_name(piece), turn, None, piece.began, piece.ended, self._of(execution, piece), piece.failed)
            return
        own = _span_id(execution, piece.kind, piece.id, piece.ended.isoformat())
        context = SpanContext(trace, own, False, SAMPLED)
        self._send(_name(piece), context, turn, piece.began, piece.ended, self._of(execution, piece), piece.failed)
        if piece.kind == "model":
            self._measure(piece)

    def _of(self, execution: str, piece: Piece) -> Attributes:
        shared: dict[str, Any] = {names.CONVERSATION: execution, names.TURN: piece.turn, names.OUTCOME: piece.outcome}
        if piece.failed:
            shared[names.ERROR] = piece.outcome
        match piece.kind:
            case "turn":
                return {**shared, names.OPERATION: names.INVOKE_AGENT, names.AGENT: piece.name}
            case "tool":
                return {
                    **shared,
                    names.OPERATION: names.EXECUTE_TOOL,
                    names.TOOL: piece.name,
                    names.TOOL_CALL: piece.id,
                }
            case "model":
                provider, model = names.provider_and_model(piece.name)
                usage = piece.usage
                return {
                    **shared,
                    names.OPERATION: names.CHAT,
                    names.PROVIDER: provider,
                    names.MODEL: model,
                    names.INPUT: usage.whole_input,
                    names.OUTPUT: usage.output,
                    names.CACHE_READ: usage.cached_input,
                    names.CACHE_CREATION: usage.cache_creation,
                    **({names.FINISH: (piece.finish,)} if piece.finish else {}),
                    **({names.COST: piece.cost} if piece.cost else {}),
                    **({names.GUESSED: True} if piece.guessed else {}),
                }

    def _measure(self, piece: Piece) -> None:
        provider, model = names.provider_and_model(piece.name)
        self._durations.see(piece.seconds, names.CHAT, provider, model)
        if piece.outcome == "ok":
            self._usage.see(piece.usage.whole_input, names.CHAT, provider, model, "input")
            self._usage.see(piece.usage.output, names.CHAT, provider, model, "output")

    def _send(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        began: datetime,
        ended: datetime,
        attributes: Attributes,
        failed: bool,
    ) -> None:
        kind = SpanKind.CLIENT if attributes.get(names.OPERATION) == names.CHAT else SpanKind.INTERNAL
        self.send(name, context, parent, _nanoseconds(began), _nanoseconds(ended), attributes, kind, failed=failed)

    def send(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        began: int,
        ended: int,
        attributes: Attributes,
        kind: SpanKind,
        *,
        failed: bool,
    ) -> None:
        """Send one span; `began` and `ended` are nanoseconds since 1970."""
        span = ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            attributes,
            kind=kind,
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            start_time=began,
            end_time=max(began, ended),
            instrumentation_scope=self._scope,
        )
        self._spans.on_end(span)

    # --- metrics ------------------------------------------------------------------------------------------------

    def _export(self) -> None:
        now = time.time_ns()
        metrics = [self._metric(one, now) for one in (*self._meters.registry.metrics, *self._gen_ai.metrics)]
        scope = out.ScopeMetrics(self._scope, [one for one in metrics if one is not None], "")
        data = out.MetricsData([out.ResourceMetrics(self._resource, [scope], "")])
        self._metrics.export(data)  # pyright: ignore[reportUnknownMemberType]

    def _metric(self, metric: Metric, now: int) -> out.Metric | None:
        unit = "s" if metric.name.endswith("_seconds") or metric.name == names.DURATION else "1"
        name = metric.name.replace("hostler_", "hostler.", 1)
        if isinstance(metric, Histogram):
            points = [
                out.HistogramDataPoint(
                    attributes=dict(zip(metric.labels, key, strict=True)),
                    start_time_unix_nano=self._began,
                    time_unix_nano=now,
                    count=sum(seen.counts),
                    sum=seen.total,
                    bucket_counts=list(seen.counts),
                    explicit_bounds=list(metric.buckets),
                    min=0.0,
                    max=0.0,
                )
                for key, seen in metric.values.items()
            ]
            return out.Metric(name, metric.told, unit, out.Histogram(points, CUMULATIVE)) if points else None
        numbers = [
            out.NumberDataPoint(dict(zip(labels, key, strict=True)), self._began, now, value)
            for _, labels, key, value in metric.lines()
        ]
        if not numbers:
            return None
        data = out.Sum(numbers, CUMULATIVE, True) if metric.kind == "counter" else out.Gauge(numbers)
        return out.Metric(name, metric.told, unit, data)


class Requests:
    """Spans of requests. Implements `api.spans.Spans`."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._propagator = TraceContextTextMapPropagator()

    def begin(self, scope: Scope, headers: Mapping[str, str]) -> Begun:
        """Begin a span; a caller who traces is its parent."""
        parent = None
        if "traceparent" in headers:
            parent = _context_in(self._propagator, headers)
        trace = parent.trace_id if parent else int.from_bytes(os.urandom(16), "big")
        own = SpanContext(trace, int.from_bytes(os.urandom(8), "big"), False, SAMPLED)
        return Begun(time.time_ns(), own, parent)

    def end(self, span: Begun, name: str, status: int, code: str, execution: str) -> None:
        """End a span."""
        verb, _, route = name.partition(" ")
        service, _, method = name.partition("/")
        told: dict[str, Any] = {names.STATUS: status}
        if route:
            told |= {names.METHOD: verb, names.ROUTE: route}
        elif method:
            told |= {names.RPC_SYSTEM: "connect_rpc", names.RPC_SERVICE: service, names.RPC_METHOD: method}
        if execution:
            told[names.CONVERSATION] = execution
        if status >= 500 or code == "internal":
            told[names.ERROR] = code
        failed = names.ERROR in told
        self._telemetry.send(
            name, span.context, span.parent, span.at, time.time_ns(), told, SpanKind.SERVER, failed=failed
        )


def _context_in(propagator: TraceContextTextMapPropagator, headers: Mapping[str, str]) -> SpanContext | None:
    from opentelemetry import trace

    span = trace.get_current_span(propagator.extract(dict(headers)))
    context = span.get_span_context()
    return context if isinstance(span, NonRecordingSpan) and context.is_valid else None


def _name(piece: Piece) -> str:
    match piece.kind:
        case "turn":
            return f"{names.INVOKE_AGENT} {piece.name}"
        case "tool":
            return f"{names.EXECUTE_TOOL} {piece.name}"
        case "model":
            return f"{names.CHAT} {names.provider_and_model(piece.name)[1]}"


def _digest(*parts: str) -> bytes:
    return sha256("/".join(parts).encode()).digest()


def _span_id(*parts: str) -> int:
    return int.from_bytes(_digest("span", *parts)[:8], "big")


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000
