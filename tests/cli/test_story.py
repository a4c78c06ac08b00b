"""Every kind of block, as a person reads it: at 40 and at 200 columns, on a terminal and in a pipe."""

import io
import sys
from typing import Any

import pytest

from hostler.cli.openness import Openness
from hostler.cli.paper import Rows, Terminal, cells, fitting, wrapped
from hostler.cli.story import Story
from hostler.cli.stream import Frame

ENVIRONMENT = "0198c2aa-0003-7000-8000-000000000003"
QUESTIONS = {
    "questions": [
        {
            "questionId": "colour",
            "question": "Which colour?",
            "choices": [
                {"label": "Blue", "text": "blue", "description": "like the sky"},
                {"label": "Red", "text": "Red"},
            ],
            "allowOther": True,
        },
        {
            "questionId": "size",
            "question": "How large?",
            "choices": [{"label": "S", "text": "small"}, {"label": "L", "text": "large"}],
        },
    ]
}
STEPS = {"actions": [{"title": "Add a test", "prompt": "Add a test for the empty list."}]}
KINDS: list[tuple[int, dict[str, Any], tuple[str, ...]]] = [
    (2, {"id": "i1", "inputs": [{"text": {"content": "Mend it"}}, {"image": {}}]}, ("> Mend it", "  [image]")),
    (1, {"userInputSeen": {"id": "i1"}}, ()),
    (1, {"userInput": {"id": "i2", "text": {"content": "Also this"}}}, ("> Also this",)),
    (1, {"id": "t", "phase": "PHASE_COMPLETED", "text": {"content": "I look."}}, ("I look.",)),
    (1, {"id": "h", "thought": {"content": "a b c"}}, ("∴ thought, 3 words",)),
    (
        1,
        {"id": "u", "phase": "PHASE_COMPLETED", "text": {"type": "TYPE_THOUGHTS", "content": "hm"}},
        ("∴ thought, 1 word",),
    ),
    (1, {"actionStarted": {"actionId": "a", "intentDescription": "make test"}}, ("▶ make test",)),
    (1, {"actionCompleted": {"actionId": "a", "resultDescription": "ok"}}, ("  │ ok",)),
    (1, {"actionStarted": {"actionId": "b", "intentDescription": "edit a.py"}}, ("▶ edit a.py",)),
    (1, {"actionCompleted": {"actionId": "b", "resultDescription": "edited a.py"}}, ()),
    (
        1,
        {
            "fileModification": {
                "filePath": "a.py",
                "startLine": 7,
                "diff": {
                    "diffGroups": [{"type": "TYPE_REMOVED", "lines": ["x"]}, {"type": "TYPE_ADDED", "lines": ["y"]}],
                    "stats": {"additions": 1, "deletions": 1},
                },
            }
        },
        ("± a.py:7 +1 -1", "    - x", "    + y"),
    ),
    (1, {"environmentCreation": {"environmentId": ENVIRONMENT}}, ("▣ environment",)),
    (
        1,
        {"codeAnnotation": {"filePath": "b.py", "startLine": 3, "endLine": 5, "title": "Odd", "description": "Why?"}},
        ("✎ b.py:3-5 Odd", "  Why?"),
    ),
    (
        1,
        {"todoGroup": {"todos": [{"id": "1", "title": "Look", "phase": "PHASE_DONE"}, {"id": "2", "title": "Mend"}]}},
        ("☰ to do: 1 of 2 done", "  ✓ Look", "  · Mend"),
    ),
    (
        1,
        {"todoItem": {"id": "2", "title": "Mend", "phase": "PHASE_DONE"}},
        ("☰ to do: 2 of 2 done", "  ✓ Mend"),
    ),
    (
        1,
        {"agentModeChange": {"state": "STATE_SPEC_COMPLETE", "message": "see SPEC.md"}},
        ("◆ the specification is complete: see",),
    ),
    (1, {"availableCommands": {"commands": [{"name": "clear"}, {"name": "/go"}]}}, ("  commands: /clear, /go",)),
    (
        3,
        {"type": "TYPE_COMPLETE", "role": "ROLE_CHILD", "senderExecutionId": ENVIRONMENT, "payload": "All well."},
        ("⇄ sub-agent 0198c2aa-0003 has ended:",),
    ),
    (1, {"nextStepsProposal": STEPS}, ("→ next steps", "    1 Add a test — Add a test for the")),
    (
        1,
        {"clarifyingQuestions": QUESTIONS},
        ("? Which colour?", "    1 Blue — like the sky", "    2 Red", "? How large?"),
    ),
    (1, {"hostAuthenticationRequired": {"host": "git.example.org"}}, ("? the agent needs a credential for",)),
    (1, {"userInputDeleted": {"id": "i2"}}, ("  taken back unread: Also this",)),
]


