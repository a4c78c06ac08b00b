"""The prompt library: prompt list, show, create, edit, rm."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from hostler.cli import ids, places
from hostler.cli.client import AGENTS, Client
from hostler.cli.options import AsJson, DataDir
from hostler.cli.problems import Problem, usage
from hostler.cli.screen import clean, emit, line, note, say, table

Json = dict[str, Any]
app = typer.Typer(help="The organization's prompts: templates, slash commands and skills.", no_args_is_help=True)
Which = Annotated[str, typer.Argument(metavar="PROMPT", help="Its id, a prefix of it, its name, or its /command.")]
File = Annotated[str, typer.Option("--file", "-f", help="Read the text from a file; - is standard input.")]


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Only those with this in name, description or command.")] = "",
    templates: Annotated[bool, typer.Option("--templates", help="Only templates.")] = False,
    commands: Annotated[bool, typer.Option("--commands", help="Only slash commands.")] = False,
    skills: Annotated[bool, typer.Option("--skills", help="Only skills.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List prompts, the newest first.

    Example:

        hostler prompt list --commands
    """
    given = {"search": search, "isTemplate": templates, "isCommand": commands, "isSkill": skills}
    wanted = {key: value for key, value in given.items() if value}
    found = list(_all(Client(places.find(data_dir)), {**wanted, "excludePromptContent": not json}))
    if json:
        emit(found)
        return
    if not found:
        note("no prompts: make one with `hostler prompt create NAME --description … --file FILE`")
    short = ids.shortened([prompt["id"] for prompt in found])
    table([(short[prompt["id"]], *_kinds(prompt), _name(prompt)) for prompt in found])


