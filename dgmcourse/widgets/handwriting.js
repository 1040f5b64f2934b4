// Write a digit; see how q(y | x) classifies it, and every class in the same hand. Everything happens in the browser:
//
//   x  --classifier-->  q(y | x);   (x, y)  --encoder-->  z;   (every y, z)  --decoder-->  mean of p(x | y, z)
//
// With M1 below, x stands for its code: image  --to_code-->  x, and back  --from_code-->  image.

function render({ model, el }, bytes) {
  const { classifier, encoder, decoder, to_code, from_code, half, parts, classes, d, sliders: shown, start, labels, colours, extent } = model.get("_spec");
  const part = (name) => bytes.subarray(...parts[name]);
  const numbers = floats(part("weights"), half), digits = part("digits");
  const [classify, encode, ofLabel, below, above] = [classifier, encoder, decoder, to_code, from_code]
    .map((layers) => (layers ? compile(layers, numbers) : (same) => same));
  const decode = (yz) => above(ofLabel(yz));
  const every = Array.from({ length: classes }, (_, y) => y);
  const D = encoder[0].in - classes; // of what q(y | x) sees: an image, or its code
  const x = new Float32Array(D), q = new Float32Array(classes), z = new Float32Array(d);
  const xy = new Float32Array(D + classes), yz = new Float32Array(classes + d);
  const subscript = (i) => [...String(i + 1)].map((c) => String.fromCharCode(0x2080 + +c)).join("");
  let given = -1, label = 0, taken = -1, story = "", spoken; // given: the label that was told, -1 if none; label: the one z is for

  const { sheet, seen, clear, lay } = writingPaper([28, 28], (written) => { given = -1; look(written, "z of what you wrote"); });
  const math = (...words) => h("span", { class: "math" }, ...words.map((p, k) => (k % 2 ? p : h("i", {}, p))));
  const button = (text, name, onclick) => h("button", { type: "button", title: name, "aria-label": named(text, name), onclick }, text);
  const hue = (y) => colours[y % colours.length];
  const legend = h("div", { class: "legend", role: "group", "aria-label": "take a test digit" }, ...every.map((c) =>
    button(h("span", { style: `color: ${hue(c)}` }, c), `next test digit ${c}`, () => {
      const n = labels.length; // on from the digit last taken, around the end
      for (let k = 1; k <= n; k++) if (labels[(taken + k) % n] === c) return take((taken + k) % n);
    })));
  const bars = every.map((y) => {
    const bar = h("span", { class: "bar" }), value = h("span", { class: "value" });
    const row = h("button", { type: "button", class: "class", "aria-pressed": "false", onclick: () => { given = given === y ? -1 : y; style(); } },
      h("b", {}, y), h("span", { class: "track" }, bar), value);
    return { row, bar, value };
  });
  const pictures = every.map((y) => {
    const canvas = h("canvas", { class: "picture", width: 28, height: 28, role: "img", "aria-label": `a ${y} in this hand` });
    return { canvas, figure: h("figure", {}, canvas, h("figcaption", {}, y)) };
  });
  const sliders = shown.map((i) => {
    const range = h("input", { type: "range", min: -extent, max: extent, step: 0.1, "aria-label": `z${subscript(i)}`,
      oninput: () => { z[i] = +range.value; show("z set by hand"); } });
    const value = h("span", { class: "value" });
    return { i, range, value, row: h("label", { class: "slider" }, h("span", { class: "name" }, `z${subscript(i)}`), range, value) };
  });
  const panel = (kind, title, ...children) => h("section", { class: kind }, h("h4", {}, title), ...children);
  const caption = h("p", { class: "caption" }), told = h("p", { class: "caption" }), live = h("span", { class: "spoken", role: "status" });
  const root = h("div", { class: "dgm-latent dgm-handwriting", role: "group", "aria-label": "a digit, its classes, and every class in the same hand" },
    h("div", { class: "panels" },
      panel("x", math("x"), sheet, h("div", { class: "row" }, button("Clear", "clear the paper", () => {
        clear();
        given = -1;
        look(new Float32Array(784), "z of the empty sheet");
      }), seen), legend),
      panel("q", math("q", "(", "y", " | ", "x", ")"), h("div", { class: "classes", role: "group", "aria-label": "the classes: press one to tell the model what the digit is" }, ...bars.map((b) => b.row)), told),
      panel("p", h("span", {}, "every ", math("y"), " in this hand: mean of ", math("p", "(", "x", " | ", "y", ", ", "z", ")")),
        h("div", { class: "hand" }, ...pictures.map((p) => p.figure)), h("div", { class: "row" },
          button("This digit's hand", "take z from the digit again", () => style()),
          button("Another hand", "draw z from the prior", () => {
            for (let i = 0; i < d; i++) z[i] = Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
            show("z drawn from the prior");
          })), caption)),
    h("div", { class: "sliders" }, ...sliders.map((s) => s.row)), live);

  /** An image: its classes, then its hand. */
  function look(image, from) {
    x.set(below(image));
    q.set(classify(x));
    style(from);
  }
  /** z is the mean of q(z | x, y), for the label that was told, or the most probable one. */
  function style(from = story) {
    story = from;
    label = given < 0 ? q.indexOf(q.reduce((a, b) => Math.max(a, b))) : given;
    xy.set(x);
    xy.fill(0, D);
    xy[D + label] = 1;
    z.set(encode(xy).subarray(0, d));
    show(`${story}, read as a ${label}`);
  }
  function show(words) {
    yz.set(z, classes);
    pictures.forEach(({ canvas, figure }, y) => {
      yz.fill(0, 0, classes);
      yz[y] = 1;
      paint(canvas, decode(yz));
      figure.classList.toggle("chosen", y === label);
    });
    bars.forEach(({ row, bar, value }, y) => {
      const percent = `${Math.round(100 * q[y])} %`;
      bar.style.width = `${100 * q[y]}%`;
      value.textContent = ` ${percent}`; // read aloud after the class: "3 97 %"
      row.setAttribute("aria-pressed", given === y);
      row.classList.toggle("chosen", y === label);
    });
    sliders.forEach(({ i, range, value }) => { range.value = z[i]; value.textContent = number(z[i], 1); });
    told.textContent = given < 0 ? "no label: it takes the most probable class. Press one to tell it" : `you told it: a ${given}. Press again to take that back`;
    caption.textContent = words;
    clearTimeout(spoken); // a screen reader hears where it ended, not every step on the way
    spoken = setTimeout(() => { live.textContent = `q gives ${Math.round(100 * q[label])} % to ${label}; ${words}`; }, 400);
  }
  function take(n) {
    taken = n;
    given = -1;
    const image = Float32Array.from({ length: 784 }, (_, i) => digits[n * 784 + i] / 255);
    lay(image);
    look(image, `z of test digit ${n}, a ${labels[n]}`);
  }

  const freeKeys = keepKeys(root);
  take(start);
  Object.assign(root, { classify, encode, decode }); // for the curious in the browser's console, and for the tests
  el.append(root);
  return () => { freeKeys(); clearTimeout(spoken); };
}

export default withNumbers(render);
