"""The agents that run inside environments, by the name of their driver. A new one is one package and one line here."""

from collections.abc import Callable, Mapping
from pathlib import Path

from hostler.agents.codex import installed as codex
from hostler.agents.codex.driver import CodexDriver
from hostler.core.agents import AgentDriver

DRIVERS: Mapping[str, AgentDriver] = {driver.name: driver for driver in (CodexDriver(),)}
_FOLDERS: Mapping[str, Callable[[], Path | None]] = {"codex": codex.folder}
_MISSING: Mapping[str, str] = {"codex": codex.MISSING}


def programs() -> Mapping[str, Path]:
    """Return the folders of the agents' programs that are installed here, by driver."""
    return {name: folder for name, find in _FOLDERS.items() if (folder := find())}


def missing(driver: str) -> str:
    """Return what is to be done before a driver can be used; empty when it can be."""
    find = _FOLDERS.get(driver)
    return _MISSING[driver] if find and find() is None else ""
