// A cell's state before a drug, moved over a plane; where the drug is expected to take it, which genes change, how
// probable an answer is, and whether any known cell is like it. Everything happens in the browser:
//
//   z1  --move-->  z2 = z1 + W z1 + b;   q(y | z2 - z1);   mean of p(x | z2) - mean of p(x | z1);   log p(z1)

const SCALE = 2; // inner pixels of the canvas for each on the page
const SIDE = 380;

function render({ model, el }, bytes) {
  const { decoder, move: drug, spread, weight, bias, width, noise, cells, labels, usual, prior, extent, genes, colours, half, parts, point } = model.get("_spec");
  const [left, right, bottom, top] = extent;
  const decode = compile(decoder, floats(bytes.subarray(...parts.weights), half));
  let place = [...point], spoken;

  /* --- the model --- */

  const shift = ([a, b]) => [0, 1].map((k) => drug.weight[k][0] * a + drug.weight[k][1] * b + drug.bias[k]);
  const answers = (z) => { const s = shift(z); return sigmoid(weight[0] * s[0] + weight[1] * s[1] + bias); };
  /** Answers of states as well known as a cell's expression makes them: their mean, and the middle 90 %. */
  function response(z) {
    const p = noise.map((e) => answers([z[0] + width[0] * e[0], z[1] + width[1] * e[1]])).sort((a, b) => a - b);
    const at = (share) => p[Math.round(share * (p.length - 1))];
    return { mean: p.reduce((a, b) => a + b) / p.length, low: at(0.05), high: at(0.95) };
  }
  function logPrior(z) {
    const log = prior.mean.map((m, i) => -0.5 * m.reduce((sum, _, k) => {
      const v = prior.log_var[i][k];
      return sum + Math.log(2 * Math.PI) + v + (z[k] - m[k]) ** 2 * Math.exp(-v);
    }, 0));
    const most = Math.max(...log);
    return most + Math.log(log.reduce((sum, a) => sum + Math.exp(a - most), 0) / log.length);
  }
  function change(z) {
    const s = shift(z), before = Float32Array.from(decode(Float32Array.from(z)));
    return decode(Float32Array.from([z[0] + s[0], z[1] + s[1]])).map((a, i) => a - before[i]);
  }

  /* --- the plane --- */

  const canvas = h("canvas", { width: SIDE * SCALE, height: SIDE * SCALE, "aria-hidden": true });
  const cursor = h("span", { class: "cursor", "aria-hidden": true });
  const pad = h("div", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "two-dimensional slider",
    "aria-label": "a cell's state before the drug: arrow keys move it, with Shift in larger steps" }, canvas, cursor);
  pad.style.aspectRatio = `${right - left} / ${top - bottom}`;
  const px = ([x, y]) => [((x - left) / (right - left)) * canvas.width, ((top - y) / (top - bottom)) * canvas.height];
  const ground = h("canvas", { width: canvas.width, height: canvas.height }); // all that does not move

  function drawGround() {
    const pen = ground.getContext("2d"), n = 80, small = h("canvas", { width: n, height: n }), image = new ImageData(n, n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) {
      const p = answers([left + ((j + 0.5) / n) * (right - left), top - ((i + 0.5) / n) * (top - bottom)]);
      image.data.set([...rgb(colours[p > 0.5 ? 1 : 0]), 140 * Math.abs(2 * p - 1)], 4 * (n * i + j));
    }
    small.getContext("2d").putImageData(image, 0, 0);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, ground.width, ground.height);
    pen.strokeStyle = "rgba(255, 255, 255, .9)";
    cells.forEach((z, k) => { // circles, squares and dots: the cells differ without colour, too
      const [x, y] = px(z);
      pen.fillStyle = labels[k] < 0 ? "rgba(110, 110, 110, .6)" : colours[labels[k]];
      pen.beginPath();
      if (labels[k] > 0) pen.rect(x - 5, y - 5, 10, 10);
      else pen.arc(x, y, labels[k] < 0 ? 3 : 6, 0, 2 * Math.PI);
      pen.fill();
      if (labels[k] >= 0) pen.stroke();
    });
  }
  function draw() {
    const pen = canvas.getContext("2d"), s = shift(place), [x, y] = px(place), [u, v] = px([place[0] + s[0], place[1] + s[1]]);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(ground, 0, 0);
    const far = Math.hypot(u - x, v - y), way = Math.atan2(v - y, u - x);
    for (const [colour, line] of [["#ffffff", 11], ["#222222", 6]]) {
      pen.strokeStyle = pen.fillStyle = colour;
      pen.lineWidth = line;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(u, v);
      if (far > 24) for (const turn of [2.6, -2.6]) {
        pen.moveTo(u, v);
        pen.lineTo(u + 24 * Math.cos(way + turn), v + 24 * Math.sin(way + turn));
      }
      pen.stroke();
    }
    pen.lineWidth = 3; // where z2 may be, two standard deviations
    pen.beginPath();
    pen.ellipse(u, v, (2 * spread[0] * canvas.width) / (right - left), (2 * spread[1] * canvas.height) / (top - bottom), 0, 0, 2 * Math.PI);
    pen.stroke();
  }

  /* --- what the model says --- */

  const reading = (kind, name) => {
    const says = h("span", { class: "says" }), more = h("p", { class: "more" }), needle = h("span", { class: "needle" }), band = h("span", { class: "band" });
    const bar = h("div", { class: `bar ${kind}`, "aria-hidden": true }, ...(kind ? [h("span", { class: "usual" }), needle] : [needle, band]));
    return { says, more, needle, band, row: h("div", { class: "reading" }, h("div", { class: "line" }, h("span", { class: "name" }, name), says), bar, more) };
  };
  const told = reading("", "it answers, p(y = 1 | x\u2081)"), seen = reading("gauge", "cells like it, log p(z\u2081)");
  const rows = Array.from({ length: genes }, () => {
    const name = h("span"), bar = h("span"), value = h("b");
    return { name, bar, value, cells: [name, h("span", { class: "change" }, bar), value] };
  });
  const where = h("p", { class: "where" }), live = h("span", { class: "spoken", role: "status" });
  const button = (text, onclick) => h("button", { type: "button", onclick }, text);
  let taken = -1;
  function next(label) {
    for (let k = 1; k <= cells.length; k++) {
      const i = (taken + k + cells.length) % cells.length;
      if (labels[i] === label) { taken = i; return go(...cells[i]); }
    }
  }
  const root = h("div", { class: "dgm-plane dgm-perturbation", role: "group", "aria-label": "a cell's state before a drug, and what the drug does" },
    h("div", { class: "left" }, pad, h("div", { class: "row" },
      button("a cell that answered", () => next(1)), button("one that did not", () => next(0)), button("unlike all others", () => go(left + 0.3, top - 0.3)))),
    h("div", { class: "right" }, where, told.row, seen.row, h("p", { class: "more" }, "genes that change most"), h("div", { class: "genes" }, ...rows.flatMap((r) => r.cells))), live);

  function show() {
    cursor.style.left = `${(100 * (place[0] - left)) / (right - left)}%`;
    cursor.style.top = `${(100 * (top - place[1])) / (top - bottom)}%`;
    const s = shift(place), { mean, low, high } = response(place), log = logPrior(place);
    where.textContent = `z\u2081 = (${number(place[0])}, ${number(place[1])}), moved by (${number(s[0])}, ${number(s[1])})`;
    told.row.dataset.value = mean;
    told.says.textContent = `${number(100 * mean, 0)} %`;
    told.more.textContent = `${number(100 * low, 0)} to ${number(100 * high, 0)} %, since genes tell the state no better`;
    told.needle.style.width = `${100 * mean}%`;
    told.band.style.left = `${100 * low}%`;
    told.band.style.width = `${100 * (high - low)}%`;
    const less = usual.filter((a) => a < log).length / usual.length, [a, b] = [usual[0], usual.at(-1)];
    seen.row.dataset.value = log;
    seen.says.textContent = `${number(log, 1)} nats`;
    seen.more.textContent = less === 0 ? "every known cell is more probable: do not believe the line above" : `${number(100 * less, 0)} % of the known cells are less probable`;
    seen.row.classList.toggle("alarm", less === 0);
    seen.needle.style.left = `${100 * clamp((log - (2 * a - b)) / (2 * (b - a)), 0, 1)}%`;
    const moved = change(place), order = [...moved.keys()].sort((i, j) => Math.abs(moved[j]) - Math.abs(moved[i]));
    rows.forEach(({ name, bar, value }, k) => {
      const amount = moved[order[k]], part = 50 * Math.min(1, Math.abs(amount) / 4);
      name.textContent = `gene ${order[k] + 1}`;
      bar.className = amount < 0 ? "down" : "";
      bar.style.left = `${amount < 0 ? 50 - part : 50}%`;
      bar.style.width = `${part}%`;
      value.textContent = number(amount, 1);
    });
    clearTimeout(spoken); // a screen reader hears where it ended, not every step on the way
    spoken = setTimeout(() => { live.textContent = `${where.textContent}. It answers with ${told.says.textContent}, ${told.more.textContent}. ${seen.more.textContent}`; }, 400);
  }
  function go(x, y) {
    place = [clamp(x, left, right), clamp(y, bottom, top)];
    draw();
    show();
  }

  /* --- mouse, finger, keys --- */

  steer(pad, [left, right, bottom, top], () => place, go);
  const freeKeys = keepKeys(root);

  drawGround();
  go(...place);
  Object.assign(root, { shift, response, logPrior, change }); // for the curious in the browser's console, and for the tests
  el.append(root);
  return () => { freeKeys(); clearTimeout(spoken); };
}

export default withNumbers(render);
