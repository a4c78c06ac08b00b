// The pages that are lists: they keep themselves up to date, and everything on them can be done with the keyboard.

const EVERY = 5000; // milliseconds between two looks while the page is seen
const PAUSE = 500; // between two answers of a server that answers when there is news
const CLOCK = 10000;

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

const rpc = (method, body, more) => call(`/api/gitpod.v1.AgentService/${method}`, body, more);
const $ = (id) => document.getElementById(id);

// --- what every list has ------------------------------------------------------------------------

/** How long ago a moment was, in the words of the server. */
export function ago(seconds) {
  if (seconds < 5) return "now";
  for (const [limit, size, unit] of [[60, 1, "s"], [3600, 60, "min"], [48 * 3600, 3600, "h"]]) {
    if (seconds < limit) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds / 86400)} days`;
}

function tick(root = document) {
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const since = ago((Date.now() - Date.parse(time.dateTime)) / 1000);
    const text = time.dataset.ago === "past" ? (since === "now" ? "just now" : `${since} ago`) : since;
    if (time.textContent !== text) time.textContent = text;
  }
}

function dialogs() {
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
  }
}

export function problem(element, text) {
  element.textContent = text;
  element.hidden = !text;
}

/** Whether a key is meant for what is being written, or for the browser. */
function typing(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  if (document.querySelector("dialog[open]")) return true;
  const tag = event.target.tagName;
  return tag === "INPUT" || tag === "TEXTAREA" || tag === "SELECT" || event.target.isContentEditable;
}

// --- all executions -----------------------------------------------------------------------------

class Executions {
  constructor() {
    this.groups = $("groups");
    this.freshness = $("freshness");
    this.tag = "";
    this.waiting = null; // new groups that would move rows under the pointer
    this.failures = 0;
    this.selected = "";
    this.bind();
    this.look();
  }

  bind() {
    $("show-keys").addEventListener("click", () => $("keys").showModal());
    $("new-execution")?.addEventListener("click", () => this.form.open());
    if ($("new")) this.form = new NewExecution();
    $("stop-yes")?.addEventListener("click", () => this.stop());
    document.addEventListener("keydown", (event) => this.key(event));
    for (const leaving of ["pointerleave", "focusout"]) {
      this.groups.addEventListener(leaving, () => setTimeout(() => this.settle(), 0));
    }
    this.groups.addEventListener("focusin", (event) => {
      this.selected = event.target.closest(".entry")?.dataset.id ?? this.selected;
    });
    document.addEventListener("visibilitychange", () => this.look());
    const filters = $("filters");
    filters.addEventListener("submit", (event) => {
      event.preventDefault();
      location.assign(this.address());
    });
    for (const field of filters.querySelectorAll("select, [type=checkbox]")) {
      field.addEventListener("change", () => location.assign(this.address()));
    }
  }

  address() {
    const kept = [...new FormData($("filters"))].filter(([, value]) => String(value).trim());
    const query = new URLSearchParams(kept);
    return kept.length ? `/?${query}` : "/";
  }

  // Keeping up to date

  /** Asks for news; the server answers when there are some, or after a while. One question at a time. */
  async look() {
    clearTimeout(this.timer);
    this.asking?.abort();
    if (document.hidden) return;
    const asking = new AbortController();
    this.asking = asking;
    try {
      const query = new URLSearchParams(location.search);
      query.set("part", "list");
      if (this.tag) query.set("wait", "1");
      const headers = this.tag ? { "if-none-match": this.tag } : {};
      const answer = await fetch(`/?${query}`, { headers, cache: "no-store", signal: asking.signal });
      if (answer.redirected || answer.status === 401) {
        this.say("Signed out: load the page again");
        return;
      }
      if (answer.status === 200) {
        this.tag = answer.headers.get("etag") ?? "";
        this.take(await answer.text());
      } else if (answer.status !== 304) {
        throw new Error(String(answer.status));
      }
      this.failures = 0;
      this.say(this.waiting ? "Changes wait until the pointer leaves the list" : "");
    } catch {
      if (asking.signal.aborted) return;
      this.failures += 1;
      this.tag = "";
      if (this.failures > 1) this.say("Offline: what you see may be old");
    }
    this.timer = setTimeout(() => this.look(), this.failures ? Math.min(20000, 1000 * 2 ** this.failures) : PAUSE);
  }

  say(text) {
    if (this.freshness.textContent !== text) this.freshness.textContent = text;
  }

  take(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    const order = (root) => [...root.querySelectorAll(".entry, .empty, .older")].map((one) => one.id || one.className).join();
    const moves = order(fresh) !== order(this.groups);
    if (moves && this.groups.matches(":hover")) {
      this.waiting = fresh;
      this.refresh(fresh);
    } else {
      this.put(fresh, moves);
    }
  }

  /** Changes what rows say, and leaves each where it is. */
  refresh(fresh) {
    for (const row of fresh.querySelectorAll(".entry")) {
      const old = $(row.id);
      if (!old || old.dataset.said === row.innerHTML) continue;
      const focused = old.contains(document.activeElement);
      old.dataset.said = row.innerHTML;
      old.className = row.className;
      for (const part of row.children) {
        const there = old.querySelector(`:scope > .${part.classList[0]}`);
        if (there && there.innerHTML !== part.innerHTML) there.replaceChildren(...part.cloneNode(true).childNodes);
        if (there) there.title = part.title;
      }
      if (row.dataset.stoppable) old.dataset.stoppable = "yes";
      else delete old.dataset.stoppable;
      if (focused) old.querySelector("a")?.focus();
    }
    for (const title of fresh.querySelectorAll(".group > h2")) {
      const there = $(title.id);
      if (there && there.innerHTML !== title.innerHTML) there.innerHTML = title.innerHTML;
    }
    tick(this.groups);
  }

  put(fresh, moves) {
    this.waiting = null;
    this.refresh(fresh);
    if (!moves) return;
    const focused = this.groups.contains(document.activeElement) ? this.selected : "";
    this.groups.replaceChildren(...fresh.childNodes);
    tick(this.groups);
    if (focused) $(`run-${focused}`)?.querySelector("a").focus({ preventScroll: true });
  }

  settle() {
    if (this.waiting && !this.groups.matches(":hover")) {
      this.put(this.waiting, true);
      this.say("");
    }
  }

  // The keyboard

  key(event) {
    if (event.key === "Escape" && event.target.closest?.("#filters")) {
      event.target.blur();
      return;
    }
    if (typing(event)) return;
    const does = {
      j: () => this.move(1),
      ArrowDown: () => this.move(1),
      k: () => this.move(-1),
      ArrowUp: () => this.move(-1),
      "/": () => $("search").select(),
      "?": () => $("keys").showModal(),
      n: () => this.form?.open(),
      x: () => this.ask(),
    }[event.key];
    if (!does || (event.key.startsWith("Arrow") && !this.inList(event.target))) return;
    event.preventDefault();
    does();
  }

  inList(target) {
    return target === document.body || target.id === "main" || this.groups.contains(target);
  }

  move(by) {
    const links = [...this.groups.querySelectorAll(".run-name")];
    if (!links.length) return;
    const here = links.findIndex((link) => link.closest(".entry").dataset.id === this.selected);
    const next = here < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + by));
    links[next].focus();
    links[next].closest(".entry").scrollIntoView({ block: "nearest" });
  }

  ask() {
    const row = this.selected && $(`run-${this.selected}`);
    if (!row || !$("stop")) return;
    if (!row.dataset.stoppable) {
      this.say("It does not run: there is nothing to stop");
      return;
    }
    $("stop-name").textContent = row.querySelector(".run-name").textContent;
    problem($("stop-problem"), "");
    $("stop").dataset.id = row.dataset.id;
    $("stop").showModal();
  }

  async stop() {
    const dialog = $("stop");
    try {
      await rpc("StopAgentExecution", { agentExecutionId: dialog.dataset.id });
      dialog.close();
      this.look();
    } catch (refused) {
      problem($("stop-problem"), refused.message);
    }
  }
}

class NewExecution {
  constructor() {
    this.dialog = $("new");
    this.key = "";
    this.started = "";
    $("new-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    const place = () => {
      $("new-url-row").hidden = $("new-place").value !== "url";
    };
    const agent = () => {
      const model = $("new-agent").selectedOptions[0]?.dataset.model;
      $("new-model").placeholder = model ? `${model} (as the agent says)` : "as the agent says";
    };
    $("new-place").addEventListener("change", place);
    $("new-agent").addEventListener("change", agent);
    $("new-task").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.start();
    });
    place();
    agent();
  }

  open() {
    this.key ||= crypto.randomUUID?.() ?? String(Math.random());
    this.dialog.showModal();
    $("new-task").focus();
  }

  asked() {
    const place = $("new-place").value;
    const url = $("new-url").value.trim();
    const model = $("new-model").value.trim();
    const body = { agentId: $("new-agent").value };
    if (place === "url") body.codeContext = { contextUrl: { url } };
    else if (place !== "none") body.codeContext = { projectId: place };
    if (model) body.annotations = { "hostler/model": model };
    return body;
  }

  complete() {
    const missing = [["new-task", "Say what should be done."]];
    if ($("new-place").value === "url") missing.push(["new-url", "An address is needed, or choose an empty workspace."]);
    let first = null;
    for (const [id, text] of missing) {
      const empty = !$(id).value.trim();
      this.wrong(id, empty ? text : "");
      if (empty) first ??= $(id);
    }
    first?.focus();
    return !first;
  }

  wrong(id, text) {
    problem($(`${id}-problem`), text);
    $(id).setAttribute("aria-invalid", String(Boolean(text)));
  }

  async start() {
    problem($("new-problem"), "");
    this.wrong("new-model", "");
    if (!this.complete()) return;
    $("new-start").disabled = true;
    try {
      if (!this.started) {
        const answer = await rpc("StartAgent", this.asked(), { headers: { "idempotency-key": this.key } });
        this.started = answer.agentExecutionId;
      }
      const inputs = [{ text: { content: $("new-task").value } }];
      await rpc("SendToAgentExecution", { agentExecutionId: this.started, userInput: { inputs } });
      location.assign(`/executions/${this.started}`);
    } catch (refused) {
      this.key = this.started ? this.key : "";
      this.key ||= crypto.randomUUID?.() ?? String(Math.random());
      this.tell(refused);
      $("new-start").disabled = false;
    }
  }

  tell(refused) {
    const said = refused.message;
    if (/model/.test(refused.field) || /\bmodel\b/i.test(said)) this.wrong("new-model", said);
    else if (/url|context/i.test(refused.field)) this.wrong("new-url", said);
    else problem($("new-problem"), said);
  }
}

// --- environments -------------------------------------------------------------------------------

const ENVIRONMENTS = "/api/gitpod.v1.EnvironmentService";

/** What simple lists do with the keyboard: "/" leads to the search. */
class SimpleList {
  constructor() {
    for (const field of document.querySelectorAll("[data-submits]")) {
      field.addEventListener("change", () => field.form.requestSubmit());
    }
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && event.target.id === "search") event.target.blur();
      if (event.key !== "/" || typing(event)) return;
      event.preventDefault();
      $("search").select();
    });
  }
}

class OneEnvironment {
  constructor() {
    this.id = document.body.dataset.environment;
    for (const button of document.querySelectorAll("[data-act]")) {
      button.addEventListener("click", () => this.act(button));
    }
    for (const button of document.querySelectorAll("[data-allow], [data-forbid]")) {
      button.addEventListener("click", () => this.host(button));
    }
    $("delete")?.addEventListener("click", () => this.ask());
    $("delete-yes")?.addEventListener("click", () => this.remove());
    if ($("log")) new Log(this.id);
    this.watch();
  }

  async act(button) {
    button.disabled = true;
    problem($("problem"), "");
    try {
      await call(`${ENVIRONMENTS}/${button.dataset.act}`, { environmentId: this.id });
      location.reload();
    } catch (refused) {
      problem($("problem"), refused.message);
      button.disabled = false;
    }
  }

  /** Allows a host, or takes that back. */
  async host(button) {
    const { host, allow, forbid } = button.dataset;
    const mine = `/api/hostler/v1/environments/${this.id}/hosts`;
    const ofClass = `/api/hostler/v1/environment-classes/${document.body.dataset.class}/hosts`;
    button.disabled = true;
    problem($("problem"), "");
    try {
      if (allow) await call(mine, { host, for: allow });
      else await call(`${forbid === "once" ? mine : ofClass}/${encodeURIComponent(host)}`, {}, { method: "DELETE" });
      location.reload();
    } catch (refused) {
      problem($("problem"), refused.message);
      button.disabled = false;
    }
  }

  /** Follows the state; the page is made anew when it is another one. */
  async watch() {
    if (!document.hidden && !document.querySelector("dialog[open]")) {
      try {
        const { environment } = await call(`${ENVIRONMENTS}/GetEnvironment`, { environmentId: this.id });
        const phase = environment.status.phase.replace("ENVIRONMENT_PHASE_", "").toLowerCase();
        if (phase !== document.body.dataset.phase) {
          location.reload();
          return;
        }
      } catch (refused) {
        if (refused.told?.code === "not_found") {
          problem($("problem"), "This environment is gone.");
          return;
        }
      }
    }
    setTimeout(() => this.watch(), EVERY);
  }

  async ask() {
    const told = $("delete-lost");
    told.textContent = "Looking at what would be lost…";
    problem($("delete-problem"), "");
    this.force = false;
    $("delete-dialog").showModal();
    try {
      const { executions, changes } = await call(`/api/hostler/v1/environments/${this.id}/work`, null, { method: "GET" });
      this.force = executions.length > 0;
      told.replaceChildren(...lost(executions, changes));
    } catch (refused) {
      told.textContent = `What would be lost is not known: ${refused.message}`;
    }
  }

  async remove() {
    $("delete-yes").disabled = true;
    try {
      await call(`${ENVIRONMENTS}/DeleteEnvironment`, { environmentId: this.id, force: this.force });
      location.assign("/environments");
    } catch (refused) {
      problem($("delete-problem"), refused.message);
      $("delete-yes").disabled = false;
    }
  }
}

/** Says what is kept elsewhere of the work in an environment, and what is not. */
function lost(executions, changes) {
  const lines = [];
  if (changes) lines.push(`${changes} changed ${changes === 1 ? "file is" : "files are"} kept nowhere else.`);
  for (const { id, phase, kept, notKept } of executions) {
    const name = document.querySelector(`[data-user="${id}"]`)?.textContent ?? id.slice(0, 8);
    const works = phase === "RUNNING" || phase === "PENDING" ? " It works in there at this moment and would be cut off." : "";
    const files = kept ? `${kept.files} changed ${kept.files === 1 ? "file is" : "files are"}` : "";
    const what = notKept ? `its last work could not be kept (${notKept})` : kept ? `${files} kept with it` : "it has kept no change";
    lines.push(`“${name}” uses it: ${what}.${works}`);
  }
  if (!lines.length) lines.push("Nobody uses it, and nothing in it has changed.");
  return lines.map((text) => Object.assign(document.createElement("p"), { textContent: text }));
}

/** The log of an environment as it grows. */
class Log {
  static MOST = 4000;

  constructor(environment) {
    this.element = $("log");
    this.url = `/api/environments/${environment}/logs?format=json&follow=1`;
    this.seq = 0;
    this.pause = 500;
    this.read();
  }

  say(text) {
    $("log-state").textContent = text;
  }

  async read() {
    try {
      const answer = await fetch(`${this.url}&after=${this.seq}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status === 401 ? "signed out" : String(answer.status));
      this.say("Live.");
      this.pause = 500;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        this.add(lines.filter((line) => line.trim()).map((line) => JSON.parse(line)));
      }
      this.say("Reconnecting…");
    } catch (broken) {
      this.say(broken.message === "signed out" ? "Signed out: load the page again." : broken.message === "404" ? "The environment is gone." : "Offline; reconnecting…");
      if (["signed out", "404"].includes(broken.message)) return;
    }
    setTimeout(() => this.read(), this.pause);
    this.pause = Math.min(10000, this.pause * 2);
  }

  add(entries) {
    if (!entries.length) return;
    const log = this.element;
    const below = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    for (const entry of entries) {
      if (entry.seq <= this.seq) continue;
      this.seq = entry.seq;
      const piece = document.createElement("span");
      piece.className = entry.step ? "step" : "own";
      piece.title = new Date(entry.at).toLocaleString();
      piece.textContent = entry.text;
      log.append(piece);
    }
    while (log.childElementCount > Log.MOST) log.firstElementChild.remove();
    if (below) log.scrollTop = log.scrollHeight;
  }
}

