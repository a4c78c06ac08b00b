"""What the kernel says of this process."""

import os
import resource
from collections.abc import Mapping
from pathlib import Path

from hostler.core.meters import Meters

SELF = Path("/proc/self")
PAGE = resource.getpagesize()
TICKS = os.sysconf("SC_CLK_TCK")


def watch(meters: Meters) -> None:
    """Let the metrics of the process be looked up."""
    figures = figures_of()
    for gauge in meters.process:
        if gauge.name in figures:
            gauge.look = lambda name=gauge.name: {(): figures_of().get(name, 0.0)}

    def processor() -> Mapping[tuple[str, ...], float]:
        used = os.times()
        return {(): used.user + used.system}

    meters.processor.look = processor


def figures_of() -> Mapping[str, float]:
    """Return the figures; none where there is no /proc."""
    try:
        fields = (SELF / "stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
        return {
            "process_virtual_memory_bytes": float(fields[20]),
            "process_resident_memory_bytes": float(fields[21]) * PAGE,
            "process_start_time_seconds": float(booted.split()[1]) + float(fields[19]) / TICKS,
            "process_threads": float(fields[17]),
            "process_open_fds": float(len(os.listdir(SELF / "fd"))),
            "process_max_fds": float(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        }
    except (OSError, ValueError, IndexError, StopIteration):
        return {}
