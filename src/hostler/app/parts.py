"""What the API is made of, and what it tells of the server."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from typing import Any

from hostler import __version__
from hostler.api.parts import ApiParts
from hostler.app.ground import Ground
from hostler.app.housing import Housing
from hostler.app.turns import Turns
from hostler.config import Settings
from hostler.definitions import classes_of, mcp_servers, model_name, truthful, ways_in
from hostler.engine.away import Away
from hostler.engine.restoring import KeptDesk
from hostler.operating import Operated
from hostler.support import Facts
from hostler.web.exporting import as_html

ORGANIZATION = "00000000-0000-0000-0000-0000000000a0"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def parts_of(ground: Ground, housing: Housing, turns: Turns, operated: Operated) -> ApiParts:
    """Return what the API is made of."""
    settings, stores, desk, now = ground.settings, ground.stores, turns.desk, ground.reloading.current
    return ApiParts(
        desk=desk,
        environments=housing.environments,
        hosts=turns.hosts,
        executions=stores.executions,
        blobs=stores.blobs,
        environment_rows=stores.environments,
        prompts=stores.prompts,
        offers=turns.offers,
        tokens=stores.tokens,
        people=stores.people,
        outside=ways_in(settings),
        attempts=stores.attempts,
        projects=stores.projects,
        project_use=stores.project_use,
        host_tokens=stores.host_tokens,
        sign_ins=stores.sign_ins,
        shares=stores.shares,
        spending=stores.spending,
        policies=stores.policies,
        policing=turns.policing,
        tidying=turns.retention,
        logins=housing.logins,
        agents=turns.definitions,
        classes=truthful(classes_of(settings), housing.preflight),
        models=ground.models,
        redactor=ground.redactor,
        ambient=ground.ambient,
        signing_key=ground.signing_key,
        installation=ground.installation,
        peers=ground.peers,
        away=_away(ground, turns),
        organization_id=ORGANIZATION,
        runner_id=ground.home.runner,
        version=__version__,
        draining=lambda: desk.draining,
        changes=stores.changes,
        write_line=ground.lines.add,
        operations=operated.operations,
        ready=turns.ready,
        doctor=_doctor(ground, housing),
        model_allowed=lambda name: _allowed(now(), name),
        public_url=settings.server.public_url,
        support=Facts(settings, ground.recent.lines, now),
        html_export=as_html,
        mcp_servers=mcp_servers(settings)(tuple(settings.mcp)),
        loopback=settings.server.host in LOOPBACK,
        credential_required=tuple(host.lower().removesuffix(":443") for host in settings.credential_required),
        work=_kept_desk(ground, housing, turns),
    )


def _away(ground: Ground, turns: Turns) -> Away:
    """Return what decides for executions and environments whose machine is away."""
    stores = ground.stores
    return Away(
        turns.desk, ground.peers, stores.runners, stores.environments, stores.executions, stores.blobs, ground.ambient
    )


def _kept_desk(ground: Ground, housing: Housing, turns: Turns) -> KeptDesk:
    """Return what shows, applies and brings back kept work."""
    return KeptDesk(
        turns.desk,
        housing.environments,
        ground.stores.environments,
        housing.kept,
        [one.id for one in classes_of(ground.settings)],
        ground.ambient,
        peers=ground.peers,
        moves=ground.stores.executions,
    )


def _allowed(settings: Settings, name: str) -> bool:
    """Return whether a caller may choose a model: any, unless the configuration lists what is allowed.

    A script in a file of this machine may be named by callers on this machine only.
    """
    if settings.allowed_models:
        return name in (*settings.allowed_models, model_name(settings))
    script = name.startswith("scripted:") and ("/" in name or name.endswith(".json"))
    return not script or settings.server.host in LOOPBACK


def _doctor(ground: Ground, housing: Housing) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """Return what a server says of itself to `hostler doctor`."""

    async def doctor() -> Mapping[str, Any]:
        settings = ground.reloading.current()
        return {
            "version": __version__,
            "now": ground.ambient.now().isoformat(),
            "sandbox": {"kind": settings.sandbox, **asdict(housing.preflight)},
            "model": model_name(settings),
            "slots": settings.turn_slots,
        }

    return doctor
