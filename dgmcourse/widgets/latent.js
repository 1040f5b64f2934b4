// Walk through a latent space. Once shown, everything happens here in the browser, without the kernel:
//
//   x (written, or a test digit)  --encoder-->  z (pad and sliders)  --decoder-->  mean of p(x | z)

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
  const { sheet, seen, clear, lay } = writingPaper(shape, (x) => jump(encode(x).subarray(0, d), "reconstruction of what you wrote"));
  const plane = h("canvas", { width: SIZE, height: SIZE, "aria-hidden": true });
  const cursor = h("span", { class: "cursor", "aria-hidden": true });
  const pad = h("div", { class: "pad", tabindex: 0, role: "application", "aria-roledescription": "two-dimensional slider" }, plane, cursor);
  const picture = h("canvas", { class: "picture", width, height, role: "img", "aria-label": "mean of p(x | z)" });
  const where = h("span", { class: "where" }), caption = h("p", { class: "caption" });
  const live = h("span", { class: "spoken", role: "status" });
  const button = (text, label, onclick) => h("button", { type: "button", title: label, "aria-label": named(text, label), onclick }, text);

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
      ...(encode ? [panel("x", math("x"), sheet,
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
    lay(Float32Array.from({ length: D }, (_, i) => digits[n * D + i] / 255));
    jump(codes.subarray(n * d, n * d + d), `reconstruction of test digit ${n}${labels.length ? `, a ${labels[n]}` : ""}`);
  }
  let press; // where the pointer went down; undefined once it has moved away: then it drags, and picks no digit
  function steer(event) {
    const [u, v] = place(event, pad.getBoundingClientRect());
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
    const box = pad.getBoundingClientRect(), [u, v] = place(event, box);
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

export default withNumbers(render);
