// A laboratory of GANs in the plane. Everything is computed here, in the browser: once shown, it needs no kernel.
//
//   z ~ N(0, I)  --generator-->  G(z)  --discriminator-->  logit,   D(x) = sigmoid(logit)
//
// First the mathematics, without a page around it, in float64; then what one sees.

/* ---------- networks: a list of layers, and one block of numbers ---------- */

/** A multi-layer perceptron: `sizes` [in, hidden, ..., out], leaky ReLUs with this slope between them, the last linear. */
export function network(sizes, slope) {
  const layers = [];
  let size = 0;
  for (let l = 1; l < sizes.length; l++) {
    const [i, o] = [sizes[l - 1], sizes[l]]; // the matrix is (o, i), row after row, as torch has it; then the biases
    layers.push({ i, o, w: size, b: size + i * o, slope: l < sizes.length - 1 ? slope : 1 });
    size += i * o + o;
  }
  return { layers, size, room: {} };
}

/** He's initialisation: weights ~ N(0, 2 / in), biases 0. */
export function initial(net, random) {
  const p = new Float64Array(net.size);
  for (const { i, o, w } of net.layers) for (let k = 0; k < i * o; k++) p[w + k] = Math.sqrt(2 / i) * random.normal();
  return p;
}

/** The outputs of all layers for n inputs x, the inputs first. The arrays are used again by the next call with this n. */
export function forward(net, p, x, n) {
  const room = (net.room[n] ??= { out: net.layers.map((l) => new Float64Array(n * l.o)), back: net.layers.map((l) => new Float64Array(n * l.i)) });
  const all = [x];
  net.layers.forEach(({ i, o, w, b, slope }, l) => {
    const from = all[l], to = room.out[l];
    for (let k = 0; k < n; k++) for (let r = 0, q = w; r < o; r++) {
      let sum = p[b + r];
      for (let c = 0, at = k * i; c < i; c++) sum += p[q++] * from[at++];
      to[k * o + r] = sum > 0 ? sum : slope * sum;
    }
    all.push(to);
  });
  return all;
}

/** From the gradient with respect to the outputs: adds that of the parameters to `grad`, if given; returns that of the inputs. */
export function backward(net, p, all, gradient, n, grad) {
  let above = Float64Array.from(gradient);
  for (let l = net.layers.length - 1; l >= 0; l--) {
    const { i, o, w, b, slope } = net.layers[l], from = all[l], to = all[l + 1], below = net.room[n].back[l].fill(0);
    for (let k = 0; k < n; k++) for (let r = 0; r < o; r++) {
      const d = above[k * o + r] * (to[k * o + r] > 0 ? 1 : slope);
      if (d === 0) continue;
      const at = k * i, row = w + r * i;
      for (let c = 0; c < i; c++) below[at + c] += d * p[row + c];
      if (!grad) continue;
      for (let c = 0; c < i; c++) grad[row + c] += d * from[at + c];
      grad[b + r] += d;
    }
    above = below;
  }
  return above;
}

/* ---------- the objectives, both to be maximised ---------- */

export const sigmoid = (a) => (a >= 0 ? 1 / (1 + Math.exp(-a)) : Math.exp(a) / (1 + Math.exp(a)));
export const logSigmoid = (a) => Math.min(a, 0) - Math.log1p(Math.exp(-Math.abs(a))); // exact however large a is

const wasserstein = (kind) => kind === "wasserstein";
/** The discriminator's: [value, derivative] at the logit of a real point, and at that of a fake; its objective is the means' sum. */
const atReal = (kind, a) => (wasserstein(kind) ? [a, 1] : [logSigmoid(a), sigmoid(-a)]);
const atFake = (kind, a) => (wasserstein(kind) ? [-a, -1] : [logSigmoid(-a), -sigmoid(a)]);
/** The generator's, at the logit of a fake. */
export const ofGenerator = (kind, a) => (wasserstein(kind) ? [a, 1] : kind === "saturating" ? [-logSigmoid(-a), sigmoid(a)] : [logSigmoid(a), sigmoid(-a)]);

/** Mean objective of the discriminator `d` = { net, p } at n real points and n fakes, each (n, 2): { value, grad }. */
export function discriminatorObjective(kind, d, real, fake) {
  const n = real.length / 2, both = new Float64Array(4 * n), slopes = new Float64Array(2 * n), grad = new Float64Array(d.net.size);
  both.set(real), both.set(fake, 2 * n);
  const all = forward(d.net, d.p, both, 2 * n), logits = all.at(-1);
  let value = 0;
  for (let k = 0; k < 2 * n; k++) {
    const [v, slope] = (k < n ? atReal : atFake)(kind, logits[k]);
    value += v / n;
    slopes[k] = slope / n;
  }
  backward(d.net, d.p, all, slopes, 2 * n, grad);
  return { value, grad };
}

