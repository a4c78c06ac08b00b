"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="The server's data folder [HOSTLER_DATA_DIR, else ~/.local/share/hostler; root: /var/lib/hostler].",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Execution = Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or any prefix that only it has.")]
Full = Annotated[bool, typer.Option("--full", help="Show results and diffs whole.")]
Thoughts = Annotated[bool, typer.Option("--thoughts", help="Show what the model thinks.")]
