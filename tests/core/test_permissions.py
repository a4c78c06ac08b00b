"""Rules on tool calls: which commands a text runs, and what the rules say of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.core.approvals_events import Permission, Verdict
from hostler.core.commandline import LONGEST, matches, simple_commands
from hostler.core.permissions import ruling

RULES = (
    Permission("bash", "allow", "git push origin docs *"),
    Permission("bash", "ask", "git push *", "it leaves this machine"),
    Permission("bash", "deny", "rm -rf *", "nothing is removed here"),
    Permission("write", "deny", "*.env"),
    Permission("mcp__tickets__*", "ask"),
)


def says(command: str, *standing: str) -> Verdict:
    return ruling(RULES, "bash", json.dumps({"command": command}), frozenset(standing)).verdict


@pytest.mark.parametrize(
    "text",
    [
        "rm -rf build",
        "make && rm -rf build",
        "make; rm -rf build | cat",
        "make || { rm -rf build; }",
        "(cd a && rm -rf build) &",
        "echo $(rm -rf build)",
        'echo "now $(rm -rf build) done"',
        "echo `rm -rf build`",
        "diff <(rm -rf build) b",
        "X=1 rm -rf build",
        "sudo -u me rm -rf build",
        "env -i A=b timeout 5 rm -rf build",
        "ls | xargs rm -rf build",
        "bash -c 'cd a; rm -rf build'",
        "sh -ec rm\\ -rf\\ build",
        'eval "rm -rf build"',
        "if true; then rm -rf build; fi",
        "for f in *; do rm -rf $f; done",
        "! rm -rf build",
        "/bin/rm -rf build",
        "r'm' -r\"f\" build",
        "rm \\\n  -rf build",
        "rm -rf build>log 2>&1",
        "find . -name a -exec rm -rf {} +",
        "bash <<'END'\nrm -rf build\nEND",
        "cat <<END\n$(rm -rf build)\nEND",
        "cat <<A; rm -rf build\nx\nA",
        "x=$(rm -rf build) make",
        "f() { rm -rf build; }; f",
    ],
)
def test_a_command_is_found_wherever_it_stands(text: str):
    assert says(text) == "deny", simple_commands(text)


@pytest.mark.parametrize(
    "text",
    [
        "echo rm -rf build",
        "echo 'rm -rf build'",
        'echo "$(echo rm -rf build)"',
        "echo '$(rm -rf build)'",
        "make # rm -rf build",
        "cat <<'END'\nrm -rf build\n$(rm -rf build)\nEND",
        "git commit -m 'rm -rf build; rm -rf it'",
        "rm build",
        "ls >rm -rf",
        "rm\\ -rf build",
    ],
)
def test_words_that_are_no_command_are_let_be(text: str):
    assert says(text) == "allow", simple_commands(text)


def test_of_one_command_the_first_rule_counts_and_of_several_the_strictest_verdict():
    assert says("git push origin docs") == "allow"
    assert says("git push origin main") == "ask"
    assert says("git push origin docs && git push origin main") == "ask"
    assert says("git push origin main; rm -rf build") == "deny"
    assert says("git push origin main", "bash git push *") == "allow"
    assert says("rm -rf build", "bash rm -rf *") == "deny"


def test_other_tools_are_known_by_their_path_or_name():
    def of(tool: str, **arguments: str) -> Verdict:
        return ruling(RULES, tool, json.dumps(arguments), frozenset()).verdict

    assert of("write", path="a/.env", content="x") == "deny"
    assert of("write", path="a", content="x.env") == "allow"
    assert of("mcp__tickets__close") == "ask"
    assert of("mcp__docs__search") == "allow"
    assert ruling(RULES, "bash", "no JSON", frozenset()).verdict == "allow"


def test_a_text_that_is_too_long_to_be_read_is_denied():
    assert says("true;" * LONGEST) == "deny"
    assert ruling(RULES[3:], "bash", json.dumps({"command": "true;" * LONGEST}), frozenset()).verdict == "allow"


@pytest.mark.parametrize(
    ("pattern", "command", "fits"),
    [
        ("git push", "git push", True),
        ("git push", "git push -f", False),
        ("git push *", "git push", True),
        ("* --force *", "git push --force origin", True),
        ("git * main", "git push origin main", True),
        ("git * main", "git push main origin", False),
        ("npm:*", "npm:test", True),
        ("'git push'", "git push", False),
        ("*", "anything at all", True),
        ("", "anything", False),
    ],
)
def test_a_pattern_is_matched_word_by_word(pattern: str, command: str, fits: bool):
    assert matches(pattern, tuple(command.split())) is fits


@given(st.text(st.sampled_from("ab \n;&|()<>'\"`$\\{}#!-=rm"), max_size=60))
def test_any_text_is_read_to_its_end(text: str):
    for words in simple_commands(text):
        assert words
    assert says(f"rm -rf build\n{text}") == "deny"
