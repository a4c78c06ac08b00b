"""Whether OpenTelemetry is on: an endpoint is set, and the extra `otel` is installed. Nothing is imported otherwise."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from hostler.core.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostler.config import TelemetrySection
    from hostler.core.meters import Meters
    from hostler.telemetry.sending import Telemetry

log = structlog.get_logger(__name__)

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
NEEDED = "opentelemetry.exporter.otlp.proto.http"
HINT = "pip install 'hostler[otel]'"


def opened(section: TelemetrySection, environ: Mapping[str, str], meters: Meters, runner: str) -> Telemetry | None:
    """Return what sends telemetry; None where it is off. FailedPrecondition when the extra is missing."""
    endpoint = section.endpoint or environ.get(VARIABLE, "").rstrip("/")
    if not endpoint:
        return None
    if not installed():
        if section.endpoint:
            raise FailedPrecondition(f"telemetry.endpoint is set, and OpenTelemetry is not installed: {HINT}")
        log.warning("OpenTelemetry is not installed, so nothing is sent", variable=VARIABLE, mend=HINT)
        return None
    from hostler.telemetry.sending import Telemetry

    return Telemetry(endpoint, section, meters, runner)


def installed() -> bool:
    """Return whether the extra is installed."""
    try:
        return find_spec(NEEDED) is not None
    except ModuleNotFoundError:
        return False
