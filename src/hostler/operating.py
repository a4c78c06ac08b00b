"""Operating a server: what is measured, limited, written down and told to others, wired once.

`operating` makes it of the parts of a server; `beside` is what it does beside the requests.
"""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from hostler import __version__
from hostler.api.metrics import Measured
from hostler.api.operations import Operations, RateBox
from hostler.api.rates import RateLimits
from hostler.config import Settings
from hostler.core.ambient import Ambient
from hostler.core.errors import HostlerError
from hostler.core.maintenance import Maintenance
from hostler.core.meters import Meters, meters
from hostler.core.redaction import Redactor
from hostler.core.webhooks import secret_of
from hostler.engine.engine import Engine
from hostler.engine.webhooks import WebhookSender
from hostler.environments.posting import Posting, Reach
from hostler.reloading import Reloading
from hostler.store.opening import Store
from hostler.telemetry import otel, process
from hostler.telemetry.following import Following

log = structlog.get_logger(__name__)

MAINTENANCE_LOOK = 2.0
"""Seconds after which every page knows of maintenance mode."""
TIDY = 3600.0
"""Seconds between two looks for entries of the audit log that are too old."""
Figures = Mapping[tuple[str, ...], float]


@dataclass(slots=True)
class Seen:
    """What was last looked up in the database."""

    maintenance: Maintenance | None = None
    executions: Figures | None = None
    environments: Figures | None = None
    webhooks: Figures | None = None
    due: int = 0


@dataclass(frozen=True, slots=True)
class Operated:
    """What operates a server."""

    operations: Operations
    beside: tuple[Coroutine[Any, Any, None], ...]


def rate_limits(settings: Settings) -> RateLimits:
    """Return the limits that the settings say."""
    return RateLimits(**settings.rates.model_dump())


async def operating(
    settings: Settings,
    environ: Mapping[str, str],
    stores: Store,
    engine: Engine,
    reach: Reach,
    key: bytes,
    ambient: Ambient,
    redactor: Redactor,
    reloading: Reloading,
    runner: str,
) -> Operated:
    """Wire it."""
    measured, seen, rates = meters(), Seen(), RateBox(rate_limits(settings))
    telemetry = otel.opened(settings.telemetry, environ, measured, runner)
    following = Following(stores.executions.read, measured, *([telemetry.piece] if telemetry else []))
    stores.executions.heard = following.heard
    stores.writer.measured = measured.commits.see
    look_up(measured, seen, engine, stores)
    process.watch(measured)
    posting = Posting(reach)
    sender = WebhookSender(
        stores.webhooks,
        stores.executions,
        posting,
        key,
        ambient,
        redactor,
        measured.deliveries,
        lambda execution: f"{settings.server.public_url.rstrip('/')}/executions/{execution}",
    )
    redactor.add([secret_of(key, one.id) for one in await stores.webhooks.all()])

    async def refresh() -> None:
        await following.settled()
        await _refresh(stores, seen)

    def limits(changed: Settings) -> None:
        rates.limits = rate_limits(changed)

    reloading.takes("rates", limits)
    operations = Operations(
        measured=Measured(measured, refresh),
        rates=rates,
        audit=stores.audit,
        maintenance=stores.maintenance,
        maintained=lambda: seen.maintenance,
        webhooks=stores.webhooks,
        check_url=posting.check,
        wake_webhooks=sender.wake,
        reload=reloading.reload,
        **({"spans": telemetry.spans} if telemetry else {}),
    )
    days = reloading.current
    beside = [following.run(), sender.run(), sender.follow(), _maintenance(stores, seen, ambient)]
    beside.append(_tidy(stores, lambda: timedelta(days=days().audit_days), ambient))
    return Operated(operations, (*beside, *([telemetry.run()] if telemetry else [])))


def look_up(measured: Meters, seen: Seen, engine: Engine, stores: Store) -> None:
    """Say where the figures come from that are looked up."""
    measured.executions.look = lambda: seen.executions or {}
    measured.environments.look = lambda: seen.environments or {}
    measured.webhooks.look = lambda: seen.webhooks or {}
    measured.due_deliveries.look = lambda: {(): seen.due}
    measured.maintenance.look = lambda: {(): 1.0 if seen.maintenance else 0.0}
    measured.info.look = lambda: {(__version__,): 1.0}
    measured.slots.look = lambda: {("used",): float(engine.slots.used), ("all",): float(engine.slots.size)}
    measured.waiting_turns.look = lambda: {(): float(engine.slots.waiting)}
    measured.store_queue.look = lambda: {(): float(stores.writer.waiting)}


async def _refresh(stores: Store, seen: Seen) -> None:
    counts = await stores.figures.phases()
    seen.executions = {(phase,): float(count) for phase, count in counts.executions.items()}
    seen.environments = {(phase,): float(count) for phase, count in counts.environments.items()}
    states = [
        ("disabled" if one.disabled_at else "failing" if one.failing_since else "enabled")
        for one in await stores.webhooks.all()
    ]
    seen.webhooks = {(state,): float(states.count(state)) for state in ("enabled", "failing", "disabled")}
    seen.due = await stores.webhooks.due()
    seen.maintenance = await stores.maintenance.current()


async def _maintenance(stores: Store, seen: Seen, ambient: Ambient) -> None:
    """Know of maintenance mode, whichever process it was turned on by."""
    while True:
        try:
            seen.maintenance = await stores.maintenance.current()
        except HostlerError as problem:
            log.debug("maintenance mode could not be looked up", problem=problem.message)
        await ambient.until(ambient.now() + timedelta(seconds=MAINTENANCE_LOOK))


async def _tidy(stores: Store, kept: Any, ambient: Ambient) -> None:
    """Remove entries of the audit log that are too old."""
    while True:
        try:
            await stores.audit.expire(ambient.now() - kept())
        except HostlerError as problem:
            log.warning("the audit log could not be tidied", problem=problem.message)
        await ambient.until(ambient.now() + timedelta(seconds=TIDY))
