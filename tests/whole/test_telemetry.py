"""Traces and metrics by OpenTelemetry, as a collector receives them."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.server import HostlerProcess
from tests.whole.receiving import Posted, Receiver, receiving

HEADER = "collector-key-7731"


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def server(place: Path, collector: Receiver) -> Iterator[HostlerProcess]:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    (folder / "hostler.toml").write_text(
        f'[telemetry]\nendpoint = "http://127.0.0.1:{collector.port}"\nseconds = 0.5\n'
        f'headers = {{ "x-collector-key" = "{HEADER}" }}\n'
        '[models."scripted:demo"]\nprice = { input = 1, output = 2 }\n'
    )
    server = HostlerProcess(folder).start()
    yield server
    server.close()


def spans(posted: list[Posted]) -> list[Any]:
    found: list[Any] = []
    for one in posted:
        if one.path == "/v1/traces":
            request = ExportTraceServiceRequest.FromString(one.body)
            found += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
    return found


def attributes(span: Any) -> dict[str, Any]:
    values = {one.key: one.value for one in span.attributes}
    return {key: getattr(value, value.WhichOneof("value")) for key, value in values.items()}


@pytest.mark.sandbox
def test_a_turn_is_a_trace_of_its_calls(server: HostlerProcess, collector: Receiver, wordcount: Path) -> None:
    execution = server.start_agent("Make the failing test pass", wordcount)
    server.rest(execution)
    assert server.stop() == 0  # what is left is sent
    found = spans(collector.posted)
    own = [one for one in found if attributes(one).get("gen_ai.conversation.id") == execution]
    (turn,) = [one for one in own if one.name == "invoke_agent hostler"]
    calls = [one for one in own if one.name == "chat demo"]
    tools = [one for one in own if one.name.startswith("execute_tool ")]
    assert len(calls) > 1
    assert tools
    for one in (*calls, *tools):
        assert (one.trace_id, one.parent_span_id) == (turn.trace_id, turn.span_id)
        assert turn.start_time_unix_nano <= one.start_time_unix_nano <= one.end_time_unix_nano
        assert one.end_time_unix_nano <= turn.end_time_unix_nano
    said = attributes(calls[0])
    assert (said["gen_ai.provider.name"], said["gen_ai.request.model"]) == ("scripted", "demo")
    assert said["gen_ai.usage.input_tokens"] > 0
    assert attributes(tools[0])["gen_ai.tool.name"]
    requests = {one.name for one in found} & {"AgentService/StartAgent", "AgentService/SendToAgentExecution"}
    assert len(requests) == 2
    assert all(one.headers["x-collector-key"] == HEADER for one in collector.posted)
    assert "Make the failing test pass" not in str(found), "no word of the conversation"
    server.start()


@pytest.mark.sandbox
def test_metrics_are_sent_every_so_often(server: HostlerProcess, collector: Receiver) -> None:
    execution = server.start_agent("say hello")
    server.rest(execution)

    def read(posted: list[Posted]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for one in posted:
            if one.path == "/v1/metrics":
                request = ExportMetricsServiceRequest.FromString(one.body)
                found |= {
                    m.name: m for r in request.resource_metrics for scope in r.scope_metrics for m in scope.metrics
                }
        return found

    wanted = {"hostler.tokens", "hostler.cost_dollars", "gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    metrics = read(collector.until(lambda posted: wanted <= read(posted).keys()))
    (duration,) = metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert {one.key: one.value.string_value for one in duration.attributes}["gen_ai.request.model"] == "demo"
    assert duration.count == 1
    kinds = {
        next(a.value.string_value for a in point.attributes if a.key == "kind"): point.as_double
        for point in metrics["hostler.tokens"].sum.data_points
    }
    usage = server.get(execution)["status"]
    assert kinds["output"] == float(usage["outputTokensUsed"])
    assert HEADER not in (server.folder / "server.log").read_text()


def test_nothing_of_it_is_imported_where_it_is_off() -> None:
    program = (
        "import sys, hostler.app\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
