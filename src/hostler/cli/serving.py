"""`hostler serve` and `hostler init`: the server on this machine and its settings; the server is imported here only."""

import gc
import os
from pathlib import Path
from typing import Annotated

import typer

from hostler.cli import places
from hostler.cli.options import DataDir
from hostler.cli.problems import Problem, usage

FILE = "hostler.toml"


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on [127.0.0.1].", show_default=False)] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port [8080]; 0 takes a free one.", show_default=False)
    ] = None,
    public_url: Annotated[
        str | None,
        typer.Option(help="Where clients reach the server, such as https://hostler.example.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    database_url: Annotated[
        str | None,
        typer.Option(help="A database instead of DIR/hostler.db, such as postgresql://…", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="The settings [HOSTLER_CONFIG, else DIR/hostler.toml if it is there].", show_default=False),
    ] = None,
) -> None:
    """Serve the API until SIGTERM or Ctrl-C.

    Agents that work are taken up again at the next start.

    Examples:

        hostler serve

        hostler serve --public-url https://hostler.example

        hostler serve --port 0 --data-dir /srv/hostler --config /etc/hostler.toml
    """
    gc.disable()  # Until it serves: all that starting makes stays, and a fifth of the time would go into looking at it.
    from hostler.config import BadConfiguration, Settings, load
    from hostler.serving import serve as serve_app

    given = {
        "server.host": host,
        "server.port": port,
        "server.public_url": public_url,
        "data_dir": data_dir,
        "database_url": database_url,
    }

    def read() -> Settings:
        return load(settings_file(config, data_dir), overrides=given)

    try:
        settings = read()
    except BadConfiguration as fault:
        raise usage(str(fault)) from None
    raise typer.Exit(serve_app(settings, os.environ, read))


def settings_file(config: Path | None, data_dir: Path | None) -> Path | None:
    """Return the file that holds the settings; never one of the working folder, which may be anybody's repository."""
    named = os.environ.get("HOSTLER_CONFIG", "")
    if config is not None or named:
        return config or Path(named)
    file = places.data_dir(data_dir) / FILE
    return file if file.is_file() else None


def init(
    file: Annotated[
        Path | None,
        typer.Argument(help="Where to write it [DIR/hostler.toml, which `serve` reads].", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Write a commented hostler.toml.

    It has every setting, its default and what it does, all commented out.

    Example:

        hostler init && $EDITOR ~/.local/share/hostler/hostler.toml
    """
    from hostler.cli.settings_file import text

    target = file or places.data_dir(data_dir) / FILE
    if target.exists() and not force:
        raise Problem(f"{target} is there already; overwrite it with --force")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(0o600)  # it may come to hold keys
    target.chmod(0o600)
    target.write_text(text(), encoding="utf-8")
    typer.echo(f"wrote {target}")
