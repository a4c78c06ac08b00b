"""Telling what happens to the environment of an execution, which hosts it asked for, and what is kept of its work."""

from hostler.core import events as ev
from hostler.core.egress import covers
from hostler.core.kept import KeptEvent, WorkApplied, WorkKept, WorkNotKept, WorkRestored
from hostler.projections.items import RefusedHost
from hostler.projections.telling import Telling

EnvironmentEvent = ev.EnvironmentReady | ev.EnvironmentFailed | ev.EnvironmentLost | ev.SupervisorLost


def tell_environment(telling: Telling, event: EnvironmentEvent) -> None:
    """Tell of the environment; that it is ready only the first time, and again after it was not."""
    match event:
        case ev.EnvironmentReady(_, incarnation, _, notes):
            known = telling.before.environment.incarnation
            if known in ("", incarnation) and known:
                return
            said = "The environment was brought back." if known else "The environment is ready."
            telling.note("environment", said, detail="\n".join(notes))
        case ev.EnvironmentFailed(message):
            telling.note("environment", "The environment could not be made.", "bad", message)
        case ev.EnvironmentLost(message):
            telling.note("environment", "The environment is gone.", "bad", message)
        case ev.SupervisorLost(incarnation):
            before = telling.before.environment
            if incarnation == before.incarnation and before.ready:
                telling.note(
                    "supervisor_lost",
                    "The environment stopped answering; it is being brought back.",
                    "ask",
                    "What ran in it at that moment may or may not have been done: such actions are marked as unknown.",
                )


def tell_work(telling: Telling, event: KeptEvent) -> None:
    """Tell of kept work."""
    match event:
        case WorkKept():
            _kept(telling, event)
        case WorkNotKept(_, reason):
            telling.note("not_kept", "The work of this turn could not be kept outside the environment.", "ask", reason)
        case WorkApplied(commit):
            telling.note("applied", f"The work was applied to a repository (commit {commit[:12]}).", "good")
        case WorkRestored(_, turn):
            after = (
                f"from the work kept after turn {turn}"
                if turn
                else "as the first one was, for nothing was changed there"
            )
            telling.note("restored", f"It goes on in a new environment, made {after}.")


def _kept(telling: Telling, event: WorkKept) -> None:
    before = telling.before.kept
    if not event.commit or (before and before.work.commit == event.commit):
        return
    files = "1 file differs" if event.files == 1 else f"{event.files} files differ"
    telling.note("kept", f"Work kept: {files} from the start.", detail="\n".join(event.left_out))


class HostTeller:
    """Follows the hosts that were refused: one item a host, until it is allowed."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._open: dict[str, str] = {}

    def refused(self, event: ev.EgressRefused) -> None:
        """Tell of a host that the environment may not reach, with how often it was asked for."""
        telling = self._telling
        known = telling.items.get(self._open.get(event.host, ""))
        if isinstance(known, RefusedHost):
            telling.change(known.id, times=known.times + 1)
            return
        name = telling.name("refused")
        self._open[event.host] = name
        telling.put(RefusedHost(name, telling.turn, telling.at, event.host, event.reason))

    def allowed(self, event: ev.HostAllowed) -> None:
        """Tell that somebody allowed what was refused."""
        for host, item in tuple(self._open.items()):
            if covers(event.host, host):
                self._telling.change(item, state=event.scope, by=event.by)
                del self._open[host]
