// The page of one conversation: whose it is, the words for times, and HTML that the server rendered.

export const $ = (id) => document.getElementById(id);
const talk = $("talk");
export const { execution, base, preview } = talk.dataset;
export const may = (power) => talk.classList.contains(`can-${power}`);
export const api = `/api/hostler/v1/executions/${execution}`;

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

export const clock = (moment, full) =>
  new Intl.DateTimeFormat([], full ? { dateStyle: "medium", timeStyle: "short" } : { hour: "2-digit", minute: "2-digit" }).format(moment);

export function tick() {
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

export function parsed(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localize(template.content);
  return template.content;
}

localize(document);
tick();
setInterval(tick, 1000);
