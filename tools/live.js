// Widgets in a page without a kernel: they run the JavaScript of their notebook, and `Model` stands in for the kernel.

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

/** A value of the state with each {gzip: base64} and {file: address in the folder} in it made bytes, as a kernel sends them. */
async function unpacked(value, folder) {
  if (value === null || typeof value !== "object") return value;
  if (typeof value.gzip === "string") return unzipped(new Blob([Uint8Array.from(atob(value.gzip), (c) => c.charCodeAt(0))]));
  if (typeof value.file === "string") return unzipped(await (await fetch(new URL(value.file, folder))).blob());
  if (Array.isArray(value)) return Promise.all(value.map((inside) => unpacked(inside, folder)));
  return Object.fromEntries(await Promise.all(Object.entries(value).map(async ([key, inside]) => [key, await unpacked(inside, folder)])));
}

async function unzipped(packed) {
  return new DataView(await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** Whether a key is the widget's, and not the page's or the deck's: arrows move what has the focus, but a button has
 * only Space and Enter, and a presenter's keys turn the slide unless something is typed. */
function belongs(event) {
  const [target] = event.composedPath();
  if (event.key === "Escape") return false;
  if (event.defaultPrevented || target.matches("select, textarea, input:not([type=range], [type=checkbox], [type=radio])")) return true;
  if (target.matches("button, a, summary")) return [" ", "Enter"].includes(event.key);
  return !["PageUp", "PageDown", "n", "N", "p", "P"].includes(event.key);
}

/** Start a widget below `place`: its module, already imported, its style and its state, whose files are in `folder`. */
async function startWidget(place, { default: widget }, css, state, folder) {
  const shadow = place.attachShadow({ mode: "open" }); // neither style reaches the other
  const style = Object.assign(document.createElement("style"), { textContent: css });
  const inside = document.createElement("div");
  shadow.append(style, inside);
  const model = new Model(await unpacked(state, folder));
  const made = typeof widget === "function" ? await widget() : widget;
  await made.initialize?.({ model });
  await made.render({ model, el: inside });
  place.addEventListener("keydown", (event) => { if (belongs(event)) event.stopPropagation(); });
  place.dataset.ready = "";
}
