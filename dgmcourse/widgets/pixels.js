// Pads of pixels. "reach": click a pixel, the kernel says what its prediction has seen. "write": draw the upper rows, the
// kernel draws the others; they appear here one by one, as they were drawn.

const SIDE = 10; // inner pixels of the canvas for each of the image

/** A canvas of rows x columns cells that reports where it is touched, and which key was pressed on it. */
function pad([rows, columns], label, touched, key) {
  const canvas = h("canvas", { width: columns * SIDE, height: rows * SIDE, "aria-hidden": true });
  const root = h("div", { class: "pad", tabindex: 0, role: "application", "aria-label": label }, canvas);
  const place = (event) => {
    const box = root.getBoundingClientRect();
    const at = (a, low, size, n) => clamp(Math.floor(((a - low) / size) * n), 0, n - 1);
    return [at(event.clientY, box.top, box.height, rows), at(event.clientX, box.left, box.width, columns)];
  };
  root.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    root.focus();
    root.setPointerCapture(event.pointerId);
    touched(place(event), true);
  });
  root.addEventListener("pointermove", (event) => { if (root.hasPointerCapture(event.pointerId)) touched(place(event), false); });
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (key(event)) event.preventDefault(); // neither scrolls the page
  });
  return { root, pen: canvas.getContext("2d"), cell: (pen, r, c, colour) => { pen.fillStyle = colour; pen.fillRect(c * SIDE, r * SIDE, SIDE, SIDE); } };
}

/** A dot in the cell's corner. */
function dot(pen, r, c) {
  pen.fillStyle = "#8a3d00";
  pen.fillRect(c * SIDE + 1, r * SIDE + 1, 2, 2);
}

function frame(pen, [r, c], colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.strokeRect(c * SIDE + 1, r * SIDE + 1, SIDE - 2, SIDE - 2);
}

/* --- without a kernel: what web/pads.py has put into `_alone` --- */

/** An answer to a question, as the kernel gives it: [message, buffers]. */
function answer(alone, { shape: [rows, columns], panels }, ask) {
  if (alone.nets) {
    const bytes = alone.numbers, numbers = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const { drawn, p } = walk(alone.nets[ask.model], numbers, [rows, columns], ask.x, ask.rows * columns);
    return [{ from: ask.rows * columns }, [drawn.buffer, p.buffer]];
  }
  const size = 3 * rows * columns * panels.length, [r, c] = ask.cell.map((at) => at / alone.step);
  const cell = r * Math.ceil(columns / alone.step) + c;
  return [{ says: alone.says[cell] }, [new DataView(alone.pictures.buffer, alone.pictures.byteOffset + cell * size, size)]];
}

/** Draw the pixels of x from number `from` on, each given those before it; and p, the probability of ink of each. */
export function walk({ gated, layers, head }, numbers, [rows, columns], x, from) {
  const D = rows * columns, drawn = Uint8Array.from(x), p = new Float32Array(D), ink = Float32Array.from(x).fill(0, from);
  /** The convolution at a pixel; of one pixel's features, a list, at its place [0, 0]. */
  const at = (conv, map, r = 0, c = 0) => {
    const { places, in: I, out: O, weight, bias } = conv, y = numbers.slice(bias, bias + O);
    places.forEach(([dr, dc], k) => {
      if (r + dr < 0 || c + dc < 0 || c + dc >= columns) return;
      const start = ((r + dr) * columns + c + dc) * I;
      for (let i = 0, w = weight + k * I * O; i < I; i++) for (let o = 0, a = map[start + i]; o < O; o++) y[o] += a * numbers[w++];
    });
    return y;
  };
  const plus = (a, b) => a.map((v, k) => v + b[k]), relu = (a) => a.map((v) => Math.max(v, 0));
  const gate = (a) => a.slice(0, a.length / 2).map((v, k) => Math.tanh(v) / (1 + Math.exp(-a[a.length / 2 + k])));
  const width = head[0].in, maps = () => [ink, ...layers.map(() => new Float32Array(D * width))];
  const tall = gated && maps(), flat = maps(); // the features after each layer: of the vertical stack and of the other
  for (let i = 0; i < D; i++) {
    const r = Math.floor(i / columns), c = i % columns;
    if (gated && c === 0) layers.forEach(({ vertical }, l) => {
      for (let k = 0; k < columns; k++) tall[l + 1].set(gate(at(vertical, tall[l], r, k)), (i + k) * width);
    });
    layers.forEach((layer, l) => {
      let h;
      if (gated) {
        const above = tall[l + 1].subarray(i * width, (i + 1) * width);
        h = at(layer.out, gate(plus(at(layer.horizontal, flat[l], r, c), at(layer.link, above))));
        if (layer.residual) h = plus(h, flat[l].subarray(i * width));
      } else h = relu(at(layer, flat[l], r, c));
      flat[l + 1].set(h, i * width);
    });
    p[i] = 1 / (1 + Math.exp(-at(head[1], relu(at(head[0], flat[layers.length].subarray(i * width))))[0]));
    if (i >= from) ink[i] = drawn[i] = Number(Math.random() < p[i]);
  }
  return { drawn, p };
}

