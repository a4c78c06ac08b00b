// The terminal of an environment: xterm.js over one WebSocket. The shell lives in the environment, not here.

const GONE = 4404;
const SIGNED_OUT = 4401;
const STILL = 4409;
const PING = 20000; // milliseconds; a connection that has not answered by the next one is dead
const PAUSES = [300, 1000, 2000, 5000, 10000];

const place = document.getElementById("terminal");
const state = document.getElementById("terminal-state");
const note = document.getElementById("terminal-note");

class Session {
  constructor({ Terminal, FitAddon, WebLinksAddon }) {
    this.environment = place.dataset.environment;
    this.key = `hostler-terminal-${this.environment}`;
    this.encoder = new TextEncoder();
    this.tries = 0;
    this.ended = false;
    this.terminal = new Terminal({
      cursorBlink: true,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim(),
      fontSize: matchMedia("(max-width: 40rem)").matches ? 12 : 13,
      scrollback: 5000,
      screenReaderMode: false,
      theme: theme(),
    });
    this.fit = new FitAddon();
    this.terminal.loadAddon(this.fit);
    this.terminal.loadAddon(new WebLinksAddon());
    this.terminal.open(place);
    this.terminal.onData((text) => this.type(this.encoder.encode(text)));
    this.terminal.onBinary((text) => this.type(Uint8Array.from(text, (letter) => letter.charCodeAt(0))));
    this.terminal.onResize(() => this.resize());
    new ResizeObserver(() => this.refit()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.terminal.options.theme = theme();
    });
    document.getElementById("terminal-new").addEventListener("click", () => this.anew());
    document.addEventListener("visibilitychange", () => !document.hidden && this.hurry());
    addEventListener("online", () => this.hurry());
    this.refit();
    this.connect();
    this.terminal.focus();
  }

  /** The id of this page's shell in the environment; known to this tab only. */
  get id() {
    return remembered(this.key);
  }

  connect() {
    clearTimeout(this.timer);
    const known = this.id;
    const id = known || fresh();
    if (!known) remember(this.key, id);
    this.opening = !known || this.unborn === id;
    this.unborn = this.opening ? id : "";
    const { rows, cols } = this.terminal;
    const query = this.opening ? `?open=1&rows=${rows}&cols=${cols}` : "";
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    say(this.tries ? "reconnecting" : "connecting");
    const socket = new WebSocket(`${scheme}://${location.host}/environments/${this.environment}/terminals/${id}/socket${query}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.socket === socket && this.take(data);
    socket.onclose = ({ code, reason }) => this.socket === socket && this.lost(code, reason);
    this.socket = socket;
    this.alive = Date.now();
  }

  take(data) {
    this.alive = Date.now();
    if (typeof data !== "string") {
      this.terminal.write(new Uint8Array(data));
      return;
    }
    const told = JSON.parse(data);
    if (told.type === "ready") this.ready();
    else if (told.type === "exited") this.over(`The shell ended with exit code ${told.code}.`);
    else if (told.type === "full") say("connected", "good", "What runs there does not read: what you typed was left out.");
  }

  ready() {
    this.tries = 0;
    this.unborn = "";
    this.terminal.reset(); // what was shown last comes from the server
    say("connected", "good", "The shell goes on when you leave this page.");
    this.resize();
    clearInterval(this.pinging);
    this.pinging = setInterval(() => this.ping(), PING);
  }

  ping() {
    if (Date.now() - this.alive > 2 * PING) this.drop();
    else this.tell({ type: "ping" });
  }

  /** Gives up a connection that only looks alive. */
  drop() {
    this.socket.onclose = null;
    this.socket.close();
    this.lost(1006, "");
  }

  async lost(code, reason) {
    clearInterval(this.pinging);
    if (this.ended) return;
    if (code === GONE) return this.over("This shell has ended.");
    if (code === SIGNED_OUT) return this.over("You are signed out. Load the page again to sign in.", false);
    if (code === STILL) return this.over(`${reason || "The environment does not run"}.`, false);
    const why = await this.refused();
    if (why) return this.over(why, false);
    say("reconnecting", "ask", reason);
    this.timer = setTimeout(() => this.connect(), PAUSES[Math.min(this.tries, PAUSES.length - 1)]);
    this.tries += 1;
  }

  /** Browsers do not tell why a WebSocket was refused: the page itself may. */
  async refused() {
    try {
      const answer = await fetch("/api/gitpod.v1.EnvironmentService/GetEnvironment", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ environmentId: this.environment }),
      });
      if (answer.status === 401) return "You are signed out. Load the page again to sign in.";
      if (answer.status === 404) return "The environment is gone.";
    } catch {
      // offline: try again
    }
    return "";
  }

  over(text, again = true) {
    this.ended = true;
    clearInterval(this.pinging);
    this.socket.onclose = null;
    this.socket.close();
    if (again) forget(this.key);
    say("ended", "", text);
    this.terminal.options.cursorBlink = false;
    if (again) document.getElementById("terminal-new").focus();
  }

  anew() {
    this.ended = false;
    this.tries = 0;
    this.socket.onclose = null;
    this.socket.close();
    forget(this.key);
    this.terminal.reset();
    this.terminal.options.cursorBlink = true;
    this.connect();
    this.terminal.focus();
  }

  hurry() {
    if (!this.ended && this.socket.readyState === WebSocket.CLOSED) this.connect();
  }

  type(bytes) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes);
  }

  tell(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  resize() {
    const { rows, cols } = this.terminal;
    this.tell({ type: "resize", rows, cols });
  }

  refit() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => place.clientHeight && this.fit.fit());
  }
}

function say(text, tone = "", more = null) {
  state.textContent = text;
  state.className = `badge ${tone}`;
  if (more !== null) note.textContent = more;
}

function fresh() {
  return crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

function remembered(key) {
  try {
    return sessionStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function remember(key, id) {
  try {
    sessionStorage.setItem(key, id);
  } catch {
    // then a reload opens another shell
  }
}

function forget(key) {
  try {
    sessionStorage.removeItem(key);
  } catch {
    // nothing was remembered
  }
}

function theme() {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  return {
    background: colour("card"),
    foreground: colour("ink"),
    cursor: colour("accent"),
    cursorAccent: colour("card"),
    selectionBackground: colour("line-strong"),
    black: colour("ink-faint"),
    red: colour("bad"),
    green: colour("good"),
    yellow: colour("ask"),
    blue: colour("run"),
    magenta: colour("accent"),
    cyan: colour("accent"),
    white: colour("ink-soft"),
    brightBlack: colour("ink-faint"),
    brightRed: colour("bad"),
    brightGreen: colour("good"),
    brightYellow: colour("ask"),
    brightBlue: colour("run"),
    brightMagenta: colour("accent"),
    brightCyan: colour("accent"),
    brightWhite: colour("ink"),
  };
}

if (place) {
  try {
    place.session = new Session(await import(place.dataset.xterm));
  } catch (broken) {
    say("failed", "bad", `The terminal could not be drawn: ${broken.message}`);
  }
}