@app.command()
def show(prompt: Which, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a prompt's text.

    Example:

        hostler prompt show /review
    """
    found = _find(Client(places.find(data_dir)), prompt)
    if json:
        emit(found)
        return
    say(clean(str(found.get("spec", {}).get("prompt", ""))))


@app.command()
def fill(
    prompt: Which,
    arguments: Annotated[str, typer.Argument(help="What stands for $ARGUMENTS, and word by word for $1 to $9.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Print a prompt's text with its places filled in, such as a template to begin with.

    Example:

        hostler run "$(hostler prompt fill bugfix 'the parser')" --repo .
    """
    from hostler.core.filling import expanded

    found = _find(Client(places.find(data_dir)), prompt)
    say(clean(expanded(str(found.get("spec", {}).get("prompt", "")), arguments)))


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.")],
    description: Annotated[str, typer.Option("--description", "-d", help="What it is for, in one sentence.")],
    text: Annotated[str, typer.Option("--text", "-t", help="The text itself.")] = "",
    file: File = "",
    command: Annotated[str, typer.Option(help="Make it a slash command of this name.")] = "",
    template: Annotated[bool, typer.Option("--template", help="Offer it as a template.")] = False,
    skill: Annotated[bool, typer.Option("--skill", help="Let agents pick it by its description.")] = False,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Add a prompt to the library.

    Example:

        hostler prompt create "Review" -d "Reviews a change." --command review --file review.md
    """
    if bool(text) == bool(file):
        raise usage("the text is needed: either --text or --file")
    body: Json = {
        "name": name,
        "description": description,
        "prompt": text or read(file),
        "isTemplate": template,
        "isSkill": skill,
        "isCommand": bool(command),
        "command": command.removeprefix("/"),
    }
    made = Client(places.find(data_dir)).agents("CreatePrompt", body)["prompt"]
    emit(made) if json else say(made["id"])


@app.command()
def edit(
    prompt: Which,
    name: Annotated[str | None, typer.Option(help="A new name.", show_default=False)] = None,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="A new description.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option("--text", "-t", help="A new text.", show_default=False)] = None,
    file: File = "",
    command: Annotated[
        str | None, typer.Option(help="A new slash command; an empty one makes it none.", show_default=False)
    ] = None,
    template: Annotated[bool | None, typer.Option("--template/--no-template", help="Offer it as a template.")] = None,
    skill: Annotated[bool | None, typer.Option("--skill/--no-skill", help="Let agents pick it.")] = None,
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Change a prompt: what the options name, or without any its text, in $EDITOR.

    Examples:

        hostler prompt edit /review

        hostler prompt edit /review --file review.md
    """
    if text is not None and file:
        raise usage("--text and --file exclude each other")
    client = Client(places.find(data_dir))
    found = _find(client, prompt)
    metadata = _given(name=name, description=description)
    spec = _given(prompt=read(file) if file else text, isTemplate=template, isSkill=skill)
    if command is not None:
        spec |= {"isCommand": bool(command), **({"command": command.removeprefix("/")} if command else {})}
    if not metadata and not spec:
        old = str(found.get("spec", {}).get("prompt", ""))
        new = edited(old)
        if new == old:
            say("unchanged")
            return
        spec["prompt"] = new
    body = {"promptId": found["id"], **_given(metadata=metadata or None, spec=spec or None)}
    made = client.agents("UpdatePrompt", body)["prompt"]
    emit(made) if json else say(f"changed {_name(made)}")


@app.command()
def rm(
    prompts: Annotated[list[str], typer.Argument(metavar="PROMPT...", help="Ids, names or /commands.")],
    json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Remove prompts from the library.

    Example:

        hostler prompt rm /review
    """
    client = Client(places.find(data_dir))
    found = [_find(client, given) for given in prompts]
    for prompt in found:
        client.agents("DeletePrompt", {"promptId": prompt["id"]})
        if not json:
            say(f"removed {_name(prompt)}")
    if json:
        emit({"removed": [prompt["id"] for prompt in found]})


def read(file: str) -> str:
    """Return a file's text, or standard input for -."""
    if file == "-":
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"--file: {file}: {getattr(error, 'strerror', None) or 'it is not text in UTF-8'}") from None


def edited(text: str) -> str:
    """Return the text as the user's editor leaves it."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise usage("set EDITOR, or give the new text with --file or --text")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompt.md"
        file.write_text(text, encoding="utf-8")
        try:
            ended = subprocess.run([*shlex.split(editor), str(file)]).returncode
        except OSError as error:
            raise Problem(f"the editor {editor!r} did not start: {error.strerror}") from None
        if ended:
            raise Problem(f"the editor ended with {ended}; the prompt is as it was")
        return read(str(file))


def _find(client: Client, given: str) -> Json:
    """Return the prompt that is meant by an id, a prefix, a /command or a name."""
    if given.startswith("/"):
        found = list(_all(client, {"command": given[1:]}))
        if not found:
            raise Problem(f"there is no prompt with the command {given}", code="not_found")
        return found[0]
    if ids.WHOLE.fullmatch(given.lower()):
        return client.agents("GetPrompt", {"promptId": given.lower()})["prompt"]
    library = list(_all(client, {}))
    named = [prompt for prompt in library if prompt.get("metadata", {}).get("name") == given]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise usage(f"several prompts are called {given!r}: name one by its id")
    try:
        return client.agents("GetPrompt", {"promptId": ids.whole(client, "prompt", given)})["prompt"]
    except Problem:
        raise usage(f"there is no prompt {given!r}, by id, name or /command; see: hostler prompt list") from None


def _all(client: Client, wanted: Json) -> Any:
    return client.pages(AGENTS, "ListPrompts", "prompts", {"filter": wanted})


def _kinds(prompt: Json) -> tuple[str, str]:
    spec = prompt.get("spec", {})
    words = [word for key, word in (("isTemplate", "template"), ("isSkill", "skill")) if spec.get(key)]
    return f"/{line(spec['command'])}" if spec.get("isCommand") and spec.get("command") else "", ", ".join(words)


def _name(prompt: Json) -> str:
    metadata = prompt.get("metadata", {})
    said = line(metadata.get("description", ""))
    return f"{line(metadata.get('name', ''))}{' — ' + said if said else ''}"


def _given(**values: Any) -> Json:
    return {key: value for key, value in values.items() if value is not None}
