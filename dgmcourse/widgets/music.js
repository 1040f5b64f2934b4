// Chorales: heard by Web Audio, seen as a piano roll, drawn and completed by recurrent models; all in the browser.
//
//   VRNN:  h  --prior-->  z;  (z, h)  --decoder-->  x_t;  (phi_x(x_t), phi_z(z), h)  --GRU-->  the next h
//   RNN:   h  --decoder-->  x_t;  (phi_x(x_t), h)  --GRU-->  the next h

const sigma = (a) => 1 / (1 + Math.exp(-a));
const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** An index drawn with these probabilities, which need not sum to 1. */
function drawn(weights) {
  let u = Math.random() * weights.reduce((a, b) => a + b, 0), k = 0;
  while (k < weights.length - 1 && (u -= weights[k]) >= 0) k++;
  return k;
}

/** A model of steps from its layers. A state is a Float32Array; a step is four classes, 0 for silence. */
export function sequenceModel(layers, numbers, sizes) {
  const net = Object.fromEntries(Object.entries(layers).filter(([name]) => name !== "range").map(([name, l]) => [name, compile(l, numbers)]));
  const H = layers.state[0].in, D = sizes.reduce((a, b) => a + b, 0), d = layers.prior ? layers.decoder[0].in - H : 0;
  const starts = sizes.map((_, v) => sizes.slice(0, v).reduce((a, b) => a + b, 0));
  const joined = (...parts) => { // one vector of several
    const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const p of parts) { all.set(p, at); at += p.length; }
    return all;
  };
  const gaussianOf = (output) => {
    const z = new Float32Array(d), [low, high] = layers.range;
    for (let i = 0; i < d; i++) z[i] = output[i] + Math.exp(clamp(output[d + i], low, high) / 2) * gaussian();
    return z;
  };
  /** log p(x_t | z, h) of each class of each voice, side by side. */
  function predict(h, z) {
    const logits = net.decoder(d ? joined(z, h) : h), log_p = new Float32Array(D);
    sizes.forEach((size, v) => {
      const part = logits.subarray(starts[v], starts[v] + size), top = part.reduce((a, b) => Math.max(a, b));
      const log_sum = top + Math.log(part.reduce((s, a) => s + Math.exp(a - top), 0));
      part.forEach((a, c) => { log_p[starts[v] + c] = a - log_sum; });
    });
    return log_p;
  }
  const features = (x) => {
    const one_hot = new Float32Array(D);
    x.forEach((c, v) => { one_hot[starts[v] + c] = 1; });
    return net.phi_x(one_hot).slice();
  };
  function advance(h, x, z) {
    const f = features(x), given = net.given(d ? joined(f, net.phi_z(z)) : f), state = net.state(h), next = new Float32Array(H);
    for (let i = 0; i < H; i++) {
      const r = sigma(given[i] + state[i]), u = sigma(given[H + i] + state[H + i]);
      const n = Math.tanh(given[2 * H + i] + r * state[2 * H + i]);
      next[i] = (1 - u) * n + u * h[i];
    }
    return next;
  }
  const prior = (h) => (d ? gaussianOf(net.prior(h)) : null);
  const posterior = (h, x) => (d ? gaussianOf(net.encoder(joined(features(x), h))) : null);
  const voice = (log_p, v) => Array.from(log_p.subarray(starts[v], starts[v] + sizes[v]), Math.exp);
  const draw = (log_p) => sizes.map((_, v) => drawn(voice(log_p, v)));
  return { H, start: () => new Float32Array(H), prior, posterior, predict, advance, draw, log_prob: (log_p, v, c) => log_p[starts[v] + c] };
}

/** Go on from given steps, as many as are missing. */
export function continued(model, given, steps) {
  let h = model.start();
  for (const x of given) h = model.advance(h, x, model.posterior(h, x));
  const all = given.map((x) => [...x]);
  while (all.length < steps) {
    const z = model.prior(h), x = model.draw(model.predict(h, z));
    all.push(x);
    h = model.advance(h, x, z);
  }
  return all;
}