/** Mean objective of the generator `g` against `d` at codes z, (n, latent): { value, grad }. */
export function generatorObjective(kind, g, d, z) {
  const n = z.length / g.net.layers[0].i, grad = new Float64Array(g.net.size);
  const made = forward(g.net, g.p, z, n), all = forward(d.net, d.p, made.at(-1), n), slopes = new Float64Array(n);
  let value = 0;
  for (let k = 0; k < n; k++) {
    const [v, slope] = ofGenerator(kind, all.at(-1)[k]);
    value += v / n;
    slopes[k] = slope / n;
  }
  backward(g.net, g.p, made, backward(d.net, d.p, all, slopes, n), n, grad); // the discriminator hands the gradient on
  return { value, grad };
}

/** Where the generator's objective pulls each of n fakes: the gradient (n, 2) of that fake's own share. */
export function pull(kind, d, fakes, n) {
  const all = forward(d.net, d.p, fakes, n);
  return backward(d.net, d.p, all, Float64Array.from(all.at(-1).subarray(0, n), (a) => ofGenerator(kind, a)[1]), n);
}

export const adam = (size) => ({ t: 0, m: new Float64Array(size), v: new Float64Array(size) });
const [BETA1, BETA2, EPSILON] = [0.5, 0.999, 1e-8]; // DCGAN's memory: 0.9 would answer moves made long ago

/** One step of Adam up the gradient, in place; then the parameters are clipped to [-clip, clip], if there is a clip. */
export function ascend(p, grad, state, lr, clip = Infinity) {
  const { m, v } = state;
  state.t++;
  const [a, b] = [1 - BETA1 ** state.t, 1 - BETA2 ** state.t];
  for (let k = 0; k < p.length; k++) {
    m[k] = BETA1 * m[k] + (1 - BETA1) * grad[k];
    v[k] = BETA2 * v[k] + (1 - BETA2) * grad[k] * grad[k];
    p[k] = Math.min(Math.max(p[k] + (lr * m[k]) / a / (Math.sqrt(v[k] / b) + EPSILON), -clip), clip);
  }
}

/* ---------- chance, and the data ---------- */

/** The same numbers for the same seed: uniform() in [0, 1), normal(), below(n). (The generator is "mulberry32".) */
export function chance(seed) {
  let state = (seed * 2654435761 + 1) >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return { uniform, below: (n) => Math.floor(uniform() * n), normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()) };
}

const mixture = (modes, std) => ({ modes, std, draw: (random) => {
  const [x, y] = modes[random.below(modes.length)];
  return [x + std * random.normal(), y + std * random.normal()];
} });
const range = (n) => Array.from({ length: n }, (_, k) => k);

/** Distributions of the course (`dgmcourse.data.toy`), in the square from -3 to 3. */
export const DATA = {
  ring: { name: "ring of 8", ...mixture(range(8).map((k) => [2 * Math.cos((k * Math.PI) / 4), 2 * Math.sin((k * Math.PI) / 4)]), 0.1) },
  grid: { name: "grid of 25", ...mixture(range(25).map((k) => [Math.floor(k / 5) - 2, (k % 5) - 2]), 0.05) },
  moons: { name: "two moons", modes: [], draw: (random) => {
    const upper = random.below(2), angle = Math.PI * random.uniform(), [x, y] = [Math.cos(angle), Math.sin(angle)];
    return [(upper ? x : 1 - x) - 0.5 + 0.1 * random.normal(), (upper ? y : 0.5 - y) - 0.25 + 0.1 * random.normal()].map((a) => 1.5 * a);
  } },
  one: { name: "one Gaussian", modes: [], draw: (random) => [1 + 0.5 * random.normal(), 1 + 0.5 * random.normal()] },
};
const BLUR = 0.05; // drawn points are few: the data are a little cloud about each

/** How many modes a sample (n, 2) covers, as `dgmcourse.distances.modes_found` counts. */
export function modesFound(x, modes, std) {
  const n = x.length / 2, count = modes.map(() => 0);
  for (let k = 0; k < n; k++) {
    const gaps = modes.map(([a, b]) => Math.hypot(x[2 * k] - a, x[2 * k + 1] - b)), least = Math.min(...gaps);
    if (least <= 4 * std) count[gaps.indexOf(least)]++;
  }
  return count.filter((c) => c >= Math.max(1, Math.ceil((0.2 * n) / modes.length))).length;
}

/* ---------- the game ---------- */

export const BATCH = 64;
const SLOPE = 0.2; // of the discriminator's leaky ReLUs; the generator's are plain

