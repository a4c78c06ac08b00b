"""Maintenance mode: nothing new is begun, for all processes of an installation, until it is ended."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

RETRY_AFTER = 60.0
"""Seconds after which clients that were refused may ask again."""
USUAL = "the server is in maintenance"


@dataclass(frozen=True, slots=True)
class Maintenance:
    """Since when, why, and who said so."""

    since: datetime
    message: str
    by_id: str
    by_name: str

    @property
    def told(self) -> str:
        """Return what people are told."""
        return self.message or USUAL


class MaintenanceSwitch(Protocol):
    """Whether it is on."""

    async def current(self) -> Maintenance | None:
        """Return it; None while it is off."""
        ...

    async def turn_on(self, maintenance: Maintenance) -> None:
        """Turn it on, or change its message; since when stays as it was."""
        ...

    async def turn_off(self) -> bool:
        """Turn it off; return whether it was on."""
        ...


class MemorySwitch:
    """In memory, for those who test without a database. Implements `MaintenanceSwitch`."""

    def __init__(self) -> None:
        self._on: Maintenance | None = None

    async def current(self) -> Maintenance | None:
        """Return what was set in this process."""
        return self._on

    async def turn_on(self, maintenance: Maintenance) -> None:
        """Turn it on."""
        self._on = maintenance

    async def turn_off(self) -> bool:
        """Turn it off."""
        was, self._on = self._on, None
        return was is not None
