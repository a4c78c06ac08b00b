// The dialog that starts an execution.

import { rpc } from "./calls.js";
import { $, problem } from "./page.js";

export class NewExecution {
  constructor() {
    this.dialog = $("new");
    this.key = "";
    this.started = "";
    $("new-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    const place = () => {
      $("new-url-row").hidden = $("new-place").value !== "url";
    };
    const agent = () => {
      const model = $("new-agent").selectedOptions[0]?.dataset.model;
      $("new-model").placeholder = model ? `${model} (as the agent says)` : "as the agent says";
    };
    $("new-place").addEventListener("change", place);
    $("new-agent").addEventListener("change", agent);
    $("new-task").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.start();
    });
    place();
    agent();
  }

  open() {
    this.key ||= crypto.randomUUID?.() ?? String(Math.random());
    this.dialog.showModal();
    $("new-task").focus();
  }

  asked() {
    const place = $("new-place").value;
    const url = $("new-url").value.trim();
    const model = $("new-model").value.trim();
    const body = { agentId: $("new-agent").value };
    if (place === "url") body.codeContext = { contextUrl: { url } };
    else if (place !== "none") body.codeContext = { projectId: place };
    if (model) body.annotations = { "hostler/model": model };
    return body;
  }

  complete() {
    const missing = [["new-task", "Say what should be done."]];
    if ($("new-place").value === "url") missing.push(["new-url", "An address is needed, or choose an empty workspace."]);
    let first = null;
    for (const [id, text] of missing) {
      const empty = !$(id).value.trim();
      this.wrong(id, empty ? text : "");
      if (empty) first ??= $(id);
    }
    first?.focus();
    return !first;
  }

  wrong(id, text) {
    problem($(`${id}-problem`), text);
    $(id).setAttribute("aria-invalid", String(Boolean(text)));
  }

  async start() {
    problem($("new-problem"), "");
    this.wrong("new-model", "");
    if (!this.complete()) return;
    $("new-start").disabled = true;
    try {
      if (!this.started) {
        const answer = await rpc("StartAgent", this.asked(), { headers: { "idempotency-key": this.key } });
        this.started = answer.agentExecutionId;
      }
      const inputs = [{ text: { content: $("new-task").value } }];
      await rpc("SendToAgentExecution", { agentExecutionId: this.started, userInput: { inputs } });
      location.assign(`/executions/${this.started}`);
    } catch (refused) {
      this.key = this.started ? this.key : "";
      this.key ||= crypto.randomUUID?.() ?? String(Math.random());
      this.tell(refused);
      $("new-start").disabled = false;
    }
  }

  tell(refused) {
    const said = refused.message;
    if (/model/.test(refused.field) || /\bmodel\b/i.test(said)) this.wrong("new-model", said);
    else if (/url|context/i.test(refused.field)) this.wrong("new-url", said);
    else problem($("new-problem"), said);
  }
}
