"""Which agents there are, and what is said of one whose program is missing."""

import pytest

from hostler.agents.registry import DRIVERS, missing, programs
from hostler.config import CODEX, Settings
from hostler.core.errors import FailedPrecondition
from hostler.definitions import Definitions
from hostler.models.registry import Registry


def definitions(missing_text: str = "", **settings: object) -> Definitions:
    return Definitions(
        Settings.model_validate(settings), Registry({}), lambda driver: missing_text if driver == "codex" else ""
    )


def test_codex_is_installed_for_these_tests_and_its_program_is_there() -> None:
    assert missing("codex") == ""
    assert (programs()["codex"] / "bin" / "codex").is_file()
    assert list(DRIVERS) == ["codex"]


def test_codex_is_listed_behind_the_built_in_agent() -> None:
    assert [one.agent.driver for one in definitions().all()] == ["builtin", "codex"]
    assert definitions().default().agent.driver == "builtin"


def test_codex_without_its_program_is_not_listed_and_says_how_to_get_it() -> None:
    some = definitions("pip install it")
    assert [one.agent.driver for one in some.all()] == ["builtin"]
    with pytest.raises(FailedPrecondition, match="pip install it"):
        some.get(CODEX)


def test_a_section_of_its_own_replaces_the_usual_codex() -> None:
    section = {"id": CODEX, "name": "mine", "driver": "codex", "model": "openai-chat:local"}
    found = definitions(agents=[section])
    assert [one.agent.model for one in found.all()] == ["openai-chat:local"]


@pytest.mark.parametrize(
    ("usual", "chosen"),
    [
        ("", "scripted:gpt-5.5"),
        ("openai-responses:gpt-5.6-sol", "openai-responses:gpt-5.6-sol"),
        ("anthropic:claude-sonnet-5", "openai-responses:gpt-5.5"),
    ],
)
def test_codex_takes_the_usual_model_where_that_speaks_its_protocol(usual: str, chosen: str) -> None:
    codex = definitions(model=usual).get(CODEX)
    assert codex
    assert codex.agent.model == chosen


def test_codex_brings_the_fast_tier_and_goals_and_has_no_web_search() -> None:
    models, section = Registry({"OPENAI_API_KEY": "x"}), {"model": "openai-responses:gpt-5.5"}
    codex = Definitions(Settings.model_validate(section), models).get(CODEX)
    assert codex
    assert codex.agent.disabled_capabilities == ("WEB_SEARCH", "SERVER_SIDE_TOOL_SEARCH")
