"""The `hostler` command: its subcommands, and what becomes of their problems."""

import io
import os
import sys
from collections.abc import Sequence

import typer

from hostler.cli import (
    allowing,
    answering,
    backup,
    changes,
    conformance,
    contexts,
    diagnosis,
    environments,
    executions,
    gc,
    kept,
    modes,
    opening,
    operating,
    people,
    policies,
    projects,
    prompts,
    queues,
    replaying,
    runners,
    running,
    scrub,
    secrets,
    serving,
    taking,
    tokens,
    top,
    usage,
    waking,
    watching,
    webhooks,
)
from hostler.cli.problems import FAILED, Problem
from hostler.cli.screen import note

app = typer.Typer(
    name="hostler",
    help="Run AI software agents on code repositories, on your own machines, with your own models.",
    epilog="A first look: hostler run 'Make the failing test pass' --repo .",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    running.run,
    executions.ps,
    executions.show,
    top.top,
    usage.usage,
    watching.watch,
    watching.wait,
    opening.open,
    opening.share,
    executions.send,
    answering.answer,
    executions.stop,
    contexts.compact,
    waking.wake,
    executions.rm,
    changes.diff,
    changes.apply,
    taking.transcript,
    taking.export,
    kept.restore,
    backup.backup,
    replaying.replay,
    scrub.scrub,
    gc.gc,
    serving.serve,
    serving.init,
    allowing.allow,
    operating.reload,
    operating.audit,
    diagnosis.doctor,
    conformance.conformance,
)
for command in COMMANDS:
    app.command()(command)
GROUPS = (
    ("queue", queues.app),
    ("goal", modes.app),
    ("prompt", prompts.app),
    ("token", tokens.app),
    ("user", people.users),
    ("service-account", people.accounts),
    ("env", environments.app),
    ("runner", runners.app),
    ("project", projects.app),
    ("secret", secrets.app),
    ("webhook", webhooks.app),
    ("maintenance", operating.maintenance),
    ("policy", policies.app),
)
for name, group in GROUPS:
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def version(
    show: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    """Run AI software agents on code repositories, on your own machines, with your own models."""
    if show:
        from hostler import __version__

        typer.echo(f"hostler {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage, 3 a person is asked for something."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app(arguments)
    except Problem as problem:
        note(f"hostler: {problem.message}", "red")
        sys.exit(problem.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
