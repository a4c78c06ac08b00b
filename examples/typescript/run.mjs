// Starts an agent with the official TypeScript client, watches it, and shows what came of it.
//
//   npm ci && GITPOD_BASE_URL=http://127.0.0.1:8080/api GITPOD_API_KEY=... node run.mjs REPOSITORY TASK
//
// The client knows events and identities, but has no methods for agents yet: its `post` and `getAPIList` serve for those.
import { Gitpod } from '@gitpod/sdk';
import { AbstractPage } from '@gitpod/sdk/core/pagination';

const AGENTS = '/gitpod.v1.AgentService';
const KIND = 'RESOURCE_TYPE_AGENT_EXECUTION';
const AT_REST = ['PHASE_WAITING_FOR_INPUT', 'PHASE_STOPPED'];

class Executions extends AbstractPage {
  getPaginatedItems() {
    return this.body.agentExecutions ?? [];
  }
  nextPageRequestOptions() {
    const token = this.body.pagination?.nextToken;
    return token ? { ...this.options, query: { ...this.options.query, token } } : null;
  }
}

const [repository, task] = process.argv.slice(2);
const client = new Gitpod(); // reads GITPOD_BASE_URL and GITPOD_API_KEY
const call = (method, body) => client.post(`${AGENTS}/${method}`, { body });
const get = async () => (await call('GetAgentExecution', { agentExecutionId })).agentExecution;

const { subject } = await client.identity.getAuthenticatedIdentity({ empty: true });
console.log(`I am ${subject.id}`);

const { agentExecutionId } = await call('StartAgent', { codeContext: { contextUrl: { url: repository } } });
await call('SendToAgentExecution', { agentExecutionId, userInput: { inputs: [{ text: { content: task } }] } });
console.log(`Execution ${agentExecutionId}`);

// An event says that something changed; the execution says what.
const resourceTypeFilters = [{ resourceType: KIND, resourceIds: [agentExecutionId] }];
const events = await client.events.watch({ organization: true, resourceTypeFilters });
for await (const _ of events) {
  if (AT_REST.includes((await get()).status.phase)) break;
}
events.controller.abort();

const { status } = await get();
for (const [key, value] of Object.entries(status.outputs ?? {}).sort()) console.log(`${key}: ${Object.values(value)[0]}`);
const used = `${status.inputTokensUsed} + ${status.cachedInputTokensUsed} tokens in, ${status.outputTokensUsed} out`;
console.log(`${status.iterations} calls of the model, ${used}`);

const seen = [];
const options = { body: { pagination: { pageSize: 2 } }, method: 'post' };
for await (const one of client.getAPIList(`${AGENTS}/ListAgentExecutions`, Executions, options)) seen.push(one.id);
console.log(`${seen.length} executions, the newest ${seen[0] === agentExecutionId ? 'is this one' : seen[0]}`);

await call('StopAgentExecution', { agentExecutionId });
console.log((await get()).status.phase);
