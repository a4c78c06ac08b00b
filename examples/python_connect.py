"""Starts an agent with gitpod-sdk 1.x, reads the conversation as it happens, and shows what came of it.

pip install gitpod-sdk==1.2.0
ONA_BASE_URL=http://127.0.0.1:8080/api ONA_API_KEY=... python python_connect.py REPOSITORY TASK

The client's own `run_codex` starts the Codex agent; any other agent is started by the RPC and handed to `AgentSession`.
"""

import sys

from gitpod.v1 import agent_pb2 as pb
from gitpod.v1.pagination_pb2 import PaginationRequest
from ona_sdk import create_client_from_env
from ona_sdk.agents import AgentSession

repository, task = sys.argv[1:]
client = create_client_from_env()  # reads ONA_BASE_URL and ONA_API_KEY
agents = client.services.agent

context = pb.AgentCodeContext(context_url=pb.AgentCodeContext.ContextURL(url=repository))
run = agents.start_agent(pb.StartAgentRequest(code_context=context)).agent_execution_id
session = AgentSession(client, run)
session.send_message(task)
session.wait_running()
print("Execution", run)

for piece in session.message_stream():
    print(piece, end="", flush=True)
status = session.watch_result().status

for key, value in sorted(status.outputs.items()):
    print(f"{key}: {value.string_value}")
used = f"{status.input_tokens_used} + {status.cached_input_tokens_used} tokens in, {status.output_tokens_used} out"
print(f"{status.iterations} calls of the model, {used}")

# A page names the next one.
seen, page = [], PaginationRequest(page_size=2)
while True:
    answer = agents.list_agent_executions(pb.ListAgentExecutionsRequest(pagination=page))
    seen += [one.id for one in answer.agent_executions]
    if not answer.pagination.next_token:
        break
    page.token = answer.pagination.next_token
print(f"{len(seen)} executions, the newest is", "this one" if seen[0] == run else seen[0])

agents.stop_agent_execution(pb.StopAgentExecutionRequest(agent_execution_id=run))
now = agents.get_agent_execution(pb.GetAgentExecutionRequest(agent_execution_id=run)).agent_execution
print(pb.AgentExecution.Phase.Name(now.status.phase))
