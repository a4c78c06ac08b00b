"""The protocols of a Connect server, and the mistakes that callers make in them."""

import base64
import gzip
import json
from urllib.parse import quote

from hostler.conformance.bench import Bench, Failed, Skipped, check, expect, expect_in, refused
from hostler.conformance.wire import (
    COMPRESSED,
    EVENTS,
    IDENTITY,
    TRAILERS,
    Answer,
    Json,
    envelope,
    envelopes,
    field,
    fields,
    text,
)

WHO = f"{IDENTITY}/GetAuthenticatedIdentity"
WATCH = f"{EVENTS}/WatchEvents"
NOBODY = "0190ffff-0000-7000-8000-00000000ffff"
"""A well-formed id that nothing has."""
UUID = 36
"""Characters of an id."""
RESOURCE_EXECUTION = 19
"""The number of RESOURCE_TYPE_AGENT_EXECUTION."""


@check("wire.json", "wire details")
def json_unary(bench: Bench) -> None:
    """JSON over plain POST is answered with JSON."""
    answer = bench.wire.post(WHO)
    expect(answer.status, 200, "the status", answer)
    if not answer.kind.endswith("json"):
        raise Failed(f"the content type does not end in json: {answer}")
    expect(len(str(answer.json.get("subject", {}).get("id", ""))), UUID, "the length of subject.id", answer)


@check("wire.proto", "wire details")
def proto_unary(bench: Bench) -> None:
    """Protobuf over plain POST is answered with protobuf that says the same as JSON."""
    more = {"content-type": "application/proto", "connect-protocol-version": "1"}
    answer = bench.wire.post(WHO, b"", more)
    expect((answer.status, answer.kind), (200, "application/proto"), "status and content type", answer)
    subject = next((value for number, value in _fields(answer) if number == 1), b"")
    found = text(subject if isinstance(subject, bytes) else b"", 1)
    expect(found, bench.call(WHO)["subject"]["id"], "subject.id")


@check("wire.proto-errors-are-json", "wire details: error body")
def proto_error(bench: Bench) -> None:
    """An error of a protobuf call is told in JSON, with code and message."""
    more = {"content-type": "application/proto", "connect-protocol-version": "1"}
    answer = bench.wire.post("GetAgentExecution", field(1, NOBODY), more)
    refused(answer, 404, "not_found", "an execution that is not there")


@check("wire.grpc-web", "wire details: gRPC-Web is what users expect of a Connect server")
def grpc_web(bench: Bench) -> None:
    """gRPC-Web is served, with the status in the trailers."""
    for token, wanted in ((None, "0"), ("no-such-token", "16")):
        more = {"content-type": "application/grpc-web+proto"}
        answer = bench.wire.post(WHO, envelope(b""), more, token=token)
        expect(answer.status, 200, "the HTTP status", answer)
        trailers = dict(answer.headers)
        for flags, part in envelopes(answer.body):
            if flags & TRAILERS:
                lines = (line.partition(":") for line in part.decode(errors="replace").split("\r\n"))
                trailers |= {name.strip().lower(): value.strip() for name, _, value in lines}
        expect(trailers.get("grpc-status"), wanted, "grpc-status", answer)


@check("wire.connect-get", "wire details: Connect GET is what users expect of a Connect server")
def connect_get(bench: Bench) -> None:
    """A method without side effects can be asked with GET."""
    message = base64.urlsafe_b64encode(b"{}").decode().rstrip("=")
    url = f"{bench.wire.address(WHO)}?connect=v1&encoding=json&base64=1&message={message}"
    answer = bench.wire.ask("GET", url, headers=bench.wire.headers())
    if answer.status in (404, 405, 415, 501):
        raise Skipped(f"GET is not served (HTTP {answer.status})")
    expect(answer.status, 200, "the status", answer)
    expect(answer.json.get("subject"), bench.call(WHO)["subject"], "the answer")


@check("wire.get-changes-nothing", "wire details: no method of AgentService is marked side-effect free")
def get_changes_nothing(bench: Bench) -> None:
    """A method with side effects is not served by GET."""
    url = f"{bench.wire.address('StartAgent')}?connect=v1&encoding=json&message={quote('{}')}"
    answer = bench.wire.ask("GET", url, headers=bench.wire.headers())
    if answer.status < 400:
        raise Failed(f"StartAgent was done by GET: {answer}")


