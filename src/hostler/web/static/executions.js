// All executions: the list keeps itself up to date, and everything on it can be done with the keyboard.

import { rpc } from "./calls.js";
import { NewExecution } from "./new-execution.js";
import { $, problem, tick, typing } from "./page.js";

const PAUSE = 500; // milliseconds between two answers of a server that answers when there is news

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
    if (typing(event)) return;
    const does = {
      j: () => this.move(1),
      ArrowDown: () => this.move(1),
      k: () => this.move(-1),
      ArrowUp: () => this.move(-1),
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

new Executions();
