// Starts each widget of the page, by live.js, when it comes near, and tells it whether the page is dark.

const folder = new URL("widgets/", document.currentScript.src);
const darkScreen = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => { const { theme } = document.body.dataset; return theme === "dark" || (theme !== "light" && darkScreen.matches); };
const LOOK = `
  :host { display: block; }
  :is(button, select, input) { font: inherit; }
  slot { display: none; }
  @media print { slot { display: block; } slot + div { display: none; } } /* the picture in the widget's place */
  .film { overflow-x: auto; }
  .film img { min-width: calc(.55 * var(--drawn)); } /* as site.css has it for figures */
  [data-jp-theme-light="false"] :is(.film img) { filter: invert(.93) hue-rotate(180deg); }`; // as JupyterLab's own theme does

function tellTheme() {
  for (const place of document.querySelectorAll(".live[data-ready]")) place.shadowRoot.lastChild.dataset.jpThemeLight = String(!isDark());
}

async function start(place) {
  near.unobserve(place);
  if ("started" in place.dataset) return;
  place.dataset.started = "";
  const { module, css, state } = await (await fetch(new URL(place.dataset.widget, folder))).json();
  await startWidget(place, await import(new URL(module, folder)), css + LOOK, state, folder);
  place.shadowRoot.lastChild.before(document.createElement("slot")); // of the picture that the page had there
  tellTheme();
  reach();
}

// A widget knows notebooks, the site has pages.
function leadToPage(event) {
  const link = event.composedPath().find((part) => part instanceof HTMLAnchorElement);
  const name = link?.getAttribute("href")?.match(/^(\d\d[a-z]?_\w+)\.ipynb$/);
  if (name) link.setAttribute("href", `${name[1]}.html`);
}

window.startNow = start; // for the tests
const near = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) if (isIntersecting) start(target);
}, { rootMargin: "800px" });

for (const place of document.querySelectorAll(".live")) {
  near.observe(place);
  for (const event of ["click", "auxclick"]) place.addEventListener(event, leadToPage, true);
}
darkScreen.addEventListener("change", tellTheme);
new MutationObserver(tellTheme).observe(document.body, { attributeFilter: ["data-theme"] });

// What search quotes of a page has each formula once, and not what is written on folded code.
if (typeof Search !== "undefined") {
  const asText = Search.htmlToText, left = /<span class="katex-mathml">.*?<\/math><\/span>|<summary>Code of this cell.*?<\/summary>/gs;
  Search.htmlToText = (html, ...more) => asText(html.replace(left, ""), ...more);
}

// What is wider than its place is scrolled by the keyboard, too, and shows that it goes on.
const WIDE = "article :is(pre, .katex-display, .table-wrapper, .claims, figure, .cell table)";
const goesOn = (part) => part.scrollLeft + part.clientWidth < part.scrollWidth - 1;
function reach() {
  const films = [...document.querySelectorAll(".live[data-ready]")].flatMap((place) => [...place.shadowRoot.querySelectorAll(".film")]);
  const parts = [...document.querySelectorAll(WIDE), ...films];
  const found = parts.map((part) => [part.scrollWidth > part.clientWidth, goesOn(part)]); // before any is changed
  parts.forEach((part, i) => {
    if (found[i][0]) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
    part.classList.toggle("more", found[i][1]);
  });
}
addEventListener("load", reach);
addEventListener("resize", reach);
document.addEventListener("toggle", reach, true);
document.addEventListener("scroll", ({ target }) => { if (target.matches?.(WIDE)) target.classList.toggle("more", goesOn(target)); }, true);

// Paper shows all pictures, those below the window and what is to be predicted, too.
addEventListener("beforeprint", () => {
  document.querySelectorAll("img[loading]").forEach((image) => { image.loading = "eager"; });
  document.querySelectorAll("details.predict").forEach((part) => { part.open = true; });
});

// What is folded is found by the address: a link into it opens it, and a link to a cell what was measured there.
function named() {
  const place = location.hash.slice(1);
  return document.getElementById(/%(?![\da-f]{2})/i.test(place) ? place : decodeURIComponent(place));
}
function unfold() {
  const target = named();
  for (let part = target?.closest("details"); part; part = part.parentElement.closest("details")) part.open = true;
  for (let part = target?.matches(".cell") ? target : null; part && !part.matches("h2, h3, section"); part = part.nextElementSibling) {
    const folds = part.matches(".cell") ? [...part.querySelectorAll(":scope > details.predict")] : [];
    for (const fold of folds) fold.open = true;
    if (folds.length || part.querySelector(":scope > :is(figure, .live, .table-wrapper)")) break; // else its number is shown by a later cell
  }
  until = performance.now() + 5000;
  settle();
}
// Pictures and widgets above that come later push the named place away: it is held until the reader moves.
let until = 0;
const settle = () => { if (location.hash && performance.now() < until) named()?.scrollIntoView({ behavior: "instant" }); };
for (const event of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(event, () => { until = 0; }, { passive: true, capture: true });
new ResizeObserver(settle).observe(document.querySelector("article") ?? document.body);
addEventListener("hashchange", unfold);
unfold();

// The table of the claims, narrowed by what is typed.
const find = document.getElementById("find");
find?.addEventListener("input", () => {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean), rows = [...document.querySelectorAll(".claims tbody tr")];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  document.getElementById("found").textContent = words.length ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
});