def told(width: int, frames: list[tuple[int, dict[str, Any]]], **how: Any) -> list[str]:
    paper = Rows(width, 1000)
    story = Story(paper=paper, execution="0198c2aa-0001", **how)
    for number, (tag, body) in enumerate(frames, 1):
        story.tell(Frame(str(number), tag, body))
    story.close()
    return [row for row, _ in paper.rows]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_kind_of_block_is_readable_at_any_width(width: int) -> None:
    rows = told(width, [(tag, body) for tag, body, _ in KINDS])
    assert max(map(cells, rows)) <= width
    at = 0
    for _, _, expected in KINDS:
        for text in expected:
            at = next(n for n in range(at, len(rows)) if rows[n].startswith(text[:28]))


def test_every_kind_that_the_contract_has_is_in_the_list() -> None:
    from hostler.contract.gitpod.v1.agent_response_pb import AgentResponseBlock

    kinds = {
        field.json_name
        for oneof in AgentResponseBlock.desc().oneofs
        for field in oneof.fields
        if oneof.name == "output"
    }
    shown = {key for tag, body, _ in KINDS if tag == 1 for key in body}
    assert kinds <= shown | {"userInputQueueUpdated"}


def test_thoughts_are_folded_unless_they_are_asked_for() -> None:
    body = {"id": "h", "phase": "PHASE_COMPLETED", "text": {"type": "TYPE_THOUGHTS", "content": "First.\nThen."}}
    assert told(80, [(1, body)]) == ["∴ thought, 2 words"]
    assert told(80, [(1, body)], thoughts=True) == ["First.", "Then."]


