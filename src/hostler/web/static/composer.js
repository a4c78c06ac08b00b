// The composer: text and pictures.

import { attempt, control, problem, said } from "./acts.js";
import { Refusal } from "./calls.js";
import { follow } from "./feed.js";
import { $, execution } from "./talk.js";

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
  reader.onerror = () => reject(new Refusal(`${file.name} could not be read.`));
  reader.readAsDataURL(file);
});

// Complete a slash command that begins as typed, out of those that were announced last; false where there is none.
function complete(area) {
  const announced = [...document.querySelectorAll(".item.commands")].at(-1);
  const names = announced ? [...announced.querySelectorAll("dt code")].map((one) => one.textContent) : [];
  const fits = /^\/[\w-]*$/.test(area.value) && names.find((name) => name.startsWith(area.value) && name !== area.value);
  if (!fits) return false;
  area.value = `${fits} `;
  area.dispatchEvent(new Event("input"));
  return true;
}

function compose(form) {
  const area = $("say");
  const draft = `draft-${execution}`;
  area.value ||= sessionStorage.getItem(draft) ?? "";
  grow(area);
  area.oninput = () => { grow(area); sessionStorage.setItem(draft, area.value); };
  area.onkeydown = (event) => {
    if (event.key === "Tab" && !event.shiftKey && complete(area)) { event.preventDefault(); return; }
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
  follow();
  if (steer) await control({ steerQueuedMessage: { userInputId: done } }).catch(() => null);
}

if ($("composer")) compose($("composer"));
