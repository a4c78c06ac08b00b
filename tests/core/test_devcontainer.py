"""What is done of a devcontainer.json, and what is said about the rest."""

import pytest

from hostler.core.devcontainer import (
    LONGEST,
    REFERENCE,
    TOKEN,
    TRAILING,
    BadDevContainer,
    DevContainer,
    Hook,
    Surroundings,
    may_set,
    parse,
)

AROUND = Surroundings("/workspace", {"PATH": "/usr/bin", "HOME": "/home/agent"})


def read(text: str) -> DevContainer:
    return parse(".devcontainer.json", text, AROUND)


def test_comments_and_trailing_commas_are_no_mistakes():
    parsed = read(
        """{
        // a comment with "quotes" and , commas
        "name": "x // not a comment, /* nor this */",
        "containerEnv": {"A": "1", /* one */ "B": "http://h/,]",},
        "postCreateCommand": ["make", "all",],
        }"""
    )
    assert parsed.variables == {"A": "1", "B": "http://h/,]"}
    assert parsed.once == (Hook("postCreateCommand", (("postCreateCommand", ("make", "all")),)),)
    assert parsed.ignored == ()


def test_commands_are_texts_words_or_an_object_of_such_and_run_in_their_order():
    parsed = read(
        """{"postStartCommand": {"web": "serve", "db": ["start", "--now"]},
        "postCreateCommand": "npm ci", "onCreateCommand": "one", "updateContentCommand": "two"}"""
    )
    assert [hook.name for hook in parsed.once] == ["onCreateCommand", "updateContentCommand", "postCreateCommand"]
    assert parsed.once[2].commands == (("postCreateCommand", ("/bin/sh", "-c", "npm ci")),)
    (start,) = parsed.each_start
    assert start.commands == (
        ("postStartCommand/web", ("/bin/sh", "-c", "serve")),
        ("postStartCommand/db", ("start", "--now")),
    )


def test_what_has_no_meaning_here_is_named():
    parsed = read('{"image": "x", "features": {}, "mounts": [], "initializeCommand": "rm -rf /", "customizations": {}}')
    assert parsed.ignored == (".devcontainer.json: features, image, initializeCommand, mounts have no effect here",)
    assert parsed.once == ()


def test_variables_that_would_lead_out_or_change_the_supervisor_are_not_set():
    parsed = read(
        '{"containerEnv": {"LD_PRELOAD": "x", "https_proxy": "y", "PYTHONPATH": "z", "1A": "a", "FINE": "f"}}'
    )
    assert parsed.variables == {"FINE": "f"}
    assert parsed.ignored == ("containerEnv: 1A, LD_PRELOAD, PYTHONPATH, https_proxy cannot be set here",)
    assert may_set("NODE_ENV")


def test_references_stand_for_the_inside_and_never_for_this_machine():
    parsed = read(
        '{"remoteEnv": {"PATH": "${containerEnv:PATH}:${containerWorkspaceFolder}/bin", "S": "${localEnv:HOME}",'
        ' "D": "${localEnv:NO:fallback}"}, "postCreateCommand": "echo ${HOME} ${containerWorkspaceFolderBasename}"}'
    )
    assert parsed.remote == {"PATH": "/usr/bin:/workspace/bin", "S": "", "D": "fallback"}
    assert parsed.once[0].commands[0][1][-1] == "echo ${HOME} workspace"


@pytest.mark.parametrize(
    ("given", "folder", "said"),
    [
        ('"/workspace/app"', "app", False),
        ('"${containerWorkspaceFolder}/app/"', "app", False),
        ('"/workspace"', "", False),
        ('"/workspaces/other"', "", True),
        ('"/workspace/../etc"', "", True),
        ("7", "", True),
    ],
)
def test_the_folder_must_lie_in_the_workspace(given: str, folder: str, said: bool):
    parsed = read(f'{{"workspaceFolder": {given}}}')
    assert (parsed.folder, bool(parsed.ignored)) == (folder, said)


@pytest.mark.parametrize(
    "command", ["7", "[1, 2]", '[""]', '{"a": 7}', '"a\\u0000b"', '{"a b": "x", "a-b": "y", "c": null}']
)
def test_what_is_no_command_is_said_and_not_run(command: str):
    parsed = read(f'{{"postCreateCommand": {command}}}')
    assert parsed.once == ()
    assert "postCreateCommand" in parsed.ignored[0]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": }', "[" * 50_000, "/*" * 30_000, '"' + "\\" * 30_000, ", " * 30_000]
)
def test_what_is_no_file_of_the_kind_is_refused_at_once(text: str):
    assert len(text) <= LONGEST
    with pytest.raises(BadDevContainer):
        read(text)


@pytest.mark.parametrize("piece", ['"\\', '"\\"\\', "/*", "//", ", ", ",\n", "${a:", "${a:b:", "${a", "${"])
def test_no_repository_keeps_the_server_busy_with_its_file(piece: str):
    """This test ends only where no pattern takes time by the square of a text's length."""
    for pattern in (TOKEN, TRAILING, REFERENCE):
        assert len(pattern.sub("", piece * 500_000)) <= len(piece) * 500_000
