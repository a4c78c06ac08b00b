"""What people were shown, kept in a file beside the database: it survives, it is bounded, and it may be torn."""

from pathlib import Path

import pytest

from hostler.core.spoken import Spoken, SpokenText
from hostler.store.spoken import SpokenFiles
from hostler.testing.world import MemorySpoken

A, B = "0190aaaa-0000-7000-8000-000000000001", "0190aaaa-0000-7000-8000-000000000002"
PIECES = (
    Spoken(A, "c1", 0, "thinking", "Hmm…\n"),
    Spoken(B, "c1", 1, "text", "Grüße, "),
    Spoken(A, "c1", 0, "thinking", "\u2028 and 🙂", offset=17),
    Spoken(B, "c1", 1, "text", "", offset=30, held=True),
)


@pytest.fixture(params=["files", "memory"])
def spoken(request: pytest.FixtureRequest, tmp_path: Path) -> SpokenText:
    return SpokenFiles(tmp_path) if request.param == "files" else MemorySpoken()


def test_pieces_are_kept_in_order_and_by_execution(spoken: SpokenText) -> None:
    for piece in PIECES:
        assert spoken.add("one", piece)
    assert spoken.add("two", PIECES[0])
    assert tuple(spoken.read("one")) == PIECES
    assert tuple(spoken.read("two")) == PIECES[:1]
    assert not spoken.read("three")


def test_pieces_can_be_replaced_and_others_follow(spoken: SpokenText) -> None:
    for piece in PIECES:
        spoken.add("one", piece)
    spoken.replace("one", PIECES[1:2])
    assert tuple(spoken.read("one")) == PIECES[1:2]
    spoken.release("one")
    spoken.add("one", PIECES[0])
    assert tuple(spoken.read("one")) == (PIECES[1], PIECES[0])


def test_what_is_forgotten_is_gone_and_may_begin_anew(spoken: SpokenText) -> None:
    spoken.add("one", PIECES[0])
    spoken.forget("one")
    spoken.forget("one")
    assert not spoken.read("one")
    spoken.add("one", PIECES[1])
    assert tuple(spoken.read("one")) == PIECES[1:2]


def test_another_process_reads_what_was_written_without_a_word_of_farewell(tmp_path: Path) -> None:
    first = SpokenFiles(tmp_path)
    for piece in PIECES:
        first.add("one", piece)
    second = SpokenFiles(tmp_path)
    assert tuple(second.read("one")) == PIECES
    second.add("one", PIECES[1])
    assert tuple(SpokenFiles(tmp_path).read("one")) == (*PIECES, PIECES[1])
    second.forget("one")
    assert list(tmp_path.iterdir()) == []


def test_wherever_the_file_is_torn_what_came_before_is_read_and_more_can_be_added(tmp_path: Path) -> None:
    whole = SpokenFiles(tmp_path)
    for piece in PIECES:
        whole.add("one", piece)
    data = (tmp_path / "one.jsonl").read_bytes()
    for end in range(len(data)):
        (tmp_path / "torn.jsonl").write_bytes(data[:end])
        torn = SpokenFiles(tmp_path)
        left = tuple(torn.read("torn"))
        assert left == PIECES[: len(left)]
        assert torn.add("torn", PIECES[1])
        assert tuple(SpokenFiles(tmp_path).read("torn")) == (*left, PIECES[1])
        torn.forget("torn")


@pytest.mark.parametrize("junk", [b"\xff\xfe\n", b"[]\n", b'[7, "x", 0, 0]\n', b"null\n", b"{}\n", b"[0, 1, 2, 3]\n"])
def test_what_cannot_be_understood_ends_the_file(tmp_path: Path, junk: bytes) -> None:
    kept = SpokenFiles(tmp_path)
    kept.add("one", PIECES[0])
    kept.release("one")
    with (tmp_path / "one.jsonl").open("ab") as file:
        file.write(junk)
    assert tuple(SpokenFiles(tmp_path).read("one")) == PIECES[:1]


def test_a_file_that_is_full_takes_no_more_and_says_so(tmp_path: Path) -> None:
    kept = SpokenFiles(tmp_path, most=500)
    answers = [kept.add("one", PIECES[1]) for _ in range(50)]
    assert answers[0]
    assert not answers[-1]
    assert len(kept.read("one")) == sum(answers)
    assert (tmp_path / "one.jsonl").stat().st_size <= 500


def test_a_disk_that_does_not_take_it_is_an_answer_and_no_fault(tmp_path: Path) -> None:
    kept = SpokenFiles(tmp_path / "folder")
    (tmp_path / "folder").rmdir()
    assert not kept.add("one", PIECES[0])


def test_what_was_kept_before_a_file_was_full_is_read_whatever_else_it_was_offered(tmp_path: Path) -> None:
    kept = SpokenFiles(tmp_path, most=400)
    assert kept.add("one", PIECES[0])
    assert not kept.add("one", Spoken(B, "c1", 1, "text", "x" * 400))
    taken = [piece for piece in (PIECES[1], PIECES[2]) if kept.add("one", piece)]
    assert list(kept.read("one")) == [PIECES[0], *taken]


def test_nobody_else_can_read_it_and_nothing_is_left_of_what_is_forgotten(tmp_path: Path) -> None:
    kept = SpokenFiles(tmp_path)
    kept.add("one", PIECES[0])
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    kept.replace("one", PIECES)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    (tmp_path / "one.new").write_bytes(b"left by a process that died")
    kept.forget("one")
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_cannot_be_replaced_stay_as_they_were(tmp_path: Path) -> None:
    kept = SpokenFiles(tmp_path)
    for piece in PIECES:
        kept.add("one", piece)
    (tmp_path / "one.new").mkdir()
    kept.replace("one", PIECES[1:2])
    assert tuple(kept.read("one")) == PIECES
    assert kept.add("one", PIECES[0])
    assert tuple(kept.read("one")) == (*PIECES, PIECES[0])
