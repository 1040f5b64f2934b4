// Starts reveal.js, and the widgets by live.js.

const { modules, widgets, look } = JSON.parse(document.getElementById("widgets").textContent);
const imported = {};

async function start(place) {
  const { module, css, state } = widgets[place.dataset.widget];
  delete place.dataset.widget; // once
  imported[module] ??= import(`data:text/javascript;base64,${modules[module]}`);
  await startWidget(place, await imported[module], css + look, state);
}

const asked = new URLSearchParams(location.search);
const root = document.documentElement.classList;
root.toggle("dark", asked.has("room") ? asked.get("room") === "dark" : !asked.has("print-pdf") && matchMedia("(prefers-color-scheme: dark)").matches);

const startShown = ({ currentSlide }) => currentSlide.querySelectorAll("[data-widget]").forEach(start);
Reveal.on("slidechanged", startShown);
Reveal.on("ready", startShown);
Reveal.on("pdf-ready", () => root.add("ready-to-print"));
Reveal.initialize({
  width: 1280, height: 720, margin: 0, center: false, hash: true, transition: "none", slideNumber: "c/t", controls: false,
  plugins: [RevealNotes], pdfSeparateFragments: false, pdfMaxPagesPerSlide: 1, totalTime: undefined,
  keyboard: { 76: () => root.toggle("dark") }, // l: light or dark room
});
