"""A thousand watchers of one execution, on a real server: each has everything once, and their memory comes back."""

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox

WATCHERS = 1000
TEXT = "Every one of a thousand people reads the same words, each of them once, and nobody waits for anybody. " * 4
BACK = 1.10
"""The server's memory after a thousand more watchers have left, beside what it was before they came."""


def memory(server: HostlerProcess) -> int:
    """Return the bytes of the server that are in memory."""
    assert server.process
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


class Watcher:
    """One connection that keeps what it is sent, and is late by choice."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.data = b""
        self.seen = asyncio.Event()

    async def open(self, server: HostlerProcess, execution: str) -> None:
        """Connect, and return when the beginning of the text has come."""
        port = int(server.url.rpartition(":")[2])
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
        asked = f"GET /api/executions/{execution}/live?format=json HTTP/1.1\r\nHost: here\r\n"
        self._writer.write(f"{asked}Authorization: Bearer {server.token}\r\n\r\n".encode())
        while self.data.count(b"event: block") < 3:
            self.data += await self._reader.read(1 << 16)

    async def rest(self) -> None:
        """Read to the end."""
        while b"event: end" not in self.data:
            more = await self._reader.read(1 << 12 if self.number % 10 else 256)
            assert more, self.data[-200:]
            self.data += more
        self._writer.close()

    def told(self) -> tuple[tuple[str, ...], str]:
        """Return the numbers of the frames, and the text as it was streamed, which must have come whole, too."""
        body = re.sub(rb"(?s)^.*?\r\n\r\n", b"", self.data, count=1)
        body = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body)
        frames: list[str] = []
        whole: list[str] = []
        said = ""
        for event in body.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in event.strip().split("\n") if ": " in line)
            if lines.get("event") != "block":
                continue
            text = json.loads(lines["data"])["body"]
            if text.get("phase") == "PHASE_DELTA":
                said += text["text"]["content"]
                continue
            frames.append(lines["id"].partition(":")[0])
            whole += [text["text"]["content"]] if "text" in text else []
        assert whole == [TEXT]
        return tuple(frames), said


async def watched(server: HostlerProcess, execution: str, go: Path) -> list[Watcher]:
    """Let all watchers in, then the text, and return when everybody has it all."""
    watchers = [Watcher(number) for number in range(WATCHERS)]
    for first in range(0, WATCHERS, 50):
        await asyncio.gather(*(one.open(server, execution) for one in watchers[first : first + 50]))
    go.touch()
    await asyncio.gather(*(one.rest() for one in watchers))
    return watchers


def test_a_thousand_watchers_have_every_frame_once_and_leave_no_memory_behind(place: Path) -> None:
    folder = place / "data"
    folder.mkdir(mode=0o711)
    reached, go = place / "reached", place / "go"
    hold = {"kind": "hold", "after": 1, "reached": str(reached), "until": str(go)}
    script = {"chunk": 20, "pace": 0.01, "rules": [{"steps": [{"text": TEXT, "faults": [hold]}] * 9}]}
    (place / "script.json").write_text(json.dumps(script))
    server = HostlerProcess(folder, env={"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        sizes: list[int] = []
        for _ in range(2):  # The first time makes room for what any thousand watchers need.
            go.unlink(missing_ok=True)
            reached.unlink(missing_ok=True)
            execution = server.start_agent("go")
            server.until(reached.exists)
            watchers = asyncio.run(watched(server, execution, go))
            told = Counter(map(Watcher.told, watchers))
            assert len({frames for frames, _ in told}) == 1
            frames = next(iter(told))[0]
            assert frames == tuple(sorted(set(frames), key=int))
            assert all(TEXT.startswith(said) for _, said in told)
            if sizes:
                server.until(lambda: memory(server) <= sizes[0] * BACK, seconds=30)
            sizes.append(memory(server))
    finally:
        server.stop()
