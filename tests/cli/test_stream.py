"""The live stream over connections that break: nothing lost, nothing twice, never silent."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostler.cli.client import Client
from hostler.cli.places import Server
from hostler.cli.problems import Problem, Unreachable
from hostler.cli.stream import TRIES, Conversation, events
from tests.cli.conftest import Cli
from tests.cli.scripted import END, ID, TOKEN, Dropped, Refused, Scripted, block, execution, seen, serving, text


def conversation(server: Scripted, lost: list[str]) -> Conversation:
    return Conversation(Client(Server(server.url, TOKEN)), ID, lost=lost.append, pause=lambda seconds: None)


def test_a_dropped_connection_is_taken_up_behind_the_last_frame(server: Scripted) -> None:
    lost: list[str] = []
    server.streams = [[seen(1), text("1:b:3", "One", 1), Dropped], [text("1:b:7", " two", 2), text(2, "One two"), END]]
    frames = list(conversation(server, lost))
    assert [frame.id for frame in frames] == ["1", "1:b:3", "1:b:7", "2"]
    assert [asked.headers.get("last-event-id") for asked in server.live()] == [None, "1:b:3"]
    assert len(lost) == 1
    assert "reconnecting" in lost[0]


def test_a_reader_sees_each_word_once_over_a_dropped_connection(cli: Cli, server: Scripted) -> None:
    server.streams = [[seen(1), text("1:b:3", "One", 1), Dropped], [text("1:b:7", " two", 2), text(2, "One two"), END]]
    ended = cli("watch", ID)
    assert ended.code == 0
    assert "".join(ended.out.split("\n")[:3]).replace("\n", "").startswith("One two")
    assert ended.out.count("One") == ended.out.count("two") == 1
    assert "reconnecting" in ended.err


def test_behind_a_public_address_the_stream_is_read_where_the_server_was_found(server: Scripted) -> None:
    live = f"https://public.invalid/api/executions/{ID}/live"
    found = {"id": ID, "status": {"phase": "PHASE_RUNNING", "conversationUrls": {"live": live}}}
    server.answers["GetAgentExecution"] = {"agentExecution": found}
    server.streams = [[seen(1), END]]
    assert [frame.id for frame in conversation(server, [])] == ["1"]


def test_a_frame_that_was_cut_in_the_middle_comes_whole_the_second_time(server: Scripted) -> None:
    whole = text(2, "Whole.")
    server.streams = [[seen(1), whole[:20], Dropped], [whole, END]]
    assert [frame.id for frame in conversation(server, [])] == ["1", "2"]


def test_an_expired_token_is_renewed_and_the_stream_goes_on(server: Scripted) -> None:
    expired = b'event: end\ndata: {"reason": "token_expired"}\n\n'
    server.streams = [[seen(1), expired], [seen(2), END]]
    lost: list[str] = []
    assert [frame.id for frame in conversation(server, lost)] == ["1", "2"]
    assert len(server.bodies("CreateAgentExecutionConversationToken")) == 2
    assert server.live()[1].headers["last-event-id"] == "1"
    assert lost == []


def test_a_deleted_execution_is_a_problem_and_no_endless_loop(server: Scripted) -> None:
    server.streams = [[b'event: end\ndata: {"reason": "deleted"}\n\n']]
    with pytest.raises(Problem, match="deleted"):
        list(conversation(server, []))


def test_an_execution_that_vanished_while_the_line_was_down_is_a_problem(server: Scripted) -> None:
    server.streams = [[seen(1), Dropped]]
    frames = iter(conversation(server, []))
    next(frames)
    server.executions = []
    with pytest.raises(Problem, match="no such agent execution"):
        list(frames)


def test_a_server_that_stays_away_is_given_up(server: Scripted) -> None:
    lost: list[str] = []
    away = Conversation(Client(Server("http://127.0.0.1:9", TOKEN)), ID, lost=lost.append, pause=lambda seconds: None)
    with pytest.raises(Unreachable):
        list(away)
    assert len(lost) == TRIES


def test_a_server_that_came_back_elsewhere_is_found_again(server: Scripted, data_dir: Path) -> None:
    server.streams = [[seen(1), Dropped]]
    (data_dir / "token").write_text(TOKEN)
    (data_dir / "server.json").write_text(json.dumps({"url": server.url, "pid": 1}))
    with serving() as successor:
        successor.streams = [[seen(2), END]]
        client = Client(Server(server.url, TOKEN, data_dir))

        def moved(seconds: float) -> None:
            (data_dir / "server.json").write_text(json.dumps({"url": successor.url, "pid": 2}))

        frames = list(Conversation(client, ID, lost=lambda why: None, pause=moved))
        assert [frame.id for frame in frames] == ["1", "2"]
        assert successor.live()[0].headers["last-event-id"] == "1"


def test_keep_alives_unknown_fields_and_many_data_lines_are_read() -> None:
    lines = [b": keep-alive", b"", b"retry: 1000", b"event: block", b"data: a", b"data:b", b"id: 7", b"", b"data: cut"]
    (event,) = events(iter(lines))
    assert (event.name, event.data, event.id) == ("block", "a\nb", "7")


def test_a_server_without_json_frames_is_named(server: Scripted) -> None:
    server.streams = [[b'event: block\ndata: {"frame": "AQ=="}\n\n']]
    with pytest.raises(Problem, match="JSON"):
        list(conversation(server, []))


def test_watching_from_a_place(cli: Cli, server: Scripted) -> None:
    for since, after in (("start", "0"), ("17", "17"), ("10m", "0"), ("2026-01-31T12:00:00Z", "0")):
        server.streams = [[END]]
        assert cli("watch", ID, "--since", since).code == 0
        assert server.live()[-1].query["after"] == after
    assert cli("watch", ID, "--since", "yesterday").code == 2


def test_watching_since_a_moment_leaves_out_what_is_older(cli: Cli, server: Scripted) -> None:
    def said(id_: int, day: int) -> bytes:
        body = {"type": "TYPE_USER_FACING_OUTPUT", "content": f"day {day}"}
        return block(
            id_, {"id": f"b{id_}", "phase": "PHASE_COMPLETED", "createdAt": f"2026-01-0{day}T00:00:00Z", "text": body}
        )

    server.streams = [[said(1, 1), said(2, 3), END]]
    out = cli("watch", ID, "--since", "2026-01-02").out
    assert "day 3" in out
    assert "day 1" not in out


def test_following_asks_the_server_to_stay(cli: Cli, server: Scripted) -> None:
    server.executions = [execution(phase="STOPPED")]
    server.streams = [[END]]
    assert cli("watch", ID, "--follow").code == 1
    assert server.live()[0].query["follow"] == "1"


def test_ctrl_c_detaches_and_says_how_to_come_back(server: Scripted) -> None:
    released = threading.Event()

    def quiet() -> Iterator[bytes]:
        yield text(1, "Working.")
        released.wait(60)
        yield END

    server.streams = [quiet()]
    environ = {**os.environ, "HOSTLER_URL": server.url, "HOSTLER_TOKEN": TOKEN}
    command = [sys.executable, "-m", "hostler", "watch", ID]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "Working.\n"
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
        assert f"hostler watch {ID}" in child.stderr.read()
    released.set()
    assert not server.bodies("StopAgentExecution")


def test_a_server_that_starts_again_after_the_end_is_waited_for(cli: Cli, server: Scripted) -> None:
    server.streams = [[END]]
    looks: list[int] = []

    def look(body: dict[str, object]) -> object:
        looks.append(1)
        if len(looks) == 2:
            return Refused(503, "unavailable", "the server is stopping")
        status = {
            "phase": "PHASE_WAITING_FOR_INPUT",
            "conversationUrls": {"live": f"{server.url}/api/executions/x/live"},
        }
        return {"agentExecution": {"id": ID, "status": status}}

    server.answers["GetAgentExecution"] = look
    ended = cli("watch", ID)
    assert ended.code == 0
    assert "reconnecting" in ended.err
