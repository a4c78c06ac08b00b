"""The transcript for people: a line of it as Markdown. What others wrote is fenced or escaped, never markup of ours."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]
_TICKS = re.compile(r"`{3,}")


def heading(name: str, execution: str, depth: int = 0) -> str:
    """Return the heading of an execution; sub-agents lie one level deeper."""
    return f"{'#' * min(depth + 1, 4)} {line(name) or 'Transcript'}\n\nExecution `{execution}`\n"


def markdown(call: Json) -> str:
    """Return one line of the transcript as Markdown."""
    return "\n".join([*_head(call), *_request(call["request"]), *_reply(call), *_after(call)]) + "\n"


def fenced(text: str, language: str = "") -> str:
    """Return text as a code block that nothing in it can end."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def line(text: str) -> str:
    """Return text as one line in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))


def _head(call: Json) -> Iterator[str]:
    usage = call["usage"]
    read = usage["input"] + usage["cachedInput"] + usage["cacheCreation"]
    counted = f"{read:,} tokens in ({usage['cachedInput']:,} cached), {usage['output']:,} out"
    yield f"## Call {call['number']}, turn {call['turn']}\n"
    yield f"- model: {line(call['model'])}"
    yield f"- time: {call['startedAt']} to {call['endedAt'] or '(running)'}"
    tries = f" after {call['tries']} tries" if call["tries"] > 1 else ""
    reason = f": {line(call['reason'])}" if call["reason"] else ""
    yield f"- outcome: {call['outcome']}{tries}{reason}"
    yield f"- usage: {'estimated ' if usage['estimated'] else ''}{counted}\n"


def _request(request: Json) -> Iterator[str]:
    if not request["known"]:
        yield f"*{request['note']}.*\n"
        yield from _items(request["heard"])
        return
    if "system" in request:
        yield f"**System prompt**\n\n{fenced(request['system'])}"
    if request.get("tools"):
        names = ", ".join(f"`{tool['name']}`" for tool in request["tools"])
        yield f"**Tools offered:** {names}\n"
    for message in request["messages"]:
        if message["role"] == "user":
            yield from _user(message)


def _user(message: Json) -> Iterator[str]:
    for result in message["results"]:
        said = "failed" if result["failed"] else "done"
        yield f"**Result of `{result['name']}`** ({said})\n\n{fenced(result['text'])}"
    for part in message["parts"]:
        yield f"**User**\n\n{quoted(_said(part))}\n"


def _reply(call: Json) -> Iterator[str]:
    if call["reply"]:
        yield from _items(call["reply"]["parts"])
    for cut in call.get("said", ()):
        yield f"**Said before it was cut off**\n\n{quoted(cut['text'])}\n"
    for failure in call.get("failures", ()):
        yield f"**Failed** at {failure['at']}: {line(failure['message'])}\n"


def _after(call: Json) -> Iterator[str]:
    if unsent := call.get("unsent"):
        yield "*Not told to the model yet:*\n"
        for one in unsent:
            yield from _user(one) if one.get("role") == "user" else _items([one])


def _items(items: Iterable[Json]) -> Iterator[str]:
    """Yield parts of a reply, and what an agent inside heard, said and did."""
    for item in items:
        match item["kind"]:
            case "text":
                yield f"**Assistant**\n\n{item['text'].rstrip()}\n"
            case "thinking":
                yield f"**Thought**\n\n{quoted(item['text'])}\n"
            case "tool_call" | "action":
                yield f"**Call of `{item['name']}`**\n\n{fenced(_pretty(item['arguments']), 'json')}"
            case "result":
                yield f"**Result** ({item['outcome']})\n\n{fenced(item['text'])}"
            case "input":
                yield f"**User**\n\n{quoted(_input(item['block']))}\n"
            case "files":
                for change in item["changes"]:
                    yield f"**{change['kind']} `{change['path']}`**\n\n{fenced(change['diff'], 'diff')}"
            case "subagent":
                yield f"**Sub-agent** {line(item['name'])}: {item['state']}, {item['total_tokens']:,} tokens\n"
            case kind:
                yield f"**{kind}**\n\n{fenced(_pretty(json.dumps(item)), 'json')}"


def _input(block: Json) -> str:
    parts = [*block.get("inputs", ()), block]
    said = [str(part["text"]["content"]) for part in parts if "text" in part]
    said += ["(a picture)" for part in parts if "image" in part]
    return "\n".join(said or [str(block.get("payload", ""))])


def _said(part: Json) -> str:
    return str(part["text"]) if part["kind"] == "text" else f"(a picture, {part['mime_type']})"


def quoted(text: str) -> str:
    """Return text as a Markdown quotation."""
    return "\n".join(f"> {row}" for row in text.rstrip().splitlines())


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments
