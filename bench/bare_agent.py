"""The reference: what one would write in an afternoon, a bare asyncio loop on the default event loop.

It streams each reply with aiohttp, runs the command as a subprocess and commits the step with one fsync; no sandbox,
no API, no log, and a crash loses the run. Each line on its input is `CONVERSATIONS STEPS`; it answers with the seconds
that they took, all at once. Arguments: the endpoint's port; the path of a SQLite database, or the URL of one elsewhere.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiohttp

from bench import bare

PROMPT = "You are a careful agent that works in a shell. " * 30
TOOL = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run a command in a shell.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


async def conversation(session: aiohttp.ClientSession, url: str, commit: bare.Commit, steps: int) -> None:
    """Carry one conversation to its end."""
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": PROMPT},
        {"role": "user", "content": f"steps {steps}"},
    ]
    name = f"{id(messages)} {time.perf_counter()}"
    for seq in range(1 << 20):
        said, calls = await reply(session, url, messages)
        messages.append({"role": "assistant", "content": said, **({"tool_calls": calls} if calls else {})})
        for call in calls:
            await bare.command("bash", "-c", json.loads(call["function"]["arguments"])["command"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": "(no output)"})
        commit(name, seq)
        if not calls:
            return


async def reply(
    session: aiohttp.ClientSession, url: str, messages: list[dict[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """Stream one reply; return its text and its calls."""
    body = {"model": "bench", "messages": messages, "tools": [TOOL], "stream": True}
    said: list[str] = []
    calls: list[dict[str, Any]] = []
    async with session.post(url, json=body) as answer:
        async for line in answer.content:
            if line.startswith(b"data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    said.append(choice["delta"].get("content") or "")
                    calls += choice["delta"].get("tool_calls", [])
    return "".join(said), calls


async def main(port: str, place: str) -> None:
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(total=None)
    with bare.committing(place) as commit:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
            print("ready", flush=True)
            while asked := await loop.run_in_executor(None, sys.stdin.readline):
                count, steps = map(int, asked.split())
                since = time.perf_counter()
                url = f"http://127.0.0.1:{port}/v1/chat/completions"
                await asyncio.gather(*(conversation(session, url, commit, steps) for _ in range(count)))
                print(time.perf_counter() - since, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
