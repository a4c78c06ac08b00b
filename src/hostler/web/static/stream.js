// The page's stream: what it tells is put, and it begins again by itself where it broke off.

import { anew, keeping, put, text } from "./feed.js";
import { refresh } from "./panel.js";
import { $, base, clock } from "./talk.js";

const SILENT = 40_000;
const LOOK_AGAIN = 20_000;
const SETTLED = 120;
const PAUSES = [300, 1000, 2000, 4000, 8000, 15_000];

const stream = {
  cursor: $("feed").dataset.seq,
  heard: 0,
  tries: 0,
  over: false,
  lostAt: null,

  async run() {
    while (!this.over) {
      this.control = new AbortController();
      try { await this.read(this.control.signal); } catch { /* told by the badge */ }
      if (this.over) return;
      this.lostAt ??= new Date();
      if (this.tries) this.say("off", `Offline since ${clock(this.lostAt)}`);
      await this.pause(this.again ? 0 : PAUSES[Math.min(this.tries, PAUSES.length - 1)] * (0.7 + Math.random() * 0.6));
      this.again = false;
      this.tries += 1;
    }
  },

  async read(signal) {
    this.heard = Date.now();
    const answer = await fetch(`${base}/events?follow=1&after=${encodeURIComponent(this.cursor)}`, { signal, headers: { accept: "text/event-stream" } });
    if (answer.status === 401) return this.end("You are signed out", "Sign in again", `/sign-in?next=${encodeURIComponent(location.pathname)}`);
    if (answer.status === 400) return this.renew();
    if (answer.status === 404) return this.end("This conversation is gone", "All executions", "/");
    if (!answer.ok) throw new Error(String(answer.status));
    this.say("catching", "Catching up");
    this.settle();
    refresh();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      this.heard = Date.now();
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      keeping(() => parts.map((part) => this.take(part)).some(Boolean));
      this.settle();
    }
  },

  take(part) {
    let name = "message", data = "", id = null;
    for (const line of part.split("\n")) {
      const at = line.indexOf(":");
      const value = line.slice(at + 1).replace(/^ /, "");
      if (at === 0) continue;
      const field = line.slice(0, at);
      if (field === "event") name = value;
      else if (field === "data") data += value;
      else if (field === "id") id = value;
    }
    if (id !== null) this.cursor = id;
    if (!data) return false;
    const told = JSON.parse(data);
    if (name === "put") return put(told);
    if (name === "text") {
      const made = text(told);
      if (made === null) this.renew();
      return made;
    }
    if (name === "drop") $(told.id)?.remove();
    if (name === "panel") refresh();
    if (name === "end" && told.reason === "deleted") this.end("This execution was deleted", "All executions", "/");
    if (name === "end" && told.reason === "token_expired") this.end("Your access has ended", "Sign in again", `/sign-in?next=${encodeURIComponent(location.pathname)}`);
    return false;
  },

  async renew() {
    const answer = await fetch(`${base}/tail`);
    if (!answer.ok) return;
    anew(answer, await answer.text());
    this.restart(answer.headers.get("x-seq"));
  },

  settle() {
    clearTimeout(this.settling);
    if (this.over) return;
    this.settling = setTimeout(() => {
      this.tries = 0;
      this.lostAt = null;
      this.say("live", "Live");
    }, SETTLED);
  },

  say(is, words) {
    const badge = $("live");
    if (is !== "live") clearTimeout(is === "off" ? this.settling : undefined);
    if (badge.dataset.is === is && badge.textContent === words) return;
    badge.dataset.is = is;
    badge.textContent = words;
  },

  end(words, link, href) {
    this.over = true;
    clearTimeout(this.settling);
    this.say("off", words);
    const trouble = $("trouble");
    trouble.hidden = false;
    trouble.textContent = `${words}. `;
    const anchor = Object.assign(document.createElement("a"), { href, textContent: link });
    trouble.append(anchor);
    this.control?.abort();
  },

  pause(length) {
    return new Promise((resolve) => { this.wake = resolve; setTimeout(resolve, length); });
  },

  restart(cursor) {
    if (cursor) this.cursor = cursor;
    this.again = true;
    this.control?.abort();
    this.wake?.();
  },

  check(after) {
    if (!this.over && Date.now() - this.heard > after) this.restart();
  },
};

addEventListener("online", () => stream.check(0));
addEventListener("offline", () => { stream.lostAt ??= new Date(); stream.say("off", `Offline since ${clock(stream.lostAt)}`); stream.control?.abort(); });
addEventListener("pageshow", (event) => { if (event.persisted) stream.check(0); });
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  stream.check(LOOK_AGAIN);
  refresh();
});

setInterval(() => { stream.check(SILENT); }, 5000);
setInterval(() => { if (!document.hidden && $("live").dataset.is === "live") refresh(); }, 15_000);

stream.run();
