// Starts reveal.js, and the widgets. A widget runs the JavaScript of its notebook; `Model` stands in for the kernel.

class Model {
  constructor(state) { this.state = state; this.listeners = []; }
  get(name) { return this.state[name]; }
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    for (const [event, listener] of [...this.listeners]) if (event === `change:${name}` || event === "change") listener();
  }
  on(event, listener) { this.listeners.push([event, listener]); }
  off(event, listener) { this.listeners = this.listeners.filter(([e, l]) => !(e === event && (!listener || l === listener))); }
  save_changes() {}
  send() {}
}

/** A value of the state with each {gzip: base64} in it made bytes, as a kernel sends them. */
async function unpacked(value) {
  if (value === null || typeof value !== "object") return value;
  if (typeof value.gzip === "string") {
    const packed = Uint8Array.from(atob(value.gzip), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new DataView(await new Response(stream).arrayBuffer());
  }
  if (Array.isArray(value)) return Promise.all(value.map(unpacked));
  return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([key, inside]) => [key, await unpacked(inside)])));
}

const { modules, widgets, look } = JSON.parse(document.getElementById("widgets").textContent);
const imported = {};

async function start(place) {
  const { module, css, state } = widgets[place.dataset.widget];
  delete place.dataset.widget; // once
  const shadow = place.attachShadow({ mode: "open" }); // neither style reaches the other
  const style = Object.assign(document.createElement("style"), { textContent: css + look });
  const inside = document.createElement("div");
  shadow.append(style, inside);
  imported[module] ??= import(`data:text/javascript;base64,${modules[module]}`);
  const { default: widget } = await imported[module];
  const model = new Model(await unpacked(state));
  const made = typeof widget === "function" ? await widget() : widget;
  await made.initialize?.({ model });
  await made.render({ model, el: inside });
  place.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation()); // arrows move the widget, not the deck
  place.dataset.ready = "";
}

const asked = new URLSearchParams(location.search);
const root = document.documentElement.classList;
root.toggle("dark", asked.has("room") ? asked.get("room") === "dark" : !asked.has("print-pdf") && matchMedia("(prefers-color-scheme: dark)").matches);

const startShown = ({ currentSlide }) => currentSlide.querySelectorAll("[data-widget]").forEach(start);
Reveal.on("slidechanged", startShown);
Reveal.on("ready", startShown);
Reveal.on("pdf-ready", () => root.add("ready-to-print"));
Reveal.initialize({
  width: 1280, height: 720, margin: 0, center: false, hash: true, transition: "none", slideNumber: "c/t", controls: false,
  plugins: [RevealNotes], pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, totalTime: undefined,
  keyboard: { 76: () => root.toggle("dark") }, // l: light or dark room
});
