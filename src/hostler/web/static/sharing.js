// The dialog that shares the conversation.

import { attempt, problem, sending } from "./acts.js";
import { call } from "./calls.js";
import { $, api, clock } from "./talk.js";

function sharing(dialog) {
  const form = $("share-form");
  const list = async () => {
    const { shares } = await fetch(`${api}/shares`).then((answer) => answer.json()).catch(() => ({ shares: [] }));
    $("share-have").hidden = !shares?.length;
    $("share-list").replaceChildren(...(shares ?? []).map((share) => {
      const row = document.createElement("li"), end = Object.assign(document.createElement("button"), { type: "button", textContent: "Revoke" });
      end.onclick = () => sending(end, async () => { if (await attempt(() => call(`${api}/shares/${share.id}`, {}, { method: "DELETE" }), form)) list(); });
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
      const made = await attempt(() => call(`${api}/shares`, { may: $("share-may").value, hours: Number($("share-hours").value), name: $("share-name").value.trim() }), form);
      if (!made) return;
      $("share-url").value = made.url;
      $("share-made").hidden = false;
      $("share-copy").textContent = "Copy";
      list();
    });
  };
}

if ($("share")) sharing($("share"));
