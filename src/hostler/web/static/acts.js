// What a person does in a conversation: saying something, answering, allowing a host, stopping.

import { call, Refusal, rpc } from "./calls.js";
import { refresh } from "./panel.js";
import { $, api, execution, parsed } from "./talk.js";

const agentService = (method, body) => rpc(method, { agentExecutionId: execution, ...body });
export const control = (controlInput) => agentService("SendToAgentExecution", { controlInput });

export function problem(words, where) {
  const place = where?.querySelector?.(".problem") ?? $("trouble");
  place.textContent = words && words[0].toUpperCase() + words.slice(1);
  if (place === $("trouble")) place.hidden = !words;
}

export async function attempt(work, where) {
  problem("", where);
  try { return await work(); } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    problem(error.message, where);
    return null;
  } finally { refresh(true); }
}

export const said = (inputs, id = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`) =>
  call(`${api}/inputs`, { userInput: { id, inputs } }).then(() => id);
const sayText = (content, where) => attempt(() => said([{ text: { content } }]), where);

export async function sending(button, work) {
  if (button.disabled) return;
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const { say, load, allow } = button.dataset;
  if (say) return sending(button, () => sayText(say, button.closest(".item")));
  if (load) return sending(button, () => loadWhole(button, load));
  if (allow) return sending(button, () => allowHost(button, allow));
  if (button.id === "stop") return sending(button, () => attempt(() => agentService("StopAgentExecution")));
  if (button.id === "continue") return sending(button, () => sayText("Continue."));
  if (button.id === "compact") return sending(button, () => attempt(() => control({ compact: {} })));
});

function allowHost(button, how) {
  const environment = $("glance").querySelector("[data-environment]")?.dataset.environment;
  const body = { host: button.dataset.host, for: how };
  return attempt(() => call(`/api/hostler/v1/environments/${environment}/hosts`, body), button.closest(".item"));
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
