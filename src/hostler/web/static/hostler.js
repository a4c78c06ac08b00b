// The live conversation: follows the page's stream, keeps times counting, and sends what a person does.
// Nothing here decides anything: the server renders, this module puts.

const $ = (id) => document.getElementById(id);
const talk = $("talk");
const { execution, base, preview } = talk.dataset;
const may = (power) => talk.classList.contains(`can-${power}`);
const api = `/api/hostler/v1/executions/${execution}`;

// ---- words and times -------------------------------------------------------------------------------------------

const ONE_UNIT = 10;

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return whole % 60 && minutes < ONE_UNIT ? `${minutes} min ${whole % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

const clock = (moment, full) =>
  new Intl.DateTimeFormat([], full ? { dateStyle: "medium", timeStyle: "short" } : { hour: "2-digit", minute: "2-digit" }).format(moment);

function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("time[data-since], time[data-until]")) {
    const until = time.dataset.until;
    const seconds = (until ? Date.parse(until) - now : now - Date.parse(time.dataset.since)) / 1000;
    const said = until ? (seconds > 0 ? `in ${span(seconds)}` : "now") : span(seconds);
    if (time.textContent !== said) time.textContent = said;
  }
}

function localize(root) {
  for (const time of root.querySelectorAll("time[data-clock]")) {
    const moment = new Date(time.dateTime);
    time.title = clock(moment, true);
    time.textContent = clock(moment, time.dataset.clock === "full");
  }
}

// ---- following to the end --------------------------------------------------------------------------------------

const NEAR_END = 120;
const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_END;
const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight });

let following = true;

function keeping(change) {
  const made = change();
  if (following) toEnd();
  else if (made) $("below").hidden = false;
}

addEventListener("scroll", () => { following = atEnd(); if (following) $("below").hidden = true; }, { passive: true });
const grown = new ResizeObserver(() => { if (following) toEnd(); });
for (const part of [document.documentElement, $("feed"), document.querySelector(".dock")]) grown.observe(part);
$("below").onclick = () => { following = true; toEnd(); $("feed").focus({ preventScroll: true }); };

// ---- putting what the server rendered --------------------------------------------------------------------------

const held = new Map();

function selecting(element) {
  const chosen = getSelection();
  return !chosen.isCollapsed && element.contains(chosen.anchorNode);
}

function busy(element) {
  const focused = document.activeElement;
  const typing = element.contains(focused) && focused.matches("textarea, input:not([type=radio]):not([type=checkbox])") && focused.value;
  return selecting(element) || typing || element.querySelector(".dragged");
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  for (const was of [old, ...old.querySelectorAll("details[id][data-touched]")]) {
    const now = was === old ? fresh : fresh.querySelector(`#${CSS.escape(was.id)}`);
    if (now?.tagName === "DETAILS" && was.dataset.touched) { now.open = was.open; now.dataset.touched = "yes"; }
  }
  for (const was of old.querySelectorAll("input[type=checkbox][id]")) {
    const now = fresh.querySelector(`#${CSS.escape(was.id)}`);
    if (now) now.checked = was.checked;
  }
  old.replaceWith(fresh);
  if (focused) (same(focused, fresh) ?? fresh.querySelector("summary, button"))?.focus({ preventScroll: true });
}

function same(focused, fresh) {
  if (focused.id) return fresh.querySelector(`#${CSS.escape(focused.id)}`);
  const row = focused.closest("[data-input]");
  if (!row || !focused.dataset.queue) return focused.tagName === "SUMMARY" ? fresh.querySelector("summary") : null;
  const found = fresh.querySelector(`[data-input="${CSS.escape(row.dataset.input)}"] [data-queue="${focused.dataset.queue}"]`);
  return found?.disabled ? found.parentElement.querySelector("button:not(:disabled)") : found;
}

function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localize(template.content);
  return template.content;
}

function put({ id, after, html }) {
  const fresh = parsed(html).firstElementChild;
  const old = $(id);
  if (old && busy(old)) { held.set(id, { id, after, html }); return false; }
  held.delete(id);
  if (!fresh) { old?.remove(); return false; }
  if (old) {
    replace(old, fresh);
    if (old.classList.contains("streaming")) announce(fresh);
    return false;
  }
  const feed = $("feed"), before = after && $(after);
  if (before) before.after(fresh);
  else if (after && feed.firstElementChild) return false; // it belongs to what was not loaded yet
  else feed.prepend(fresh);
  $("silence").hidden = true;
  if (fresh.matches(".say")) announce(fresh);
  return true;
}

