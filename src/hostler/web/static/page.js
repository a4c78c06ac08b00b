// What all pages but the conversation share: moments that tell how long ago they were, dialogs, filters, the "/" key.

export const $ = (id) => document.getElementById(id);

const CLOCK = 10000; // milliseconds

/** How long ago a moment was, in the words of the server. */
function ago(seconds) {
  if (seconds < 5) return "now";
  for (const [limit, size, unit] of [[60, 1, "s"], [3600, 60, "min"], [48 * 3600, 3600, "h"]]) {
    if (seconds < limit) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds / 86400)} days`;
}

export function tick(root = document) {
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
export function typing(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  if (document.querySelector("dialog[open]")) return true;
  const tag = event.target.tagName;
  return tag === "INPUT" || tag === "TEXTAREA" || tag === "SELECT" || event.target.isContentEditable;
}

function filters() {
  for (const field of document.querySelectorAll("[data-submits]")) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
}

/** "/" leads to the search, and Escape away from the filters. */
function keys() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.closest?.(".filters")) event.target.blur();
    if (event.key !== "/" || typing(event) || !$("search")) return;
    event.preventDefault();
    $("search").select();
  });
}

dialogs();
filters();
keys();
tick();
setInterval(tick, CLOCK);
