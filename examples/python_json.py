"""Starts an agent with gitpod-sdk 0.x, watches it, and shows what came of it.

pip install gitpod-sdk==0.11.0
GITPOD_BASE_URL=http://127.0.0.1:8080/api/ GITPOD_API_KEY=... python python_json.py REPOSITORY TASK
"""

import sys

from gitpod import Gitpod

KIND = "RESOURCE_TYPE_AGENT_EXECUTION"
AT_REST = ("PHASE_WAITING_FOR_INPUT", "PHASE_STOPPED")

repository, task = sys.argv[1:]
client = Gitpod()  # reads GITPOD_BASE_URL, which ends in /api/, and GITPOD_API_KEY

context = {"context_url": {"url": repository}}
run = client.agents.start_execution(code_context=context).agent_execution_id
client.agents.send_to_execution(agent_execution_id=run, user_input={"text": {"content": task}})
print("Execution", run)

# An event says that something changed; the execution says what.
watched = {"resource_type": KIND, "resource_ids": [run]}
events = client.events.watch(organization=True, resource_type_filters=[watched])
for _ in events:
    status = client.agents.retrieve_execution(agent_execution_id=run).agent_execution.status
    if status.phase in AT_REST:
        break
events.close()

for key, value in sorted(status.outputs.items()):
    print(f"{key}: {value.string_value}")
used = f"{status.input_tokens_used} + {status.cached_input_tokens_used} tokens in, {status.output_tokens_used} out"
print(f"{status.iterations} calls of the model, {used}")

# Iterating over a list fetches page after page.
seen = [one.id for one in client.agents.list_executions(pagination={"page_size": 2})]
print(f"{len(seen)} executions, the newest is", "this one" if seen[0] == run else seen[0])

client.agents.stop_execution(agent_execution_id=run)
print(client.agents.retrieve_execution(agent_execution_id=run).agent_execution.status.phase)
