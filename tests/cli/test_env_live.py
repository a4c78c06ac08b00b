"""`hostler env` against a real server with real sandboxes: as a person at a terminal uses it."""

import re
import signal
import subprocess

import pytest

from tests.cli.seat import PATIENCE, Seat, command
from tests.server import HostlerProcess

pytestmark = pytest.mark.sandbox


def hostler_env(server: HostlerProcess, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    argv, env = command(server, "env", *words)
    return subprocess.run(argv, env=env, input=stdin, capture_output=True, timeout=PATIENCE)


@pytest.fixture
def environment(hostler: HostlerProcess) -> str:
    made = hostler_env(hostler, "create", "--name", "box")
    assert made.returncode == 0, made.stderr
    return made.stdout.decode().strip()


def test_an_environment_is_made_shown_used_stopped_started_and_removed(
    hostler: HostlerProcess, environment: str
) -> None:
    ran = hostler_env(hostler, "exec", environment[:13], "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"out\n", b"err\n")
    fed = hostler_env(
        hostler, "exec", environment, "--", "sh", "-c", "cat > kept; wc -c < kept", stdin=b"x" * 3_000_000
    )
    assert (fed.returncode, fed.stdout.strip()) == (0, b"3000000")
    shown = hostler_env(hostler, "show", environment).stdout
    assert b"running" in shown
    assert b"Regular" in shown
    assert hostler_env(hostler, "logs", environment).stdout.strip()
    assert hostler_env(hostler, "stop", environment).returncode == 0
    assert b"stopped" in hostler_env(hostler, "list").stdout
    assert hostler_env(hostler, "start", environment).returncode == 0
    assert hostler_env(hostler, "stop", environment).returncode == 0
    again = hostler_env(hostler, "exec", "-n", environment, "--", "stat", "-c", "%s", "kept")
    assert (again.returncode, again.stdout) == (0, b"3000000\n")
    assert hostler_env(hostler, "rm", environment).returncode == 0
    assert hostler_env(hostler, "show", environment).returncode == 1


def test_a_shell_is_a_terminal_that_is_left_and_joined_again(
    hostler: HostlerProcess, environment: str, seats: list[Seat]
) -> None:
    seat = Seat(hostler, "shell", environment[:13])
    seats.append(seat)
    seat.until(b"Ctrl-]")
    terminal = re.search(rb"terminal ([0-9a-f-]{36})", seat.shown)
    assert terminal is not None
    seat.type(b"test -t 0 && echo is-a-termi''nal; X=kept\n")
    seat.until(b"is-a-terminal")
    seat.type(b"\x1d")
    seat.until(b"--terminal")
    assert seat.ended() == 0
    again = Seat(hostler, "shell", environment, "--terminal", terminal[1].decode())
    seats.append(again)
    again.until(b"is-a-terminal")
    again.type(b"echo it-is-$X; exit 7\n")
    again.until(b"it-is-kept")
    assert again.ended() == 7


def test_a_shell_outlives_the_server_and_follows_the_size_of_the_window(
    hostler: HostlerProcess, environment: str, seats: list[Seat]
) -> None:
    import fcntl
    import struct
    import termios

    seat = Seat(hostler, "shell", environment)
    seats.append(seat)
    seat.type(b"echo rea''dy\n")
    seat.until(b"ready")
    fcntl.ioctl(seat.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 111, 0, 0))
    seat.process.send_signal(signal.SIGWINCH)
    seat.type(b"while [ \"$(stty size)\" != '33 111' ]; do sleep 0.1; done; echo resi''zed\n")
    seat.until(b"resized")
    hostler.restart()
    seat.until(b"reconnecting")
    seat.type(b"echo still-he''re\n")
    seat.until(b"still-here")
    seat.type(b"exit\n")
    assert seat.ended() == 0


def test_a_command_goes_on_over_a_crash_of_the_server_and_nothing_is_shown_twice(
    hostler: HostlerProcess, environment: str
) -> None:
    script = "for i in 1 2 3; do echo line-$i; done; touch begun; while [ ! -e go ]; do sleep 0.05; done; echo end"
    argv, env = command(hostler, "env", "exec", "-n", environment, "--", "sh", "-c", script)
    running = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    hostler.until(lambda: not hostler_env(hostler, "exec", "-n", environment, "--", "test", "-e", "begun").returncode)
    hostler.restart()
    assert hostler_env(hostler, "exec", "-n", environment, "--", "touch", "go").returncode == 0
    out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, out) == (0, b"line-1\nline-2\nline-3\nend\n"), err


def test_what_a_stop_ended_is_not_run_again_and_does_not_start_the_environment(
    hostler: HostlerProcess, environment: str, seats: list[Seat]
) -> None:
    seat = Seat(hostler, "shell", environment)
    seats.append(seat)
    seat.type(b"echo rea''dy\n")
    seat.until(b"ready")
    script = "echo x >> ran; sleep 1000"
    argv, env = command(hostler, "env", "exec", "-n", environment, "--", "sh", "-c", script)
    running = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    hostler.until(lambda: not hostler_env(hostler, "exec", "-n", environment, "--", "test", "-e", "ran").returncode)
    assert hostler_env(hostler, "stop", environment).returncode == 0
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 1
    assert b"stopped" in err
    assert seat.ended() == 1
    assert b"stopped" in hostler_env(hostler, "list").stdout
    assert hostler_env(hostler, "exec", "-n", environment, "--", "cat", "ran").stdout == b"x\n"


def test_interrupting_a_command_ends_it_inside(hostler: HostlerProcess, environment: str) -> None:
    script = "touch begun; sleep 86499"
    argv, env = command(hostler, "env", "exec", "-n", environment, "--", "sh", "-c", script)
    running = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    hostler.until(lambda: not hostler_env(hostler, "exec", "-n", environment, "--", "test", "-e", "begun").returncode)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130, err
    look = "grep -lazs '8649[9]' /proc/[0-9]*/cmdline | wc -l"
    hostler.until(lambda: hostler_env(hostler, "exec", "-n", environment, "--", "sh", "-c", look).stdout == b"0\n")


def test_what_cannot_be_made_or_joined_is_said(hostler: HostlerProcess, environment: str) -> None:
    assert b"no environment class" in hostler_env(hostler, "create", "--class", "enormous").stderr
    assert b"`hostler project list` shows all" in hostler_env(hostler, "create", "--project", "none").stderr
    assert b"no terminal" in hostler_env(hostler, "shell", environment).stderr
    failed = hostler_env(hostler, "create", "--repo", "https://no-such-host.invalid/a/b")
    assert failed.returncode == 1
    assert b"could not be made" in failed.stderr
