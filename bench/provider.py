"""A provider in a process of its own: every request gets the same events, each after the seconds in its argument."""

import asyncio
import json
import sys

EVENTS = 200
DELTA = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": "some words "}
USAGE = {"input_tokens": 9000, "input_tokens_details": {"cached_tokens": 8000}, "output_tokens": 400}
LAST = {"type": "response.completed", "response": {"output": [], "usage": USAGE}}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def event(body: dict[str, object]) -> bytes:
    data = f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


async def main(pace: float) -> None:
    pieces = [HEAD, *[event({**DELTA, "sequence_number": number}) for number in range(EVENTS)], event(LAST), END]

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(int(size.partition(b":")[2]))
                for piece in pieces:
                    writer.write(piece)
                    if pace:
                        await asyncio.sleep(pace)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
