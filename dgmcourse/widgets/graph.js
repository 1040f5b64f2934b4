// A small graph to edit. Its codes and the probabilities of all links are computed here at every edit:
//
//   codes = M relu(M W0) W1,   M = D^-1/2 (A + I) D^-1/2,   p(link i, j) = sigmoid(z_i . z_j + b)

const SVG = "http://www.w3.org/2000/svg";
const GRAPH = 330, PLANE = 230, EDGE = 16, REACH = 3; // sizes of the drawings, their margin; the plane shows -REACH to REACH
const SHOWN = 9; // others in the list of a member's links

/** As h, for a drawing. */
function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function render({ model, el }) {
  const { nodes: N, edges, places, sides, names, colours, first, last, noise, offset, guesses, start } = model.get("_spec");
  const A = new Uint8Array(N * N), was = new Uint8Array(N * N), every = Array.from({ length: N }, (_, i) => i);
  let chosen = start, order = [], p = [], z = [], deviation = [], spoken;

  /* --- the model --- */

  function set(i, j, there) { A[i * N + j] = A[j * N + i] = there; }
  function reset() {
    A.fill(0);
    for (const [i, j] of edges) set(i, j, 1);
  }
  reset();
  was.set(A);
  /** M x, for rows x of all nodes. */
  function hear(x) {
    const root = every.map((i) => 1 / Math.sqrt(1 + every.reduce((sum, j) => sum + A[i * N + j], 0)));
    return every.map((i) => x[0].map((_, k) => {
      let sum = root[i] * root[i] * x[i][k];
      for (const j of every) if (A[i * N + j]) sum += root[i] * root[j] * x[j][k];
      return sum;
    }));
  }
  const times = (x, W) => x.map((row) => W[0].map((_, k) => row.reduce((sum, a, l) => sum + a * W[l][k], 0)));
  /** The codes' means and standard deviations, and all probabilities of the graph as it is now. */
  function infer() {
    const h1 = hear(first).map((row) => row.map((a) => Math.max(a, 0))), output = hear(times(h1, last));
    z = output.map((row) => row.slice(0, 2));
    deviation = noise ? output.map((row) => row.slice(2).map(Math.exp)) : z.map(() => [0, 0]);
    p = every.map((i) => every.map((j) => 1 / (1 + Math.exp(-(z[i][0] * z[j][0] + z[i][1] * z[j][1] + offset)))));
  }
  function logProbability() {
    let sum = 0;
    for (const i of every) for (let j = 0; j < i; j++) sum += Math.log(A[i * N + j] ? p[i][j] : 1 - p[i][j]);
    return sum;
  }

  /* --- what is on the page --- */

  const percent = (a) => `${Math.round(100 * a)} %`;
  const label = (i) => `${i + 1}`;
  const side = (i) => names[sides[i]] ?? `side ${sides[i] + 1}`;
  const at = (i) => [EDGE + places[i][0] * (GRAPH - 2 * EDGE), GRAPH - EDGE - places[i][1] * (GRAPH - 2 * EDGE)];
  const inPlane = ([a, b]) => [PLANE / 2 + (clamp(a, -REACH, REACH) * PLANE) / 2 / REACH, PLANE / 2 - (clamp(b, -REACH, REACH) * PLANE) / 2 / REACH];
  const shape = (i, r, attributes) => (sides[i]
    ? s("rect", { x: -r, y: -r, width: 2 * r, height: 2 * r, ...attributes })
    : s("circle", { r: r + 1, ...attributes }));

  const lines = s("g"), pulled = s("line", { class: "pulled", visibility: "hidden" });
  const marks = every.map((i) => {
    const text = s("text", { "text-anchor": "middle", dy: "0.35em" }, label(i));
    return s("g", { class: "node", transform: `translate(${at(i)})`, "data-node": i }, shape(i, 9, { fill: colours[sides[i]] }), text);
  });
  const drawing = s("svg", { viewBox: `0 0 ${GRAPH} ${GRAPH}`, "aria-hidden": true }, lines, pulled, ...marks);
  const pad = h("div", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "graph",
    "aria-label": "the graph: arrow keys go to another member, whose links the list adds and cuts" }, drawing);
  const cloud = s("ellipse", { class: "cloud" });
  const dots = every.map((i) => s("g", { class: "dot" }, shape(i, 4, { fill: colours[sides[i]] })));
  const plane = s("svg", { class: "plane", viewBox: `0 0 ${PLANE} ${PLANE}`, role: "img", "aria-label": "codes of all members in two dimensions" },
    s("line", { class: "axis", x1: 0, x2: PLANE, y1: PLANE / 2, y2: PLANE / 2 }), s("line", { class: "axis", y1: 0, y2: PLANE, x1: PLANE / 2, x2: PLANE / 2 }),
    cloud, ...dots);
  const rows = Array.from({ length: SHOWN }, (_, k) => {
    const bar = h("span", { class: "bar" }), value = h("span", { class: "value" }), name = h("b");
    const from = h("span", { class: "unseen" }), state = h("span", { class: "unseen" }); // what is read aloud has what is seen in it
    const row = h("button", { type: "button", class: "link", onclick: () => toggle(chosen, order[k]) }, from, name, state, h("span", { class: "track" }, bar), value);
    return { row, bar, value, name, from, state };
  });
  const other = h("select", { "aria-label": "another member", onchange: () => write() });
  const change = h("button", { type: "button", onclick: () => toggle(chosen, +other.value) });
  const again = h("button", { type: "button", onclick: () => { reset(); story = "The graph as it was."; choose(chosen); } }, "Reset");
  const title = h("h4"), caption = h("p", { class: "caption" }), total = h("p", { class: "caption total" });
  const live = h("span", { class: "spoken", role: "status" });
  const key = h("p", { class: "key" }, ...[0, 1].map((c) => h("span", {}, h("i", { class: c ? "square" : "round", style: `background: ${colours[c]}` }), ` ${names[c] ?? c} `)),
    h("span", {}, h("i", { class: "guess" }), " a link it expects "), h("span", {}, h("i", { class: "cut" }), " cut by you "), h("span", {}, h("i", { class: "new" }), " made by you"));
  const root = h("div", { class: "dgm-graph", role: "group", "aria-label": "a graph to edit, and what a model makes of it" },
    h("section", { class: "drawing" }, h("h4", {}, "the graph: pull from one member to another"), pad, key),
    h("section", { class: "codes" }, h("h4", {}, "codes ", h("i", {}, "z"), " of all members"), plane, total),
    h("section", { class: "links" }, title, h("div", { role: "group", "aria-label": "the most probable links of this member: press one to add or cut it" }, ...rows.map((r) => r.row)),
      h("p", { class: "row" }, "with ", other, change), h("p", { class: "row" }, again), caption), live);

  let story = "";
  function line(i, j, kind, width = 1) {
    const [x1, y1] = at(i), [x2, y2] = at(j);
    return s("line", { class: kind, x1, y1, x2, y2, "stroke-width": width });
  }
  function draw() {
    const drawn = [], missing = [];
    for (const i of every) for (let j = 0; j < i; j++) {
      const now = A[i * N + j], before = was[i * N + j];
      if (now) drawn.push(line(i, j, before ? "edge" : "new", 0.6 + 2 * p[i][j]));
      else if (before) drawn.push(line(i, j, "cut", 1.5));
      else missing.push([i, j]);
    }
    missing.sort((a, b) => p[b[0]][b[1]] - p[a[0]][a[1]]);
    lines.replaceChildren(...drawn, ...missing.slice(0, guesses).map(([i, j]) => line(i, j, "guess", 0.6 + 2 * p[i][j])));
    marks.forEach((mark, i) => mark.classList.toggle("chosen", i === chosen));
    dots.forEach((dot, i) => {
      dot.setAttribute("transform", `translate(${inPlane(z[i])})`);
      dot.classList.toggle("chosen", i === chosen);
    });
    const [cx, cy] = inPlane(z[chosen]);
    for (const [name, value] of Object.entries({ cx, cy, rx: (deviation[chosen][0] * PLANE) / 2 / REACH, ry: (deviation[chosen][1] * PLANE) / 2 / REACH })) cloud.setAttribute(name, value);
    title.textContent = `links of ${label(chosen)}, who went with ${side(chosen)}`;
    rows.forEach(({ row, bar, value, name, from, state }, k) => {
      const j = order[k], there = A[chosen * N + j] === 1, chance = percent(p[chosen][j]);
      name.textContent = label(j);
      bar.style.width = `${100 * p[chosen][j]}%`;
      value.textContent = chance;
      row.classList.toggle("there", there);
      row.setAttribute("aria-pressed", there);
      from.textContent = `link ${label(chosen)} to `;
      state.textContent = `: ${there ? "there" : "not there"}, probability `;
    });
    total.textContent = `log p(A | z) = ${number(logProbability(), 1)} nats at these codes`;
    caption.textContent = story;
    write();
    clearTimeout(spoken); // a screen reader hears where it ended, not every step on the way
    spoken = setTimeout(() => { live.textContent = `${title.textContent}. ${story}`; }, 400);
  }
  function write() {
    change.textContent = A[chosen * N + +other.value] ? "cut" : "link";
    change.setAttribute("aria-label", `${change.textContent} ${label(chosen)} and ${label(+other.value)}`);
  }
  /** Choose a member: its links are listed, the most probable ones first. The order stays while links change. */
  function choose(i) {
    chosen = i;
    infer();
    order = every.filter((j) => j !== i).sort((a, b) => p[i][b] - p[i][a]).slice(0, SHOWN);
    const others = every.filter((j) => j !== i), kept = +other.value;
    other.replaceChildren(...others.map((j) => h("option", { value: j }, label(j))));
    other.value = others.includes(kept) ? kept : others[0];
    draw();
  }
  function toggle(i, j) {
    const there = A[i * N + j], before = p[i][j], [a, b] = inPlane(z[i]);
    set(i, j, 1 - there);
    infer();
    const [c, d] = inPlane(z[i]);
    story = `${there ? "Cut" : "Made"} ${label(i)}\u2013${label(j)}. Its probability went from ${percent(before)} to ${percent(p[i][j])}; the code of ${label(i)} moved by ${number((2 * REACH * Math.hypot(a - c, b - d)) / PLANE)}.`;
    draw();
  }

  /* --- mouse, finger, keys --- */

  const nodeAt = (event) => {
    const box = drawing.getBoundingClientRect(), scale = GRAPH / box.width;
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    const far = (i) => Math.hypot(at(i)[0] - x, at(i)[1] - y);
    const near = every.reduce((a, b) => (far(b) < far(a) ? b : a));
    return { x, y, node: far(near) < 16 ? near : -1 };
  };
  let from = -1;
  pad.addEventListener("pointerdown", (event) => {
    const { node } = nodeAt(event);
    if (event.button || node < 0) return;
    pad.setPointerCapture(event.pointerId);
    from = node;
    story = "";
    choose(node);
  });
  pad.addEventListener("pointermove", (event) => {
    if (from < 0) return;
    const { x, y } = nodeAt(event), [x1, y1] = at(from);
    for (const [name, value] of Object.entries({ x1, y1, x2: x, y2: y, visibility: "visible" })) pulled.setAttribute(name, value);
  });
  const release = (event) => {
    const { node } = nodeAt(event);
    pulled.setAttribute("visibility", "hidden");
    if (event.type === "pointerup" && from >= 0 && node >= 0 && node !== from) {
      other.value = node;
      toggle(from, node);
    }
    from = -1;
  };
  pad.addEventListener("pointerup", release);
  pad.addEventListener("pointercancel", release);
  pad.addEventListener("keydown", (event) => {
    const way = ARROW_KEYS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // neither scrolls the page
    const cost = (j) => { // how far, and how far aside, in the key's direction
      const [dx, dy] = [places[j][0] - places[chosen][0], places[j][1] - places[chosen][1]];
      const along = dx * way[0] + dy * way[1], aside = Math.abs(dx * way[1] - dy * way[0]);
      return along > 0.01 ? along + 2 * aside : Infinity;
    };
    const next = every.filter((j) => j !== chosen).reduce((a, b) => (cost(b) < cost(a) ? b : a));
    if (cost(next) === Infinity) return;
    story = "";
    choose(next);
  });
  const freeKeys = keepKeys(root);

  choose(start);
  Object.assign(root, { state: () => ({ A: [...A], z, deviation, p, chosen }), toggle, choose }); // for the browser's console, and for the tests
  el.append(root);
  return () => { freeKeys(); clearTimeout(spoken); };
}

export default { render };
