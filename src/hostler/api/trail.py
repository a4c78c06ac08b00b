"""Writes the audit log, at one place for everything that changes something.

What was done, and what was refused for want of permission, is written once the answer is known. A change of
administration (people, tokens, policy, settings) is written before it is made as well: where that cannot be written,
nothing is changed. Of all other changes the execution's own log is a record too, so a failure to write is logged.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

import structlog
from starlette.types import Scope

from hostler.api.call import Call, Caller
from hostler.api.naming import changes, parameters
from hostler.api.rates import address_of
from hostler.core.ambient import Ambient
from hostler.core.audit import Audit, Entry, Outcome
from hostler.core.errors import HostlerError, Unavailable

log = structlog.get_logger(__name__)

ADMINISTRATION = (
    "UserService/",
    "ServiceAccountService/",
    "OrganizationService/",
    "RunnerConfigurationService/",
)
"""Services whose changes are administration."""
ROOMS = frozenset(
    {
        "tokens",
        "users",
        "service-accounts",
        "accounts",
        "policy",
        "webhooks",
        "maintenance",
        "reload",
        "environment-classes",
        "gc",
        "scrub",
        "backup",
    }
)
"""First parts of the paths below /api/hostler/v1 whose changes are administration."""
HOUSE = "/api/hostler/v1/"
KEYSTROKES = frozenset({"EnvironmentOpsService/WriteTerminal", "EnvironmentOpsService/ResizeTerminal"})
"""Too many and too small: that the terminal was opened is written."""
LONGEST = 300
SNIFFED = 64 << 10
"""Bytes of an answer in which the id of what was made is looked for."""


class Trail:
    """Writes entries; one for each call that changes something."""

    def __init__(self, audit: Audit, ambient: Ambient) -> None:
        self._audit = audit
        self._ambient = ambient

    def admitting(self, call: Call, name: str, scope: Scope) -> Any:
        """Return what is to be done once the caller of an administrative change is known; None for all others."""
        if not (changes(name) and administrative(name)):
            return None

        async def admit(caller: Caller) -> None:
            if call.entry:
                return
            entry = self._entry(call, caller, name, "asked", scope)
            try:
                await self._audit.write(entry)
            except HostlerError as problem:
                raise Unavailable(
                    f"the audit log cannot be written, and nothing was changed: {problem.message}"
                ) from problem
            call.entry = entry.id

        return admit

    async def ended(self, call: Call, name: str, scope: Scope, status: int, *, signed_in: bool = False) -> None:
        """Write what became of a call, if it is to be written."""
        if call.caller is None or not (signed_in or (changes(name) and name not in KEYSTROKES)):
            return
        if call.elsewhere and not call.entry:
            return
        outcome = outcome_of(call, status)
        if outcome == "failed" and not call.entry:
            return
        entry = self._entry(call, call.caller, "sign in" if signed_in else name, outcome, scope)
        try:
            await self._audit.write(entry)
        except HostlerError as problem:
            told = {"action": entry.action, "actor": entry.actor_id, "subject_id": entry.subject_id}
            log.error("the audit log lacks an entry", **told, outcome=outcome, problem=problem.message)

    def _entry(self, call: Call, caller: Caller, name: str, outcome: Outcome, scope: Scope) -> Entry:
        kind, subject = call.subject if call.subject[1] else subject_of(scope)
        details = {"request": call.request_id, "credential": caller.kind}
        more = {"token": caller.grant, "address": address_of(scope), "code": call.code, "name": call.named}
        principal = caller.principal
        return Entry(
            id=call.entry or self._ambient.new_id(),
            at=self._ambient.now(),
            actor_id=principal.id,
            actor_kind="visitor" if caller.kind == "share" else principal.kind,
            actor_name=principal.name[:LONGEST],
            action=name,
            outcome=outcome,
            subject_kind=kind,
            subject_id=subject[:LONGEST],
            details={**details, **{key: value for key, value in more.items() if value}},
        )


def administrative(name: str) -> bool:
    """Return whether a change of this name is one of administration."""
    if name.startswith(ADMINISTRATION):
        return True
    path = name.partition(" ")[2]
    return path.startswith(HOUSE) and path.removeprefix(HOUSE).partition("/")[0] in ROOMS


def outcome_of(call: Call, status: int) -> Outcome:
    """Return how a call ended."""
    if status == 403 or call.code == "permission_denied":
        return "refused"
    return "done" if not call.code and status < 400 else "failed"


def subject_of(scope: Scope) -> tuple[str, str]:
    """Return (kind, id) of what a route is about: the last thing that its path names."""
    found = [(key, value) for key, value in parameters(scope).items() if isinstance(value, str) and key != "path"]
    if not found:
        return "", ""
    key, value = found[-1]
    return ("agent_execution" if key == "execution" else key), value.lower()


def made(name: str, body: bytes) -> tuple[str, str]:
    """Return (kind, id) of what a route has made, as its answer tells."""
    with suppress(ValueError):
        told: Any = json.loads(body[:SNIFFED])
        if isinstance(told, dict):
            id_ = cast("dict[str, Any]", told).get("id")
            room = name.removesuffix("/").rpartition("/")[2].removesuffix("s").replace("-", "_")
            return (room, id_) if isinstance(id_, str) else ("", "")
    return "", ""


def subject_in(method: str, request: Any, answer: Any) -> tuple[str, str]:
    """Return (kind, id) of what a method of a service is about: what it made, else what its request names."""
    makes = method.startswith(("Create", "Start")) and method not in ("StartEnvironment",)
    for message in (answer, request) if makes else (request,):
        if message is not None and (found := _named(message)):
            return found
    return "", ""


def _named(message: Any) -> tuple[str, str] | None:
    """Return the first id that a message, or a message in it, has."""
    fields: Mapping[str, Any] = {field.name: getattr(message, field.name, None) for field in message.desc().fields}
    for name, value in fields.items():
        if name.endswith("_id") and name not in ("organization_id", "runner_id") and isinstance(value, str) and value:
            return name.removesuffix("_id"), value.lower()
    kind = message.desc().name.removesuffix("Request").removesuffix("Response")
    own = fields.get("id")
    if isinstance(own, str) and own:
        return _snake(kind), own.lower()
    inner = (value for value in fields.values() if hasattr(value, "desc") and hasattr(value.desc(), "fields"))
    return next((found for value in inner if (found := _named(value))), None)


def _snake(name: str) -> str:
    for verb in ("Create", "Update", "Delete", "Set"):
        name = name.removeprefix(verb)
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
