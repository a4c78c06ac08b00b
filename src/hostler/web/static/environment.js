// One environment: what can be done with it, and its log.

import { call } from "./calls.js";
import { $, problem } from "./page.js";

const ENVIRONMENTS = "/api/gitpod.v1.EnvironmentService";
const EVERY = 5000; // milliseconds between two looks while the page is seen

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

new OneEnvironment();