@check("wire.stream-json", "wire details: streams are enveloped")
def stream_json(bench: Bench) -> None:
    """WatchEvents as application/connect+json gives enveloped JSON, uncompressed."""
    body = json.dumps(watching(bench.idle())).encode()
    flags, message = _first_message(bench, "application/connect+json", body)
    expect(flags, 0, "the first envelope's flags")
    expect(json.loads(message).get("resourceId"), bench.idle(), "resourceId of the first event")


@check("wire.stream-proto", "wire details: streams are enveloped")
def stream_proto(bench: Bench) -> None:
    """WatchEvents as application/connect+proto gives enveloped protobuf, uncompressed."""
    resources = field(1, RESOURCE_EXECUTION) + field(2, bench.idle())
    flags, message = _first_message(bench, "application/connect+proto", field(1, 1) + field(3, resources))
    expect(flags, 0, "the first envelope's flags")
    expect(text(message, 3), bench.idle(), "resource_id of the first event")


@check("wire.stream-errors", "wire details: streams are enveloped")
def stream_errors(bench: Bench) -> None:
    """An error of a stream is told in its last envelope, or as an ordinary error."""
    body = json.dumps({"organization": True, "resourceTypeFilters": [{"resourceType": 0}]}).encode()
    more = {"content-type": "application/connect+json", "connect-protocol-version": "1"}
    answer = bench.wire.post(WATCH, envelope(body), more)
    found = [json.loads(part).get("error", {}).get("code") for flags, part in envelopes(answer.body) if flags & 2]
    expect([*found, answer.code][0], "invalid_argument", "the code", answer)


@check("wire.streams-uncompressed", "hazard 8")
def streams_uncompressed(bench: Bench) -> None:
    """A stream is not compressed for clients that offer gzip for whole answers only."""
    body = json.dumps(watching(bench.idle())).encode()
    flags, _ = _first_message(bench, "application/connect+json", body, {"accept-encoding": "gzip"})
    expect(flags & COMPRESSED, 0, "the compressed flag of the first envelope")


@check("wire.answers-uncompressed", "hazard 8")
def answers_uncompressed(bench: Bench) -> None:
    """An answer is compressed only when the client offers it."""
    plain = bench.wire.post("ListAgentExecutions", {}, {"accept-encoding": "identity"})
    expect_in(plain.headers.get("content-encoding", "identity"), ("identity", ""), "content-encoding", plain.status)
    packed = bench.wire.post("ListAgentExecutions", {}, {"accept-encoding": "gzip"})
    coding = packed.headers.get("content-encoding", "identity")
    expect_in(coding, ("identity", "gzip"), "content-encoding where gzip is offered")
    body = gzip.decompress(packed.body) if coding == "gzip" else packed.body
    json.loads(body)


@check("wire.unknown-fields-json", "hazard 7")
def unknown_fields_json(bench: Bench) -> None:
    """Fields of JSON that the server does not know are ignored."""
    body = {"agentExecutionId": bench.idle(), "fieldOfTomorrow": {"a": [1, None]}}
    bench.call("GetAgentExecution", body)


@check("wire.unknown-fields-proto", "hazard 7")
def unknown_fields_proto(bench: Bench) -> None:
    """Fields of protobuf that the server does not know are ignored."""
    more = {"content-type": "application/proto", "connect-protocol-version": "1"}
    body = field(1, bench.idle()) + field(3000, "of tomorrow") + field(3001, 7)
    answer = bench.wire.post("GetAgentExecution", body, more)
    expect(answer.status, 200, "the status", answer)


@check("wire.bad-json", "hazard 7")
def bad_json(bench: Bench) -> None:
    """A body that is no JSON object is invalid_argument."""
    for body in (b"{not json", b"[]", b'"text"', b"\xff\xfe", b'{"agentExecutionId": 5}'):
        refused(bench.wire.post("GetAgentExecution", body), 400, "invalid_argument", f"the body {body!r}")


