"""Known secrets, the channels that they come in through, and the forms in which they must not be seen again."""

import base64
import html
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

ODD = '"\\/+&= end'
"""Characters that every encoding writes in a way of its own."""
CHANNELS = (
    "command-output",
    "split-output",
    "encoded-output",
    "long-output",
    "file-read",
    "file-edited",
    "file-found",
    "instructions",
    "model-text",
    "model-thought",
    "spoken",
    "tool-arguments",
    "outputs",
    "todos",
    "questions",
    "message",
    "queued",
    "edited",
    "annotation",
    "name",
    "agent-text",
    "agent-command",
    "agent-patch",
    "agent-message",
    "setup-output",
    "terminal",
    "exec",
    "prompt",
    "share-name",
    "token-name",
    "environment-name",
    "input-of-the-page",
    "skill",
    "skill-described",
    "annotated",
    "typed",
    "mcp-result",
    "verdict",
    "goal",
    "webhook-name",
    "maintenance",
)
"""Each has a secret of its own, so that what leaks names the way it took."""
SHARED = ("model-key", "api-token", "host-credential")
"""Secrets that the server knows by itself; they come in through several channels."""


@dataclass(frozen=True)
class Canary:
    """One secret; `mark` comes with it and is no secret: where it is seen, the channel was open."""

    channel: str
    secret: str

    @property
    def mark(self) -> str:
        return f"mark.{self.channel}."

    @property
    def said(self) -> str:
        """What goes through the channel."""
        return f"{self.mark} {self.secret} ."

    @property
    def file(self) -> str:
        """Where it lies in the repository."""
        return f"canaries/{self.channel}"


def canary(channel: str) -> Canary:
    """Return the canary of a channel."""
    return Canary(channel, f"cnry-{channel}-{ODD}-{channel[::-1]}-7f3a")


def forms(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of every form in which a secret could be read by somebody who looks for it."""
    raw = secret.encode()
    middle = len(raw) // 2
    yield "plain", raw
    yield "its first half", raw[:middle]
    yield "its second half", raw[middle:]
    yield "JSON", json.dumps(secret)[1:-1].encode()
    yield "JSON in JSON", json.dumps(json.dumps(secret))[3:-3].encode()
    yield "HTML", html.escape(secret).encode()
    yield "URL", urllib.parse.quote(secret, safe="").encode()
    yield "URL path", urllib.parse.quote(secret).encode()
    yield "form", urllib.parse.quote_plus(secret).encode()
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    for shift in range(3):
        start, end = (0, 2, 3)[shift], -4 if (shift + len(raw)) % 3 else None
        coded = base64.b64encode(b"\0" * shift + raw)[start:end]
        yield f"base64 at offset {shift}", coded
        yield f"URL-safe base64 at offset {shift}", coded.replace(b"+", b"-").replace(b"/", b"_")


ENCODINGS = """
import base64, html, json, sys, urllib.parse
raw = open("canaries/encoded-output").read().strip()
word, _, rest = raw.partition(" ")
secret = rest.removesuffix(" .")
print(word)
for shift in range(3):
    print(base64.b64encode(b"x" * shift + secret.encode() + b"yy").decode())
    print(base64.urlsafe_b64encode(b"x" * shift + secret.encode()).decode())
print(secret.encode().hex(), secret.encode().hex().upper(), secret.encode().hex(" "))
print(urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret))
print(json.dumps(secret), json.dumps(json.dumps(secret)), json.dumps(secret, ensure_ascii=False), html.escape(secret))
print(repr(secret))
"""
"""A program of the repository that writes a secret in every way it knows."""
SPLIT = """
import sys, time
text = open("canaries/split-output").read().strip()
for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
    sys.stdout.write(piece); sys.stdout.flush(); time.sleep(0.3)
"""
"""A program that writes a secret in two goes, with a pause between them."""
LONG = """
text = open("canaries/long-output").read().strip()
for number in range(4000):
    print(text, "." * (number % 7))
"""
"""A program that writes so much that its output is cut somewhere."""
BIRDS_SING = """
import json, sys
song = open("canaries/mcp-result").read().strip()
def answer(message):
    method, params = message["method"], message.get("params", {})
    if method == "initialize":
        who = {"name": "birds", "version": "1"}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": who}
    if method == "tools/list":
        return {"tools": [{"name": "sing", "description": "Sings.", "inputSchema": {"type": "object"}}]}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": song}]}
    return {}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message)}), flush=True)
"""
"""An MCP server of the repository that tells a secret."""
