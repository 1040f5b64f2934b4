// A point that is dragged over a plane. Fields were computed on a grid by Python and sent once: between the grid's
// points they are interpolated here, so that each move shows in the next frame, without the kernel.

const SCALE = 2; // inner pixels of the canvas for each on the page
const WIDTH = 380;

const share = (a) => (a === 1 ? "all" : a === 0 ? "none" : a > 0.99 ? "over 99 %" : a < 0.01 ? "under 1 %" : `${Math.round(100 * a)} %`);

/** A probability, never rounded to 0 or 1. */
const probability = (p) => (p > 0.9999 ? "> 99.99 %" : p > 0.99 ? `${number(100 * p)} %` : p >= 0.01 ? `${number(100 * p, 0)} %` : p < 0.0001 ? "< 0.01 %" : `${number(100 * p)} %`);

function render({ model, el }) {
  const { fields, size: [rows, columns], extent: [left, right, bottom, top], classes, colours, labels } = model.get("_spec");
  const raw = model.get("_numbers");
  const numbers = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.byteLength));
  const cells = rows * columns, points = numbers.subarray(fields.length * cells);
  let place = [...model.get("point")];

  /* --- the value of a field at a point --- */

  function value(f, [x, y]) {
    const u = clamp(((x - left) / (right - left)) * (columns - 1), 0, columns - 1);
    const v = clamp(((y - bottom) / (top - bottom)) * (rows - 1), 0, rows - 1);
    const i = Math.min(Math.floor(v), rows - 2), j = Math.min(Math.floor(u), columns - 2), a = v - i, b = u - j;
    const at = (k, l) => numbers[f * cells + k * columns + l];
    return (1 - a) * ((1 - b) * at(i, j) + b * at(i, j + 1)) + a * ((1 - b) * at(i + 1, j) + b * at(i + 1, j + 1));
  }
  const less = (reference, v) => reference.filter((r) => r < v).length / reference.length;

  /* --- the plane --- */

  const canvas = h("canvas", { width: WIDTH * SCALE, height: Math.round((WIDTH * SCALE * (top - bottom)) / (right - left)), "aria-hidden": true });
  const cursor = h("span", { class: "cursor", "aria-hidden": true });
  const pad = h("div", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "two-dimensional slider",
    "aria-label": "a point on the plane: arrow keys move it, with Shift in larger steps" }, canvas, cursor);
  pad.style.aspectRatio = `${right - left} / ${top - bottom}`;
  const px = (x) => ((x - left) / (right - left)) * canvas.width, py = (y) => ((top - y) / (top - bottom)) * canvas.height;
  const shade = h("select", { "aria-label": "what the colours of the plane show", onchange: () => draw() },
    ...fields.map((field, f) => h("option", { value: f }, field.name)), h("option", { value: -1 }, "nothing"));

  function rgba(f, v) {
    if (!fields[f].density) return [...rgb(colours[v > 0.5 ? 0 : 1]), 170 * Math.abs(2 * v - 1)];
    const r = fields[f].reference, [low, high] = [2 * r[0] - r.at(-1), r.at(-1)]; // the fringe is as deep as the data's range
    return [90, 90, 90, 150 * clamp((v - low) / (high - low), 0, 1)];
  }
  function draw() {
    const pen = canvas.getContext("2d"), f = +shade.value;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    if (f >= 0) {
      const small = h("canvas", { width: columns, height: rows }), image = new ImageData(columns, rows);
      for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
        image.data.set(rgba(f, numbers[f * cells + i * columns + j]), 4 * ((rows - 1 - i) * columns + j));
      }
      small.getContext("2d").putImageData(image, 0, 0);
      pen.imageSmoothingQuality = "high"; // the outermost cells are cut in half: the grid's points lie on the edge
      pen.drawImage(small, 0.5, 0.5, columns - 1, rows - 1, 0, 0, canvas.width, canvas.height);
    }
    pen.strokeStyle = "rgba(255, 255, 255, .8)";
    for (let n = 0; n < labels.length; n++) { // circles and squares: the classes differ without colour, too
      const [x, y] = [px(points[2 * n]), py(points[2 * n + 1])];
      pen.fillStyle = colours[labels[n]];
      pen.beginPath();
      if (labels[n]) pen.rect(x - 4.5, y - 4.5, 9, 9); else pen.arc(x, y, 5, 0, 2 * Math.PI);
      pen.fill();
      pen.stroke();
    }
  }

  /* --- what the models say --- */

  const readings = fields.map(({ name, density, reference }) => {
    const says = h("span", { class: "says" }), more = h("p", { class: "more" }), needle = h("span", { class: "needle" });
    const bar = h("div", { class: density ? "bar gauge" : "bar", "aria-hidden": true }, needle);
    if (density) {
      const [a, b] = [reference[0], reference.at(-1)];
      needle.before(h("span", { class: "usual", title: "the training data's range" }));
      bar.dataset.low = 2 * a - b; // the middle of the gauge is the least usual training point
      bar.dataset.high = b;
    } else {
      bar.style.background = colours[1];
      needle.style.background = colours[0];
    }
    return { density, reference, says, more, needle, bar, name, row: h("div", { class: "reading" }, h("div", { class: "line" }, h("span", { class: "name" }, name), says), bar, more) };
  });
  const where = h("p", { class: "where" }), live = h("span", { class: "spoken", role: "status" });
  const root = h("div", { class: "dgm-plane", role: "group", "aria-label": "a plane with a point to drag" },
    h("div", { class: "left" }, pad, h("label", { class: "shade" }, "shade by ", shade)),
    h("div", { class: "right" }, where, ...readings.map((r) => r.row)), live);

  let later, spoken, mine = false;
  function show() {
    cursor.style.left = `${(100 * (place[0] - left)) / (right - left)}%`;
    cursor.style.top = `${(100 * (top - place[1])) / (top - bottom)}%`;
    const words = [`x = (${number(place[0])}, ${number(place[1])})`];
    where.textContent = words[0];
    readings.forEach(({ density, reference, says, more, needle, bar, name, row }, f) => {
      const v = value(f, place);
      row.dataset.value = v;
      if (density) {
        const beaten = less(reference, v), low = +bar.dataset.low, high = +bar.dataset.high;
        says.textContent = `${number(v, 1)} nats`;
        more.textContent = `${share(beaten)} of the training points are less probable`;
        if (beaten === 0) more.textContent = "every training point is more probable";
        row.classList.toggle("alarm", beaten === 0);
        needle.style.left = `${100 * clamp((v - low) / (high - low), 0, 1)}%`;
      } else {
        const c = v >= 0.5 ? 0 : 1;
        says.textContent = `${classes[c]} ${probability(c ? 1 - v : v)}`;
        needle.style.width = `${100 * v}%`;
      }
      words.push(`${name}: ${says.textContent}${density ? `, ${more.textContent}` : ""}`);
    });
    clearTimeout(spoken); // a screen reader hears where it ended, not every step on the way
    spoken = setTimeout(() => { live.textContent = words.join(". "); }, 400);
    later ??= setTimeout(() => { // Python reads w.point: ten messages a second at most
      later = undefined;
      mine = true;
      model.set("point", [...place]);
      mine = false;
      model.save_changes();
    }, 100);
  }
  function move(x, y) {
    place = [clamp(x, left, right), clamp(y, bottom, top)];
    show();
  }
  const fromPython = () => { if (!mine) move(...model.get("point")); };
  model.on("change:point", fromPython);

  /* --- mouse, finger, keys --- */

  steer(pad, [left, right, bottom, top], () => place, move);
  const freeKeys = keepKeys(root);

  draw();
  show();
  el.append(root);
  return () => {
    model.off("change:point", fromPython);
    freeKeys();
    [later, spoken].forEach(clearTimeout);
  };
}

export default { render };
