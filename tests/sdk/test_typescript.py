"""The TypeScript client, which has events, environments and identities of its own and reaches agents by `post`."""

from uuid import uuid4

from tests import sdks
from tests.sdk.clients import told
from tests.server import HostlerProcess

PRELUDE = """
import { Gitpod, APIError } from '@gitpod/sdk';
import { AbstractPage } from '@gitpod/sdk/core/pagination';
const AGENTS = '/gitpod.v1.AgentService';
const client = new Gitpod();
const call = (method, body = {}) => client.post(`${AGENTS}/${method}`, { body });
const get = async (agentExecutionId) => (await call('GetAgentExecution', { agentExecutionId })).agentExecution;
const refusal = (promise) => promise.then(
  (answer) => ({ answer }),
  (error) => ({ class: error.constructor.name, status: error.status, ...error.error }),
);
const tell = (seen) => console.log(JSON.stringify(seen));
const [argument] = process.argv.slice(2);
"""


def run(server: HostlerProcess, script: str, argument: str = "", key: str | None = None) -> dict[str, object]:
    """Run a script with the client; return what it told."""
    env = {"GITPOD_BASE_URL": f"{server.url}/api", "GITPOD_API_KEY": server.token if key is None else key}
    return told(sdks.run_typescript(PRELUDE + script, env, argument), "the TypeScript client")


def test_events_arrive_until_the_turn_is_over(server: HostlerProcess) -> None:
    seen = run(
        server,
        """
        const { agentExecutionId: id } = await call('StartAgent');
        const filter = { resourceType: 'RESOURCE_TYPE_AGENT_EXECUTION', resourceIds: [id] };
        const events = await client.events.watch({ organization: true, resourceTypeFilters: [filter] });
        const told = [];
        const input = { agentExecutionId: id, userInput: { text: { content: 'hello' } } };
        for await (const event of events) {
          told.push(event);
          if (told.length === 1) await call('SendToAgentExecution', input);
          if ((await get(id)).status.phase === 'PHASE_WAITING_FOR_INPUT') break;
        }
        tell({ id, told });
        process.exit(0);
        """,
    )
    told_of = seen["told"]
    assert isinstance(told_of, list)
    assert told_of[0] == {
        "operation": "RESOURCE_OPERATION_UPDATE_STATUS",
        "resourceType": "RESOURCE_TYPE_AGENT_EXECUTION",
        "resourceId": seen["id"],
    }
    assert len(told_of) > 1
    assert {event["resourceId"] for event in told_of} == {seen["id"]}


def test_pages_follow_one_another(server: HostlerProcess) -> None:
    name = str(uuid4())
    made = [server.start_agent("", annotations={"example.org/group": name}) for _ in range(3)]
    seen = run(
        server,
        """
        class Executions extends AbstractPage {
          getPaginatedItems() { return this.body.agentExecutions ?? []; }
          nextPageRequestOptions() {
            const token = this.body.pagination?.nextToken;
            return token ? { ...this.options, query: { ...this.options.query, token } } : null;
          }
        }
        const body = { filter: { annotations: { 'example.org/group': argument } }, pagination: { pageSize: 1 } };
        const found = [];
        const list = client.getAPIList(`${AGENTS}/ListAgentExecutions`, Executions, { body, method: 'post' });
        for await (const one of list) found.push(one.id);
        tell({ found });
        """,
        name,
    )
    assert seen["found"] == made[::-1]


def test_refusals_have_the_clients_own_classes(server: HostlerProcess) -> None:
    seen = run(
        server,
        """
        tell({
          missing: await refusal(get('00000000-0000-4000-8000-000000000000')),
          malformed: await refusal(get('x')),
          later: await refusal(call('CreateMCPAccessToken', {})),
          me: await client.identity.getAuthenticatedIdentity({}),
        });
        """,
    )
    found = {
        name: (one["class"], one["code"]) for name, one in seen.items() if isinstance(one, dict) and "class" in one
    }
    assert found == {
        "missing": ("NotFoundError", "not_found"),
        "malformed": ("BadRequestError", "invalid_argument"),
        "later": ("InternalServerError", "unimplemented"),
    }
    assert seen["me"] == server.call("GetAuthenticatedIdentity", service="IdentityService")


def test_an_unknown_key_is_refused(server: HostlerProcess) -> None:
    seen = run(server, "tell({ one: await refusal(get('x')) });", key="hostler_nobody")
    one = seen["one"]
    assert isinstance(one, dict)
    assert (one["class"], one["code"]) == ("AuthenticationError", "unauthenticated")
