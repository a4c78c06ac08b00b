"""The machines of an installation: runner list, rm."""

from typing import Annotated, Any

import typer

from hostler.cli import places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import usage
from hostler.cli.screen import clean, emit, say, table

Json = dict[str, Any]
RUNNERS = "gitpod.v1.RunnerService"
PHASES = {"ACTIVE": "active", "DEGRADED": "degraded", "INACTIVE": "away"}
Runner = Annotated[str, typer.Argument(help="A machine's name or id, or the beginning of its id.")]

app = typer.Typer(help="The machines of this installation.", no_args_is_help=True)


@app.command("list")
def list_(json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the machines that share this server's database, and how each is.

    Example:

        hostler runner list
    """
    found = listed(Client(places.find(data_dir)))
    if json:
        emit({"runners": found})
        return
    rows = [(one["runnerId"], clean(one["name"]), one["status"].get("version", ""), health(one)) for one in found]
    table(rows)


@app.command()
def rm(runner: Runner, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Forget a machine that is away for good, and give up every environment that it held.

    Example:

        hostler runner rm worker-3
    """
    client = Client(places.find(data_dir))
    found = listed(client)
    fits = [one["runnerId"] for one in found if runner in (one["name"], one["runnerId"])]
    fits = fits or [one["runnerId"] for one in found if one["runnerId"].startswith(runner.lower())]
    if len(fits) != 1:
        what = "several machines are" if fits else "no machine is"
        raise usage(f"{what} called {runner!r}; there are: {', '.join(names(found))}")
    client.json("DELETE", f"/api/hostler/v1/runners/{fits[0]}")
    emit({"removed": fits[0]}) if json else say(f"removed {fits[0]}")


def listed(client: Client) -> list[Json]:
    """Return all runners."""
    return client.call(RUNNERS, "ListRunners", {"pagination": {"pageSize": 100}}).get("runners", [])


def names(found: list[Json]) -> list[str]:
    """Return the names of runners."""
    return [clean(str(one["name"])) for one in found]


def health(one: Json) -> str:
    """Return in words how a runner is."""
    status = one.get("status", {})
    phase = str(status.get("phase", "")).removeprefix("RUNNER_PHASE_")
    word, message = PHASES.get(phase, phase.lower()), clean(str(status.get("message", "")))
    return f"{word}: {message}" if message else word
