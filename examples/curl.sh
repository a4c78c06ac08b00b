#!/bin/sh
# Starts an agent with nothing but curl, watches the conversation, and shows what came of it.
#
#   HOSTLER_URL=http://127.0.0.1:8080 HOSTLER_TOKEN=... sh curl.sh REPOSITORY TASK
#
# REPOSITORY and TASK go into JSON as they are, so quotes and backslashes in them need escaping. python3 picks JSON apart.
set -eu
repository=$1 task=$2

# Call a method of AgentService with a JSON body.
call() {
    curl -sS --fail-with-body "$HOSTLER_URL/api/gitpod.v1.AgentService/$1" \
        -H "Authorization: Bearer $HOSTLER_TOKEN" -H 'Content-Type: application/json' -d "$2"
}
# Read one value out of JSON on standard input, by a Python expression over `it`.
pick() { python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

id=$(call StartAgent "{\"codeContext\": {\"contextUrl\": {\"url\": \"$repository\"}}}" | pick 'it["agentExecutionId"]')
call SendToAgentExecution "{\"agentExecutionId\": \"$id\", \"userInput\": {\"inputs\": [{\"text\": {\"content\": \"$task\"}}]}}" >/dev/null
echo "Execution $id"

get() { call GetAgentExecution "{\"agentExecutionId\": \"$id\"}"; }

# The conversation is a stream of server-sent events that ends when the agent rests; its frames are to be had as JSON.
live=$(get | pick 'it["agentExecution"]["status"]["conversationUrls"]["live"]')
curl -sSN --fail-with-body "$live?format=json" -H "Authorization: Bearer $HOSTLER_TOKEN" | python3 -c '
import json, sys
for line in sys.stdin:
    block = json.loads(line[6:]).get("body", {}) if line.startswith("data: ") else {}
    text = block.get("text", {})
    if block.get("phase") == "PHASE_COMPLETED" and text.get("type") != "TYPE_THOUGHTS" and "content" in text:
        print(text["content"], flush=True)
'

get | python3 -c '
import json, sys
status = json.load(sys.stdin)["agentExecution"]["status"]
for key, value in sorted(status.get("outputs", {}).items()):
    print(key + ": " + value["stringValue"])
used = "{inputTokensUsed} + {cachedInputTokensUsed} tokens in, {outputTokensUsed} out".format(**status)
print(status["iterations"], "calls of the model,", used)
'

# A page of a list names the next one.
count=0 newest='' token=''
while :; do
    page=$(call ListAgentExecutions "{\"pagination\": {\"pageSize\": 2, \"token\": \"$token\"}}")
    : "${newest:=$(echo "$page" | pick 'it["agentExecutions"][0]["id"]')}"
    count=$((count + $(echo "$page" | pick 'len(it["agentExecutions"])')))
    token=$(echo "$page" | pick 'it.get("pagination", {}).get("nextToken", "")')
    [ -n "$token" ] || break
done
[ "$newest" != "$id" ] || newest='this one'
echo "$count executions, the newest is $newest"

call StopAgentExecution "{\"agentExecutionId\": \"$id\"}" >/dev/null
get | pick 'it["agentExecution"]["status"]["phase"]'
