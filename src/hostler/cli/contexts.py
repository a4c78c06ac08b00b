"""`hostler compact`: shortening what the model remembers."""

from hostler.cli import ids, places
from hostler.cli.client import Client
from hostler.cli.options import AsJson, DataDir, Execution
from hostler.cli.screen import emit, say


def compact(execution: Execution, json: AsJson = False, data_dir: DataDir = None) -> None:
    """Shorten the conversation that the model reads, now; it happens by itself before it is too long.

    The task, what people said, the open to-dos and a summary stay. To begin with nothing, say `/clear`.

    Examples:

        hostler compact 0198c2

        hostler send 0198c2 /clear
    """
    client = Client(places.find(data_dir))
    found = ids.execution(client, execution)
    client.agents("SendToAgentExecution", {"agentExecutionId": found, "controlInput": {"compact": {}}})
    emit(client.execution(found)) if json else say("the conversation is being shortened")
