"""Has Codex work on a repository, with gitpod-sdk 1.x: an environment, the agent in it, its conversation, its changes.

pip install gitpod-sdk==1.2.0
ONA_BASE_URL=http://127.0.0.1:8080/api ONA_API_KEY=... python python_codex.py REPOSITORY TASK
"""

import sys

from gitpod.v1 import agent_pb2 as pb
from ona_sdk import create_client_from_env

repository, task = sys.argv[1:]
client = create_client_from_env()  # reads ONA_BASE_URL and ONA_API_KEY

run = client.run_codex(task=task, repository_url=repository, reasoning_effort=pb.CODEX_REASONING_EFFORT_HIGH)
print("Execution", run.id(), "in environment", run.environment_id())

for piece in run.message_stream():
    print(piece, end="", flush=True)
run.watch_result()

run.send_message("Thank you")  # goes on in the same conversation
run.session.wait_running()
for piece in run.message_stream():
    print(piece, end="", flush=True)
status = run.watch_result().status
print(f"{status.iterations} calls of the model")

for change in run.environment.git_changes().files:
    print(change.file.path, *(hunk.body for hunk in change.diff.hunks), sep="\n")

run.stop_environment()
run.delete_environment()
