// Walk through a latent space. Once shown, everything happens here in the browser, without the kernel:
//
//   x (written, or a test digit)  --encoder-->  z (pad and sliders)  --decoder-->  mean of p(x | z)

/* ---------- a network is a list of layers and one block of numbers ---------- */

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const each = (f) => (layer, numbers, n) => ({ n, run: (x, y) => { for (let i = 0; i < n; i++) y[i] = f(x[i], layer); } });

// kind: (layer, all numbers, length of the input) -> { n: length of the output, run(x, y): fill y from x }.
// A further kind of layer is one more entry here and one in latent.py.
const KINDS = {
  linear(layer, numbers, n) {
    const { out, weight, bias } = layer; // offsets into `numbers`; the matrix is (out, n), row after row
    return { n: out, run(x, y) {
      for (let o = 0, w = weight; o < out; o++) {
        let sum = numbers[bias + o];
        for (let i = 0; i < n; i++) sum += numbers[w++] * x[i];
        y[o] = sum;
      }
    } };
  },
  glu: (layer, numbers, n) => ({ n: n / 2, run: (x, y) => { for (let i = 0; i < n / 2; i++) y[i] = x[i] * sigmoid(x[i + n / 2]); } }),
  affine: ({ scale, shift }, numbers, n) => ({ n, run: (x, y) => { for (let i = 0; i < n; i++) y[i] = scale[i] * x[i] + shift[i]; } }),
  take: (layer) => ({ n: layer.n, run: (x, y) => y.set(x.subarray(0, layer.n)) }), // of (mean, log_var) the mean
  sigmoid: each(sigmoid),
  tanh: each(Math.tanh),
  relu: each((a) => Math.max(a, 0)),
  leaky_relu: each((a, layer) => (a > 0 ? a : layer.slope * a)),
  elu: each((a, layer) => (a > 0 ? a : layer.alpha * Math.expm1(a))),
  silu: each((a) => a * sigmoid(a)),
  softplus: each((a, { beta }) => Math.max(a, 0) + Math.log1p(Math.exp(-beta * Math.abs(a))) / beta),
};

/** The function x -> output of the layers. The array it returns is used again by the next call. */
export function compile(layers, numbers) {
  let n = layers[0].in;
  const steps = layers.map((layer) => {
    if (!KINDS[layer.kind]) throw new Error(`latent.js knows no layer of kind "${layer.kind}"`);
    const { run, n: size } = KINDS[layer.kind](layer, numbers, n);
    n = size;
    return { run, y: new Float32Array(size) };
  });
  return (x) => steps.reduce((input, { run, y }) => (run(input, y), y), x);
}

/** Numbers from bytes; float16 (half the bytes) is widened, exactly, by a table. */
export function floats(bytes, half = false) {
  const buffer = bytes.slice().buffer; // a copy, to be aligned
  if (!half) return new Float32Array(buffer);
  const table = Float32Array.from({ length: 65536 }, (_, h) => {
    const e = (h >> 10) & 31, m = h & 1023;
    const size = e === 0 ? m * 2 ** -24 : e === 31 ? (m ? NaN : Infinity) : (1 + m / 1024) * 2 ** (e - 15);
    return h >> 15 ? -size : size;
  });
  return Float32Array.from(new Uint16Array(buffer), (h) => table[h]);
}

/**
 * The bytes of `_numbers`. They come when the widget is made, and are not sent a second time: a page that is loaded
 * again asks for them in slices, each page one slice at a time, for Jupyter drops what exceeds 1 MB a second.
 */