function announce(element) {
  if (element.matches(".say")) $("announce").textContent = element.textContent.trim().slice(0, 1000);
}

function text({ id, kind, offset, text: piece }) {
  let element = $(id);
  if (!element) {
    const thinking = kind === "thinking";
    element = parsed(thinking
      ? '<details class="item thought streaming"><summary><b>Thinking</b> <span class="first"></span></summary><div class="md plain"></div></details>'
      : '<article class="item say streaming"><div class="md plain"></div></article>').firstElementChild;
    element.id = id;
    $("feed").append(element);
    $("silence").hidden = true;
  }
  if (!element.classList.contains("streaming")) return false;
  const words = element.querySelector(".plain");
  if (!words.firstChild) words.append("");
  const node = words.firstChild;
  if (offset > node.length) { renew(); return false; }
  node.appendData(piece.slice(node.length - offset));
  const first = element.querySelector(".first");
  if (first) first.textContent = node.data.trimEnd().split("\n").at(-1).slice(-120);
  return true;
}

function release() {
  if (held.size && getSelection().isCollapsed) for (const one of [...held.values()]) keeping(() => put(one));
}

document.addEventListener("selectionchange", release);
document.addEventListener("focusout", () => setTimeout(release));
document.addEventListener("click", (event) => {
  const summary = event.target.closest?.("summary");
  if (summary) summary.parentElement.dataset.touched = "yes";
});

async function renew() {
  const answer = await fetch(`${base}/tail`);
  if (!answer.ok) return;
  const fresh = parsed(await answer.text());
  keeping(() => { $("feed").replaceChildren(fresh); return true; });
  earlierLeft(answer);
  stream.restart(answer.headers.get("x-seq"));
}

