"""Sits out the deadlines of calls that wait for a person's word; the desk decides on the latest state."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from hostler.core.ambient import Ambient
from hostler.core.approvals_plan import DenyAtDeadline
from hostler.core.approving import DenyLate
from hostler.core.commands import Command
from hostler.core.errors import NotFound
from hostler.core.state import State
from hostler.engine.admission import Admission
from hostler.engine.performing import Outcome, Performer
from hostler.engine.scene import Scene


def performers(
    command: Callable[[str, Command], Awaitable[State]], admission: Admission, ambient: Ambient
) -> dict[type[Any], Performer]:
    """Return who carries out which effect."""

    async def deny(effect: DenyAtDeadline, scene: Scene) -> Outcome:
        """Deny the call when its time has come; what begins a turn ends the worker that we run in."""
        await ambient.until(effect.not_before)
        await admission.opened()
        with contextlib.suppress(NotFound):
            await asyncio.shield(command(scene.execution, DenyLate(effect.call_id)))
        return Outcome()

    return {DenyAtDeadline: deny}
