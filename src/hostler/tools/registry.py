"""The tools of the built-in agent. A new tool is one file and one line here."""

from collections.abc import Mapping

from hostler.tools.agents import ListAgents, MessageAgent, SpawnAgent, StopAgent
from hostler.tools.annotate import Annotate
from hostler.tools.ask import Ask
from hostler.tools.bash import Bash
from hostler.tools.create_environment import CreateEnvironment
from hostler.tools.edit import Edit
from hostler.tools.goal import GoalTool
from hostler.tools.next_steps import NextSteps
from hostler.tools.open_pull_request import OpenPullRequest
from hostler.tools.read import Read
from hostler.tools.result import AddResult
from hostler.tools.search import Search
from hostler.tools.skill import LoadSkill
from hostler.tools.todo import Todo
from hostler.tools.tool import OutsideTool, Tool
from hostler.tools.wait import CancelWait, RebuildDevcontainer, Wait
from hostler.tools.write import Write

TOOLS: Mapping[str, Tool | OutsideTool] = {
    tool.name: tool
    for tool in (
        Bash(),
        Read(),
        Write(),
        Edit(),
        Search(),
        Todo(),
        AddResult(),
        Ask(),
        NextSteps(),
        GoalTool(),
        OpenPullRequest(),
        Annotate(),
        CreateEnvironment(),
        Wait(),
        CancelWait(),
        RebuildDevcontainer(),
        LoadSkill(),
        SpawnAgent(),
        MessageAgent(),
        StopAgent(),
        ListAgents(),
    )
}
"""Name to tool, in the order in which the model sees them."""

INSIDE = tuple(name for name, tool in TOOLS.items() if tool.inside)
"""Names of the tools that run in the environment."""