/* --- what a prediction has seen --- */

function reach(send, spec, unit) { // of `unit` rows and columns one can be chosen
  const { shape, panels } = spec, [rows, columns] = shape;
  const on = (at, n) => { const to = clamp(at, 0, n - 1); return to - (to % unit); };
  let cell = [on(spec.cell[0], rows), on(spec.cell[1], columns)], waiting = false, next = false;
  const says = panels.map(() => h("p", { class: "says" })), spoken = h("span", { class: "spoken", role: "status" });
  const ask = () => { // one question at a time: dragging never queues up more than is seen
    if (waiting) { next = true; return; }
    waiting = true;
    send({ cell });
  };
  const go = (to) => { cell = [on(to[0], rows), on(to[1], columns)]; ask(); };
  const key = (event) => {
    const way = ARROW_KEYS[event.key], step = (event.shiftKey ? 5 : 1) * unit;
    if (way) go([cell[0] - way[1] * step, cell[1] + way[0] * step]);
    return way;
  };
  const pads = panels.map((name) => pad(shape, `${name}: arrow keys choose a pixel, with Shift in larger steps`, (place) => go(place), key));
  const root = h("div", { class: "dgm-pixels", role: "group", "aria-label": "what a pixel's prediction has seen" },
    ...panels.map((name, k) => h("div", { class: "panel" }, h("p", { class: "name" }, name), pads[k].root, says[k])), spoken);
  const answered = (message, buffers) => {
    waiting = false;
    if (message.error) { says[0].textContent = message.error; return; }
    const bytes = new Uint8Array(buffers[0].buffer ?? buffers[0], buffers[0].byteOffset ?? 0, 3 * rows * columns * panels.length);
    pads.forEach(({ pen, cell: fill }, k) => {
      for (let i = 0; i < rows * columns; i++) {
        const at = 3 * (k * rows * columns + i);
        const r = Math.floor(i / columns), c = i % columns, colour = [bytes[at], bytes[at + 1], bytes[at + 2]];
        fill(pen, r, c, `rgb(${colour})`);
        if (`${colour}` === `${spec.unseen}`) dot(pen, r, c); // for eyes that can't tell orange from blue
      }
      frame(pen, cell, "#000");
      says[k].textContent = message.says[k].slice(panels[k].length + 2);
    });
    root.dataset.cell = cell.join(",");
    spoken.textContent = message.says.join(". ");
    if (next) { next = false; ask(); }
  };
  ask();
  return { root, answered, stop: () => {} };
}

/* --- a digit that is completed --- */

