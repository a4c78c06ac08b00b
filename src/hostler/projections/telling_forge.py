"""Telling of code under review: pull requests, remarks, environments that an agent made, and missing credentials."""

from hostler.core import forge_events as m
from hostler.projections.telling import Telling


class ForgeTeller:
    """Follows what happens with code hosts; a host that asks for a credential is one item until it has one."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._open: dict[str, str] = {}

    def tell(self, event: m.ForgeEvent) -> None:
        """Tell of one event."""
        telling = self._telling
        match event:
            case m.CodeAnnotated(_, path, start, end, title, description):
                lines = f"{start}" if start == end else f"{start}-{end}"
                telling.note("annotation", f"{path}:{lines}: {title}", detail=description)
            case m.EnvironmentCreated(_, environment):
                telling.note("environment_created", f"Environment {environment} was made.")
            case m.HostAuthenticationRequired(_, host, reason):
                self._asked(host, reason, refused=bool(event.credential))
            case m.HostAuthenticated(host):
                self._set(host)
            case m.PullRequestGiven():
                self._given(event)
            case m.BranchPushed(_, branch, commit):
                telling.note("pushed", f"{branch} was pushed (commit {commit[:12]}).", "good")
            case m.PullRequestOpened(_, url, number, title, existed):
                verb = "updated" if existed else "opened"
                telling.note("pull_request", f"Pull request #{number} {verb}: {title}", "good", url)

    def _asked(self, host: str, reason: str, *, refused: bool) -> None:
        telling = self._telling
        what = "refused the credential" if refused else "asks for a credential"
        detail = f"Set one, and it goes on by itself: hostler secret set {host}"
        if reason and reason not in detail:
            detail = f"{detail}\n{reason}"
        name = self._open.get(host) or telling.name("credential")
        self._open[host] = name
        telling.note("credential", f"{host} {what}.", "ask", detail, item=name)

    def _set(self, host: str) -> None:
        if name := self._open.pop(host, ""):
            self._telling.change(name, text=f"{host} has a credential now.", tone="good", detail="")

    def _given(self, event: m.PullRequestGiven) -> None:
        number = f" #{event.number}" if event.number else ""
        branches = f" ({event.head} into {event.base})" if event.head and event.base else ""
        detail = "\n".join(part for part in (event.url, event.note) if part)
        self._telling.note("pull_request_given", f"For pull request{number}: {event.title}{branches}", detail=detail)