/** Two players and their data. `settings`: data, seed, objective, lr (of D, of G), steps, clip, hidden, latent, points. */
export class Game {
  constructor(settings) {
    this.settings = settings; // read at each step: a slider acts at once
    const { seed, hidden, latent } = settings;
    this.random = chance(seed);
    const player = (sizes, slope) => {
      const net = network(sizes, slope);
      return { net, p: initial(net, this.random), state: adam(net.size) };
    };
    this.g = player([latent, hidden, hidden, 2], 0);
    this.d = player([2, hidden, hidden, 1], SLOPE);
    this.step = 0;
    this.last = {}; // the players' objectives at their last turns
    this.broken = "";
    this.constrain();
  }
  get clip() { return wasserstein(this.settings.objective) ? this.settings.clip : Infinity; }
  constrain() {
    const c = this.clip;
    if (c < Infinity) this.d.p.forEach((a, k, p) => { p[k] = Math.min(Math.max(a, -c), c); });
  }
  /** n points of the data, (n, 2), or null if none have been drawn. */
  real(n, random = this.random) {
    const { data, points } = this.settings, x = new Float64Array(2 * n);
    if (data === "drawn" && !points.length) return null;
    for (let k = 0; k < n; k++) {
      const p = data === "drawn" ? points[random.below(points.length)].map((a) => a + BLUR * random.normal()) : DATA[data].draw(random);
      x.set(p, 2 * k);
    }
    return x;
  }
  codes(n, random = this.random) { return Float64Array.from({ length: n * this.settings.latent }, random.normal); }
  make(z) { return forward(this.g.net, this.g.p, z, z.length / this.settings.latent).at(-1); }

  /** The discriminator's turn, or the generator's: false if there are no data, or if a number is not finite any more. */
  turn(who) {
    if (this.broken) return false;
    const { objective, lr } = this.settings, player = this[who];
    let at;
    if (who === "d") {
      const real = this.real(BATCH);
      if (!real) return false;
      at = discriminatorObjective(objective, this.d, real, this.make(this.codes(BATCH)));
    } else at = generatorObjective(objective, this.g, this.d, this.codes(BATCH));
    if (!Number.isFinite(at.value) || !at.grad.every(Number.isFinite)) {
      const name = who === "d" ? "discriminator" : "generator";
      this.broken = `The ${name}'s ${Number.isFinite(at.value) ? "gradient" : "objective"} is not a finite number any more: training has diverged and stopped.`;
      return false; // both players keep what they had
    }
    ascend(player.p, at.grad, player.state, lr[who], who === "d" ? this.clip : Infinity);
    this.last[who] = at.value;
    return true;
  }
  /** A step: of one player, or a round: as many turns of the discriminator as the settings say, then one of the generator. */
  move(who = "both") {
    for (let k = 0; who === "both" && k < this.settings.steps; k++) if (!this.turn("d")) return false;
    if (!this.turn(who === "both" ? "g" : who)) return false;
    this.step++;
    return true;
  }
}

/* ---------- what the widget shows, and its settings ---------- */

const REACH = 3; // the plane goes from -3 to 3
const SIDE = 380; // of the plane on the page, in pixels
const CELLS = 40; // of the heat map, in each direction
const SHOWN = 300, ARROWS = 36; // fakes (and real points) one sees; arrows on the first of them
const LONGEST = 0.5; // arrow, in units of the plane
const HISTORY = 400; // points of the curve: then two become one
const BUDGET = 12; // milliseconds of training in each frame, unless its rounds are done before
const SPEEDS = { slow: 0.1, medium: 1, fast: 6 }; // rounds in each frame

const HINT = "No data yet: draw some points on the plane, with mouse or finger, or with arrow keys and Space.";
const OBJECTIVES = { "non-saturating": "non-saturating", saturating: "saturating", wasserstein: "Wasserstein, clipped" };
export const DEFAULTS = {
  data: "ring", seed: 0, objective: "non-saturating", lr: { d: 0.002, g: 0.002 }, steps: 1, clip: 0.1, hidden: 32, latent: 2, points: [],
};
const ARROW = "#003a5c";
const COLOURS = { data: "#333333", model: "#0072B2", real: "#CC79A7", fake: "#E69F00" };

/** Settings to try, each with what is to be seen. */
export const PRESETS = {
  fair: { title: "fair game", says: "Equal rates: the fakes find the modes, one after another.", speed: "fast", data: "ring", lr: { d: 0.002, g: 0.002 } },
  collapse: { title: "mode collapse", says: "Large rates, three steps of D, more dimensions of z: nearly every fake lies on a mode, but most modes have none.",
    speed: "fast", data: "ring", lr: { d: 0.02, g: 0.05 }, steps: 3, latent: 8 },
  oscillation: { title: "oscillation", says: "One Gaussian, a slow D: the fakes overshoot it again and again.", speed: "medium", data: "one", hidden: 16,
    lr: { d: 0.0005, g: 0.005 } },
};

/* ---------- the widget ---------- */