@check("wire.bad-enum", "hazard 7")
def bad_enum(bench: Bench) -> None:
    """A value of an enum that nobody knows is invalid_argument."""
    for value in ("AGENT_MODE_OF_TOMORROW", 9999):
        answer = bench.wire.post("StartAgent", {"mode": value})
        refused(answer, 400, "invalid_argument", f"the mode {value!r}")


@check("wire.two-of-a-oneof", "hazard 7")
def two_of_a_oneof(bench: Bench) -> None:
    """Two members of one oneof are invalid_argument."""
    body: Json = {
        "agentExecutionId": bench.idle(),
        "userInput": {"text": {"content": "x"}},
        "controlInput": {"compact": {}},
    }
    refused(bench.wire.post("SendToAgentExecution", body), 400, "invalid_argument", "two kinds of input")


@check("wire.bad-proto", "hazard 7")
def bad_proto(bench: Bench) -> None:
    """A body that is no protobuf message is invalid_argument."""
    more = {"content-type": "application/proto", "connect-protocol-version": "1"}
    answer = bench.wire.post("GetAgentExecution", b"\xff\xff\xff", more)
    refused(answer, 400, "invalid_argument", "bytes that are no message")


@check("wire.unknown-method", "hazard 7")
def unknown_method(bench: Bench) -> None:
    """A method that is not served is unimplemented, in Connect's form."""
    for method in ("gitpod.v1.AgentService/NoSuchMethod", "gitpod.v1.NoSuchService/Anything"):
        refused(bench.wire.post(method), 501, "unimplemented", method)


@check("wire.refusals-are-final", "hazard 6")
def final(bench: Bench) -> None:
    """What stays refused carries x-should-retry: false, since older clients try 409, 429 and 5xx again."""
    answer = bench.wire.post("gitpod.v1.AgentService/NoSuchMethod")
    expect(answer.headers.get("x-should-retry"), "false", "x-should-retry of unimplemented", answer)


@check("wire.unauthenticated", "wire details: HTTP status")
def unauthenticated(bench: Bench) -> None:
    """Without a good token nothing is answered."""
    for token, what in (("", "no token"), ("no-such-token", "an unknown token")):
        for method in (WHO, "ListAgentExecutions", "StartAgent"):
            refused(bench.wire.post(method, token=token), 401, "unauthenticated", f"{method} with {what}")


@check("wire.not-found", "wire details: HTTP status")
def not_found(bench: Bench) -> None:
    """An execution that is not there is not_found."""
    for method in ("GetAgentExecution", "StopAgentExecution", "DeleteAgentExecution"):
        refused(bench.wire.post(method, {"agentExecutionId": NOBODY}), 404, "not_found", method)


@check("wire.content-types", "wire details")
def content_types(bench: Bench) -> None:
    """Another content type is refused, and nothing is done."""
    answer = bench.wire.post("StartAgent", b"{}", {"content-type": "text/plain"})
    if answer.status < 400 or answer.status >= 500:
        raise Failed(f"a body of text/plain was answered with {answer}")


def watching(*executions: str) -> dict[str, object]:
    """Return a request that watches executions."""
    one = {"resourceType": "RESOURCE_TYPE_AGENT_EXECUTION", "resourceIds": list(executions)}
    return {"organization": True, "resourceTypeFilters": [one]}


def _fields(answer: Answer) -> list[tuple[int, int | bytes]]:
    try:
        return list(fields(answer.body))
    except ValueError as fault:
        raise Failed(f"the answer is no protobuf message ({fault}): {answer}") from fault


def _first_message(bench: Bench, kind: str, body: bytes, more: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Return the first envelope of WatchEvents."""
    headers = bench.wire.headers({"content-type": kind, "connect-protocol-version": "1", **(more or {})})
    with bench.wire.stream(bench.wire.address(WATCH), envelope(body), headers) as got:
        expect(got.status_code, 200, "the status of the stream")
        expect(got.headers.get("content-type"), kind, "its content type")
        data = b""
        for piece in got.iter_raw():
            data += piece
            if found := envelopes(data):
                return found[0]
    raise Failed("the stream ended before its first message")