/** Voices under a soprano (classes; null where it is free) by importance resampling. `each` is awaited after every step. */
export async function harmonised(model, soprano, particles, each = () => {}) {
  let cloud = Array.from({ length: particles }, () => ({ h: model.start(), all: [] }));
  for (const [t, s] of soprano.entries()) {
    const weights = [];
    cloud = cloud.map(({ h, all }) => {
      const z = model.prior(h), log_p = model.predict(h, z), x = model.draw(log_p);
      if (s !== null) x[0] = s;
      weights.push(s === null ? 1 : Math.exp(model.log_prob(log_p, 0, s)));
      return { h, z, all, x };
    });
    cloud = cloud.map(() => {
      const { h, z, all, x } = cloud[drawn(weights)];
      return { from: h, z, x, all: [...all, x] };
    });
    for (const one of cloud) one.h = model.advance(one.from, one.x, one.z);
    await each(t);
  }
  return cloud[0].all;
}

const STEP = 0.3; // seconds of an eighth note: 100 quarter notes a minute
const NAMES = ["C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B"];
const called = (pitch) => (pitch ? `${NAMES[pitch % 12]} ${Math.floor(pitch / 12) - 1}` : "silence");

/** Equal pitches in a row are one note: [voice, first, steps, pitch]. */
export function notes(pitches) {
  const found = [];
  for (let v = 0; v < 4; v++) {
    for (let first = 0, t = 1; t <= pitches.length; t++) {
      if (t < pitches.length && pitches[t][v] === pitches[first][v]) continue;
      if (pitches[first][v]) found.push([v, first, t - first, pitches[first][v]]);
      first = t;
    }
  }
  return found;
}

