"""A small HTTP server that says what a test wants it to, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "owner-token"
ID = "0198c2aa-0001-7000-8000-000000000001"
OTHER = "0198c2aa-0002-7000-8000-000000000002"
ENVIRONMENT = "0198c2aa-0003-7000-8000-000000000003"
OWN = "/api/hostler/v1"
Json = dict[str, Any]


class Dropped:
    """The server closes the connection here, in the middle of a stream."""


@dataclass(frozen=True)
class Refused:
    """An answer that says no: a Connect error, or without a code what a proxy says."""

    status: int
    code: str
    message: str


@dataclass(frozen=True)
class Raw:
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Json

    @property
    def rpc(self) -> str:
        return self.path.rpartition("/")[2]


Answer = Json | Refused | Raw | Callable[[Json], Any]


class Scripted:
    """`answers` by RPC name or path; `streams` are what each next connection to the live stream brings."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.streams: list[Iterable[bytes | type[Dropped]]] = []
        self.executions: list[Json] = [execution()]
        self.overview: list[Json] | None = None
        self.extra: Json = {}
        self.answers: dict[str, Answer] = {
            "/healthz": {"status": "ok"},
            "/readyz": {"status": "ok"},
            "StartAgent": {"agentExecutionId": ID},
            "SendToAgentExecution": {},
            "StopAgentExecution": {},
            "DeleteAgentExecution": {},
            "CreateAgentExecutionConversationToken": {"token": "conversation-token"},
            "ListAgentExecutions": self._page,
            "GetAgentExecution": self._get,
        }
        self.url = ""

    def bodies(self, rpc: str) -> list[Json]:
        return [asked.body for asked in self.asked if asked.rpc == rpc]

    def live(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.path.endswith("/live")]

    def answer(self, asked: Asked) -> Any:
        if asked.headers.get("authorization") not in (f"Bearer {TOKEN}", "Bearer environment-token") and (
            asked.path not in ("/healthz", "/readyz")
        ):
            return Refused(401, "unauthenticated", "a valid API token is needed")
        key = next((key for key in (asked.path, asked.rpc) if key in self.answers), "")
        if not key:
            return self._own(asked)
        found = self.answers[key]
        return found(asked.body) if callable(found) else found

    def _own(self, asked: Asked) -> Any:
        if asked.path == f"{OWN}/resolve":
            kinds = {"execution": [entry["id"] for entry in self.executions], "environment": [ENVIRONMENT]}
            ids = [id_ for id_ in kinds.get(asked.query["kind"], []) if id_.startswith(asked.query["prefix"])]
            if len(ids) > 1:
                return Refused(400, "invalid_argument", f"prefix: fits more than one: {', '.join(ids)}")
            return {"id": ids[0]} if ids else Refused(404, "not_found", f"no {asked.query['kind']} has such an id")
        if asked.path == f"{OWN}/executions":
            return self._overview(asked.query)
        if asked.path.startswith(f"{OWN}/executions/") and asked.path.count("/") == 5:
            return {"id": asked.rpc, "hostler": self.extra}
        return Refused(501, "unimplemented", f"{asked.path} is not served")

    def _overview(self, query: dict[str, str]) -> Json:
        """One entry a page of those that are asked for, all from five minutes ago."""
        entries = [overview(entry) for entry in self.executions] if self.overview is None else self.overview
        ids = [one["id"] for one in entries]
        behind = entries[ids.index(query["before"]) + 1 :] if "before" in query else entries
        found = [one for one in behind if one["standing"] in query["standing"].split(",")]
        page = found[: int(query["limit"]) if self.overview is None else 1]
        if "done" in query["standing"]:
            page = found[: int(query["limit"])]
        return {"executions": page, "more": len(page) < len(found), "now": "2026-01-01T00:05:00Z"}

    def _get(self, body: Json) -> Any:
        for entry in self.executions:
            if entry["id"] == body["agentExecutionId"]:
                status = {"conversationUrls": {"live": f"{self.url}/api/executions/{entry['id']}/live"}}
                return {"agentExecution": {**entry, "status": {**status, **entry["status"]}}}
        return Refused(404, "not_found", "there is no such agent execution")

    def _page(self, body: Json) -> Json:
        """Two entries a page, so that every list is read over several."""
        start = int(body["pagination"]["token"] or 0)
        page = self.executions[start : start + 2]
        more = str(start + 2) if start + 2 < len(self.executions) else ""
        return {"pagination": {"nextToken": more}, "agentExecutions": page}


def execution(id_: str = ID, phase: str = "WAITING_FOR_INPUT", name: str = "Mend it", **status: Any) -> Json:
    return {
        "id": id_,
        "metadata": {"name": name, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"},
        "spec": {"codeContext": {"contextUrl": {"url": "file:///code"}}},
        "status": {"phase": f"PHASE_{phase}", **status},
    }


def overview(entry: Json) -> Json:
    """What the server's overview makes of an execution."""
    status = entry["status"]
    failed = status.get("failureMessage", "")
    working = status["phase"] in ("PHASE_PENDING", "PHASE_RUNNING")
    standing = "working" if working else "needs" if failed else "done"
    return {**entry, "standing": standing, "waitingFor": failed, "hostler": {"agent": "hostler"}}


def block(id_: int | str, body: Json, tag: int = 1) -> bytes:
    return f"id: {id_}\nevent: block\ndata: {json.dumps({'tag': tag, 'body': body})}\n\n".encode()


def text(
    id_: int | str, said: str, sequence: int = 0, name: str = "block-1", kind: str = "USER_FACING_OUTPUT"
) -> bytes:
    """Return a text block: an addition with a sequence id, or without one the finished text."""
    phase = {"phase": "PHASE_DELTA"} if sequence else {"phase": "PHASE_COMPLETED"}
    body = {"type": f"TYPE_{kind}", "content": said, **({"sequenceId": str(sequence)} if sequence else {})}
    return block(id_, {"id": name, **phase, "text": body})


def seen(id_: int = 1) -> bytes:
    return block(id_, {"id": "seen", "userInputSeen": {"id": "input"}})


END = b'event: end\ndata: {"reason": "waiting_for_input"}\n\n'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Scripted

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(self.command, parts.path, query, headers, json.loads(raw or b"{}"))
        self.script.asked.append(asked)
        self.close_connection = True
        if asked.path.endswith("/live"):
            self._stream()
            return
        match self.script.answer(asked):
            case Refused() as refused:
                told = (
                    json.dumps({"code": refused.code, "message": refused.message}) if refused.code else refused.message
                )
                self._reply(refused.status, told.encode())
            case Raw() as raw_answer:
                self._reply(200, raw_answer.body, raw_answer.headers)
            case body:
                self._reply(200, json.dumps(body).encode())

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in self.script.streams.pop(0):
            if chunk is Dropped:
                return
            assert isinstance(chunk, bytes)
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving() -> Iterator[Scripted]:
    script = Scripted()
    handler = type("Handler", (_Handler,), {"script": script})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
