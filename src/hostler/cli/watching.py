"""Following executions: watch and wait, and the part of `run` that comes after the start."""

import re
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from hostler.cli import endings, ids, places
from hostler.cli.client import Client
from hostler.cli.endings import SHORT
from hostler.cli.extras import noted, seen, verdict
from hostler.cli.options import AsJson, DataDir, Execution, Full, Thoughts
from hostler.cli.problems import FAILED, Problem, Unreachable, usage
from hostler.cli.screen import emit, note, say
from hostler.cli.story import Story
from hostler.cli.stream import PAUSES, TRIES, Conversation, Frame

DETACHED = 130
"""The exit code after Ctrl-C, as shells know it: the execution goes on, so nothing is done and nothing failed."""
PHASES = ("PENDING", "RUNNING", "WAITING_FOR_INPUT", "STOPPED")
POLL = 0.3
"""Seconds between looks of `wait`."""
_LENGTH = re.compile(r"(\d+)(s|m|h|d)")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
Json = dict[str, Any]


def watch(
    execution: Execution,
    since: Annotated[
        str, typer.Option(help="From where: `start`, a time (10m, 2026-01-31T12:00Z), or a frame's number.")
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay when it is idle and show the next turns too.")
    ] = False,
    full: Full = False,
    thoughts: Thoughts = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show an execution's conversation until it is idle.

    It begins with the current or last turn. Ctrl-C leaves the agent running.

    Exit code: 0 done, 1 failed or stopped, 3 when it asks for something.

    Examples:

        hostler watch 0198c2

        hostler watch 0198c2 --since start --full
    """
    after, moment = start_of(since)
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    follower = Follower(
        client, found, json=json, story=Story(full=full, thoughts=thoughts, execution=found[:SHORT]), since=moment
    )
    raise typer.Exit(follower.follow(after=after, stay=follow))


class Follower:
    """Shows one execution until it is idle, says how it ended, and returns the exit code."""

    def __init__(
        self,
        client: Client,
        execution: str,
        *,
        json: bool,
        story: Story,
        since: datetime | None = None,
        back: str = "",
    ) -> None:
        self._client = client
        self._execution = execution
        self._json = json
        self._story = story
        self._since = since
        self._where_back = back
        self._noted: set[str] = set()
        self._away = False
        self._last = ""
        self._stay = False

    def follow(self, *, after: str = "", stay: bool = False) -> int:
        """Show the conversation; Ctrl-C detaches and says how to come back."""
        self._stay = stay
        conversation = Conversation(
            self._client, self._execution, lost=self._lost, back=self._back, after=after, follow=stay
        )
        try:
            self._show_all(conversation)
            found = self._at_last()
            while endings.goes_on(found) and not (stay or self._story.asked):
                while endings.goes_on(found):
                    time.sleep(POLL)
                    found = self._at_last()
                rest = Conversation(
                    self._client, self._execution, lost=self._lost, back=self._back, after=self._last, follow=False
                )
                self._show_all(rest)
                found = self._at_last()
        except KeyboardInterrupt:
            self._story.close()
            again = (
                f"back {self._where_back}" if self._where_back else f"Watch again with: hostler watch {self._execution}"
            )
            note(f"detached; it goes on. {again}")
            return DETACHED
        return self._end(found)

    def _show_all(self, conversation: Conversation) -> None:
        for frame in conversation:
            self._last = str(frame.id)
            self._show(frame)
            if not self._stay and self._story.open.making and self._not_made():
                conversation.stop()
                return

    def _not_made(self) -> bool:
        """Return whether the environment waits for a credential, which nobody here may have."""
        with suppress(Unreachable):
            return bool(seen(self._client, self._execution)["hostler"].get("needsCredential"))
        return False

    def _show(self, frame: Frame) -> None:
        made = _moment(str(frame.body.get("createdAt", "")))
        if self._since and made and made < self._since:
            return
        if self._json:
            emit({"type": "frame", "id": frame.id, "tag": frame.tag, "body": frame.body}, lines=True)
            self._story.heed(frame)
            return
        self._story.tell(frame)
        if _brings_news(frame.body):
            with suppress(Unreachable):  # the stream reconnects, and what is new is told at the end
                self._news(seen(self._client, self._execution))

    def _at_last(self) -> Json:
        """Return the execution after its stream has ended, although the server may just be starting again."""
        for attempt in range(TRIES):
            try:
                found = seen(self._client, self._execution)
                if self._away:
                    self._back()
                return found
            except Problem as problem:
                if not isinstance(problem, Unreachable) and problem.code != "unavailable":
                    raise
                self._lost(f"{problem.message}; reconnecting")
                time.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
                self._client.find_again()
        return seen(self._client, self._execution)

    def _end(self, found: Json) -> int:
        code = endings.exit_code(found, self._story.asked)
        if self._json:
            emit({"type": "end", "exitCode": code, "execution": found}, lines=True)
            return code
        self._story.close()
        self._news(found)
        endings.tell(found, asked=self._story.asked, verdict=verdict(self._client, self._execution))
        say(f"exit code {code}")
        return code

    def _news(self, found: Json) -> None:
        """Say what people should know, each thing once."""
        for text in noted(found):
            if text not in self._noted:
                self._noted.add(text)
                self._story.remark(text)

    def _lost(self, why: str) -> None:
        """Say once that the connection is lost; what further tries bring is not news."""
        if self._away:
            return
        self._away = True
        self._story.close()
        note(f"connection lost: {why}", "yellow")

    def _back(self) -> None:
        self._away = False
        self._story.close()
        note("connected again", "green")


def wait(
    execution: Execution,
    until: Annotated[str, typer.Option(help=f"The phase to wait for: {', '.join(PHASES)}; without it, idle.")] = "",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds after which to give up; 0 waits for ever.")] = 0,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Wait until an execution is idle, or in a phase.

    Exit code: 0 when it is there, 1 when it failed, was stopped, or the time ran out.

    Examples:

        hostler wait 0198c2 && hostler apply 0198c2

        hostler wait 0198c2 --until RUNNING --timeout 60
    """
    phase = until.upper().replace("-", "_").removeprefix("PHASE_")
    if phase and phase not in PHASES:
        raise usage(f"--until: {until!r} is not a phase; there are {', '.join(PHASES)}")
    client = Client(places.find(data_dir))
    found = arrived(client, ids.execution(client, execution), phase, timeout)
    reached = endings.phase(found) == f"PHASE_{phase}" if phase else None
    code = endings.exit_code(found) if reached is None else (0 if reached else FAILED)
    if json:
        emit(found)
    else:
        say(endings.state(found))
    raise typer.Exit(code)


def arrived(client: Client, execution: str, phase: str, timeout: float) -> Json:
    """Return the execution once it is in the phase ('' = idle), or stopped; raises Problem when the time runs out."""
    deadline = time.monotonic() + timeout if timeout else None
    wanted = {f"PHASE_{phase}", "PHASE_STOPPED"} if phase else {"PHASE_WAITING_FOR_INPUT", "PHASE_STOPPED"}
    failures, now = 0, ""
    while True:
        try:
            found = client.execution(execution)
            failures, now = 0, endings.phase(found)
            if now in wanted and not (not phase and endings.goes_on(found)):
                return found
        except Problem as problem:
            passing = isinstance(problem, Unreachable) or problem.code == "unavailable"
            if not passing or failures >= TRIES:
                raise
            note(f"{problem.message}; reconnecting", "yellow")
            failures += 1
            client.find_again()
        if deadline and time.monotonic() >= deadline:
            raise Problem(f"the time ran out; the execution is {now.removeprefix('PHASE_') or 'out of reach'}")
        time.sleep(PAUSES[min(failures, len(PAUSES)) - 1] if failures else POLL)


def start_of(since: str) -> tuple[str, datetime | None]:
    """Return what `--since` means: a place in the stream, and a moment before which nothing is shown."""
    if since == "start":
        return "0", None
    if not since or since.isdecimal():
        return since, None
    if length := _LENGTH.fullmatch(since):
        return "0", datetime.now(UTC) - timedelta(**{UNITS[length[2]]: int(length[1])})
    moment = _moment(since)
    if moment is None:
        raise usage(f"--since: {since!r} is not `start`, a time such as 10m or 2026-01-31T12:00Z, or a frame's number")
    return "0", moment


def _moment(text: str) -> datetime | None:
    """Return an RFC 3339 time, local when it names no zone; None when the text is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return None


def _brings_news(body: Json) -> bool:
    """Say whether notes or refused hosts may have come up: when the agent begins, and when an action failed."""
    return "userInputSeen" in body or bool(body.get("actionCompleted", {}).get("failed"))
