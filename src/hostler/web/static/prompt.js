// The editor of a prompt.

import { rpc } from "./calls.js";
import { $, problem } from "./page.js";

/** The lengths of texts as the server counts them: letters, not the halves of them. */
const length = (text) => [...text].length;

class PromptEditor {
  static FIELDS = ["name", "description", "prompt", "command"];

  constructor() {
    this.id = document.body.dataset.prompt;
    this.dirty = false;
    for (const counter of document.querySelectorAll("[data-counts]")) {
      const field = $(counter.dataset.counts);
      const count = () => this.count(counter, field);
      field.addEventListener("input", count);
      count();
    }
    const form = $("prompt-form");
    form.addEventListener("input", () => this.touched());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.save();
    });
    $("prompt-is-command").addEventListener("change", () => this.command());
    this.command();
    $("prompt-clean").addEventListener("click", () => this.clean());
    $("prompt-delete")?.addEventListener("click", () => $("prompt-delete-dialog").showModal());
    $("prompt-delete-yes")?.addEventListener("click", () => this.remove());
    document.addEventListener("keydown", (event) => {
      if (event.key !== "s" || !(event.ctrlKey || event.metaKey) || !$("prompt-save")) return;
      event.preventDefault();
      this.save();
    });
    addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
    if (!this.id) $("prompt-name").focus();
  }

  count(counter, field) {
    const most = Number(counter.dataset.most);
    const long = length(field.value);
    counter.textContent = `${long.toLocaleString("en")} of ${most.toLocaleString("en")}`;
    counter.classList.toggle("wrong", long > most);
  }

  touched() {
    this.dirty = true;
    if ($("prompt-saved")) $("prompt-saved").textContent = "";
  }

  command() {
    $("prompt-command-row").hidden = !$("prompt-is-command").checked;
  }

  said() {
    const said = Object.fromEntries(PromptEditor.FIELDS.map((name) => [name, $(`prompt-${name}`).value]));
    const isCommand = $("prompt-is-command").checked;
    const uses = { isTemplate: $("prompt-is-template").checked, isSkill: $("prompt-is-skill").checked, isCommand };
    if (!isCommand) delete said.command;
    return [said, uses];
  }

  async save() {
    const button = $("prompt-save");
    if (!button || button.disabled) return;
    this.forgive();
    button.disabled = true;
    const [{ name, description, prompt, command }, uses] = this.said();
    const spec = command === undefined ? { prompt, ...uses } : { prompt, command, ...uses };
    try {
      if (this.id) {
        await rpc("UpdatePrompt", { promptId: this.id, metadata: { name, description }, spec });
        this.dirty = false;
        $("prompt-saved").textContent = "Saved";
      } else {
        const made = await rpc("CreatePrompt", { name, description, ...spec });
        this.dirty = false;
        location.assign(`/prompts/${made.prompt.id}`);
      }
    } catch (refused) {
      this.tell(refused);
    }
    button.disabled = false;
  }

  forgive() {
    problem($("prompt-problem"), "");
    $("prompt-hidden").hidden = true;
    for (const name of PromptEditor.FIELDS) this.wrong(name, "");
  }

  wrong(name, text) {
    problem($(`prompt-${name}-problem`), text);
    $(`prompt-${name}`).setAttribute("aria-invalid", String(Boolean(text)));
  }

  /** Shows what the server said at the field that it names. */
  tell(refused) {
    const name = refused.field.split(".").pop();
    const text = refused.field ? refused.message.slice(refused.field.length + 2) : refused.message;
    const cleaned = hidden(refused.told);
    if (cleaned && PromptEditor.FIELDS.includes(name)) {
      this.cleaned = { name, text: cleaned };
      $("prompt-hidden-said").textContent = `In the ${name === "prompt" ? "text" : name}: ${text}.`;
      $("prompt-hidden").hidden = false;
      $("prompt-clean").focus();
    } else if (PromptEditor.FIELDS.includes(name)) {
      this.wrong(name, text);
      $(`prompt-${name}`).focus();
    } else {
      problem($("prompt-problem"), refused.message);
    }
  }

  clean() {
    const field = $(`prompt-${this.cleaned.name}`);
    field.value = this.cleaned.text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    $("prompt-hidden").hidden = true;
    field.focus();
  }

  async remove() {
    try {
      await rpc("DeletePrompt", { promptId: this.id });
      this.dirty = false;
      location.assign("/prompts");
    } catch (refused) {
      problem($("prompt-delete-problem"), refused.message);
    }
  }
}

/** The text without its hidden characters that a refusal carries, or "": field 1 of a small protobuf message. */
function hidden(told) {
  const detail = (told.details ?? []).find((one) => one.type === "gitpod.v1.PromptValidationErrorDetails");
  if (!detail) return "";
  const bytes = Uint8Array.from(atob(detail.value.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  if (bytes[0] !== 10) return "";
  let size = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    size += (bytes[at] & 127) * 2 ** shift;
    if (bytes[at++] < 128) break;
  }
  return new TextDecoder().decode(bytes.subarray(at, at + size));
}

new PromptEditor();