function render({ model, el }) {
  const spec = model.get("_spec") ?? {}, colours = { ...COLOURS, ...spec.colours };
  const copy = (s) => ({ ...s, lr: { ...s.lr }, points: s.points.map((p) => [...p]) });
  const settings = copy({ ...DEFAULTS, ...spec.settings });
  const scale = clamp(globalThis.devicePixelRatio ?? 1, 1, 2);
  let game, codes, real, history, sums, playing = false, frame = 0, seen = true, pen = [0, 0], ticks = 0, due = 0, speed = "fast";

  /* --- what stands on the page --- */

  const canvas = h("canvas", { width: SIDE * scale, height: SIDE * scale, role: "img" });
  const pad = h("div", { class: "pad" }, canvas);
  const curve = h("canvas", { class: "curve", width: 330 * scale, height: 150 * scale, role: "img", "aria-label": "both objectives against the step" });
  const button = (text, label, onclick, more = {}) => h("button", { type: "button", title: label, "aria-label": named(text, label), onclick, ...more }, text);
  const play = button("Play", "play", () => (playing ? pause() : start()), { class: "play" });
  const single = { d: button("D", "one step of the discriminator", () => move("d")), g: button("G", "one step of the generator", () => move("g")),
    both: button("both", "one round: D's steps, then one of G", () => move("both")) };
  const reset = button("Reset", "reset: new players, next seed", () => { settings.seed++; begin(); speak(`Reset, seed ${settings.seed}.`); });
  const wipe = button("Clear", "clear what you drew", () => { settings.points = []; pen = [0, 0]; pause(); begin(); });
  const choice = (label, options, get, set) => {
    const select = h("select", { "aria-label": label, onchange: () => { set(select.value); refresh(); } }, ...Object.entries(options).map(([value, text]) => h("option", { value }, text)));
    return { element: select, refresh: () => { select.value = get(); } };
  };
  const whole = (values) => Object.fromEntries(values.map((v) => [v, v])); // a number twice is one entry, and they come in order
  const slider = (name, label, low, high, step, get, set, say) => {
    const range = h("input", { type: "range", min: low, max: high, step, "aria-label": label, oninput: () => { set(+range.value); if (!game.broken) say(""); refresh(); } });
    const value = h("span", { class: "value" });
    return { element: h("label", { class: "slider", title: label }, h("span", { class: "name" }, name), range, value),
      refresh: () => { range.value = get(); value.textContent = say(get()); range.setAttribute("aria-valuetext", say(get())); } };
  };
  const rate = (who, name) => slider(h("span", {}, "rate of ", h("i", {}, name)), `learning rate of the ${who === "d" ? "discriminator" : "generator"}`, -4, -1, 0.1,
    () => Math.log10(settings.lr[who]), (a) => { settings.lr[who] = 10 ** a; }, (a) => `${+(10 ** a).toPrecision(2)}`);
  const controls = {
    data: choice("data", { ...Object.fromEntries(Object.entries(DATA).map(([key, { name }]) => [key, name])), drawn: "draw your own" }, () => settings.data, (v) => { settings.data = v; if (v === "drawn") pause(); begin(); }),
    objective: choice("objective", OBJECTIVES, () => settings.objective, (v) => { settings.objective = v; begin(); }),
    hidden: choice("hidden units in a layer", whole([8, 16, 32, 64, settings.hidden]), () => settings.hidden, (v) => { settings.hidden = +v; begin(); }),
    latent: choice("dimensions of z", whole([1, 2, 4, 8, 16, settings.latent]), () => settings.latent, (v) => { settings.latent = +v; begin(); }),
    speed: choice("speed", Object.fromEntries(Object.keys(SPEEDS).map((k) => [k, k])), () => speed, (v) => { speed = v; }),
    lrD: rate("d", "D"), lrG: rate("g", "G"),
    steps: slider(h("span", {}, h("i", {}, "D"), " steps per ", h("i", {}, "G")), "discriminator steps for each step of the generator", 1, 10, 1, () => settings.steps, (a) => { settings.steps = a; }, (a) => `${a}`),
    clip: slider(h("span", {}, "clip ", h("i", {}, "c")), "the critic's weights are clipped to -c .. c", -2, 0, 0.1, () => Math.log10(settings.clip), (a) => { settings.clip = 10 ** a; }, (a) => `${+(10 ** a).toPrecision(2)}`),
  };
  const presets = Object.entries(PRESETS).map(([key, { title }]) => button(title, `try this: ${title}`, () => preset(key)));
  const numbers = h("p", { class: "numbers" }), message = h("p", { class: "message" }), live = h("span", { class: "spoken", role: "status" });
  const low = h("span"), high = h("span"), middle = h("span"), mark = (colour, shape) => h("span", { class: "mark", style: `color: ${colour}` }, shape);
  const relative = h("span", {}, ", relative");
  const marks = h("p", { class: "marks" }, mark(colours.data, "\u25cf"), " data \u2003", mark(colours.model, "\u25b2"), " fakes \u2003", mark(ARROW, "\u2192"), " pull of G\u2019s objective on a fake", relative);
  const bar = h("div", { class: "scale" }, h("div", { class: "bar", "aria-hidden": true, style: `background: linear-gradient(to right, ${colours.fake}, #fff, ${colours.real})` }), h("div", { class: "ends" }, low, middle, high));
  const pick = (text, control) => h("label", { class: "pick" }, h("span", { class: "name" }, text), control.element);
  const root = h("div", { class: "dgm-gan", role: "group", "aria-label": "GAN laboratory" },
    h("div", { class: "inside" }, h("div", { class: "row" }, play, h("span", { class: "group", role: "group", "aria-label": "one step of" }, h("span", { class: "soft" }, "one step of"), ...Object.values(single)), reset,
      pick("data", controls.data), wipe, pick("speed", controls.speed)),
    h("div", { class: "left" }, pad, bar, marks),
    h("div", { class: "right" }, numbers, curve, message,
      h("div", { class: "sliders" }, controls.lrD.element, controls.lrG.element, controls.steps.element, controls.clip.element),
      h("div", { class: "row" }, pick("objective", controls.objective), pick("hidden units", controls.hidden), pick("dims of z", controls.latent)),
      h("div", { class: "row" }, h("span", { class: "soft" }, "try"), ...presets))), live);

  /* --- the game's course --- */

  const modal = () => (settings.data === "drawn" ? [] : DATA[settings.data].modes);
  function begin() { // new players of this seed; the data stay
    game = new Game(settings);
    codes = game.codes(SHOWN, chance(7)); // the same codes throughout: one sees each fake move
    real = game.real(SHOWN, chance(8));
    history = { d: [], g: [], window: 1 };
    sums = { d: 0, g: 0, nd: 0, ng: 0, n: 0 };
    say(real ? "" : HINT);
    refresh();
    draw();
  }
  function note() { // one step done: into the curve
    for (const who of ["d", "g"]) if (game.last[who] !== undefined) { sums[who] += game.last[who]; sums[`n${who}`]++; }
    if (++sums.n < history.window) return;
    for (const who of ["d", "g"]) history[who].push(sums[`n${who}`] ? sums[who] / sums[`n${who}`] : NaN);
    sums = { d: 0, g: 0, nd: 0, ng: 0, n: 0 };
    if (history.d.length < HISTORY) return;
    for (const who of ["d", "g"]) history[who] = range(HISTORY / 2).map((k) => (history[who][2 * k] + history[who][2 * k + 1]) / 2);
    history.window *= 2;
  }
  /** A step; false, with the reason on the page, where there can be none. */
  function advance(who) {
    const done = game.move(who);
    if (done) note();
    else if (game.broken) say(`${game.broken} Smaller learning rates help; Reset begins anew.`, true);
    else say(HINT);
    return done;
  }
  function move(who) {
    pause();
    if (advance(who)) speak(summary());
    draw();
  }
  function loop() {
    frame = 0;
    if (!playing || !seen) return;
    ticks++;
    const until = performance.now() + BUDGET;
    due = Math.min(due, 1) + SPEEDS[speed];
    for (; due >= 1; due--) if (!advance("both") || performance.now() > until) break;
    if (game.broken || !real) pause();
    draw();
    if (ticks % 600 === 0) speak(summary());
    again();
  }
  function again() { if (playing && seen && !frame) frame = requestAnimationFrame(loop); }
  function start() {
    if (!real) return say(HINT);
    if (game.broken) return;
    playing = true;
    refresh();
    again();
  }
  function pause() {
    if (playing && !game.broken) speak(summary());
    playing = false;
    cancelAnimationFrame(frame);
    frame = 0;
    refresh();
  }
  function preset(key) {
    const { title: name, says, speed: pace, ...values } = PRESETS[key];
    Object.assign(settings, copy({ ...DEFAULTS, ...values, points: settings.points, seed: settings.seed }));
    speed = pace;
    begin();
    say(`${name[0].toUpperCase()}${name.slice(1)}. ${says}`);
    start();
  }

  /* --- words --- */

  let covered = 0, outside = 0;
  const summary = () => {
    const k = modal().length;
    return `Step ${game.step}. ${k ? `${covered} of ${k} modes found. ` : ""}Objective of D ${number(game.last.d)}, of G ${number(game.last.g)}.`;
  };
  function speak(text) { live.textContent = text; }
  function say(text, alarm = false) {
    message.textContent = text;
    message.classList.toggle("alarm", alarm);
    if (text) speak(text);
  }
  function refresh() {
    Object.values(controls).forEach((c) => c.refresh());
    controls.clip.element.hidden = relative.hidden = !wasserstein(settings.objective);
    play.textContent = playing ? "Pause" : "Play";
    play.setAttribute("aria-label", playing ? "pause" : "play");
    play.title = playing ? "pause" : "play";
    wipe.hidden = settings.data !== "drawn";
    pad.classList.toggle("paper", settings.data === "drawn");
    const draws = { tabindex: 0, role: "application", "aria-label": "the plane: draw the data with mouse or finger; or arrow keys move the pen, Space puts a point" };
    for (const [key, value] of Object.entries(draws)) if (settings.data === "drawn") pad.setAttribute(key, value); else pad.removeAttribute(key);
  }

  /* --- the picture --- */

  const px = (x) => ((x + REACH) / (2 * REACH)) * canvas.width, py = (y) => ((REACH - y) / (2 * REACH)) * canvas.height;
  const grid = new Float64Array(2 * CELLS * CELLS); // cells' centres, the rows from the top down
  for (let k = 0; k < CELLS * CELLS; k++) {
    grid[2 * k] = (((k % CELLS) + 0.5) / CELLS) * 2 * REACH - REACH;
    grid[2 * k + 1] = REACH - ((Math.floor(k / CELLS) + 0.5) / CELLS) * 2 * REACH;
  }
  const small = h("canvas", { width: CELLS, height: CELLS }), image = new ImageData(CELLS, CELLS), ends = { real: rgb(colours.real), fake: rgb(colours.fake) };

  function drawHeat(ink) {
    const logits = forward(game.d.net, game.d.p, grid, CELLS * CELLS).at(-1), unbounded = wasserstein(settings.objective);
    let [least, most] = [0, 1];
    if (unbounded) {
      [least, most] = [Infinity, -Infinity];
      for (const a of logits) { if (a < least) least = a; if (a > most) most = a; }
    }
    for (let k = 0; k < CELLS * CELLS; k++) {
      const t = unbounded ? (most > least ? (2 * (logits[k] - least)) / (most - least) - 1 : 0) : 2 * sigmoid(logits[k]) - 1, end = t > 0 ? ends.real : ends.fake;
      for (let c = 0; c < 3; c++) image.data[4 * k + c] = 255 + Math.abs(t) * (end[c] - 255);
      image.data[4 * k + 3] = 255;
    }
    small.getContext("2d").putImageData(image, 0, 0);
    ink.imageSmoothingEnabled = true;
    ink.drawImage(small, 0, 0, canvas.width, canvas.height);
    low.textContent = unbounded ? number(least, 3) : "0, fake";
    middle.textContent = unbounded ? "the critic D(x)" : "D(x) = 1/2, the line";
    high.textContent = unbounded ? number(most, 3) : "real, 1";
    if (!unbounded) drawBorder(ink, logits);
  }
  /** The line D = 1/2, logit 0, through the cells' centres: in each square of four the edges where the sign changes are joined. */
  function drawBorder(ink, logits) {
    ink.beginPath();
    for (let r = 0; r + 1 < CELLS; r++) for (let c = 0; c + 1 < CELLS; c++) {
      const corners = [[r, c], [r, c + 1], [r + 1, c + 1], [r + 1, c]], v = corners.map(([i, j]) => logits[i * CELLS + j]);
      let begun = false;
      for (let k = 0; k < 4; k++) {
        const [a, b] = [v[k], v[(k + 1) % 4]];
        if (a > 0 === b > 0) continue;
        const s = a / (a - b), [i, j] = corners[k], [m, n] = corners[(k + 1) % 4];
        const at = [((j + s * (n - j) + 0.5) / CELLS) * canvas.width, ((i + s * (m - i) + 0.5) / CELLS) * canvas.height];
        if (begun) ink.lineTo(...at); else ink.moveTo(...at);
        begun = !begun;
      }
    }
    ink.strokeStyle = "rgba(60, 60, 60, .7)";
    ink.lineWidth = scale;
    ink.stroke();
  }
  function drawPoints(ink, x, n, colour, triangle) {
    const r = 2.6 * scale;
    ink.beginPath();
    for (let k = 0; k < n; k++) {
      const [u, v] = [px(x[2 * k]), py(x[2 * k + 1])];
      if (triangle) { // circles and triangles: data and fakes differ without colour, too
        ink.moveTo(u, v - 1.3 * r), ink.lineTo(u + 1.2 * r, v + 0.9 * r), ink.lineTo(u - 1.2 * r, v + 0.9 * r), ink.closePath();
      } else { ink.moveTo(u + r, v); ink.arc(u, v, r, 0, 2 * Math.PI); }
    }
    Object.assign(ink, { fillStyle: colour, strokeStyle: "rgba(255, 255, 255, .9)", lineWidth: 0.8 * scale });
    ink.stroke();
    ink.fill();
  }
  function drawArrows(ink, fakes) {
    const n = Math.min(ARROWS, fakes.length / 2), pulls = pull(settings.objective, game.d, fakes.slice(0, 2 * n), n);
    let unit = 1; // a nat for each unit of the plane is drawn with length 1; a critic's slopes have no scale of their own
    if (wasserstein(settings.objective)) {
      let mean = 0;
      for (let k = 0; k < n; k++) mean += Math.hypot(pulls[2 * k], pulls[2 * k + 1]) / n;
      unit = mean > 0 ? 2.5 * mean : 1;
    }
    for (const [colour, width] of [["rgba(255, 255, 255, .9)", 3.4], [ARROW, 1.5]]) { // with a light edge, to be seen on any ground
      ink.beginPath();
      for (let k = 0; k < n; k++) {
        const [x, y, a, b] = [fakes[2 * k], fakes[2 * k + 1], pulls[2 * k] / unit, pulls[2 * k + 1] / unit], long = Math.hypot(a, b);
        if (!(long > 0.02)) continue;
        const s = Math.min(1, LONGEST / long), [u, v, du, dv] = [px(x), py(y), px(a * s) - px(0), py(b * s) - py(0)];
        const tip = Math.min(5 * scale, 0.5 * Math.hypot(du, dv)) / Math.hypot(du, dv);
        ink.moveTo(u, v), ink.lineTo(u + du, v + dv);
        for (const side of [1, -1]) ink.moveTo(u + du - tip * (du + 0.6 * side * dv), v + dv - tip * (dv - 0.6 * side * du)), ink.lineTo(u + du, v + dv);
      }
      Object.assign(ink, { strokeStyle: colour, lineWidth: width * scale, lineCap: "round" });
      ink.stroke();
    }
  }
  function draw() {
    const ink = canvas.getContext("2d"), fakes = game.make(codes);
    drawHeat(ink);
    if (settings.data === "drawn") drawPoints(ink, Float64Array.from(settings.points.flat()), settings.points.length, colours.data);
    else drawPoints(ink, real, SHOWN, colours.data);
    drawPoints(ink, fakes, SHOWN, colours.model, true);
    drawArrows(ink, fakes);
    if (settings.data === "drawn") {
      Object.assign(ink, { strokeStyle: "#000", lineWidth: scale });
      ink.strokeRect(px(pen[0]) - 5 * scale, py(pen[1]) - 5 * scale, 10 * scale, 10 * scale);
    }
    const modes = modal();
    covered = modes.length ? modesFound(fakes, modes, DATA[settings.data].std) : 0;
    outside = fakes.reduce((sum, _, k) => sum + (k % 2 === 0 && Math.max(Math.abs(fakes[k]), Math.abs(fakes[k + 1])) > REACH), 0) / SHOWN;
    numbers.replaceChildren(h("b", {}, `step ${game.step}`), modes.length ? `, modes found: ${covered} of ${modes.length}` : "", outside > 0.02 ? `, ${Math.round(100 * outside)} % of the fakes out of sight` : "");
    canvas.setAttribute("aria-label", `data: ${settings.data === "drawn" ? "drawn by hand" : DATA[settings.data].name}. ${summary()}`);
    drawCurve();
    root.dataset.step = game.step;
    root.dataset.frames = +(root.dataset.frames ?? 0) + 1;
  }

  /* --- the curve --- */

  const GUESS = -2 * Math.log(2);
  function drawCurve() {
    const ink = curve.getContext("2d"), [width, height] = [curve.width, curve.height], nats = !wasserstein(settings.objective);
    const [left, right, top, bottom] = [34 * scale, 6 * scale, 18 * scale, 18 * scale];
    ink.clearRect(0, 0, width, height);
    const all = [...history.d, ...history.g].filter(Number.isFinite).sort((a, b) => a - b), at = (share) => all[Math.round(share * (all.length - 1))] ?? 0;
    let [least, most] = [Math.min(nats ? -2 : -0.01, at(0.01)), Math.max(nats ? 0 : 0.01, at(0.99))]; // a spike may leave the frame
    const space = 0.06 * (most - least);
    least -= space, most += space;
    const n = Math.max(20, history.d.length), x = (k) => left + ((width - left - right) * k) / (n - 1), y = (a) => top + ((height - top - bottom) * (most - a)) / (most - least);
    Object.assign(ink, { font: `${11 * scale}px system-ui, sans-serif`, fillStyle: "#555", strokeStyle: "#ddd", lineWidth: scale, textBaseline: "middle", textAlign: "right" });
    const rough = (most - least) / 3, power = 10 ** Math.floor(Math.log10(rough)), tick = [1, 2, 5, 10].map((a) => a * power).find((a) => a >= rough);
    for (let a = Math.ceil(least / tick) * tick; a <= most; a += tick) {
      ink.beginPath(), ink.moveTo(left, y(a)), ink.lineTo(width - right, y(a)), ink.stroke();
      ink.fillText(number(a, tick < 0.01 ? 3 : tick < 0.1 ? 2 : tick < 1 ? 1 : 0), left - 4 * scale, y(a));
    }
    if (nats) {
      Object.assign(ink, { strokeStyle: "#555", textAlign: "right" });
      ink.setLineDash([2 * scale, 3 * scale]);
      ink.beginPath(), ink.moveTo(left, y(GUESS)), ink.lineTo(width - right, y(GUESS)), ink.stroke();
      ink.setLineDash([]);
    }
    ink.save();
    ink.beginPath(), ink.rect(left, top, width - left - right, height - top - bottom), ink.clip();
    for (const [who, colour, dash] of [["d", colours.real, []], ["g", colours.model, [5, 3]]]) {
      ink.beginPath();
      history[who].forEach((a, k) => { if (Number.isFinite(a)) ink.lineTo(x(k), y(a)); });
      Object.assign(ink, { strokeStyle: colour, lineWidth: 1.8 * scale });
      ink.setLineDash(dash.map((a) => a * scale));
      ink.stroke();
      ink.setLineDash([]);
    }
    ink.restore();
    if (nats) { // on a light ground, for a curve may pass here
      Object.assign(ink, { strokeStyle: "rgba(255, 255, 255, .85)", lineWidth: 3 * scale, textAlign: "right" });
      for (const way of ["strokeText", "fillText"]) ink[way]("\u22122 log 2: D can only guess", width - right, y(GUESS) + 8 * scale);
    }
    Object.assign(ink, { textAlign: "left", fillStyle: "#555" });
    ink.fillText(nats ? "objectives, nats" : "objectives", left, 7 * scale);
    for (const [who, colour, dash, from] of [["d", colours.real, [], 0.42], ["g", colours.model, [5, 3], 0.7]]) {
      const u = left + from * (width - left);
      Object.assign(ink, { strokeStyle: colour, lineWidth: 1.8 * scale });
      ink.setLineDash(dash.map((a) => a * scale));
      ink.beginPath(), ink.moveTo(u, 7 * scale), ink.lineTo(u + 18 * scale, 7 * scale), ink.stroke();
      ink.setLineDash([]);
      const late = history[who].slice(-10).filter(Number.isFinite);
      ink.fillText(`${who.toUpperCase()} ${number(late.length ? late.reduce((a, b) => a + b) / late.length : undefined)}`, u + 23 * scale, 7 * scale);
    }
    ink.fillText("step 0", left, height - 7 * scale);
    ink.textAlign = "right";
    ink.fillText(`${game.step}`, width - right, height - 7 * scale);
  }

  /* --- drawing the data: mouse, finger, keys --- */

  function put(x, y) {
    if (settings.points.length >= 1000) settings.points.shift();
    settings.points.push([clamp(x, -REACH, REACH), clamp(y, -REACH, REACH)]);
    real = game.real(SHOWN, chance(8));
    if (message.textContent === HINT) say("");
    if (!playing) draw();
  }
  function stroke(event) {
    const box = pad.getBoundingClientRect();
    pen = [clamp(((event.clientX - box.left) / box.width) * 2 * REACH - REACH, -REACH, REACH), clamp(REACH - ((event.clientY - box.top) / box.height) * 2 * REACH, -REACH, REACH)];
    const last = settings.points.at(-1);
    if (event.type === "pointerdown" || !last || Math.hypot(pen[0] - last[0], pen[1] - last[1]) > 0.08) put(...pen);
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.button || settings.data !== "drawn") return;
    pad.setPointerCapture(event.pointerId);
    stroke(event);
  });
  pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) stroke(event); });
  pad.addEventListener("keydown", (event) => {
    if (settings.data !== "drawn" || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = ARROW_KEYS[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault(); // neither scrolls the page
    if (way) pen = pen.map((a, k) => clamp(a + way[k] * (event.shiftKey ? 0.5 : 0.1), -REACH, REACH)); else put(...pen);
    if (!playing) draw();
  });
  const freeKeys = keepKeys(root);

  // Out of sight it rests; a hidden tab has no frames anyway.
  const watch = new IntersectionObserver((entries) => { seen = entries.at(-1).isIntersecting; again(); });
  watch.observe(root);

  begin();
  Object.assign(root, { lab: { get game() { return game; }, settings, start, pause } }); // for the curious in the browser's console, and for the tests
  el.append(root);
  return () => {
    playing = false;
    cancelAnimationFrame(frame);
    watch.disconnect();
    freeKeys();
  };
}

/** Without Jupyter, and with gan_lab.css: mount(element, { data: "ring", lr: { d: 0.002, g: 0.002 } }). Returns the function that ends it. */
export const mount = (el, settings = {}) => render({ model: { get: () => ({ settings }) }, el });

export default { render };