// ---- the stream ------------------------------------------------------------------------------------------------

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
    if (answer.status === 400) return renew();
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
    if (name === "text") return text(told);
    if (name === "drop") $(told.id)?.remove();
    if (name === "panel") refresh();
    if (name === "end" && told.reason === "deleted") this.end("This execution was deleted", "All executions", "/");
    if (name === "end" && told.reason === "token_expired") this.end("Your access has ended", "Sign in again", `/sign-in?next=${encodeURIComponent(location.pathname)}`);
    return false;
  },

  settle() {
    clearTimeout(this.settling);
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

// ---- the panel, the queue, the controls ------------------------------------------------------------------------

const shown = new Map();
let refreshing = null, stale = false, refreshed = 0, panelSeq = 0;

function refresh(soon) {
  if (refreshing && soon) { clearTimeout(refreshing); refreshing = null; }
  if (refreshing) { stale = true; return; }
  const pause = soon === true ? 0 : Math.max(150, refreshed + (document.hidden ? 5000 : 1000) - Date.now());
  refreshing = setTimeout(async () => {
    stale = false;
    refreshed = Date.now();
    try {
      const answer = await fetch(`${base}/panel${preview ? `?as=${preview}` : ""}`);
      if (answer.ok) renewed(await answer.json());
    } catch { stale = false; }
    refreshing = null;
    if (stale) refresh();
  }, pause);
}

function renewed(panel) {
  if (panel.seq < panelSeq) return; // a later answer was faster
  panelSeq = panel.seq;
  for (const [id, html] of Object.entries(panel.html)) {
    const old = $(id);
    if (!old || shown.get(id) === html || busy(old)) continue;
    shown.set(id, html);
    const fresh = old.cloneNode(false);
    fresh.append(parsed(html));
    keeping(() => { replace(old, fresh); return false; });
  }
  dressQueue();
  tick();
  const heading = document.querySelector("h1");
  if (heading.textContent !== panel.name) heading.textContent = heading.title = panel.name;
  document.title = `${panel.tone === "ask" ? "● " : ""}${panel.name.slice(0, 80)} · Hostler`;
}

setInterval(tick, 1000);
setInterval(() => { stream.check(SILENT); }, 5000);
setInterval(() => { if (!document.hidden && $("live").dataset.is === "live") refresh(); }, 15_000);

$("more-toggle").onclick = (event) => {
  const open = $("more").classList.toggle("shown");
  event.target.setAttribute("aria-expanded", String(open));
  event.target.textContent = open ? "Less" : "More";
};

// ---- saying and doing ------------------------------------------------------------------------------------------

class Refused extends Error {}

async function post(path, body, method = "POST") {
  let answer;
  try {
    answer = await fetch(path, { method, headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
  } catch {
    throw new Refused("The server cannot be reached. Nothing was changed.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(told.message ? told.message[0].toUpperCase() + told.message.slice(1) : `It did not work (${answer.status}).`);
  return told;
}

const agentService = (method, body) => post(`/api/gitpod.v1.AgentService/${method}`, { agentExecutionId: execution, ...body });
const control = (controlInput) => agentService("SendToAgentExecution", { controlInput });

function problem(words, where) {
  const place = where?.querySelector?.(".problem") ?? $("trouble");
  place.textContent = words;
  if (place === $("trouble")) place.hidden = !words;
}

async function attempt(work, where) {
  problem("", where);
  try { return await work(); } catch (error) {
    if (!(error instanceof Refused)) throw error;
    problem(error.message, where);
    return null;
  } finally { refresh(true); }
}

const said = (inputs, id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) =>
  post(`${api}/inputs`, { userInput: { id, inputs } }).then(() => id);
const sayText = (content, where) => attempt(() => said([{ text: { content } }]), where);

async function sending(button, work) {
  if (button.disabled) return;
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { say, load, allow, queue } = button.dataset;
  if (say) return sending(button, () => sayText(say, button.closest(".item")));
  if (load) return sending(button, () => loadWhole(button, load));
  if (allow) return sending(button, () => allowHost(button, allow));
  if (queue) return queueAct(button, queue);
  if (button.id === "stop") return sending(button, () => attempt(() => agentService("StopAgentExecution")));
  if (button.id === "continue") return sending(button, () => sayText("Continue."));
  if (button.id === "compact") return sending(button, () => attempt(() => control({ compact: {} })));
});

function allowHost(button, how) {
  const environment = $("glance").querySelector("[data-environment]")?.dataset.environment;
  const body = { host: button.dataset.host, for: how };
  return attempt(() => post(`/api/hostler/v1/environments/${environment}/hosts`, body), button.closest(".item"));
}

async function loadWhole(button, address) {
  const answer = await fetch(address).catch(() => null);
  if (!answer?.ok) return void (button.textContent = "It could not be loaded. Try again");
  const fresh = parsed(await answer.text());
  const holder = button.closest(".body") ?? button.closest("details");
  for (const old of holder.querySelectorAll(".output, .gap, .diff")) old.remove();
  button.closest(".whole").replaceWith(fresh);
}

// Questions: the answer is a JSON object of question to answer, which every agent understands.
document.addEventListener("change", (event) => {
  const field = event.target.closest(".answer fieldset");
  const other = field?.querySelector(".other");
  if (!other || event.target.type !== "radio") return;
  other.hidden = event.target.value !== "";
  if (!other.hidden) other.focus();
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches(".answer")) { event.preventDefault(); answer(form); }
});

function answer(form) {
  const fields = [...form.querySelectorAll("fieldset")];
  const given = fields.map((field) => {
    const chosen = field.querySelector("input:checked")?.value;
    return chosen || field.querySelector(".other")?.value.trim() || "";
  });
  const missing = given.findIndex((one) => !one);
  if (missing >= 0) {
    problem(fields.length > 1 ? "Please answer each question." : "Please choose or write an answer.", form);
    return fields[missing].querySelector("input, textarea")?.focus();
  }
  const told = JSON.stringify(Object.fromEntries(fields.map((field, n) => [field.dataset.question, given[n]])));
  sending(form.querySelector("button.main"), async () => {
    if (await sayText(told, form)) form.querySelector("button.main").textContent = "Sent";
  });
}

// ---- the queue -------------------------------------------------------------------------------------------------

const rows = () => [...$("queue").querySelectorAll("[data-input]")];
const move = (userInputId, beforeUserInputId) => attempt(() => control({ moveQueuedMessage: { userInputId, beforeUserInputId } }));

function queueAct(button, what) {
  const row = button.closest("[data-input]");
  const id = row.dataset.input, all = rows(), at = all.indexOf(row);
  if (what === "up") return move(id, all[at - 1]?.dataset.input ?? "");
  if (what === "down") return move(id, all[at + 2]?.dataset.input ?? "");
  if (what === "steer") return attempt(() => control({ steerQueuedMessage: { userInputId: id } }));
  if (what === "delete") return attempt(() => control({ deleteQueuedMessage: { userInputId: id } }));
  if (what === "edit") edit(row, id);
}

function edit(row, id) {
  const words = row.querySelector(".words"), acts = row.querySelector(".acts");
  const area = Object.assign(document.createElement("textarea"), { value: words.firstChild.data.trim(), rows: 3 });
  area.setAttribute("aria-label", "Edit the queued message");
  const save = Object.assign(document.createElement("button"), { type: "button", className: "main", textContent: "Save" });
  const cancel = Object.assign(document.createElement("button"), { type: "button", textContent: "Cancel" });
  const holder = document.createElement("div");
  holder.className = "editing";
  holder.append(area, save, cancel);
  words.hidden = acts.hidden = true;
  words.after(holder);
  area.focus();
  const close = () => { holder.remove(); words.hidden = acts.hidden = false; shown.delete("queue"); refresh(); };
  cancel.onclick = close;
  save.onclick = () => sending(save, async () => {
    const done = await attempt(() => post(`${api}/queue/${encodeURIComponent(id)}/edit`, { text: area.value }));
    if (done) close();
  });
  area.onkeydown = (event) => { if (event.key === "Escape") close(); if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); save.click(); } };
}

let dragged = null;

function dressQueue() {
  if (!may("control")) return;
  for (const row of rows()) {
    row.draggable = true;
    row.ondragstart = (event) => { dragged = row; row.classList.add("dragged"); event.dataTransfer.effectAllowed = "move"; };
    row.ondragend = () => { row.classList.remove("dragged"); dragged = null; for (const one of rows()) one.classList.remove("over", "under"); };
    row.ondragover = (event) => {
      if (!dragged || dragged === row) return;
      event.preventDefault();
      const lower = event.offsetY > row.offsetHeight / 2;
      row.classList.toggle("over", !lower);
      row.classList.toggle("under", lower);
    };
    row.ondragleave = () => row.classList.remove("over", "under");
    row.ondrop = (event) => {
      event.preventDefault();
      const all = rows(), lower = row.classList.contains("under");
      const before = lower ? all[all.indexOf(row) + 1] : row;
      if (dragged && before !== dragged) move(dragged.dataset.input, before?.dataset.input ?? "");
    };
  }
}

// ---- the composer ----------------------------------------------------------------------------------------------

const LARGEST = 4 << 20, MOST = 10;
const pictures = [];

function grow(area) {
  area.style.height = "auto";
  area.style.height = `${Math.min(area.scrollHeight + 2, innerHeight * 0.4)}px`;
}

async function addPictures(files) {
  for (const file of files) {
    if (!["image/png", "image/jpeg"].includes(file.type)) problem(`${file.name || "The file"} is no PNG or JPEG image.`);
    else if (file.size > LARGEST) problem(`${file.name} has ${(file.size / 1048576).toFixed(1)} MiB; an image may have 4 MiB.`);
    else if (pictures.length >= MOST) problem("A message has at most ten images.");
    else { problem(""); pictures.push({ file, url: URL.createObjectURL(file) }); }
  }
  showPictures();
}

function showPictures() {
  $("pictures").replaceChildren(...pictures.map((one, n) => {
    const holder = document.createElement("span");
    holder.className = "picture";
    const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "×", title: "Remove" });
    remove.setAttribute("aria-label", `Remove image ${n + 1}`);
    remove.onclick = () => { URL.revokeObjectURL(one.url); pictures.splice(pictures.indexOf(one), 1); showPictures(); };
    holder.append(Object.assign(new Image(), { src: one.url, alt: `Image ${n + 1}: ${one.file.name}` }), remove);
    return holder;
  }));
}

