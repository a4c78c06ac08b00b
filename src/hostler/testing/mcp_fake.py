"""A small MCP server for tests: on its standard streams, or with a port as argument on HTTP."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = Mapping[str, Any]
TOOLS: tuple[str, ...] = ("echo", "slow", "die", "grow", "picture", "table", "boom", "big", "cancelled", "secret")


class Fake:
    """What it knows: its tools, and which calls were cancelled."""

    def __init__(self) -> None:
        self.tools = list(TOOLS)
        self.cancelled: list[Any] = []

    def hear(self, message: Json) -> tuple[Json, ...]:
        """Return what is said to a message."""
        method: str | None = message.get("method")
        params: dict[str, Any] = message.get("params") or {}
        if method == "notifications/cancelled":
            self.cancelled.append(params.get("requestId"))
        if "id" not in message or method is None:
            return ()
        match method:
            case "initialize":
                info = {"name": "fake", "version": "1"}
                found: Any = {
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": {"tools": {"listChanged": True}},
                    "serverInfo": info,
                }
            case "tools/list":
                found = {"tools": [self._described(name) for name in self.tools]}
            case "tools/call":
                return self._call(message["id"], params["name"], params.get("arguments") or {})
            case "ping":
                found = {}
            case _:
                return (self._said(message["id"], error={"code": -32601, "message": "no such method"}),)
        return (self._said(message["id"], result=found),)

    def _described(self, name: str) -> Json:
        hints = {"annotations": {"readOnlyHint": True}} if name == "echo" else {}
        schema = {"type": "object", "properties": {"text": {"type": "string"}}}
        return {"name": name, "description": f"Does {name}.", "inputSchema": schema, **hints}

    def _call(self, id_: Any, name: str, arguments: Json) -> tuple[Json, ...]:
        match name:
            case "slow":
                return ()
            case "die":
                os._exit(3)
            case "grow":
                self.tools.append("more")
                notice = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
                return (notice, self._result(id_, "grown"))
            case "picture":
                image = {"type": "image", "data": "aGVsbG8h", "mimeType": "image/png"}
                return (self._said(id_, result={"content": [image]}),)
            case "table":
                return (self._said(id_, result={"content": [], "structuredContent": {"rows": [1, 2]}}),)
            case "boom":
                content = [{"type": "text", "text": "it went wrong"}]
                return (self._said(id_, result={"content": content, "isError": True}),)
            case "big":
                return (self._result(id_, "x" * 200_000),)
            case "cancelled":
                return (self._result(id_, str(len(self.cancelled))),)
            case "secret":
                return (self._result(id_, os.environ.get("FAKE_SECRET", "none")),)
            case "echo" | "more":
                return (self._result(id_, str(arguments.get("text", ""))),)
            case _:
                return (self._said(id_, error={"code": -32602, "message": f"no tool {name}"}),)

    def _result(self, id_: Any, text: str) -> Json:
        return self._said(id_, result={"content": [{"type": "text", "text": text}]})

    def _said(self, id_: Any, **body: Any) -> Json:
        return {"jsonrpc": "2.0", "id": id_, **body}


def on_streams() -> None:
    """Serve the standard streams until they end."""
    fake = Fake()
    for line in sys.stdin:
        for said in fake.hear(json.loads(line)):
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()


def on_port(port: int) -> None:
    """Serve HTTP on loopback; the port is printed when it is served."""
    fake = Fake()
    never = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            said = fake.hear(message)
            if "id" not in message:
                self._answer(202, b"", "text/plain")
                return
            if not said:
                never.wait(60)
            data = "".join(f"event: message\ndata: {json.dumps(one)}\n\n" for one in said)
            self._answer(200, data.encode(), "text/event-stream")

        def do_GET(self) -> None:
            self._answer(405, b"", "text/plain")

        def do_DELETE(self) -> None:
            self._answer(200, b"", "text/plain")

        def _answer(self, status: int, data: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Mcp-Session-Id", "one")
            self.send_header("X-Given", self.headers.get("X-Token", ""))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    on_port(int(sys.argv[1])) if len(sys.argv) > 1 else on_streams()
