// The items of the conversation: they are put where they belong, the page follows its end, older ones come on demand.

import { $, base, parsed } from "./talk.js";

// ---- following to the end --------------------------------------------------------------------------------------

const NEAR_END = 120;
const atEnd = () => innerHeight + scrollY >= document.documentElement.scrollHeight - NEAR_END;
const toEnd = () => scrollTo({ top: document.documentElement.scrollHeight });

let following = true;

export function keeping(change) {
  const made = change();
  if (following) toEnd();
  else if (made) $("below").hidden = false;
}

addEventListener("scroll", () => { following = atEnd(); if (following) $("below").hidden = true; }, { passive: true });
const grown = new ResizeObserver(() => { if (following) toEnd(); });
for (const part of [document.documentElement, $("feed"), document.querySelector(".dock")]) grown.observe(part);

export function follow() {
  following = true;
  toEnd();
}

$("below").onclick = () => { follow(); $("feed").focus({ preventScroll: true }); };

// ---- putting what the server rendered --------------------------------------------------------------------------

const held = new Map();

function selecting(element) {
  const chosen = getSelection();
  return !chosen.isCollapsed && element.contains(chosen.anchorNode);
}

export function busy(element) {
  const focused = document.activeElement;
  const typing = element.contains(focused) && focused.matches("textarea, input:not([type=radio]):not([type=checkbox])") && focused.value;
  return selecting(element) || typing || element.querySelector(".dragged");
}

export function replace(old, fresh) {
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

export function put({ id, after, html }) {
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

/** Appends a piece to a text that is being said; null when pieces before it are missing. */
export function text({ id, kind, offset, text: piece }) {
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
  if (offset > node.length) return null;
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

/** Shows the end of the conversation anew. */
export function anew(answer, html) {
  const fresh = parsed(html);
  keeping(() => { $("feed").replaceChildren(fresh); return true; });
  earlierLeft(answer);
}

// ---- earlier items ---------------------------------------------------------------------------------------------

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

const older = $("earlier").querySelector("button");
older.onclick = () => earlier(older);
history.scrollRestoration = "manual";
if (!location.hash) toEnd();
requestAnimationFrame(() => new IntersectionObserver((seen) => {
  if (seen.some((one) => one.isIntersecting)) earlier(older);
}, { rootMargin: "200px" }).observe($("earlier")));
