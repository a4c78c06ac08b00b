"""What operating a server needs of the API: metrics, rates, the audit log, maintenance mode, webhooks, reload."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from hostler.api.metrics import Measured
from hostler.api.rates import RateLimits
from hostler.api.spans import NoSpans, Spans
from hostler.core.audit import Audit, NoAudit
from hostler.core.maintenance import Maintenance, MaintenanceSwitch, MemorySwitch
from hostler.core.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of reading the settings again: what holds from now on, and what needs a restart."""

    changed: Sequence[str] = ()
    needs_restart: Sequence[str] = ()


class RateBox:
    """Holds the limits of rates, so that they can be changed while the server runs."""

    def __init__(self, limits: RateLimits | None = None) -> None:
        self.limits = limits or RateLimits()


def _unmaintained() -> Maintenance | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Given by whoever wires the server; without it nothing is kept, and nothing limited but by the defaults."""

    measured: Measured = field(default_factory=Measured)
    rates: RateBox = field(default_factory=RateBox)
    audit: Audit = field(default_factory=NoAudit)
    maintenance: MaintenanceSwitch = field(default_factory=MemorySwitch)
    maintained: Callable[[], Maintenance | None] = _unmaintained
    """Maintenance mode as this process last saw it; for pages."""
    webhooks: Webhooks | None = None
    check_url: Callable[[str], Awaitable[None]] | None = None
    """Raises InvalidArgument for an address that webhooks may not have."""
    wake_webhooks: Callable[[], None] = lambda: None
    """Says that something is due."""
    reload: Callable[[], Awaitable[Reloaded]] | None = None
    """Reads the settings again; raises InvalidArgument with every fault."""
    spans: Spans = field(default_factory=NoSpans)
