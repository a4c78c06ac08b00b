"""What administrators do with a running server, below /api/hostler/v1: maintenance, webhooks, the audit log, reload."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hostler.api.bodies import body_of
from hostler.api.call import current, only_admins
from hostler.api.operations import Operations
from hostler.api.parts import ApiParts
from hostler.core.audit import AuditQuery, Entry
from hostler.core.errors import FailedPrecondition, InvalidArgument, NotFound
from hostler.core.maintenance import Maintenance
from hostler.core.webhooks import PHASES, Delivery, Webhook, Webhooks, secret_of
from hostler.projections.status import stamp

LONGEST_MESSAGE = 500
LONGEST_NAME = 100
MOST_WEBHOOKS = 50
DELIVERIES = 100
MOST_ENTRIES = 1000


class Operating:
    """The handlers; each is authenticated by whoever makes the routes."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    @property
    def _ops(self) -> Operations:
        return self._parts.operations

    def routes(self) -> list[tuple[str, str, Any]]:
        """Return verb, path below /api/hostler/v1 and handler of each route."""
        return [
            ("GET", "/maintenance", self.maintenance),
            ("PUT", "/maintenance", self.maintain),
            ("DELETE", "/maintenance", self.end_maintenance),
            ("POST", "/reload", self.reload),
            ("GET", "/audit", self.audit),
            ("GET", "/webhooks", self.webhooks),
            ("POST", "/webhooks", self.add_webhook),
            ("DELETE", "/webhooks/{webhook}", self.remove_webhook),
            ("POST", "/webhooks/{webhook}/enable", self.enable_webhook),
            ("POST", "/webhooks/{webhook}/test", self.test_webhook),
            ("GET", "/webhooks/{webhook}/deliveries", self.deliveries),
        ]

    async def maintenance(self, request: Request) -> Response:
        """Tell whether maintenance mode is on."""
        return JSONResponse(maintenance_json(await self._ops.maintenance.current()))

    async def maintain(self, request: Request) -> Response:
        """Turn maintenance mode on, or change its message."""
        only_admins()
        message = (await body_of(request)).get("message", "")
        if not isinstance(message, str) or len(message) > LONGEST_MESSAGE or not message.isprintable():
            raise InvalidArgument(f"at most {LONGEST_MESSAGE} printable characters", field="message")
        by = current().principal
        now = self._parts.ambient.now()
        await self._ops.maintenance.turn_on(Maintenance(now, self._parts.redactor.text(message), by.id, by.name))
        return JSONResponse(maintenance_json(await self._ops.maintenance.current()))

    async def end_maintenance(self, request: Request) -> Response:
        """Turn maintenance mode off."""
        only_admins()
        await self._ops.maintenance.turn_off()
        return JSONResponse(maintenance_json(None))

    async def reload(self, request: Request) -> Response:
        """Read the settings again."""
        only_admins()
        if self._ops.reload is None:
            raise FailedPrecondition("this server has no settings to read again")
        done = await self._ops.reload()
        return JSONResponse({"changed": list(done.changed), "needsRestart": list(done.needs_restart)})

    async def audit(self, request: Request) -> Response:
        """List entries of the audit log, newest first."""
        only_admins()
        asked = request.query_params
        query = AuditQuery(
            actors=_listed(asked.get("actor", "")),
            subjects=_listed(asked.get("subject", "")),
            since=_moment(asked.get("since", ""), "since"),
            until=_moment(asked.get("until", ""), "until"),
        )
        limit = asked.get("limit", "100")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:5]) <= MOST_ENTRIES):
            raise InvalidArgument(f"a number from 1 to {MOST_ENTRIES}", field="limit")
        found = await self._ops.audit.find(query, beyond=asked.get("beyond", ""), limit=int(limit) + 1)
        shown = found[: int(limit)]
        more = shown[-1].id if len(found) > len(shown) else ""
        return JSONResponse({"entries": [entry_json(one) for one in shown], "next": more})

    async def webhooks(self, request: Request) -> Response:
        """List the webhooks, never their secrets."""
        only_admins()
        return JSONResponse({"webhooks": [webhook_json(one) for one in await self._known().all()]})

    async def add_webhook(self, request: Request) -> Response:
        """Make a webhook; the secret is in this answer and nowhere else."""
        only_admins()
        asked, by = await body_of(request), current().principal
        if len(await self._known().all()) >= MOST_WEBHOOKS:
            raise FailedPrecondition(f"there are {MOST_WEBHOOKS} webhooks already; remove one first")
        url = asked.get("url")
        if not isinstance(url, str):
            raise InvalidArgument("an address is needed", field="url")
        if self._ops.check_url:
            await self._ops.check_url(url)
        made = Webhook(
            id=self._parts.ambient.new_id(),
            name=self._parts.redactor.text(_name(asked)),
            url=url,
            phases=_phases(asked),
            creator_id=by.id,
            creator_name=by.name,
            created_at=self._parts.ambient.now(),
        )
        await self._known().add(made)
        secret = secret_of(self._parts.signing_key, made.id)
        self._parts.redactor.add([secret])
        return JSONResponse({**webhook_json(made), "secret": secret}, 201)

    async def remove_webhook(self, request: Request) -> Response:
        """Remove a webhook and what is due to it."""
        only_admins()
        if not await self._known().remove(_webhook(request)):
            raise NotFound("there is no such webhook")
        return JSONResponse({})

    async def enable_webhook(self, request: Request) -> Response:
        """Tell a webhook again that was disabled."""
        only_admins()
        if not await self._known().enable(_webhook(request), self._parts.ambient.now()):
            raise NotFound("there is no such webhook")
        self._ops.wake_webhooks()
        return JSONResponse({})

    async def test_webhook(self, request: Request) -> Response:
        """Send a webhook a message that means nothing."""
        only_admins()
        webhook = _webhook(request)
        if not any(one.id == webhook and not one.disabled_at for one in await self._known().all()):
            raise NotFound("there is no such webhook, or it is disabled")
        now = self._parts.ambient.now()
        delivery = Delivery(self._parts.ambient.new_id(), webhook, "", 0, "", 0, now, due_at=now)
        await self._known().put(delivery)
        self._ops.wake_webhooks()
        return JSONResponse({"deliveryId": delivery.id}, 201)

    async def deliveries(self, request: Request) -> Response:
        """List what a webhook was told and is to be told, newest first."""
        only_admins()
        found = await self._known().deliveries(_webhook(request), DELIVERIES)
        return JSONResponse({"deliveries": [delivery_json(one) for one in found]})

    def _known(self) -> Webhooks:
        if self._ops.webhooks is None:
            raise FailedPrecondition("this server has no webhooks")
        return self._ops.webhooks


