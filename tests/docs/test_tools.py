"""docs/agents.md names the built-in agent's tools, and every one of them can be offered to a model."""

import re

import pytest

from hostler.projections.actions import intent
from hostler.tools.registry import TOOLS
from hostler.tools.tool import parse, spec
from tests.docs.pages import ROOT


def test_the_page_names_exactly_the_tools_there_are() -> None:
    page = (ROOT / "docs" / "agents.md").read_text()
    found = re.search(r"^Its tools are (.*?)\.$", page, re.MULTILINE | re.DOTALL)
    assert found
    assert re.findall(r"`(\w+)`", found[1]) == list(TOOLS)


@pytest.mark.parametrize("name", list(TOOLS))
def test_a_tool_says_what_it_takes_and_refuses_what_it_does_not(name: str) -> None:
    tool = TOOLS[name]
    offered = spec(tool)
    assert offered.parameters["type"] == "object"
    assert offered.parameters["additionalProperties"] is False
    assert offered.name == name
    assert len(offered.description) > 20
    assert intent(name, "{}").strip() or name == "bash"
    with pytest.raises(ValueError, match=rf"The arguments of {name} "):
        parse(tool, '{"nonsense": 1}')
    with pytest.raises(ValueError, match="not valid JSON"):
        parse(tool, "{")