async function receive(model) {
  const { total } = model.get("_spec"), slice = 400_000, first = model.get("_numbers");
  if (first?.byteLength === total) return new Uint8Array(first.buffer, first.byteOffset, total);
  const bytes = new Uint8Array(total);
  for (let at = 0; at < total; at += slice) {
    const turn = (globalThis.dgmTurn ?? Promise.resolve()).then(async () => {
      const part = await new Promise((resolve) => {
        const ask = () => model.send({ at, slice });
        const again = setInterval(ask, 10_000); // a busy kernel answers late, a dropped message never comes
        const hear = (content, buffers) => {
          if (content.at !== at) return;
          clearInterval(again);
          model.off("msg:custom", hear);
          resolve(buffers[0]);
        };
        model.on("msg:custom", hear);
        ask();
      });
      bytes.set(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), at);
      await new Promise((resolve) => setTimeout(resolve, 500));
    });
    await (globalThis.dgmTurn = turn);
  }
  return bytes;
}

/* ---------- what was written, made to look like an MNIST digit ---------- */

const PEN = 2.6; // width of a stroke, in pixels of the 28 x 28 image: MNIST's median
const FINE = 4; // drawn 4 times finer and averaged, so that edges are soft and grey

/** Strokes (lists of [x, y]) -> 784 grey values: fitted into 20 x 20, centre of mass in the centre of 28 x 28. */
export function normalise(strokes) {
  const side = 28 * FINE, points = strokes.flat();
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = ((20 - PEN) * FINE) / Math.max(right - left, bottom - top, 0.15); // a dot stays a dot
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const ink = (dx, dy) => {
    pen.resetTransform();
    pen.clearRect(0, 0, side, side);
    pen.translate(side / 2 + dx, side / 2 + dy);
    trace(pen, strokes, PEN * FINE, ([x, y]) => [(x - (left + right) / 2) * scale, (y - (top + bottom) / 2) * scale]);
    return pen.getImageData(0, 0, side, side).data;
  };
  let data = ink(0, 0), mass = 0, mx = 0, my = 0;
  for (let i = 0; i < side * side; i++) {
    mass += data[4 * i + 3];
    mx += data[4 * i + 3] * ((i % side) + 0.5);
    my += data[4 * i + 3] * (Math.floor(i / side) + 0.5);
  }
  data = ink(side / 2 - mx / mass, side / 2 - my / mass);
  const x = new Float32Array(784);
  for (let i = 0; i < side * side; i++) {
    x[28 * Math.floor(i / side / FINE) + Math.floor((i % side) / FINE)] += data[4 * i + 3] / 255 / FINE ** 2;
  }
  return x;
}

function trace(pen, strokes, width, place) {
  Object.assign(pen, { lineWidth: width, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...place(stroke[0]));
    for (const p of stroke) pen.lineTo(...place(p));
    if (stroke.length === 1) pen.lineTo(place(stroke[0])[0] + 0.01, place(stroke[0])[1]); // a tap leaves a round dot
    pen.stroke();
  }
}

/* ---------- small tools ---------- */

/** Show means (0: paper, 1: ink) on a canvas. Ink is black with opacity; the style sheet turns it for dark themes. */
function paint(canvas, means) {
  const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < means.length; i++) image.data[4 * i + 3] = 255 * means[i] + 0.5;
  pen.putImageData(image, 0, 0);
}

const SIZE = 560; // inner pixels of the plane and of the paper: twice what they measure on the page

/* ---------- the widget ---------- */

