"""A bare ASGI application on the server's own uvicorn settings: each frame goes to each watcher, one by one."""

import asyncio
import base64
import sys
from typing import Any

import uvicorn
import uvloop

MANY = int(sys.argv[1]) if len(sys.argv) > 1 else 1
FRAMES = 150
DATA = base64.b64encode(b"x" * 150)
EVENT = b'id: 17\nevent: block\ndata: {"frame": "%s"}\n\n' % DATA
HEADERS = [(b"content-type", b"text/event-stream")]


class Hall:
    """Everybody waits until all are there; then the frames come."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream to one watcher."""
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
        self.queues.append(mine)
        if len(self.queues) == MANY:
            asyncio.get_running_loop().call_later(0.5, asyncio.ensure_future, self.tell())
        for _ in range(FRAMES):
            await send({"type": "http.response.body", "body": await mine.get(), "more_body": True})
        await send({"type": "http.response.body", "body": b"event: end\ndata: {}\n\n", "more_body": False})

    async def tell(self) -> None:
        """Give every frame to everybody."""
        queues, self.queues = self.queues, []
        for _ in range(FRAMES):
            for queue in queues:
                queue.put_nowait(EVENT)
            await asyncio.sleep(0)


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)


def main() -> None:
    config = uvicorn.Config(
        Hall(), host="127.0.0.1", port=0, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=75
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Server(config).serve())


if __name__ == "__main__":
    main()
