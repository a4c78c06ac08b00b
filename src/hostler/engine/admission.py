"""Holds back what would begin a turn by itself while maintenance mode is on.

It only delays the command that wakes an execution. What is waited for stays open in the log meanwhile, so a server
that dies here leaves nothing behind: the next one wants the same, and is held back as well.
"""

import asyncio
from datetime import datetime, timedelta

from hostler.core.ambient import Ambient
from hostler.core.maintenance import MaintenanceSwitch

LOOK = 2.0
"""Seconds between two looks at maintenance mode while it is on, for all who are held back together."""


class Admission:
    """Lets pass what is due, once maintenance mode is off."""

    def __init__(self, switch: MaintenanceSwitch, ambient: Ambient) -> None:
        self._switch = switch
        self._ambient = ambient
        self._looking = asyncio.Lock()
        self._on_until: datetime | None = None
        """Until when it is taken as on without another look; that it is off is never remembered."""

    async def opened(self) -> bool:
        """Return when maintenance mode is off; True where that had to be waited for."""
        held = False
        while await self._on():
            held = True
            await self._ambient.until(self._ambient.now() + timedelta(seconds=LOOK))
        return held

    async def _on(self) -> bool:
        async with self._looking:
            now = self._ambient.now()
            if self._on_until is not None and now < self._on_until:
                return True
            on = await self._switch.current() is not None
            self._on_until = now + timedelta(seconds=LOOK) if on else None
            return on
