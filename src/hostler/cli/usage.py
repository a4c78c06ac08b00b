"""`hostler usage`: every model call of an execution with its four counters, and their sum."""

from collections.abc import Iterator, Sequence
from typing import Any

from hostler.cli import extras, ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.screen import emit, line, note, say, table

HEADS = ("turn", "model", "input", "cached", "cache written", "output", "end")
COUNTERS = ("input", "cachedInput", "cacheCreation", "output")


def usage(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show every model call of an execution, whichever agent made it.

    The four counters do not overlap: input leaves out what was cached. A call that was cut off is marked with ~: the
    provider did not say what it used, and the guess is not in the sum.

    Example:

        hostler usage 0198c2
    """
    client = Client(places.find(data_dir))
    found = extras.calls(client, ids.execution(client, execution))
    if json:
        emit(found)
        return
    if not found["calls"]:
        note("no model calls yet")
        return
    table([_row(call) for call in found["calls"]], HEADS)
    say(f"total  {_sum(found['total'])}")
    if any(found["estimated"].values()):
        say(f"cut    ~ {_sum(found['estimated'])}")


STATUS = ("inputTokensUsed", "cachedInputTokensUsed", "cachedCreationTokensUsed", "outputTokensUsed")
PARENT = "hostler/parent"


def show_tree(client: Client, execution: str, *, json: bool) -> None:
    """Show what an execution and all its sub-agents used, call by call, and whether it adds up to their status."""
    found = tree(client, execution)
    if json:
        emit(found)
        return
    for depth, node in _walk(found, 0):
        _say_node(node, "  " * depth)
    say(f"whole tree  {_sum(found['treeTotal'])}{_dollars(found.get('treeCost'), found['treeUnpriced'])}")


def tree(client: Client, execution: str) -> dict[str, Any]:
    """Return {id, name, calls, total, estimated, reconciled, cost, unpriced, children, treeTotal} of an execution."""
    shown = extras.seen(client, execution)
    table = extras.calls(client, execution)
    status = shown.get("status", {})
    said = {key: int(status.get(name, 0)) for key, name in zip(COUNTERS, STATUS, strict=True)}
    wanted = {"filter": {"annotations": {PARENT: execution}}}
    below = client.pages("gitpod.v1.AgentService", "ListAgentExecutions", "agentExecutions", wanted)
    children = [tree(client, str(one["id"])) for one in below][::-1]
    whole = {key: table["total"][key] + sum(one["treeTotal"][key] for one in children) for key in COUNTERS}
    mine = shown["hostler"].get("cost")
    costs = [one["treeCost"] for one in children if one.get("treeCost") is not None]
    cost: dict[str, Any] = {"cost": mine, "treeCost": round(mine + sum(costs), 6)} if mine is not None else {}
    unpriced = int(shown["hostler"].get("unpricedCalls", 0 if mine is not None else len(table["calls"])))
    cost |= {"unpriced": unpriced, "treeUnpriced": unpriced + sum(one["treeUnpriced"] for one in children)}
    name = str(shown.get("metadata", {}).get("name", ""))
    sums = {"reconciled": said == table["total"], "treeTotal": whole, **cost}
    return {"id": execution, "name": name, **table, **sums, "children": children}


def _walk(node: dict[str, Any], depth: int) -> Iterator[tuple[int, dict[str, Any]]]:
    yield depth, node
    for child in node["children"]:
        yield from _walk(child, depth + 1)


def _say_node(node: dict[str, Any], margin: str) -> None:
    say(f"{margin}{node['id'][:8]}  {line(node['name'])}")
    rows = [_row(call) for call in node["calls"]]
    for turn, model, *counters, end in rows:
        say(f"{margin}  turn {turn}  {model}  {_sum_of(counters)}  {end}")
    fits = "as its status says" if node["reconciled"] else "which is NOT what its status says"
    say(f"{margin}  total  {_sum(node['total'])}, {fits}{_dollars(node.get('cost'), node['unpriced'])}")
    if any(node["estimated"].values()):
        say(f"{margin}  cut    ~ {_sum(node['estimated'])} (a guess, not in the total)")


def _sum_of(counters: Sequence[str]) -> str:
    words = zip(counters, ("input", "cached input", "cache written", "output"), strict=True)
    return ", ".join(f"{amount} {word}" for amount, word in words)


def _dollars(cost: float | None, unpriced: int) -> str:
    """Return what it cost, and of how many calls that is not known; nothing where there was none."""
    if not unpriced:
        return "" if cost is None else f"; ${cost:,.4f}"
    known = f"${cost:,.4f} and " if cost else ""
    return f"; {known}an unknown cost of {unpriced} call{'' if unpriced == 1 else 's'} without a price"


def _row(call: dict[str, Any]) -> tuple[str, ...]:
    guess = "~" if call["estimated"] else ""
    end = call["outcome"] if call["tries"] == 1 else f"{call['outcome']} after {call['tries']} tries"
    reason = f": {line(call['reason'])}" if call["reason"] else ""
    return str(call["turn"]), line(call["model"]), *(f"{guess}{call[key]:,}" for key in COUNTERS), f"{end}{reason}"


def _sum(counters: dict[str, int]) -> str:
    words = zip(COUNTERS, ("input", "cached input", "cache written", "output"), strict=True)
    return ", ".join(f"{counters[key]:,} {word}" for key, word in words)
