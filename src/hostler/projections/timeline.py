"""A log as people read it: a conversation of items in turns, for the live page, the exports and the terminal.

Pure: fed with the events of a log in order, it says which items each one made or changed. Frames stay what the API
streams; both are functions of the same log.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from hostler.core import agent_events as ae
from hostler.core import events as ev
from hostler.core import forge_events as fe
from hostler.core.approvals_events import ApprovalGiven
from hostler.core.conversation import Usage
from hostler.core.events import Recorded
from hostler.core.family_events import FamilyEvent
from hostler.core.interests_events import InterestFired, InterestsDropped, InterestsRegistered
from hostler.core.judging_events import JudgingEvent
from hostler.core.kept import WorkApplied, WorkKept, WorkNotKept, WorkRestored
from hostler.core.mcp_events import McpChanged, McpReported
from hostler.core.memory_events import MemoryEvent
from hostler.core.modes_events import ModesEvent
from hostler.core.state import State, evolve
from hostler.projections.items import Action, AgentMessage, AnyItem, FileChanged, TurnEnd, TurnStart, UserInput
from hostler.projections.telling import Telling
from hostler.projections.telling_agents import AgentTeller
from hostler.projections.telling_approvals import tell_approval
from hostler.projections.telling_family import tell_family
from hostler.projections.telling_forge import ForgeTeller
from hostler.projections.telling_inputs import InputTeller
from hostler.projections.telling_judging import tell_judging
from hostler.projections.telling_mcp import tell_servers
from hostler.projections.telling_memory import MemoryTeller
from hostler.projections.telling_modes import tell_mode
from hostler.projections.telling_places import HostTeller, tell_environment, tell_work
from hostler.projections.telling_steps import StepTeller
from hostler.projections.telling_waits import tell_waits


class Timeline:
    """The conversation of one execution, event by event; without `pictures`, the bytes of images are not kept."""

    def __init__(self, execution: str, *, pictures: bool = True) -> None:
        self.execution = execution
        self.stopped_at: datetime | None = None
        """When the execution stopped last; None while it is not stopped."""
        self.calling_since: datetime | None = None
        """Since when the model is being called, counted from the first try; None while it is not."""
        self._telling = Telling()
        self._inputs = InputTeller(self._telling, pictures=pictures)
        self._steps = StepTeller(self._telling)
        self._hosts = HostTeller(self._telling)
        self._forge = ForgeTeller(self._telling)
        self._agents = AgentTeller(self._telling, self._steps, self._inputs)
        self._memory = MemoryTeller(self._telling, self._steps)
        self._turn_usage = Usage()
        self._turn_calls = 0
        self._turn_items = 0
        self._turn_began: datetime | None = None
        self._restarts = ("", 0)

    @property
    def state(self) -> State:
        """Return the state after the events fed so far."""
        return self._telling.state

    @property
    def seq(self) -> int:
        """Return the last event that was fed, 0 before the first."""
        return self._telling.seq

    @property
    def items(self) -> Sequence[AnyItem]:
        """Return all items in order."""
        return tuple(self._telling.items.values())

    def item(self, item_id: str) -> AnyItem | None:
        """Return an item by id."""
        return self._telling.items.get(item_id)

    def previous(self, item_id: str) -> str:
        """Return the id of the item before an item; empty for the first."""
        return self._telling.previous.get(item_id, "")

    @property
    def waiting(self) -> Sequence[UserInput | AgentMessage]:
        """Return the queue, first to last."""
        waiting = self._inputs.waiting
        return tuple(waiting[queued.id] for queued in self.state.queue if queued.id in waiting)

    @property
    def running(self) -> tuple[Action, ...]:
        """Return the actions that have not ended."""
        return self._steps.running

    def feed(self, recorded: Recorded) -> tuple[AnyItem, ...]:
        """Take the next event and return the items that it made or changed, in order."""
        before = self.state
        self._telling.begin(recorded, before, evolve(before, recorded))
        self._tell(recorded)
        return self._telling.touched

    def _tell(self, recorded: Recorded) -> None:
        event, at = recorded.event, recorded.at
        match event:
            case ev.TurnStarted():
                self._start(at)
            case ev.TurnAdopted():
                self._restart()
            case ev.TurnEnded() | ev.Stopped():
                self._end(event, at)
            case ev.InputQueued() | ev.InputTaken() | ev.InputDeleted() | ev.InputDropped() | ae.InputSeen():
                self._inputs.tell(event)
            case ev.ModelCallStarted() | ae.AgentCallStarted():
                self.calling_since = self.calling_since or at
                self._steps.tell(event)
            case ev.ModelReplied() | ev.ModelCallCut() | ev.ModelCallFailed():
                if not _goes_on(event):
                    self.calling_since = None
                self._steps.tell(event)
            case event if isinstance(event, MemoryEvent):
                self._memory.tell(event)
            case event if isinstance(event, JudgingEvent):
                tell_judging(self._telling, event)
            case event if isinstance(event, ModesEvent):
                tell_mode(self._telling, event)
            case ev.ToolStarted() | ev.ToolFinished() | ev.TodosSet() | ev.OutputsSet() | ev.NextStepsProposed():
                self._steps.tell(event)
            case ev.EnvironmentReady() | ev.EnvironmentFailed() | ev.EnvironmentLost() | ev.SupervisorLost():
                tell_environment(self._telling, event)
            case ev.EgressRefused():
                self._hosts.refused(event)
            case ev.HostAllowed():
                self._hosts.allowed(event)
            case ApprovalGiven():
                tell_approval(self._telling, event)
            case McpChanged() | McpReported():
                tell_servers(self._telling, event)
            case event if isinstance(event, FamilyEvent):
                tell_family(self._telling, event)
            case WorkKept() | WorkNotKept() | WorkApplied() | WorkRestored():
                tell_work(self._telling, event)
            case InterestsRegistered() | InterestFired() | InterestsDropped():
                tell_waits(self._telling, event)
            case fe.CodeAnnotated() | fe.EnvironmentCreated() | fe.BranchPushed() | fe.PullRequestOpened():
                self._forge.tell(event)
            case fe.PullRequestGiven() | fe.HostAuthenticationRequired() | fe.HostAuthenticated():
                self._forge.tell(event)
            case _:
                self._agents.tell(event)
        if isinstance(event, ae.AgentCallFinished | ae.AgentCallCut) and not self.state.external.calls:
            self.calling_since = None

    def _start(self, at: datetime) -> None:
        telling = self._telling
        self.stopped_at, self.calling_since, self._turn_began = None, None, at
        self._turn_usage, self._turn_calls = self.state.usage, self.state.iterations
        self._turn_items = len(telling.items)
        telling.put(TurnStart(f"turn-{telling.turn}", telling.turn, at))

    def _restart(self) -> None:
        """Tell of a restart; several in a row are one note."""
        telling = self._telling
        name, times = self._restarts
        times = times + 1 if name and name == telling.last else 1
        name = name if times > 1 else telling.name("restarted")
        how = "was restarted" if times == 1 else f"was restarted {times} times"
        telling.note("restarted", f"The server {how} and took up the turn where it was.", item=name)
        self._restarts = (name, times)

    def _end(self, event: ev.TurnEnded | ev.Stopped, at: datetime) -> None:
        """Say how a turn ended; a stop without a turn is told too."""
        telling, state, usage = self._telling, self.state, self._turn_usage
        self._steps.end()
        self.calling_since = None
        if isinstance(event, ev.Stopped):
            self._agents.end()
        how, message, limit = "idle", "", ""
        if isinstance(event, ev.Stopped):
            self.stopped_at = at
            how = "limit" if event.limit else ("failed" if event.failure else "stopped")
            message, limit = event.message, event.limit
        began, self._turn_began = self._turn_began, None
        told = tuple(telling.items.values())[self._turn_items :] if began else ()
        files = [one for one in told if isinstance(one, FileChanged)]
        spent = state.usage
        telling.put(
            TurnEnd(
                telling.name("end"),
                telling.turn,
                at,
                how,
                began,
                (at - began).total_seconds() if began else 0.0,
                state.iterations - self._turn_calls if began else 0,
                Usage(
                    spent.input - usage.input,
                    spent.cached_input - usage.cached_input,
                    spent.cache_creation - usage.cache_creation,
                    spent.output - usage.output,
                )
                if began
                else Usage(),
                message,
                limit,
                commands=sum(isinstance(one, Action) and bool(one.command) for one in told),
                files=len({one.path for one in files}),
                additions=sum(one.additions for one in files),
                deletions=sum(one.deletions for one in files),
            )
        )


def timeline(execution: str, log: Iterable[Recorded]) -> Timeline:
    """Return the timeline of a log that begins at seq 1."""
    line = Timeline(execution)
    for recorded in log:
        line.feed(recorded)
    return line


def _goes_on(event: ev.ModelReplied | ev.ModelCallCut | ev.ModelCallFailed) -> bool:
    """Return whether the same call is made once more."""
    match event:
        case ev.ModelCallFailed():
            return event.retry_at is not None
        case ev.ModelCallCut():
            return event.again
        case _:
            return False
