// Networks that run in the browser, and the paper that a digit is written on: what the widgets with a decoder share.

/* ---------- a network is a list of layers and one block of numbers ---------- */

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const each = (f) => (layer, numbers, n) => ({ n, run: (x, y) => { for (let i = 0; i < n; i++) y[i] = f(x[i], layer); } });

// kind: (layer, all numbers, length of the input) -> { n: length of the output, run(x, y): fill y from x }.
// A further kind of layer is one more entry here and one in networks.py.
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
  softmax: (layer, numbers, n) => ({ n, run: (x, y) => {
    const top = x.reduce((a, b) => Math.max(a, b));
    let sum = 0;
    for (let i = 0; i < n; i++) sum += y[i] = Math.exp(x[i] - top);
    for (let i = 0; i < n; i++) y[i] /= sum;
  } }),
  softplus: each((a, { beta }) => Math.max(a, 0) + Math.log1p(Math.exp(-beta * Math.abs(a))) / beta),
};

/** The function x -> output of the layers. The array it returns is used again by the next call. */
export function compile(layers, numbers) {
  let n = layers[0].in;
  const steps = layers.map((layer) => {
    if (!KINDS[layer.kind]) throw new Error(`networks.js knows no layer of kind "${layer.kind}"`);
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

/* ---------- pictures, and the paper ---------- */

/** Show means (0: paper, 1: ink) on a canvas. Ink is black with opacity; the style sheet turns it for dark themes. */
function paint(canvas, means) {
  const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
  for (let i = 0; i < means.length; i++) image.data[4 * i + 3] = 255 * means[i] + 0.5;
  pen.putImageData(image, 0, 0);
}

const SIZE = 560; // inner pixels of a paper, and of the latent plane: twice what they measure on the page
const place = (event, box) => [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];

/**
 * A sheet of paper for one digit. `wrote` gets its grey values with every movement of the pen.
 * Returns { sheet, seen, clear(), lay(x) }: the paper, a small canvas with what a network gets, and what puts a ready image there.
 */
function writingPaper([height, width], wrote) {
  const paper = h("canvas", { class: "paper", width: SIZE, height: SIZE, role: "img", "aria-label": "paper: write a digit here with mouse or finger" });
  const seen = h("canvas", { class: "seen", width, height, role: "img", "aria-label": "what the encoder gets" });
  const sheet = h("div", { class: "sheet empty" }, paper);
  let strokes = [];
  function clear() {
    strokes = [];
    for (const canvas of [paper, seen]) canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    sheet.classList.add("empty");
  }
  function lay(x) {
    clear();
    paint(seen, x);
    sheet.classList.remove("empty");
    paper.getContext("2d").imageSmoothingEnabled = false;
    paper.getContext("2d").drawImage(seen, 0, 0, SIZE, SIZE);
  }
  function write(event) {
    const box = paper.getBoundingClientRect();
    const between = event.getCoalescedEvents?.() ?? []; // a quick hand moves several times in a frame
    for (const e of between.length ? between : [event]) strokes.at(-1).push(place(e, box));
    const pen = paper.getContext("2d");
    pen.clearRect(0, 0, SIZE, SIZE);
    trace(pen, strokes, SIZE / 14, ([u, v]) => [u * SIZE, v * SIZE]);
    const x = normalise(strokes);
    paint(seen, x);
    wrote(x);
  }
  paper.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault(); // no selecting of text
    paper.setPointerCapture(event.pointerId);
    if (!strokes.length) clear(); // a test digit may be lying there
    sheet.classList.remove("empty");
    strokes.push([]);
    write(event);
  });
  paper.addEventListener("pointermove", (event) => { if (paper.hasPointerCapture(event.pointerId)) write(event); });
  return { sheet, seen, clear, lay };
}

/** The module that a widget with networks exports: `render` gets the view and the bytes of `_numbers`, one copy for all views. */
const withNumbers = (render) => () => {
  let bytes;
  return {
    initialize({ model }) { bytes = receive(model); },
    async render(view) { return render(view, await bytes); },
  };
};
