"""A bare ASGI application on the server's own uvicorn settings; it answers every request with the bytes of a file."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

ANSWER = Path(sys.argv[1]).read_bytes() if len(sys.argv) > 1 else b""


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole request, then answer."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def main() -> None:
    config = uvicorn.Config(
        echo, host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=75
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Server(config).serve())


if __name__ == "__main__":
    main()