function render({ model, el }, bytes) {
  const { pieces, models, steps, sizes, lows, voices, colours, lowest, highest, half, parts } = model.get("_spec");
  const numbers = floats(bytes.subarray(...parts.weights), half);
  const players = Object.fromEntries(Object.entries(models).map(([name, layers]) => [name, sequenceModel(layers, numbers, sizes)]));
  const names = Object.keys(players), able = names.length > 0;
  const pitch = (x) => x.map((c, v) => (c ? c - 1 + lows[v] : 0)), classes = (row) => row.map((p, v) => (p ? p - lows[v] + 1 : 0));
  const ROW = 7, LEFT = 34, high = highest - lowest + 3; // rows of the roll: one more above and below
  let piece = pieces[0].pitches.map((r) => [...r]), at = -1, chosen = names[0], cursor = 0, given = 0, busy = 0;
  let sounding = null, frame = 0, story = pieces[0].name;

  const canvas = h("canvas", { class: "roll", tabindex: "0", role: "application", "aria-roledescription": "piano roll" });
  const play = h("button", { type: "button", class: "play", onclick: () => (sounding ? stop() : start()) }, "\u25b6 Play");
  const select = h("select", { "aria-label": "piece", onchange: () => take(+select.value) }, ...pieces.map((p, i) => h("option", { value: i }, p.name)));
  const caption = h("p", { class: "caption" }), live = h("span", { class: "spoken", role: "status" });
  const button = (text, title, onclick) => h("button", { type: "button", title, onclick }, text);
  const radio = (name) => {
    const input = h("input", { type: "radio", name: `music-${Math.random()}`, onchange: () => choose(name) });
    return { name, input, label: h("label", {}, input, name) };
  };
  const choices = names.map(radio);
  const group = `music${Math.random()}`;
  choices.forEach(({ input }) => { input.name = group; });
  const tools = able ? [
    h("div", { class: "row" }, h("span", { role: "radiogroup", "aria-label": "model" }, ...choices.map((c) => c.label)),
      button("Draw", `draw ${steps} steps from the model`, () => fill("drawn by the {}", [])),
      button("Go on", `keep the first ${steps / 2} steps and draw the rest`, () => fill("the first half given, the rest drawn by the {}", piece.slice(0, steps / 2).map(classes))),
      button("Harmonise", "keep the soprano and draw three voices under it", harmonise),
      button("Clear", "an empty sheet for a melody of yours", () => { stop(); piece = Array.from({ length: steps }, () => [0, 0, 0, 0]); given = 0; cursor = 0; say("an empty sheet: click on the roll, or move the cursor with arrow keys and press Enter, and write a melody"); })),
  ] : [];
  const legend = h("div", { class: "legend", "aria-hidden": "true" }, ...voices.map((v, i) => h("span", { style: `--voice: ${colours[i]}` }, v)));
  const root = h("div", { class: "dgm-music", role: "group", "aria-label": "chorales to hear, and to go on with" },
    h("div", { class: "row" }, play, select, legend), ...tools, canvas, caption, live);

  const dark = () => !!el.closest('[data-jp-theme-light="false"], .vscode-dark, html[theme="dark"]');
  function paint() {
    const width = Math.max(280, root.clientWidth - 4 || 700), ratio = window.devicePixelRatio || 1, T = piece.length, w = (width - LEFT) / T;
    const tall = high * ROW * 0.62, y = (p) => (highest + 1.5 - p) * (tall / high);
    if (canvas.width !== Math.round(width * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round((tall + 14) * ratio); canvas.style.height = `${tall + 14}px`; }
    const pen = canvas.getContext("2d"), ink = dark() ? "#ccc" : "#555", line = dark() ? "#444" : "#e2e2e2";
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, tall + 14);
    pen.font = "11px sans-serif";
    for (let p = Math.ceil(lowest / 12) * 12; p <= highest; p += 12) {
      pen.fillStyle = line;
      pen.fillRect(LEFT, y(p) - 0.5, width - LEFT, 1);
      pen.fillStyle = ink;
      pen.fillText(`C${p / 12 - 1}`, 4, y(p) + 4);
    }
    for (let t = 0; t <= T; t += 8) { pen.fillStyle = line; pen.fillRect(LEFT + t * w, 0, 1, tall); pen.fillStyle = ink; if (t < T) pen.fillText(t, LEFT + t * w + 2, tall + 12); }
    for (const [v, first, n, p] of notes(piece)) {
      pen.globalAlpha = first < given ? 0.5 : 1;
      pen.fillStyle = colours[v];
      pen.fillRect(LEFT + first * w + 1, y(p) - tall / high / 2, n * w - 2, Math.max(3, tall / high - 0.6));
    }
    pen.globalAlpha = 1;
    if (document.activeElement === canvas && able) { pen.strokeStyle = ink; pen.lineWidth = 2; pen.strokeRect(LEFT + cursor * w, y(melody()) - 5, w, 10); }
    if (sounding) { pen.fillStyle = dark() ? "#fff" : "#000"; pen.fillRect(LEFT + clamp(beat(), 0, T) * w, 0, 2, tall); }
    else canvas.setAttribute("aria-label", `piano roll: ${story}; ${T} steps. Soprano: ${notes(piece).filter(([v]) => !v).map(([, , n, p]) => `${called(p)} for ${n}`).join(", ") || "empty"}`);
  }
  const melody = () => piece[cursor][0] || heldBefore();
  function heldBefore() {
    for (let t = cursor; t >= 0; t--) if (piece[t][0]) return piece[t][0];
    return 72;
  }
  const beat = () => (sounding.context.currentTime - sounding.begin) / STEP;

  /** Notes are handed to the browser all at once; `stop` silences and closes what plays them. */
  function start() {
    const context = new (window.AudioContext || window.webkitAudioContext)(), all = context.createGain(), begin = context.currentTime + 0.08;
    all.gain.value = 0.16;
    all.connect(context.destination);
    for (const [v, first, n, p] of notes(piece)) {
      const tone = context.createOscillator(), level = context.createGain(), from = begin + first * STEP, to = from + n * STEP;
      tone.type = "triangle";
      tone.frequency.value = 440 * 2 ** ((p - 69) / 12);
      level.gain.setValueAtTime(0, from);
      level.gain.linearRampToValueAtTime(v === 3 ? 1.3 : 1, from + 0.02);
      level.gain.setTargetAtTime(0.55, from + 0.02, 0.25);
      level.gain.setTargetAtTime(0, to - 0.05, 0.025);
      tone.connect(level).connect(all);
      tone.start(from);
      tone.stop(to + 0.15);
    }
    sounding = { context, begin };
    play.textContent = "\u25a0 Stop";
    root.classList.add("sounding");
    const follow = () => {
      if (!sounding) return;
      if (beat() > piece.length + 0.5) return stop();
      paint();
      frame = requestAnimationFrame(follow);
    };
    follow();
  }
  function stop() {
    if (!sounding) return;
    cancelAnimationFrame(frame);
    sounding.context.close();
    sounding = null;
    play.textContent = "\u25b6 Play";
    root.classList.remove("sounding");
    paint();
  }
  let spoken;
  function say(words) {
    story = words;
    caption.textContent = words;
    clearTimeout(spoken);
    spoken = setTimeout(() => { live.textContent = words; }, 400);
    paint();
  }
  function take(i) {
    stop();
    busy++;
    piece = pieces[i].pitches.map((r) => [...r]);
    given = cursor = 0;
    select.value = i;
    say(pieces[i].name);
  }
  function choose(name) {
    chosen = name;
    choices.forEach((c) => { c.input.checked = c.name === name; });
  }
  function fill(words, beginning) {
    stop();
    busy++;
    piece = continued(players[chosen], beginning, steps).map(pitch);
    given = beginning.length;
    say(words.replace("{}", chosen));
  }
  async function harmonise() {
    stop();
    const mine = ++busy, held = piece.slice(0, steps).map((r) => r[0]);
    if (!held.some((p) => p)) return say("there is no soprano yet: write a melody, or take a chorale");
    const soprano = held.map((p) => (p ? clamp(p - lows[0] + 1, 1, sizes[0] - 1) : 0));
    say(`the ${chosen} looks for voices \u2026`);
    const found = await harmonised(players[chosen], soprano, 80, (t) => {
      if (mine !== busy) throw new DOMException("another piece", "AbortError");
      return t % 2 ? null : new Promise((go) => setTimeout(go));
    }).catch((error) => { if (error.name !== "AbortError") throw error; });
    if (!found) return;
    piece = found.map(pitch);
    given = 0;
    say(`this soprano, harmonised by the ${chosen} with 80 particles`);
  }

  /* a melody of one's own: a click sets or takes a note of the soprano; keys do the same */
  function write(t, p) {
    stop();
    busy++;
    cursor = t;
    piece[t][0] = p === null || piece[t][0] === p ? 0 : clamp(p, lows[0], lows[0] + sizes[0] - 2);
    say(`your melody: step ${t}, ${called(piece[t][0])}`);
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (!able || event.button) return;
    const box = canvas.getBoundingClientRect(), w = (box.width - LEFT) / piece.length, tall = high * ROW * 0.62;
    const t = Math.floor((event.clientX - box.left - LEFT) / w), p = Math.round(highest + 1.5 - (event.clientY - box.top) * (high / tall));
    if (t >= 0 && t < piece.length) write(t, p);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === " ") { event.preventDefault(); return sounding ? stop() : start(); }
    if (!able || event.ctrlKey || event.metaKey || event.altKey) return;
    const [right, up] = ARROW_KEYS[event.key] ?? [0, 0];
    if (right) cursor = clamp(cursor + right, 0, piece.length - 1);
    else if (up) { const p = clamp(melody() + up, lows[0], lows[0] + sizes[0] - 2); piece[cursor][0] = 0; write(cursor, p); }
    else if (event.key === "Enter" && !event.shiftKey) { const p = melody(); piece[cursor][0] = 0; write(cursor, p); cursor = clamp(cursor + 1, 0, piece.length - 1); }
    else if (event.key === "Delete" || event.key === "Backspace") write(cursor, null);
    else return;
    event.preventDefault();
    if (right) live.textContent = `step ${cursor}, ${called(piece[cursor][0])}`;
    paint();
  });
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", paint);
  const resized = new ResizeObserver(paint);
  resized.observe(root);

  const freeKeys = keepKeys(root);
  if (able) choose(chosen);
  take(0);
  Object.assign(root, { players, piece: () => piece, sounding: () => sounding }); // for the curious in the browser's console, and for the tests
  el.append(root);
  paint();
  return () => { stop(); freeKeys(); resized.disconnect(); clearTimeout(spoken); busy++; };
}

export default withNumbers(render);
