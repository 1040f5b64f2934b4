// What several widgets need. `esm` of __init__.py puts it before each widget's own script.

/** h("button", { class: "x", onclick: f }, "text", child, ...) -> the element */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const clamp = (a, low, high) => Math.min(Math.max(a, low), high);
const rgb = (hex) => [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));

/** A number in words: a minus sign of its full width, none before a zero, a dash for what there is not. */
const number = (a, places = 2) => (a === undefined ? "\u2013" : (Math.abs(a) < 0.5 * 10 ** -places ? 0 : a).toFixed(places).replace("-", "\u2212"));

/** A control's name for a screen reader: what is written on it, which who speaks to the machine says, and what it does. */
function named(text, label) {
  const written = text.textContent ?? `${text}`; // of an element, or a word or number
  return label.toLowerCase().includes(written.toLowerCase()) ? label : `${written}: ${label}`;
}

const ARROW_KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] }; // [right, up]

/** A point on a pad is led by mouse, finger and arrow keys: place() is where it is, and go(x, y) leads it, in the extent's units. */
function steer(pad, [left, right, bottom, top], place, go) {
  const follow = (event) => {
    const box = pad.getBoundingClientRect();
    go(left + ((event.clientX - box.left) / box.width) * (right - left), top - ((event.clientY - box.top) / box.height) * (top - bottom));
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    follow(event);
  });
  pad.addEventListener("pointermove", (event) => { if (pad.hasPointerCapture(event.pointerId)) follow(event); });
  pad.addEventListener("keydown", (event) => {
    const way = ARROW_KEYS[event.key];
    if (!way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); // neither scrolls the page
    const step = ((right - left) / 80) * (event.shiftKey ? 5 : 1), [x, y] = place();
    go(x + way[0] * step, y + way[1] * step);
  });
}

/**
 * Keep Jupyter's shortcuts out of a widget: "d d" on a slider must not delete the cell. Jupyter takes no key whose target
 * bears this attribute. It is set before Jupyter looks (some front ends look first), and not for Ctrl-S, Shift-Enter and
 * Escape, which stay Jupyter's. Returns the function that ends it.
 */
function keepKeys(root) {
  const listener = (event) => {
    const jupyters = event.ctrlKey || event.metaKey || event.key === "Escape" || (event.shiftKey && event.key === "Enter");
    if (root.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", !jupyters);
  };
  window.addEventListener("keydown", listener, true);
  return () => window.removeEventListener("keydown", listener, true);
}
