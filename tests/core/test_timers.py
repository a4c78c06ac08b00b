"""When timers are due, also on the days on which clocks are put forward and back."""

from datetime import UTC, datetime, timedelta

import pytest

from hostler.core.timers import after, next_of, seconds_of

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("1d 2h", 93_600), (" 5m ", 300)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float):
    assert seconds_of(text) == seconds
    assert after(text, at("2026-01-01T00:00")) == at("2026-01-01T00:00") + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5m3", "0s", "five minutes", "367d", "9" * 9 + "d", "5m5h"])
def test_what_is_no_duration_is_refused(text: str):
    with pytest.raises(ValueError, match=r"duration|due within"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("cron", "zone", "since", "due"),
    [
        ("0 9 * * 1-5", "", "2026-01-02T10:00", "2026-01-05T09:00"),
        ("0 9 * * *", BERLIN, "2026-01-01T00:00", "2026-01-01T08:00"),
        ("0 9 * * *", BERLIN, "2026-07-01T00:00", "2026-07-01T07:00"),
        # On 29 March 2026 two o'clock is followed by three: what falls into the gap is due right after it.
        ("30 2 * * *", BERLIN, "2026-03-29T00:00", "2026-03-29T01:00"),
        ("30 2 * * *", BERLIN, "2026-03-29T01:00", "2026-03-30T00:30"),
        # On 25 October 2026 the hour from two to three comes twice: it is due once.
        ("30 2 * * *", BERLIN, "2026-10-24T22:00", "2026-10-25T00:30"),
        ("30 2 * * *", BERLIN, "2026-10-25T00:30", "2026-10-26T01:30"),
    ],
)
def test_cron_lines_follow_the_clock_on_the_wall(cron: str, zone: str, since: str, due: str):
    assert next_of(cron, zone, at(since)) == at(due)


@pytest.mark.parametrize("cron", ["0 0 9 * * 1", "* * * *", "61 * * * *", "0 0 30 2 *", "@daily", "", "a b c d e"])
def test_what_is_no_cron_line_with_five_fields_is_refused(cron: str):
    with pytest.raises(ValueError, match=r"five fields|no cron line|never comes"):
        next_of(cron, "", at("2026-01-01T00:00"))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../etc/passwd", "/etc/passwd", "x" * 300])
def test_what_is_no_time_zone_is_refused(zone: str):
    with pytest.raises(ValueError, match="no time zone"):
        next_of("0 9 * * *", zone, at("2026-01-01T00:00"))


def test_a_cron_line_too_far_away_is_refused():
    with pytest.raises(ValueError, match="366 days"):
        next_of("0 0 29 2 *", "", at("2026-03-01T00:00"))
