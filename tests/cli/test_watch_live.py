"""`hostler watch` and `hostler answer` against the real server, which dies in the middle of a text."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.seat import command
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox
SAID = "".join(f"word{number} " for number in range(60)) + "and the end."
COLOUR = {
    "questions": [
        {"question": "Which colour?", "choices": [{"label": "Blue"}, {"label": "Red"}], "allow_other": False},
    ]
}


@contextmanager
def scripted(place: Path, *steps: dict[str, Any]) -> Iterator[HostlerProcess]:
    """A server whose model follows these steps."""
    script = place / "script.json"
    script.write_text(json.dumps({"rules": [{"steps": steps}], "chunk": 5}))
    folder = place / "data"
    folder.mkdir(mode=0o711)
    server = HostlerProcess(folder, {"HOSTLER_MODEL": f"scripted:{script}"}).start()
    try:
        yield server
    finally:
        server.close()


def hostler(server: HostlerProcess, *words: str) -> subprocess.CompletedProcess[str]:
    argv, env = command(server, *words)
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120)


def watching(server: HostlerProcess, *words: str) -> "subprocess.Popen[str]":
    argv, env = command(server, "watch", *words)
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)


def held(place: Path, after: int) -> dict[str, Any]:
    """A reply that stops after some pieces until the file `go` is there."""
    hold = {"kind": "hold", "after": after, "reached": f"{place}/reached", "until": f"{place}/go"}
    return {"text": SAID, "faults": [hold]}


@pytest.mark.parametrize("since", [(), ("--since", "start"), ("--since", "10m")], ids=" ".join)
def test_every_word_is_shown_once_over_a_server_that_dies_and_comes_back_on_another_port(
    place: Path, since: tuple[str, ...]
) -> None:
    with scripted(place, held(place, 20)) as server:
        id_ = server.call("StartAgent")["agentExecutionId"]
        assert hostler(server, "send", id_, "go").returncode == 0
        server.until(lambda: (place / "reached").exists())
        with watching(server, id_, *since) as watch:
            assert watch.stdout
            assert watch.stderr
            shown = watch.stdout.readline()
            assert shown == "> go\n"
            while "word10 " not in shown:
                shown += watch.stdout.read(1)
            old = server.url
            server.kill()
            assert watch.stderr.readline().startswith("connection lost: ")
            (place / "go").touch()
            server.start()
            assert server.url != old
            assert watch.stderr.readline() == "connected again\n"
            shown += watch.stdout.read()
            assert watch.wait(60) == 0
            assert watch.stderr.read() == ""
    # The model is asked again after the crash: what it had said stands, then it says the whole.
    notice, _, said = shown.removeprefix("> go\n").partition("\n\n")
    assert notice.startswith("! a script answers in place of a model")
    begun, _, whole = said.rpartition("word0 ")
    assert f"word0 {whole}".startswith(f"{SAID}\n")
    assert len(begun.split()) > 10
    assert SAID.startswith(begun.strip())


def test_frames_are_lines_for_programs_also_over_a_dead_server(place: Path) -> None:
    with scripted(place, held(place, 20)) as server:
        id_ = server.call("StartAgent")["agentExecutionId"]
        assert hostler(server, "send", id_, "go").returncode == 0
        server.until(lambda: (place / "reached").exists())
        with watching(server, id_, "--json") as watch:
            assert watch.stdout
            frames = [json.loads(watch.stdout.readline()) for _ in range(3)]
            server.kill()
            (place / "go").touch()
            server.start()
            frames += [json.loads(line) for line in watch.stdout]
            assert watch.wait(60) == 0
    ids = [frame["id"] for frame in frames[:-1]]
    assert len(set(ids)) == len(ids)
    texts: dict[str, str] = {}
    for frame in frames[:-1]:
        assert frame["type"] == "frame"
        if "text" in frame["body"]:
            block, piece = frame["body"]["id"], frame["body"]["text"]["content"]
            if frame["body"]["phase"] == "PHASE_COMPLETED":
                assert piece.startswith(texts.get(block, ""))
                texts[block] = piece
            else:
                texts[block] = texts.get(block, "") + piece
    assert list(texts.values())[-1] == SAID
    assert (frames[-1]["type"], frames[-1]["exitCode"]) == ("end", 0)


def test_a_question_is_asked_with_numbers_and_answered_by_one(place: Path) -> None:
    ask = {"text": "One thing first.", "calls": [{"name": "ask", "arguments": COLOUR}]}
    with scripted(place, ask, {"text": "Blue it is."}) as server:
        id_ = hostler(server, "run", "Paint", "--detach").stdout.strip()
        asked = hostler(server, "watch", id_)
        assert asked.returncode == 3, asked.stdout
        assert "? Which colour?\n    1 Blue\n    2 Red\n" in asked.stdout
        assert f"answer with: hostler answer {id_[:13]} ANSWER" in asked.stdout
        assert "waits for you: the agent asks for an answer" in asked.stdout
        listed = hostler(server, "ps").stdout
        assert listed.startswith("needs input\n")
        assert "Which colour?" in listed
        assert "Which colour? (1 Blue, 2 Red)" in hostler(server, "show", id_).stdout
        wrong = hostler(server, "answer", id_, "3")
        assert (wrong.returncode, "there are: 1 Blue, 2 Red" in wrong.stderr) == (2, True)
        assert hostler(server, "answer", id_, "1").stdout == "answered: Which colour? → Blue\n"
        told = hostler(server, "watch", id_)
        assert told.returncode == 0, told.stdout
        assert "Blue it is." in told.stdout
        again = hostler(server, "answer", id_, "1")
        assert (again.returncode, "nothing is asked" in again.stderr) == (1, True)


def test_a_pipe_gets_plain_lines_and_no_colour_is_respected(place: Path) -> None:
    with scripted(place, {"text": "Plain."}) as server:
        id_ = hostler(server, "run", "Speak", "--detach").stdout.strip()
        argv, env = command(server, "watch", id_)
        for more, colour in (({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False)):
            ended = subprocess.run(argv, env={**env, **more}, capture_output=True, text=True, timeout=60)
            assert ended.returncode == 0
            assert ("\x1b[" in ended.stdout) is colour
