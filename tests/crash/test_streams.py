"""kill -9 of the real server while text streams: who comes back with his last id has every piece once."""

import base64
import json
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hostler.api.forms import MESSAGES
from tests.server import HostlerProcess

pytestmark = [pytest.mark.crash, pytest.mark.sandbox]

WORDS = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich, 🙂 and then once more. "
LONG = WORDS * 12
HELD = 100
"""Characters of a try that are said before the script holds it."""


@dataclass
class Reader:
    """A client that reads until his line breaks, and comes back with the last id that he had."""

    server: HostlerProcess
    execution: str
    last: str = ""
    frames: list[str] = field(default_factory=list[str])
    said: dict[str, str] = field(default_factory=dict[str, str])
    whole: dict[str, str] = field(default_factory=dict[str, str])
    ended: str = ""

    def read(self) -> None:
        """Read one connection to its end, however it ends."""
        url = f"{self.server.url}/api/executions/{self.execution}/live"
        headers = {
            "Authorization": f"Bearer {self.server.token}",
            **({"Last-Event-ID": self.last} if self.last else {}),
        }
        lines: dict[str, str] = {}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as stream:
                for line in map(bytes.decode, stream):
                    if line == "\n" and "event" in lines:
                        self.take(lines)
                        lines = {}
                    elif ": " in line:
                        name, _, value = line.rstrip("\n").partition(": ")
                        lines[name] = value
        except OSError:
            pass

    def take(self, lines: dict[str, str]) -> None:
        data = json.loads(lines["data"])
        if lines["event"] == "end":
            self.ended = data["reason"]
            return
        raw = base64.b64decode(data["frame"])
        body: dict[str, Any] = json.loads(MESSAGES[raw[0]].from_binary(raw[1:]).to_json())
        self.last = lines["id"]
        if raw[0] != 1 or "text" not in body:
            self.frames.append(self.last.partition(":")[0])
        elif body["phase"] == "PHASE_DELTA":
            assert body["id"] not in self.whole
            self.said[body["id"]] = self.said.get(body["id"], "") + body["text"]["content"]
        else:
            assert body["id"] not in self.whole
            self.whole[body["id"]] = body["text"]["content"]


def test_whoever_reads_while_the_server_is_killed_has_every_piece_once_and_what_he_read_is_in_the_history(place: Path):
    folder = place / "data"
    folder.mkdir(mode=0o711)
    hold = {"kind": "hold", "after": 20, "reached": f"{place}/reached", "until": f"{place}/go"}
    script = {"chunk": 7, "rules": [{"steps": [{"text": LONG, "thinking": "Let me think.", "faults": [hold]}]}]}
    (place / "script.json").write_text(json.dumps(script))
    server = HostlerProcess(folder, env={"HOSTLER_MODEL": f"scripted:{place}/script.json"}).start()
    try:
        execution = server.start_agent("go")
        reader, other = Reader(server, execution), Reader(server, execution)
        for life in range(1, 4):
            threads = [threading.Thread(target=one.read) for one in (reader, other)]
            for thread in threads:
                thread.start()
            server.until(lambda n=life: all(talking(one) == n for one in (reader, other)))
            server.kill()
            for thread in threads:
                thread.join(60)
            assert reader.said == other.said
            if life == 3:
                (place / "go").touch()
            server.start()
        for one in (reader, other):
            while not one.ended:
                one.read()
            assert one.ended == "waiting_for_input"
            assert set(one.said) <= set(one.whole)
            assert all(one.whole[block].startswith(text) for block, text in one.said.items())
            assert len(one.frames) == len(set(one.frames))
        assert reader.whole == other.whole
        assert list(reader.whole.values())[-1] == LONG
        late = Reader(server, execution, last="0")
        late.read()
        assert late.whole == reader.whole
        assert list((folder / "said").iterdir()) == []
    finally:
        server.stop()


def talking(reader: Reader) -> int:
    """How many tries of the call the reader has heard as far as the script lets them come."""
    return sum(text.startswith("Zw") and len(text) >= HELD for text in reader.said.values())
