"""`hostler replay`: has the server rebuild an execution's view from its log and compare."""

import typer

from hostler.cli import extras, ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.problems import DONE, FAILED
from hostler.cli.screen import emit, line, paint, say


def replay(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Rebuild an execution's view from its log, and compare.

    Exit code: 0 when both are the same, 1 when they differ.

    Example:

        hostler replay 0198c2
    """
    client = Client(places.find(data_dir))
    found = extras.replayed(client, ids.execution(client, execution))
    if json:
        emit(found)
    elif found.get("equal"):
        say(f"{found.get('events', 0)} events: the view is what the log says")
    else:
        say(paint("the view differs from what the log says:", "red"))
        for difference in found.get("differences", []):
            kept, rebuilt = line(str(difference.get("kept"))), line(str(difference.get("rebuilt")))
            say(f"  {line(str(difference.get('path', '')))}: kept {kept}, the log says {rebuilt}")
    raise typer.Exit(DONE if found.get("equal") else FAILED)
