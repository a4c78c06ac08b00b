"""When a timer is due: durations as people write them, and cron with a time zone. Pure: `since` is given."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

UNITS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?")
LONGEST = timedelta(days=366)
"""No timer is further away."""
FIELDS = 5


def seconds_of(duration: str) -> float:
    """Return a duration such as "90s", "5m" or "1h30m" in seconds; raises ValueError with what would be right."""
    found = DURATION.fullmatch(duration.strip().replace(" ", ""))
    parts = found.groups() if found else ()
    if not any(parts):
        raise ValueError(f'{duration!r} is no duration; write one like "90s", "5m", "1h30m" or "2d"')
    total = sum(int(part or 0) * unit for part, unit in zip(parts, UNITS.values(), strict=True))
    if not 0 < total <= LONGEST.total_seconds():
        raise ValueError(f"a timer is due within {LONGEST.days} days, and not at once")
    return float(total)


def after(duration: str, since: datetime) -> datetime:
    """Return when a duration is over; raises ValueError."""
    return since + timedelta(seconds=seconds_of(duration))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name, UTC for none; raises ValueError."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise ValueError(f'there is no time zone {name!r}; write one like "Europe/Berlin"') from None


def next_of(cron: str, zone: str, since: datetime) -> datetime:
    """Return the first moment after `since` that a cron line with five fields means; raises ValueError.

    Where clocks are put forward, what falls into the hour that there is not is due right after it; where they are put
    back, it is due once.
    """
    from cronsim import CronSim, CronSimError

    if len(cron.split()) != FIELDS:
        raise ValueError(f"{cron!r} needs the five fields minute, hour, day, month and weekday; seconds are not served")
    try:
        moment = next(CronSim(cron, since.astimezone(zone_of(zone)))).astimezone(UTC)
    except CronSimError as problem:
        raise ValueError(f"{cron!r} is no cron line: {problem}") from None
    except StopIteration:
        raise ValueError(f"{cron!r} never comes") from None
    if moment - since > LONGEST:
        raise ValueError(f"{cron!r} is not due within {LONGEST.days} days")
    return moment
