// What stands beside the conversation: asked for when the stream says that there is news. Tells "panel" when it is shown.

import { busy, keeping, replace } from "./feed.js";
import { $, base, parsed, preview, tick } from "./talk.js";

const shown = new Map();
let refreshing = null, stale = false, refreshed = 0, panelSeq = 0;

export function refresh(soon) {
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

/** Lets a part be shown anew though it says the same. */
export const forget = (id) => shown.delete(id);

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
  document.dispatchEvent(new Event("panel"));
  tick();
  const heading = document.querySelector("h1");
  if (heading.textContent !== panel.name) heading.textContent = heading.title = panel.name;
  document.title = `${panel.tone === "ask" ? "● " : ""}${panel.name.slice(0, 80)} · Hostler`;
}

$("more-toggle").onclick = (event) => {
  const open = $("more").classList.toggle("shown");
  event.target.setAttribute("aria-expanded", String(open));
  event.target.textContent = open ? "Less" : "More";
};
