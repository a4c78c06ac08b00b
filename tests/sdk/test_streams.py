"""The conversation as both generations of clients read it: to its end, from the middle, again, and over a kill -9."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.sdk.clients import Client
from tests.sdk.conftest import Gate
from tests.server import HostlerProcess

GateMaker = Callable[..., Gate]
LONG = "I hold after these first words, and then I go on: Grüße an alle, 🙂, to the very end of what I say."


@pytest.fixture
def own_server(place: Path) -> Iterator[HostlerProcess]:
    """A server that a test may kill, unlike the one that all clients share."""
    folder = place / "own"
    folder.mkdir(mode=0o711)
    process = HostlerProcess(folder, settle=1.0).start()
    yield process
    process.close()


def test_a_connect_client_reads_to_the_end_from_the_middle_and_once_more(new: Client, gate: GateMaker) -> None:
    held = gate(LONG)
    seen = new.run(
        """
        from pathlib import Path
        session = start(task="hold", annotations=json.loads(arguments[0]))
        session.wait_running()
        first = session.message_stream()
        heard = [next(first)]
        while "I hold" not in "".join(heard):
            heard.append(next(first))
        left = AgentSession(client, session.id()).message_stream()
        early = [next(left)]
        while "I hold" not in "".join(early):
            early.append(next(left))
        left.close()
        Path(arguments[1]).touch()
        whole = "".join([*heard, *first])
        again = "".join(AgentSession(client, session.id()).message_stream())
        phase = get(session.id())["status"]["phase"]
        tell(whole=whole, early="".join(early), again=again, phase=phase)
        """,
        json.dumps(held.annotations),
        held.until,
    )
    assert seen["whole"].count(LONG) == 1
    assert seen["whole"] == seen["again"]
    assert seen["whole"].startswith(seen["early"])
    assert seen["phase"] == "PHASE_WAITING_FOR_INPUT"


FOLLOW = '''
def follow(url, token, last="", stop=None):
    """Yield (id, event, data) of the stream, each as its lines say."""
    headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": last} if last else {})}
    with httpx.stream("GET", url, params={"format": "json"}, headers=headers, timeout=None) as stream:
        lines = {}
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if value:
                lines[name] = value
            elif "event" in lines:
                yield lines.get("id", ""), lines["event"], json.loads(lines["data"])
                lines = {}
'''


def test_a_json_client_reads_to_the_end_from_the_middle_and_after_its_line_broke(old: Client, gate: GateMaker) -> None:
    held = gate(LONG)
    seen = old.run(
        "from pathlib import Path\n"
        + FOLLOW
        + dedent("""
        execution = arguments[0]
        token = agents.create_execution_conversation_token(agent_execution_id=execution).token
        url = get(execution).to_dict()["status"]["conversationUrls"]["live"]
        said, whole, ids, last = {}, {}, [], ""
        def take(id_, event, data):
            body = data.get("body", {})
            text = body.get("text") if data.get("tag") == 1 else None
            if event == "end" or not text:
                ids.append(id_.partition(":")[0])
            elif body["phase"] == "PHASE_DELTA":
                said.setdefault(body["id"], []).append(text["content"])
            else:
                whole[body["id"]] = text["content"]
            return id_
        for event in follow(url, token):
            last = take(*event)
            if said:
                break
        middle = "".join(next(iter(said.values())))
        Path(arguments[1]).touch()
        for event in follow(url, token, last):
            last = take(*event) or last
        late = [data["body"]["text"]["content"] for _, event, data in follow(url, token)
                if event == "block" and data["tag"] == 1 and "text" in data["body"]]
        tell(middle=middle, said={k: "".join(v) for k, v in said.items()}, whole=whole, ids=ids, late=late)
        """),
        old.server.start_agent("hold", annotations=held.annotations),
        held.until,
    )
    assert seen["middle"]
    assert list(seen["whole"].values()) == [LONG]
    assert all(LONG.startswith(text) for text in seen["said"].values())
    assert len(seen["ids"]) == len(set(seen["ids"]))
    assert seen["late"] == [LONG]


def test_a_connect_client_whose_server_is_killed_while_text_streams_reads_what_was_said_and_the_rest(
    new: Client, own_server: HostlerProcess, gate: GateMaker, tmp_path: Path
) -> None:
    seen = _over_a_kill(
        Client(new.sdk, own_server),
        own_server,
        gate(LONG),
        tmp_path,
        """
        session = AgentSession(client, arguments[0])
        heard = []
        try:
            for piece in session.message_stream():
                heard.append(piece)
                if "I hold" in "".join(heard):
                    Path(arguments[1]).touch()
        except Exception as error:
            heard.append(f"<{type(error).__name__}>")
        while not Path(arguments[2]).exists():
            time.sleep(0.02)
        again = Client(Path(arguments[2]).read_text(), arguments[0])
        tell(before="".join(heard), after="".join(again.message_stream()))
        """,
        """
        import os, time
        from pathlib import Path
        def Client(url, execution):
            os.environ["ONA_BASE_URL"] = url + "/api"
            return AgentSession(create_client_from_env(), execution)
        """,
    )
    assert LONG not in seen["before"]
    said = seen["before"].split("I hold", 1)[1].split("<")[0].rstrip("\n")
    assert seen["after"].count(f"I hold{said}") == 2
    assert seen["after"].count(LONG) == 1


def test_a_json_client_whose_server_is_killed_while_text_streams_has_every_piece_once(
    old: Client, own_server: HostlerProcess, gate: GateMaker, tmp_path: Path
) -> None:
    seen = _over_a_kill(
        Client(old.sdk, own_server),
        own_server,
        gate(LONG),
        tmp_path,
        """
        execution = arguments[0]
        token = agents.create_execution_conversation_token(agent_execution_id=execution).token
        path = f"/api/executions/{execution}/live"
        said, whole, ids, last = {}, {}, [], ""
        def take(id_, event, data):
            body = data.get("body", {})
            text = body.get("text") if data.get("tag") == 1 else None
            if event == "end" or not text:
                ids.append(id_.partition(":")[0])
            elif body["phase"] == "PHASE_DELTA":
                said.setdefault(body["id"], []).append(text["content"])
                Path(arguments[1]).touch()
            else:
                assert body["id"] not in whole
                whole[body["id"]] = text["content"]
            return id_
        try:
            for event in follow(str(client.base_url).removesuffix("/api/") + path, token):
                last = take(*event) or last
        except httpx.HTTPError:
            pass
        while not Path(arguments[2]).exists():
            time.sleep(0.02)
        for event in follow(Path(arguments[2]).read_text() + path, token, last):
            last = take(*event) or last
        tell(said={k: "".join(v) for k, v in said.items()}, whole=whole, ids=ids)
        """,
        "import time\nfrom pathlib import Path\n" + FOLLOW,
    )
    assert list(seen["whole"].values())[-1] == LONG
    assert len(seen["whole"]) == 2
    assert set(seen["said"]) <= set(seen["whole"])
    first = next(iter(seen["whole"]))
    assert seen["whole"][first] == seen["said"][first]
    assert len(seen["ids"]) == len(set(seen["ids"]))


def _over_a_kill(
    client: Client, server: HostlerProcess, held: Gate, folder: Path, script: str, before: str
) -> dict[str, Any]:
    """Run a script that reads while its server is killed, and that is told where the next one is."""
    execution = server.start_agent("hold", annotations=held.annotations)
    read, back = folder / "read", folder / "back"
    told: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            told.append(client.run(dedent(before) + dedent(script), execution, read, back))
        except BaseException as problem:  # noqa: BLE001 the test tells it
            failures.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    server.until(lambda: read.exists() or failures)
    server.kill()
    held.open()
    server.start()
    fresh = folder / "fresh"
    fresh.write_text(server.url)
    fresh.rename(back)
    thread.join(100)
    if failures:
        raise failures[0]
    return told[0]
