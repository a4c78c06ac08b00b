// What pages ask of the server, and how it refuses.

/** Calls an RPC or a path of the server with JSON; throws a Refusal with what it said. */
export async function call(path, body, { method = "POST", headers = {} } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      body: method === "GET" ? undefined : JSON.stringify(body ?? {}),
    });
  } catch {
    throw new Refusal("The server cannot be reached. Is it running?");
  }
  const text = await answer.text();
  let told = {};
  try {
    told = text ? JSON.parse(text) : {};
  } catch {
    // an error page of something in between
  }
  if (answer.ok) return told;
  if (answer.status === 401) throw new Refusal("You are signed out. Load the page again to sign in.");
  throw new Refusal(told.message || `The server answered ${answer.status}.`, told);
}

export class Refusal extends Error {
  constructor(message, told = {}) {
    super(message);
    this.told = told;
  }

  /** The field that the server names in front of what it says ("spec.prompt: …"), or "". */
  get field() {
    const found = /^([a-z_][\w.[\]-]*): /i.exec(this.message);
    return found ? found[1] : "";
  }
}

/** Calls a method of the AgentService. */
export const rpc = (method, body, more) => call(`/api/gitpod.v1.AgentService/${method}`, body, more);
