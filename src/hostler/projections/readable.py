"""A conversation as Markdown that reads well as plain text too: one piece for every item of the timeline.

What the agent says is Markdown already and stays it; everything else that others wrote is quoted or fenced.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from hostler.projections import items as it
from hostler.projections.status import stamp
from hostler.projections.transcript_text import fenced, line, quoted

OUTCOMES = {
    "failed": "failed",
    "timed_out": "timed out",
    "cancelled": "cancelled",
    "unknown": "outcome unknown",
    "running": "still running",
}
UNREAD = {"deleted": " (deleted before it was read)", "dropped": " (dropped by a stop)", "queued": " (waiting)"}
BOXES = {"pending": " ", "in_progress": "~", "done": "x"}
ENDS = {"idle": "Turn {} ended", "stopped": "Turn {} was stopped", "limit": "Turn {} reached a limit"}


def readable(items: Iterable[it.AnyItem]) -> Iterator[str]:
    """Yield the items as Markdown, each with a blank line behind it."""
    for item in items:
        if text := _one(item).rstrip():
            yield f"{text}\n\n"


def _one(item: it.AnyItem) -> str:
    match item:
        case it.TurnStart():
            return f"## Turn {item.turn}\n\n*{when(item.at)}*"
        case it.TurnEnd():
            return _end(item)
        case it.UserInput():
            return _input(item)
        case it.AgentMessage():
            who = f"Message of {'the' if item.role else 'an'} {item.role or 'other'} agent {line(item.sender)}".strip()
            return f"**{who}**\n\n{quoted(item.text)}"
        case it.Text():
            return f"{item.text.rstrip()}{CUT if item.cut else ''}"
        case it.Thought():
            return f"*Thought{', cut off' if item.cut else ''}:*\n\n{quoted(item.text)}"
        case it.Action() | it.FileChanged():
            return _done(item)
        case it.Questions() | it.NextSteps():
            return _asked(item)
        case _:
            return _known(item)


CUT = "\n\n*(cut off here)*"


def _known(item: it.AnyItem) -> str:
    match item:
        case it.Todos():
            return "\n".join(f"- [{BOXES[todo.state]}] {line(todo.title)}" for todo in item.todos)
        case it.RefusedHost():
            allowed = {"open": "refused", "once": "refused, then allowed once", "class": "refused, then allowed"}
            return f"> **{allowed[item.state]}: {line(item.host)}** {line(item.reason)}"
        case it.HostAuthentication():
            return f"> **{line(item.host)} wants a credential**{' (given)' if item.state == 'given' else ''}"
        case it.EnvironmentMade():
            return f"> Environment `{item.environment_id}` was made"
        case it.CodeAnnotation():
            return f"> **{line(item.path)}:{item.start}** {line(item.title)}\n>\n{quoted(item.text)}"
        case it.ModeChange():
            return f"> **{line(item.milestone.replace('_', ' '))}** {line(item.message)}"
        case it.SubAgent():
            return f"> Sub-agent **{line(item.name)}**: {item.state}, {item.tokens:,} tokens"
        case it.Note():
            more = f"\n\n{fenced(item.detail)}" if item.detail else ""
            return f"> {line(item.text)}{more}"
        case _:
            return ""


def _input(item: it.UserInput) -> str:
    through = f" through the link {line(item.through)}" if item.through else ""
    joined = ", joined the running turn" if item.steered else ""
    pictures = "".join(f"\n(a picture, {line(picture.mime_type)})" for picture in item.pictures)
    return f"**User{through}**{joined}{UNREAD.get(item.state, '')}\n\n{quoted(item.text + pictures)}"


def _done(item: it.Action | it.FileChanged) -> str:
    if isinstance(item, it.FileChanged):
        moved = f" (was {line(item.moved_from)})" if item.moved_from else ""
        head = f"**{item.kind} {line(item.path)}**{moved} +{item.additions} −{item.deletions}"
        rows = "\n…\n".join("\n".join(f"{row.sign}{row.text}" for row in hunk) for hunk in item.hunks)
        return f"{head}\n\n{fenced(rows, 'diff')}" if rows else head
    state = OUTCOMES.get(item.state, "")
    facts = [state] if state else []
    facts += [f"exit code {item.exit_code}"] if item.exit_code else []
    facts += [f"{item.seconds:,.1f} s"] if item.seconds is not None else []
    title = f"`{' '.join(item.title.replace('`', chr(39)).split())}`" if item.command else line(item.title)
    head = f"**{title}**" + (f" ({', '.join(facts)})" if facts else "")
    command = f"\n\n{fenced(item.command, 'sh')}" if "\n" in item.command.strip() else ""
    return f"{head}{command}\n\n{fenced(item.output)}" if item.output.strip() else f"{head}{command}"


def _asked(item: it.Questions | it.NextSteps) -> str:
    if isinstance(item, it.NextSteps):
        rows = [
            f"{number}. {line(step.title)}{' (chosen)' if number - 1 == item.chosen else ''}"
            for number, step in enumerate(item.steps, 1)
        ]
        return "\n".join(["**Next steps**\n", *rows])
    rows: list[str] = []
    for question in item.questions:
        rows.append(f"**Question:** {line(question.text)}")
        rows += [f"- {line(choice.label)}: {line(choice.text)}" for choice in question.choices]
    answers = [answer for _, answer in item.answers] or ([item.answer] if item.answer else [])
    rows += [f"\n**Answer:** {line(answer)}" for answer in answers]
    return "\n".join(rows)


def _end(item: it.TurnEnd) -> str:
    read = item.usage.whole_input
    said = ENDS.get(item.how, "Turn {} failed").format(item.turn)
    facts = [f"{item.seconds:,.0f} s", f"{item.calls} model calls", f"{read:,} tokens in, {item.usage.output:,} out"]
    facts += [f"{item.files} files +{item.additions} −{item.deletions}"] if item.files else []
    why = f": {line(item.message)}" if item.message else ""
    return f"*{said}{why} · {' · '.join(facts)}*\n\n---"


def when(at: datetime) -> str:
    """Return a time to the second."""
    return str(stamp(at.replace(microsecond=0))).replace("T", " ").replace("Z", " UTC")