def test_the_list_of_what_is_to_do_shows_what_changed() -> None:
    def group(*todos: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        listed = [{"id": title, "title": title, "phase": f"PHASE_{phase}"} for title, phase in todos]
        return 1, {"todoGroup": {"todos": listed}}

    rows = told(
        80,
        [
            group(("Look", "IN_PROGRESS"), ("Mend", "PENDING")),
            group(("Look", "IN_PROGRESS"), ("Mend", "PENDING")),
            group(("Look", "DONE"), ("Mend", "PENDING")),
            group(("Look", "DONE")),
        ],
    )
    assert rows == [
        *("☰ to do: 0 of 2 done", "  ▸ Look", "  · Mend"),
        *("☰ to do: 1 of 2 done", "  ✓ Look"),
        *("☰ to do: 1 of 1 done", "  - Mend"),
    ]


def test_the_queue_tells_what_waits_what_is_read_and_a_new_order() -> None:
    def said(id_: str) -> tuple[int, dict[str, Any]]:
        return 2, {"id": id_, "inputs": [{"text": {"content": f"say {id_}"}}]}

    def queue(*ids: str) -> tuple[int, dict[str, Any]]:
        return 1, {"userInputQueueUpdated": {"queuedUserInputIds": list(ids)}}

    def seen(id_: str) -> tuple[int, dict[str, Any]]:
        return 1, {"userInputSeen": {"id": id_}}

    begun = (1, {"actionStarted": {"actionId": "a", "intentDescription": "make"}})
    rows = told(
        80,
        [
            *(said("a"), queue("a"), seen("a"), queue(), begun, said("b"), queue("b")),
            *(said("c"), queue("b", "c"), queue("c", "b"), queue("b"), seen("c")),
        ],
    )
    assert [row for row in rows if row] == [
        *("> say a", "▶ make", "> say b", "  waits in the queue, next"),
        *("> say c", "  waits in the queue, behind 1 other", "  the queue now:", "    1 say c", "    2 say b"),
        "  read from the queue: say c",
    ]


def test_a_result_that_does_not_stand_below_its_action_names_it() -> None:
    def begun(id_: str) -> tuple[int, dict[str, Any]]:
        return 1, {"actionStarted": {"actionId": id_, "intentDescription": f"run {id_}"}}

    def ended(id_: str) -> tuple[int, dict[str, Any]]:
        return 1, {"actionCompleted": {"actionId": id_, "resultDescription": "ok"}}

    todo = (1, {"todoGroup": {"todos": [{"id": "1", "title": "Look"}]}})
    assert told(80, [begun("a"), ended("a")]) == ["▶ run a", "  │ ok"]
    assert told(80, [begun("a"), todo, ended("a")])[-2:] == ["  ↳ run a", "  │ ok"]
    assert told(80, [begun("a"), begun("b"), ended("b"), ended("a")])[2:] == ["  │ ok", "  ↳ run a", "  │ ok"]


def test_full_shows_results_and_changes_whole() -> None:
    long = "\n".join(f"row {n}" for n in range(30))
    frames = [
        (1, {"actionStarted": {"actionId": "a", "intentDescription": "make"}}),
        (1, {"actionCompleted": {"actionId": "a", "resultDescription": long}}),
    ]
    short = told(80, frames)
    assert short[1:4] == ["  │ row 0", "  │ row 1", "  │ … 24 more lines"]
    assert len(told(80, frames, full=True)) == 31


def test_what_is_open_is_known_and_whatever_a_person_says_closes_it() -> None:
    open_ = Openness()
    open_.heed(Frame("1", 1, {"clarifyingQuestions": QUESTIONS}))
    assert (open_.asked, [one.id for one in open_.questions]) == ("an answer", ["colour", "size"])
    assert not open_.questions[1].other
    open_.heed(Frame("2", 2, {"id": "i"}))
    assert (open_.asked, open_.questions) == ("", ())


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(monkeypatch: pytest.MonkeyPatch, columns: int, pieces: list[str], out: io.StringIO) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", out)
    paper = Terminal()
    for piece in pieces:
        paper.piece(piece)
    paper.close()
    paper.row("> " + "word " * 12)
    return out.getvalue()


def test_text_that_arrives_is_wrapped_between_words_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "The quick brown fox jumps over the lazy dog and 漢字漢字漢字漢字 goes on.\nA second line."
    pieces = [said[n : n + 3] for n in range(0, len(said), 3)]
    shown = written(monkeypatch, 40, pieces, Tty())
    rows = shown.split("\n")
    assert all(cells(row.rstrip()) <= 40 for row in rows)
    assert rows[0] == "The quick brown fox jumps over the lazy "
    assert " ".join(rows[:3]).split() == " ".join(said.split("\n")).split()
    piped = written(monkeypatch, 40, pieces, io.StringIO())
    assert piped.startswith(said + "\n> word word")
    assert piped.count("\n") == 3


def test_rows_in_memory_wrap_a_growing_line_anew() -> None:
    paper = Rows(10, 100)
    for piece in ("one ", "two th", "ree four", "\nfive"):
        paper.piece(piece)
    assert [row for row, _ in paper.rows] == ["one two", "three four", "five"]


def test_cells_and_cutting() -> None:
    assert (cells("ab"), cells("漢字"), cells("e\u0301")) == (2, 4, 1)
    assert (fitting("漢字漢字", 5), fitting("abc", 3), fitting("abcd", 3)) == ("漢字…", "abc", "ab…")
    assert wrapped("    1 " + "x" * 30, 20) == ["    1", "      " + "x" * 14, "      " + "x" * 14, "      xx"]