// --- prompts ------------------------------------------------------------------------------------

/** The lengths of texts as the server counts them: letters, not the halves of them. */
const length = (text) => [...text].length;

class PromptEditor {
  static FIELDS = ["name", "description", "prompt", "command"];

  constructor() {
    this.id = document.body.dataset.prompt;
    this.dirty = false;
    for (const counter of document.querySelectorAll("[data-counts]")) {
      const field = $(counter.dataset.counts);
      const count = () => this.count(counter, field);
      field.addEventListener("input", count);
      count();
    }
    const form = $("prompt-form");
    form.addEventListener("input", () => this.touched());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    $("prompt-is-command").addEventListener("change", () => this.command());
    this.command();
    $("prompt-clean").addEventListener("click", () => this.clean());
    $("prompt-delete")?.addEventListener("click", () => $("prompt-delete-dialog").showModal());
    $("prompt-delete-yes")?.addEventListener("click", () => this.remove());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "s" || !(event.ctrlKey || event.metaKey) || !$("prompt-save")) return;
      event.preventDefault();
      this.save();
    });
    addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
    if (!this.id) $("prompt-name").focus();
  }

  count(counter, field) {
    const most = Number(counter.dataset.most);
    const long = length(field.value);
    counter.textContent = `${long.toLocaleString("en")} of ${most.toLocaleString("en")}`;
    counter.classList.toggle("wrong", long > most);
  }

  touched() {
    this.dirty = true;
    if ($("prompt-saved")) $("prompt-saved").textContent = "";
  }

  command() {
    $("prompt-command-row").hidden = !$("prompt-is-command").checked;
  }

  said() {
    const said = Object.fromEntries(PromptEditor.FIELDS.map((name) => [name, $(`prompt-${name}`).value]));
    const isCommand = $("prompt-is-command").checked;
    const uses = { isTemplate: $("prompt-is-template").checked, isSkill: $("prompt-is-skill").checked, isCommand };
    if (!isCommand) delete said.command;
    return [said, uses];
  }

  async save() {
    const button = $("prompt-save");
    if (!button || button.disabled) return;
    this.forgive();
    button.disabled = true;
    const [{ name, description, prompt, command }, uses] = this.said();
    const spec = command === undefined ? { prompt, ...uses } : { prompt, command, ...uses };
    try {
      if (this.id) {
        await rpc("UpdatePrompt", { promptId: this.id, metadata: { name, description }, spec });
        this.dirty = false;
        $("prompt-saved").textContent = "Saved";
      } else {
        const made = await rpc("CreatePrompt", { name, description, ...spec });
        this.dirty = false;
        location.assign(`/prompts/${made.prompt.id}`);
      }
    } catch (refused) {
      this.tell(refused);
    }
    button.disabled = false;
  }

  forgive() {
    problem($("prompt-problem"), "");
    $("prompt-hidden").hidden = true;
    for (const name of PromptEditor.FIELDS) this.wrong(name, "");
  }

  wrong(name, text) {
    problem($(`prompt-${name}-problem`), text);
    $(`prompt-${name}`).setAttribute("aria-invalid", String(Boolean(text)));
  }

  /** Shows what the server said at the field that it names. */
  tell(refused) {
    const name = refused.field.split(".").pop();
    const text = refused.field ? refused.message.slice(refused.field.length + 2) : refused.message;
    const cleaned = hidden(refused.told);
    if (cleaned && PromptEditor.FIELDS.includes(name)) {
      this.cleaned = { name, text: cleaned };
      $("prompt-hidden-said").textContent = `In the ${name === "prompt" ? "text" : name}: ${text}.`;
      $("prompt-hidden").hidden = false;
      $("prompt-clean").focus();
    } else if (PromptEditor.FIELDS.includes(name)) {
      this.wrong(name, text);
      $(`prompt-${name}`).focus();
    } else {
      problem($("prompt-problem"), refused.message);
    }
  }

  clean() {
    const field = $(`prompt-${this.cleaned.name}`);
    field.value = this.cleaned.text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    $("prompt-hidden").hidden = true;
    field.focus();
  }

  async remove() {
    try {
      await rpc("DeletePrompt", { promptId: this.id });
      this.dirty = false;
      location.assign("/prompts");
    } catch (refused) {
      problem($("prompt-delete-problem"), refused.message);
    }
  }
}

/** The text without its hidden characters that a refusal carries, or "": field 1 of a small protobuf message. */
function hidden(told) {
  const detail = (told.details ?? []).find((one) => one.type === "gitpod.v1.PromptValidationErrorDetails");
  if (!detail) return "";
  const bytes = Uint8Array.from(atob(detail.value.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  if (bytes[0] !== 10) return "";
  let size = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    size += (bytes[at] & 127) * 2 ** shift;
    if (bytes[at++] < 128) break;
  }
  return new TextDecoder().decode(bytes.subarray(at, at + size));
}

// --- beginning ----------------------------------------------------------------------------------

dialogs();
tick();
setInterval(tick, CLOCK);
const pages = { executions: Executions, environments: SimpleList, environment: OneEnvironment, prompts: SimpleList, prompt: PromptEditor };
const Page = pages[document.body.dataset.page];
if (Page) new Page();
