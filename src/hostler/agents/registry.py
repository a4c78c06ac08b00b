"""The agents that run inside environments, by the name of their driver. A new one is one package and one line here."""

from collections.abc import Mapping

from hostler.agents.codex.driver import CodexDriver
from hostler.core.agents import AgentDriver

DRIVERS: Mapping[str, AgentDriver] = {driver.name: driver for driver in (CodexDriver(),)}