function write(send, spec) {
  const { shape, models, digits } = spec, [rows, columns] = shape, D = rows * columns;
  let ink = Uint8Array.from(digits[0] ?? new Array(D).fill(0)), cursor = [4, 12], which = 0, keep = spec.rows, drawn = null, at = D, timer = null, erase = false, due = false;
  const says = h("p", { class: "says" }), spoken = h("span", { class: "spoken", role: "status" });
  const paint = pad(shape, "paper: arrow keys move the pen, space inks or clears a pixel, Enter completes the digit", touched, key);
  const button = (name, onclick) => h("button", { type: "button", class: "jupyter-button", onclick }, name);
  const chosen = h("select", { "aria-label": "which model completes it" }, ...models.map((name) => h("option", {}, name)));
  const kept = h("input", { type: "range", min: 0, max: rows, step: 1, value: keep, "data-lm-suppress-shortcuts": "true", "aria-label": "rows that are kept",
    oninput: () => { stop(); drawn = null; keep = +kept.value; show(); } });
  const speed = h("input", { type: "range", min: 0, max: 3, step: 1, value: 1, "data-lm-suppress-shortcuts": "true", "aria-label": "speed" });
  const shown = h("output"), controls = h("div", { class: "controls" },
    h("div", { class: "row" }, button("Complete", complete), button("Next digit", () => { which = (which + 1) % digits.length; fill(digits[which]); }), button("Clear", () => fill(new Array(D).fill(0)))),
    h("label", {}, "rows that are kept ", kept, shown), h("label", {}, "speed ", speed), h("label", {}, "model ", chosen), says);
  const root = h("div", { class: "dgm-pixels", role: "group", "aria-label": "a digit that a model completes" }, h("div", { class: "panel" }, paint.root), controls, spoken);

  function fill(x) { stop(); drawn = null; ink = Uint8Array.from(x); show(); }
  function stop() { clearInterval(timer); timer = null; due = false; } // an answer that comes later is of another paper
  function dot([r, c], value) { if (r < rows && c < columns) ink[r * columns + c] = value; }
  function touched([r, c], begins) {
    stop();
    drawn = null;
    cursor = [r, c];
    if (begins) erase = ink[r * columns + c] === 1;
    for (const [dr, dc] of [[0, 0], [0, 1], [1, 0], [1, 1]]) dot([r + dr, c + dc], erase ? 0 : 1); // a pen of MNIST's width
    show();
  }
  function key(event) {
    const way = ARROW_KEYS[event.key];
    if (way) cursor = [clamp(cursor[0] - way[1], 0, rows - 1), clamp(cursor[1] + way[0], 0, columns - 1)];
    else if (event.key === " ") { stop(); drawn = null; dot(cursor, 1 - ink[cursor[0] * columns + cursor[1]]); }
    else if (event.key === "Enter" && !event.shiftKey) complete();
    else return false;
    show();
    return true;
  }
  function complete() {
    stop();
    drawn = null;
    due = true;
    says.textContent = "drawing";
    send({ model: chosen.value, x: [...ink], rows: keep });
  }
  function show() {
    const { pen, cell } = paint;
    for (let i = 0; i < D; i++) {
      const r = Math.floor(i / columns), fresh = drawn && r >= keep;
      const on = fresh ? i < at && drawn[i] : ink[i];
      cell(pen, r, i % columns, r < keep ? (on ? "#333333" : "#ffffff") : fresh && i < at ? (on ? "#0072b2" : "#ffffff") : ink[i] && !drawn ? "#aaaaaa" : "#e4e4e4");
    }
    pen.fillStyle = "#d55e00";
    pen.fillRect(0, keep * SIDE - 1, columns * SIDE, 2);
    if (drawn && at < D) frame(pen, [Math.floor(at / columns), at % columns], "#d55e00");
    else frame(pen, cursor, "#777");
    shown.textContent = keep;
    root.dataset.at = drawn ? at : "";
  }
  const answered = (message, buffers) => {
    if (!due) return;
    stop();
    if (message.error) { says.textContent = message.error; return; }
    const bytes = (b) => (b instanceof ArrayBuffer ? b : b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
    drawn = new Uint8Array(bytes(buffers[0]));
    const p = new Float32Array(bytes(buffers[1]));
    at = message.from;
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    const end = () => {
      stop();
      at = D;
      const ones = drawn.slice(message.from).reduce((a, b) => a + b, 0);
      says.textContent = `${D - message.from} pixels drawn, ${ones} of them are ink`;
      spoken.textContent = says.textContent;
      show();
    };
    if (still || speed.value === "3") return end();
    timer = setInterval(() => {
      for (let k = 0; k < [1, 4, 14][+speed.value] && at < D; k++) at++;
      if (at >= D) return end();
      const i = at - 1;
      says.textContent = `pixel ${i + 1} of ${D}: p = ${p[i].toFixed(2)}, drawn: ${drawn[i]}`;
      show();
    }, 33);
    show();
  };
  show();
  return { root, answered, stop };
}

function render({ model, el }) {
  const spec = model.get("_spec"), alone = model.get("_alone") ?? {};
  const answers = (ask) => queueMicrotask(() => answered(...answer(alone, spec, ask)));
  const send = alone.nets || alone.pictures ? answers : (ask) => model.send(ask);
  const { root, answered, stop } = (spec.kind === "reach" ? reach : write)(send, spec, alone.step ?? 1);
  model.on("msg:custom", answered);
  const freeKeys = keepKeys(root);
  el.append(root);
  return () => {
    stop();
    model.off("msg:custom", answered);
    freeKeys();
  };
}

export default { render };