function render({ model, el }, bytes) {
  const { encoder, decoder, half, parts, shape, extent, order, shown, variance, of, labels, colours } = model.get("_spec");
  const part = (name) => bytes.subarray(...parts[name]);
  const numbers = floats(part("weights"), half);
  const decode = compile(decoder, numbers), encode = encoder && compile(encoder, numbers);
  const codes = floats(part("codes")), prior = floats(part("prior")), digits = part("digits");
  const [height, width] = shape, D = height * width, d = order.length;
  const within = (a) => clamp(a, -extent, extent);
  const name = (i) => `z${[...String(i + 1)].map((c) => String.fromCharCode(0x2080 + +c)).join("")}`; // z₁ is w.z[0]
  const hue = (label) => (label === undefined ? "#808080" : colours[label % colours.length]);
  const z = Float32Array.from(model.get("z"));
  const axes = [...model.get("dims")];

  // Left to right as in the lecture's diagram: x, encoder, z, decoder, x again.
  const paper = h("canvas", { class: "paper", width: SIZE, height: SIZE, role: "img", "aria-label": "paper: write a digit here with mouse or finger" });
  const seen = h("canvas", { class: "seen", width, height, role: "img", "aria-label": "what the encoder gets" });
  const plane = h("canvas", { width: SIZE, height: SIZE, "aria-hidden": true });
  const cursor = h("span", { class: "cursor", "aria-hidden": true });
  const pad = h("div", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "two-dimensional slider" }, plane, cursor);
  const picture = h("canvas", { class: "picture", width, height, role: "img" });
  const where = h("span", { class: "where" }), caption = h("p", { class: "caption" });
  const live = h("span", { class: "spoken", role: "status" });
  const button = (text, label, onclick) => h("button", { type: "button", title: label, "aria-label": label, onclick }, text);

  const choose = [0, 1].map((k) => h("select", { "aria-label": k ? "dimension shown upwards" : "dimension shown to the right",
    onchange: (event) => { axes[k] = +event.target.value; model.set("dims", [...axes]); model.save_changes(); drawPlane(); } },
    ...order.map((i) => h("option", { value: i }, name(i)))));
  const sliders = order.map((i, rank) => {
    const range = h("input", { type: "range", min: -extent, max: extent, step: 0.05, "aria-label": `latent dimension ${name(i)}`,
      oninput: () => { z[i] = +range.value; show(); }, onkeydown: (event) => stride(event, (step) => { z[i] = within(z[i] + step); show(); }) });
    const value = h("span", { class: "value" });
    const row = h("label", { class: "slider", title: `variance of ${of}: ${variance[i].toFixed(2)}` },
      h("span", { class: "name" }, name(i)), range, value);
    row.hidden = rank >= shown;
    return { i, range, value, row };
  });
  const more = h("button", { type: "button", class: "more", "aria-expanded": "false", onclick: () => {
    const open = more.getAttribute("aria-expanded") === "false";
    sliders.forEach(({ row }, rank) => { row.hidden = !open && rank >= shown; });
    more.setAttribute("aria-expanded", open);
    more.textContent = open ? `show the ${shown} most active` : `show all ${d}`;
  } }, `show all ${d}`);
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const legend = h("div", { class: "legend", role: "group", "aria-label": "take a test digit" }, ...classes.map((c) => {
    const numeral = h("span", { style: `color: ${hue(c)}` }, c);
    return button(numeral, `next test digit ${c}`, () => {
      const n = labels.length; // on from the digit last taken, around the end
      for (let k = 1; k <= n; k++) if (labels[(taken + k) % n] === c) return take((taken + k) % n);
    });
  }));

  const panel = (kind, title, ...children) => h("section", { class: kind }, h("h4", {}, title), ...children);
  const math = (...parts) => h("span", { class: "math" }, ...parts.map((p, k) => (k % 2 ? p : h("i", {}, p))));
  const root = h("div", { class: "dgm-latent", role: "group", "aria-label": "latent-space traversal" },
    h("div", { class: "panels" + (encode ? "" : " blind") },
      ...(encode ? [panel("x", math("x"), h("div", { class: "sheet empty" }, paper),
        h("div", { class: "row" }, button("Clear", "clear the paper", clear), seen), h("p", { class: "caption" }, "what the encoder gets")),
        h("span", { class: "arrow", title: "encoder: the mean of q(z | x)", "aria-hidden": true }, "\u2192")] : []),
      panel("z", math("z"), pad, h("div", { class: "row" },
        ...(d > 2 ? [h("span", { class: "small", "aria-hidden": true }, "\u2192"), choose[0], h("span", { class: "small", "aria-hidden": true }, "\u2191"), choose[1]] : []), where), legend),
      h("span", { class: "arrow", title: "decoder", "aria-hidden": true }, "\u2192"),
      panel("p", h("span", {}, "mean of ", math("p", "(", "x", " | ", "z", ")")), picture, h("div", { class: "row" },
        button("z = 0", "set z to 0", () => jump(new Float32Array(d), "the centre of the prior")),
        button("Sample z", "draw z from the prior", () => {
          const k = Math.floor((Math.random() * prior.length) / d);
          jump(prior.subarray(k * d, k * d + d), "a sample from the prior");
        })), caption)),
    h("div", { class: "sliders" }, ...sliders.map((s) => s.row)), d > shown ? more : "", live);

  /* --- z changes: decode, paint, and tell whoever listens --- */

  let from = "", taken = -1, mine = false, later, spoken;
  function show(story = "") { // story: where z came from, when it was not moved by hand
    from = story;
    const means = decode(z);
    paint(picture, means);
    cursor.style.left = `${50 + (50 * within(z[axes[0]])) / extent}%`;
    cursor.style.top = `${50 - (50 * within(z[axes[1]])) / extent}%`;
    for (const { i, range, value } of sliders) { range.value = z[i]; value.textContent = number(z[i]); }
    caption.textContent = from || "decoded from z";
    const words = axes.map((i) => `${name(i)} = ${number(z[i])}`).join(", ");
    where.textContent = d > 2 ? "" : words;
    clearTimeout(spoken); // a screen reader hears where it ended, not every step on the way
    spoken = setTimeout(() => { live.textContent = `${words}. ${from}`; }, 400);
    later ??= setTimeout(() => { // Python reads w.z: ten messages a second at most
      later = undefined;
      mine = true;
      model.set("z", Array.from(z));
      mine = false;
      model.save_changes();
    }, 100);
  }
  function jump(code, story) { z.set(code); show(story); }
  const fromPython = () => { if (!mine) jump(model.get("z"), "set from Python"); };
  const axesFromPython = () => { axes.splice(0, 2, ...model.get("dims")); drawPlane(); };
  model.on("change:z", fromPython);
  model.on("change:dims", axesFromPython);

  /* --- the plane: encoded test digits, the prior's rings, the cursor --- */

  const px = (a) => (SIZE / 2) * (1 + a / extent), py = (a) => (SIZE / 2) * (1 - a / extent);
  function drawPlane() {
    choose.forEach((select, k) => { select.value = axes[k]; });
    pad.setAttribute("aria-label", `latent plane, ${name(axes[0])} to the right and ${name(axes[1])} upwards: arrow keys move, with Shift in larger steps`);
    const pen = plane.getContext("2d");
    pen.clearRect(0, 0, SIZE, SIZE);
    Object.assign(pen, { strokeStyle: "rgba(128, 128, 128, .45)", fillStyle: "#808080", lineWidth: 1.5, textAlign: "center", textBaseline: "middle" });
    pen.beginPath();
    pen.moveTo(0, SIZE / 2), pen.lineTo(SIZE, SIZE / 2), pen.moveTo(SIZE / 2, 0), pen.lineTo(SIZE / 2, SIZE);
    for (let r = 1; r <= extent; r++) { // the prior's standard deviations
      pen.moveTo(px(r), SIZE / 2);
      pen.arc(SIZE / 2, SIZE / 2, px(r) - SIZE / 2, 0, 2 * Math.PI);
    }
    pen.stroke();
    pen.font = "17px system-ui, sans-serif";
    for (let r = 1; r < extent; r++) pen.fillText(r, px(r) + 9, SIZE / 2 + 13);
    pen.font = "bold 19px system-ui, sans-serif";
    for (let n = 0; n < codes.length / d; n++) {
      pen.fillStyle = hue(labels[n]);
      pen.fillText(labels.length ? labels[n] : "\u2022", px(codes[n * d + axes[0]]), py(codes[n * d + axes[1]]));
    }
    show(from);
  }
  function take(n) { // all of this test digit's code, not only the two dimensions one sees
    taken = n;
    clear();
    const x = Float32Array.from({ length: D }, (_, i) => digits[n * D + i] / 255);
    paint(seen, x);
    paper.parentElement.classList.remove("empty");
    paper.getContext("2d").imageSmoothingEnabled = false;
    paper.getContext("2d").drawImage(seen, 0, 0, SIZE, SIZE);
    jump(codes.subarray(n * d, n * d + d), `reconstruction of test digit ${n}${labels.length ? `, a ${labels[n]}` : ""}`);
  }
  let press; // where the pointer went down; undefined once it has moved away: then it drags, and picks no digit
  const spot = (event, box) => [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  function steer(event) {
    const [u, v] = spot(event, pad.getBoundingClientRect());
    z[axes[0]] = within((2 * u - 1) * extent);
    z[axes[1]] = within((1 - 2 * v) * extent);
    show();
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    press = [event.clientX, event.clientY];
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    if (press && Math.hypot(event.clientX - press[0], event.clientY - press[1]) < 4) return;
    press = undefined;
    steer(event);
  });
  pad.addEventListener("pointerup", (event) => {
    if (!press) return;
    press = undefined;
    const box = pad.getBoundingClientRect(), [u, v] = spot(event, box);
    let best = 8, nearest = -1; // pixels on the page
    for (let n = 0; n < codes.length / d; n++) {
      const gap = Math.hypot(px(codes[n * d + axes[0]]) / SIZE - u, py(codes[n * d + axes[1]]) / SIZE - v) * box.width;
      if (gap < best) [best, nearest] = [gap, n];
    }
    if (nearest < 0) steer(event); else take(nearest);
  });
  pad.addEventListener("keydown", (event) => stride(event, (step, k) => {
    z[axes[k]] = within(z[axes[k]] + step);
    show();
  }));

  /* --- keys: an arrow is a step, Shift makes it larger; Jupyter must not take them for its own --- */

  function stride(event, move) {
    const way = ARROW_KEYS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // neither scrolls the page
    const axis = way[0] ? 0 : 1;
    move(way[axis] * (event.shiftKey ? 0.5 : 0.1), axis);
  }
  const freeKeys = keepKeys(root);

  /* --- the paper --- */

  let strokes = [];
  function clear() {
    strokes = [];
    for (const canvas of [paper, seen]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    paper.parentElement.classList.add("empty");
  }
  function write(event) {
    const box = paper.getBoundingClientRect();
    const between = event.getCoalescedEvents?.() ?? []; // a quick hand moves several times in a frame
    for (const e of between.length ? between : [event]) strokes.at(-1).push(spot(e, box));
    const pen = paper.getContext("2d");
    pen.clearRect(0, 0, SIZE, SIZE);
    trace(pen, strokes, SIZE / 14, ([u, v]) => [u * SIZE, v * SIZE]);
    const x = normalise(strokes);
    paint(seen, x);
    jump(encode(x).subarray(0, d), "reconstruction of what you wrote");
  }
  if (encode) {
    paper.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no selecting of text
      paper.setPointerCapture(event.pointerId);
      if (!strokes.length) clear(); // a test digit may be lying there
      paper.parentElement.classList.remove("empty");
      strokes.push([]);
      write(event);
    });
    paper.addEventListener("pointermove", (event) => { if (paper.hasPointerCapture(event.pointerId)) write(event); });
  }

  drawPlane();
  Object.assign(root, { decode, encode }); // for the curious in the browser's console, and for the tests
  el.append(root);
  return () => {
    model.off("change:z", fromPython);
    model.off("change:dims", axesFromPython);
    freeKeys();
    [later, spoken].forEach(clearTimeout);
  };
}

export default () => {
  let bytes; // one copy for all views of a model
  return {
    initialize({ model }) { bytes = receive(model); },
    async render(view) { return render(view, await bytes); },
  };
};
