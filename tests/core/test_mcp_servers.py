"""How MCP servers are written in a repository: what is understood, and what is refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostler.core.mcp_servers import CONFIG_BYTES, McpServer, configured, merged, tool_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def read(**servers: Any) -> Any:
    return configured(json.dumps({"mcpServers": servers}).encode())


def test_everything_that_can_be_said_is_understood():
    whole = {
        "name": "Files",
        "command": "npx",
        "args": ["-y", "files"],
        "env": {"TOKEN": "${file:token}"},
        "workingDir": "packages",
        "timeout": 5,
        "toolDenyList": ["write_*"],
        "disabled": True,
    }
    ((server,), faults) = (read(files=whole).servers, read(files=whole).faults)
    env = {"TOKEN": "${file:token}"}
    assert server == McpServer(
        "files", "Files", "npx", ("-y", "files"), env, "packages", timeout=5.0, deny=("write_*",), disabled=True
    )
    assert faults == ()
    assert [server.denies(name) for name in ("write_file", "read_file")] == [True, False]
    far = configured(
        json.dumps(
            {"mcpServers": {"far": {"url": "https://a.b/mcp", "headers": {"X-Key": "1"}}}, "globalTimeout": 7}
        ).encode()
    )
    assert far.servers == (McpServer("far", url="https://a.b/mcp", headers={"X-Key": "1"}, timeout=7.0),)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({}, "exactly one of command and url"),
        ({"command": "a", "url": "http://b"}, "exactly one of command and url"),
        ({"command": "a", "headers": {"A": "b"}}, "headers: not with command"),
        ({"url": "http://b", "env": {"A": "b"}}, "not with url"),
        ({"url": "file:///etc/passwd"}, "url: http:// or https://"),
        ({"url": "http://user:word@host/"}, "no name or password"),
        ({"url": "http://host", "headers": {"A b": "c"}}, "'A b' is not the name of a header"),
        ({"url": "http://host", "headers": {"A": "b\r\nC: d"}}, "the value of A cannot be sent"),
        ({"command": "a", "env": {"A=B": "c"}}, "'A=B' is not the name of a variable"),
        ({"command": "a\0"}, "NUL"),
        ({"command": ["a"]}, "command: a text is needed"),
        ({"command": "a", "args": "b"}, "args: a list of texts"),
        ({"command": "a", "timeout": 0}, "timeout"),
        ({"command": "a", "timeout": True}, "timeout"),
        ({"command": "a", "timeout": float("nan")}, "timeout"),
        ({"command": "a", "disabled": "yes"}, "disabled"),
        ({"command": "a", "comand": "b"}, "'comand' is not known"),
        ("a", "an object is needed"),
    ],
)
def test_what_is_wrong_is_named_and_leaves_the_others(server: Any, words: str):
    found = read(bad=server, good={"command": "a"})
    assert [one.id for one in found.servers] == ["good"]
    ((fault,), id_) = (found.faults, "bad")
    assert fault.id == id_
    assert words in fault.message


def test_a_file_that_is_no_configuration_is_one_fault():
    deep = b"[" * 40_000
    for data in (b"{", b"[]", b'{"servers": {}}', b'{"mcpServers": []}', deep, b" " * (CONFIG_BYTES + 1), b"\xff"):
        found = configured(data)
        assert (found.servers, len(found.faults)) == ((), 1), data[:20]
    many = json.dumps({"mcpServers": {f"s{n}": {"command": "a"} for n in range(17)}}).encode()
    assert "at most 16" in configured(many).faults[0].message


@given(JSON)
def test_whatever_is_in_the_file_nothing_breaks(value: Any):
    for top in (value, {"mcpServers": value}, {"mcpServers": {"a": value}}):
        found = configured(json.dumps(top).encode())
        assert all(bool(one.command) != bool(one.url) for one in found.servers)


def test_a_server_of_the_configuration_is_not_changed_by_a_repository():
    own = (McpServer("a", command="ours"),)
    found = merged(own, read(a={"command": "theirs"}, b={"command": "b"}))
    assert [(one.id, one.command) for one in found.servers] == [("a", "ours"), ("b", "b")]


@given(st.text(min_size=1, max_size=120), st.text(min_size=1, max_size=120))
def test_names_for_models_are_short_plain_and_different(one: str, other: str):
    names = {tool_name("key", one), tool_name("key", other)}
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in names)
    assert all(name.isascii() for name in names)
    assert len(names) == len({one, other})