const inBase64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(String(reader.result).split(",")[1]);
  reader.onerror = () => reject(new Refused(`${file.name} could not be read.`));
  reader.readAsDataURL(file);
});

function compose(form) {
  const area = $("say");
  const draft = `draft-${execution}`;
  area.value ||= sessionStorage.getItem(draft) ?? "";
  grow(area);
  area.oninput = () => { grow(area); sessionStorage.setItem(draft, area.value); };
  area.onkeydown = (event) => {
    const sends = event.ctrlKey || event.metaKey || !(event.shiftKey || matchMedia("(pointer: coarse)").matches);
    if (event.key === "Enter" && sends && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  };
  area.onpaste = (event) => { const files = [...event.clipboardData.files]; if (files.length) { event.preventDefault(); addPictures(files); } };
  $("files").onchange = (event) => { addPictures([...event.target.files]); event.target.value = ""; };
  form.ondragover = (event) => { if (event.dataTransfer.types.includes("Files")) { event.preventDefault(); form.classList.add("dropping"); } };
  form.ondragleave = () => form.classList.remove("dropping");
  form.ondrop = (event) => { if (!event.dataTransfer.files.length) return; event.preventDefault(); form.classList.remove("dropping"); addPictures([...event.dataTransfer.files]); };
  form.onsubmit = (event) => { event.preventDefault(); send(); };
}

let sendingNow = false;

async function send() {
  const area = $("say"), content = area.value.trim();
  if (sendingNow || !(content || pictures.length)) return area.focus();
  sendingNow = true;
  const steer = $("steer")?.checked;
  const done = await attempt(async () => {
    const images = await Promise.all(pictures.map(async ({ file }) => ({ image: { data: await inBase64(file), mimeType: file.type } })));
    return said([...(content ? [{ text: { content } }] : []), ...images]);
  });
  sendingNow = false;
  if (!done) return;
  area.value = "";
  area.dispatchEvent(new Event("input"));
  for (const one of pictures.splice(0)) URL.revokeObjectURL(one.url);
  showPictures();
  following = true;
  toEnd();
  if (steer) await control({ steerQueuedMessage: { userInputId: done } }).catch(() => null);
}

// ---- earlier items, sharing, the beginning ---------------------------------------------------------------------

function earlierLeft(answer) {
  const more = Number(answer.headers.get("x-more"));
  $("earlier").hidden = !more;
  $("earlier").querySelector("button").dataset.before = answer.headers.get("x-first");
  $("earlier").querySelector("span").textContent = `${more} earlier item${more === 1 ? "" : "s"}`;
}

async function earlier(button) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    const answer = await fetch(`${base}/earlier?before=${encodeURIComponent(button.dataset.before)}`);
    if (!answer.ok) throw new Error();
    const fresh = parsed(await answer.text());
    const height = document.documentElement.scrollHeight, top = scrollY;
    $("feed").prepend(fresh);
    scrollTo({ top: top + document.documentElement.scrollHeight - height });
    earlierLeft(answer);
  } catch { button.textContent = "It could not be loaded. Try again"; }
  button.disabled = false;
}

