"""A provider in a process of its own whose tokens say when they were sent, in nanoseconds since 1970."""

import asyncio
import json
import sys
import time

TOKENS = 400
CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "ticking"}
USAGE = {"prompt_tokens": 10, "completion_tokens": TOKENS, "total_tokens": TOKENS + 10}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def event(data: str) -> bytes:
    whole = f"data: {data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(whole), whole)


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    return event(json.dumps({**CHUNK, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))


async def main(pace: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(size.partition(b":")[2]))
                writer.write(HEAD + chunk({"role": "assistant", "content": "Now: "}))
                for _ in range(TOKENS):
                    await asyncio.sleep(pace)
                    writer.write(chunk({"content": f"@{time.time_ns()} "}))
                writer.write(chunk({}, "stop") + event(json.dumps({**CHUNK, "choices": [], "usage": USAGE})))
                writer.write(event("[DONE]") + END)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 22)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
