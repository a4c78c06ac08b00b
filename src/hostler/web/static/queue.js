// The queue: moved with buttons or by dragging, edited, steered, deleted.

import { attempt, control, sending } from "./acts.js";
import { call } from "./calls.js";
import { forget, refresh } from "./panel.js";
import { $, api, may } from "./talk.js";

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
  const close = () => { holder.remove(); words.hidden = acts.hidden = false; forget("queue"); refresh(); };
  cancel.onclick = close;
  save.onclick = () => sending(save, async () => {
    const done = await attempt(() => call(`${api}/queue/${encodeURIComponent(id)}/edit`, { text: area.value }));
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

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-queue]");
  if (button) queueAct(button, button.dataset.queue);
});
document.addEventListener("panel", dressQueue);
dressQueue();
