"""What a tool of an MCP server answers, as text that a model reads."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import mcp_types as wire

from hostler.core.mcp_client import McpResult, McpTool

MOST_TOOLS = 256
"""Tools that one server may offer."""
LONGEST_DESCRIPTION = 4_000
LARGEST_SCHEMA = 32 << 10
"""Characters of the JSON of a tool's arguments; a larger one is left out, and the tool with it."""


def tools(listed: Iterable[wire.Tool]) -> Sequence[McpTool]:
    """Return the tools that can be offered, in the server's order."""
    found: list[McpTool] = []
    for tool in listed:
        schema = dict(tool.input_schema)
        if len(found) < MOST_TOOLS and len(json.dumps(schema)) <= LARGEST_SCHEMA and 0 < len(tool.name) <= 128:
            hints = tool.annotations
            read_only = bool(hints and hints.read_only_hint)
            text = tool.description or tool.title or ""
            found.append(McpTool(tool.name, text[:LONGEST_DESCRIPTION], schema, read_only))
    return tuple(found)


def result(answer: wire.CallToolResult) -> McpResult:
    """Return an answer; what is no text is described, and structured content is shown where there is nothing else."""
    structured: dict[str, Any] | None = answer.structured_content
    said = [part for part in map(_text, answer.content) if part]
    if not said and structured is not None:
        said = [json.dumps(structured, ensure_ascii=False)]
    return McpResult(bool(answer.is_error), "\n".join(said) or "(no content)", structured)


def _text(part: wire.ContentBlock) -> str:
    match part:
        case wire.TextContent():
            return part.text
        case wire.ImageContent() | wire.AudioContent():
            kind = "image" if isinstance(part, wire.ImageContent) else "audio"
            return f"[{kind} {part.mime_type}, {len(part.data) * 3 // 4} bytes, not shown]"
        case wire.ResourceLink():
            return f"[resource {part.uri}: {part.description or part.name}]"
        case wire.EmbeddedResource():
            inner = part.resource
            if isinstance(inner, wire.TextResourceContents):
                return f"[resource {inner.uri}]\n{inner.text}"
            return f"[resource {inner.uri}, {inner.mime_type or 'binary'}, {len(inner.blob) * 3 // 4} bytes, not shown]"
