// Ready-made pictures, one shown at a time: everything is here, the kernel is not asked. A film has a slider and a play
// button; a `slider_figure` in a page without a kernel has a control for each of its arguments, the last changes fastest.

function render({ model, el }) {
  const [frames, texts, controls, seconds, width] = ["_frames", "_texts", "_controls", "_seconds", "_width"].map((name) => model.get(name));
  const last = frames.length - 1, told = seconds > 0; // a film tells what each of its pictures shows
  const strides = controls.map((_, i) => controls.slice(i + 1).reduce((n, { values }) => n * values.length, 1));
  const play = h("button", { type: "button", class: "jupyter-button", style: "width: 5.5em" }, "Play");
  const flow = told ? "flex; flex-wrap: wrap" : "grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22em), 1fr))"; // in a grid no control moves when another's value grows
  const row = h("div", { style: `display: ${flow}; align-items: center; justify-items: start; gap: 8px 16px; margin: 4px 0` }, ...(seconds ? [play] : []));
  const screen = h("div", { class: "film", style: `display: grid; max-width: ${width}px; --drawn: ${width}px` });
  const caption = h("p", { "aria-live": "polite", style: `max-width: 45em; ${told ? "min-height: 2.6em; " : ""}margin: 0; opacity: .8; font-size: 92%` });
  if (!told) caption.textContent = `${frames.length} pictures, made beforehand: a control may have fewer places here than in the notebook.`;
  el.append(row, screen, caption);

  // One <img> a frame, decoded, and all but one hidden: changing them can't flicker. Those of a page come when it is touched.
  const url = (frame) => (typeof frame === "string" ? new URL(frame, import.meta.url).href : URL.createObjectURL(new Blob([frame], { type: "image/webp" })));
  const images = [];
  function image(i) {
    if (!images[i]) {
      images[i] = h("img", { src: url(frames[i]), alt: texts[told ? i : 0], width, style: "grid-area: 1 / 1; width: 100%; height: auto; visibility: hidden" });
      screen.append(images[i]);
    }
    return images[i];
  }
  const all = () => frames.forEach((_, i) => image(i));
  if (typeof frames[0] === "string") for (const event of ["pointerenter", "focusin"]) el.addEventListener(event, all, { once: true });
  else all();

  let timer = null;
  const place = (i) => Math.floor(model.get("frame") / strides[i]) % controls[i].values.length;
  function go(to) {
    model.set("frame", clamp(to, 0, last)); // and not saved: the kernel need not know, nor be there
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }
  const lead = (i, to) => { stop(); go(model.get("frame") + (to - place(i)) * strides[i]); };
  const tell = controls.map(({ label, kind, values }, i) => {
    if (kind === "button") {
      row.append(h("button", { type: "button", class: "jupyter-button", onclick: () => lead(i, (place(i) + 1) % values.length) }, label));
      return () => {};
    }
    const box = kind === "box", input = box ? h("input", { type: "checkbox" }) : h("input", { type: "range", min: 0, max: values.length - 1, step: 1, style: `width: ${told ? 16 : 9}em; min-width: 4em` });
    const output = h("output", { style: "font-variant-numeric: tabular-nums; min-width: 3em" });
    input.setAttribute("data-lm-suppress-shortcuts", "true");
    input.disabled = values.length < 2; // there is no picture of another value
    input.addEventListener("input", () => lead(i, box ? Number(input.checked) : Number(input.value)));
    const style = "display: flex; align-items: center; gap: 8px; min-width: 0; max-width: 100%";
    const name = h("label", { style }, ...(box ? [input, label] : [h("span", told ? {} : { style: "flex: 0 0 min(8em, 40%)" }, label), input]));
    row.append(box ? name : h("div", { style }, name, output));
    return (at) => {
      if (box) { input.checked = at === 1; return; }
      input.value = at;
      output.textContent = values[at];
      input.setAttribute("aria-valuetext", told ? `${at + 1} of ${values.length}: ${texts[at]}` : values[at]);
    };
  });

  async function show() {
    const at = model.get("frame"), shown = image(at);
    tell.forEach((f, i) => f(place(i)));
    if (told) caption.textContent = texts[at];
    if (!shown.complete) await shown.decode().catch(() => {}); // the one before stays till then
    if (at === model.get("frame")) images.forEach((other) => { other.style.visibility = other === shown ? "visible" : "hidden"; });
  }
  play.addEventListener("click", () => {
    if (timer) return stop();
    go(model.get("frame") === last ? 0 : model.get("frame") + 1);
    play.textContent = "Pause";
    timer = setInterval(() => (model.get("frame") === last ? stop() : go(model.get("frame") + 1)), 1000 * seconds);
  });
  model.on("change:frame", show);
  show();
  return () => { stop(); model.off("change:frame", show); images.forEach(({ src }) => URL.revokeObjectURL(src)); };
}

export default { render };
