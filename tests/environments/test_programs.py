"""More programs for the inside of environments."""

from pathlib import Path

from hostler.environments import programs


def folder(place: Path, mode: int = 0o755) -> Path:
    made = place / "closed" / "program"
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "run").write_text("#!/bin/sh\n")
    (made / "bin" / "run").chmod(0o755)
    made.parent.chmod(mode)
    return made


def test_an_open_folder_is_bound_where_it_is(place: Path) -> None:
    made = folder(place)
    words = programs.binds(place / "root", {"codex": made}, others=True)
    assert words[:3] == ["--ro-bind", str(made), "/run/hostler/programs/codex"]
    assert words[-3:] == ["--setenv", "HOSTLER_PROGRAMS", "/run/hostler/programs"]


def test_a_folder_that_others_may_not_reach_is_copied_once(place: Path) -> None:
    made = folder(place, 0o700)
    (made / "bin" / "run").chmod(0o700)
    words = programs.binds(place / "root", {"codex": made}, others=True)
    copy = Path(words[1])
    assert copy.is_relative_to(place / "root")
    assert programs.open_to_all(copy / "bin")
    assert (copy / "bin" / "run").stat().st_mode & 0o005 == 0o005
    assert programs.binds(place / "root", {"codex": made}, others=True) == words


def test_a_server_that_shares_its_user_id_needs_no_copy(place: Path) -> None:
    made = folder(place, 0o700)
    assert programs.binds(place / "root", {"codex": made}, others=False)[1] == str(made)


def test_without_programs_nothing_is_said(place: Path) -> None:
    assert programs.binds(place, {}, others=True) == []