def maintenance_json(on: Maintenance | None) -> dict[str, Any]:
    """Return what is shown of maintenance mode."""
    if on is None:
        return {"on": False}
    return {"on": True, "since": stamp(on.since), "message": on.told, "by": on.by_name}


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return what is shown of an entry of the audit log."""
    return {
        "id": entry.id,
        "at": stamp(entry.at),
        "actor": {"id": entry.actor_id, "kind": entry.actor_kind, "name": entry.actor_name},
        "action": entry.action,
        "subject": {"kind": entry.subject_kind, "id": entry.subject_id},
        "outcome": entry.outcome,
        "details": dict(entry.details),
    }


def webhook_json(webhook: Webhook) -> dict[str, Any]:
    """Return what is shown of a webhook."""
    state = "disabled" if webhook.disabled_at else "failing" if webhook.failing_since else "enabled"
    return {
        "id": webhook.id,
        "name": webhook.name,
        "url": webhook.url,
        "phases": list(webhook.phases),
        "state": state,
        "problem": webhook.problem,
        "createdBy": webhook.creator_name,
        "createdAt": stamp(webhook.created_at),
        "failingSince": stamp(webhook.failing_since),
        "disabledAt": stamp(webhook.disabled_at),
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    """Return what is shown of a delivery."""
    shown = asdict(delivery)
    return {
        "id": shown["id"],
        "agentExecutionId": shown["execution_id"],
        "phase": shown["phase"],
        "at": stamp(delivery.at),
        "state": shown["state"],
        "tries": shown["tries"],
        "dueAt": stamp(delivery.due_at) if delivery.state == "due" else None,
        "status": shown["status"],
        "problem": shown["problem"],
        "endedAt": stamp(delivery.ended_at),
    }


def _webhook(request: Request) -> str:
    return cast("str", request.path_params["webhook"]).lower()


def _name(asked: Mapping[str, Any]) -> str:
    name = asked.get("name", "")
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidArgument(f"at most {LONGEST_NAME} printable characters", field="name")
    return name


def _phases(asked: Mapping[str, Any]) -> tuple[str, ...]:
    given: Any = asked.get("phases") or []
    named = [str(one).removeprefix("PHASE_") for one in cast("list[Any]", given)] if isinstance(given, list) else ["?"]
    if any(phase not in PHASES for phase in named):
        raise InvalidArgument(f"a list out of {', '.join(PHASES)}", field="phases")
    return tuple(dict.fromkeys(named))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _moment(text: str, field: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidArgument("a time such as 2026-11-23T08:00:00Z is needed", field=field)
    return moment
