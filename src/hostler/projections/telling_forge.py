"""Telling of code under review: pull requests, remarks, environments that an agent made, and missing credentials."""

from hostler.core import forge_events as m
from hostler.projections.items import CodeAnnotation, EnvironmentMade, HostAuthentication
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
                name = telling.name("annotation")
                telling.put(CodeAnnotation(name, telling.turn, telling.at, path, start, end, title, description))
            case m.EnvironmentCreated(_, environment):
                telling.put(EnvironmentMade(telling.name("environment_made"), telling.turn, telling.at, environment))
            case m.HostAuthenticationRequired(_, host):
                if host not in self._open:
                    self._open[host] = telling.name("credential")
                    telling.put(HostAuthentication(self._open[host], telling.turn, telling.at, host))
            case m.HostAuthenticated(host):
                if name := self._open.pop(host, ""):
                    telling.change(name, state="given")
            case m.PullRequestGiven():
                self._given(event)
            case m.BranchPushed(_, branch, commit):
                telling.note("pushed", f"{branch} was pushed (commit {commit[:12]}).", "good")
            case m.PullRequestOpened(_, url, number, title, existed):
                verb = "updated" if existed else "opened"
                telling.note("pull_request", f"Pull request #{number} {verb}: {title}", "good", url)

    def _given(self, event: m.PullRequestGiven) -> None:
        number = f" #{event.number}" if event.number else ""
        branches = f" ({event.head} into {event.base})" if event.head and event.base else ""
        detail = "\n".join(part for part in (event.url, event.note) if part)
        self._telling.note("pull_request_given", f"For pull request{number}: {event.title}{branches}", detail=detail)