function sharing(dialog) {
  const form = $("share-form");
  const list = async () => {
    const { shares } = await fetch(`${api}/shares`).then((answer) => answer.json()).catch(() => ({ shares: [] }));
    $("share-have").hidden = !shares?.length;
    $("share-list").replaceChildren(...(shares ?? []).map((share) => {
      const row = document.createElement("li"), end = Object.assign(document.createElement("button"), { type: "button", textContent: "Revoke" });
      end.onclick = () => sending(end, async () => { if (await attempt(() => post(`${api}/shares/${share.id}`, {}, "DELETE"), form)) list(); });
      row.append(`${share.name || "A visitor"} may ${share.may === "send" ? "look and send" : "look"}, until ${clock(new Date(share.expiresAt), true)} `, end);
      return row;
    }));
  };
  $("share-open").onclick = () => { $("share-made").hidden = true; problem("", form); dialog.showModal(); list(); };
  $("share-close").onclick = () => dialog.close();
  $("share-copy").onclick = async () => { $("share-url").select(); await navigator.clipboard?.writeText($("share-url").value).catch(() => null); $("share-copy").textContent = "Copied"; };
  form.onsubmit = (event) => {
    event.preventDefault();
    sending(form.querySelector("button.main"), async () => {
      const made = await attempt(() => post(`${api}/shares`, { may: $("share-may").value, hours: Number($("share-hours").value), name: $("share-name").value.trim() }), form);
      if (!made) return;
      $("share-url").value = made.url;
      $("share-made").hidden = false;
      $("share-copy").textContent = "Copy";
      list();
    });
  };
}

history.scrollRestoration = "manual";
localize(document);
tick();
dressQueue();
if ($("composer")) compose($("composer"));
if ($("share")) sharing($("share"));
const older = $("earlier").querySelector("button");
older.onclick = () => earlier(older);
if (!location.hash) toEnd();
requestAnimationFrame(() => new IntersectionObserver((seen) => {
  if (seen.some((one) => one.isIntersecting)) earlier(older);
}, { rootMargin: "200px" }).observe($("earlier")));
stream.run();
