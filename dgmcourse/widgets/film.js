// Pictures one after another, with a play button and a slider: everything is here, the kernel is not asked.

function render({ model, el }) {
  const texts = model.get("_texts"), last = texts.length - 1;
  const width = model.get("_width");
  el.innerHTML = `
    <div style="display: flex; align-items: center; gap: 8px; margin: 4px 0">
      <button type="button" class="jupyter-button" style="width: 5.5em">Play</button>
      <label style="display: flex; align-items: center; gap: 8px"><span></span>
        <input type="range" min="0" step="1" style="width: 16em" data-lm-suppress-shortcuts="true"></label>
      <output style="font-variant-numeric: tabular-nums"></output>
    </div>
    <div class="film"></div>
    <p aria-live="polite" style="max-width: 45em; min-height: 2.6em; margin: 0; opacity: .8; font-size: 92%"></p>`;
  const [button, name, slider, number, screen, caption] = ["button", "label span", "input", "output", ".film", "p"].map((s) => el.querySelector(s));
  name.textContent = model.get("_label");
  slider.max = last;
  // One <img> a frame, all of them decoded and all but one hidden: changing them can't flicker.
  const urls = model.get("_frames").map((bytes) => URL.createObjectURL(new Blob([bytes], { type: "image/png" })));
  const images = urls.map((url, i) => Object.assign(document.createElement("img"), { src: url, alt: texts[i], width }));
  screen.style.cssText = `display: grid; max-width: ${width}px`;
  for (const image of images) {
    image.style.cssText = "grid-area: 1 / 1; width: 100%; height: auto";
    screen.append(image);
  }

  let timer = null;
  function show() {
    const at = model.get("frame");
    images.forEach((image, i) => { image.style.visibility = i === at ? "visible" : "hidden"; });
    slider.value = at;
    slider.setAttribute("aria-valuetext", `${at + 1} of ${last + 1}: ${texts[at]}`);
    number.textContent = `${at + 1} / ${last + 1}`;
    caption.textContent = texts[at];
  }
  function go(to) {
    model.set("frame", clamp(to, 0, last)); // and not saved: the kernel need not know, nor be there
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }
  button.addEventListener("click", () => {
    if (timer) return stop();
    go(model.get("frame") === last ? 0 : model.get("frame") + 1);
    button.textContent = "Pause";
    timer = setInterval(() => (model.get("frame") === last ? stop() : go(model.get("frame") + 1)), 1000 * model.get("_seconds"));
  });
  slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
  model.on("change:frame", show);
  show();
  return () => { stop(); model.off("change:frame", show); urls.forEach(URL.revokeObjectURL); };
}

export default { render };
