// Two sentences and a slider between their codes. All that can be shown was decoded beforehand; words that have changed
// since the point before are underlined.

function render({ model, el }) {
  const { sentences, texts, paths, points, start } = model.get("_spec");
  const ends = [...start];
  let at = 0;
  const pick = (k, name) => {
    const select = h("select", { "aria-label": name, onchange: () => { ends[k] = +select.value; list(); } },
      ...sentences.map((sentence, i) => h("option", { value: i }, sentence)));
    select.value = ends[k];
    return select;
  };
  const selects = [pick(0, "from this sentence"), pick(1, "to this sentence")];
  const swap = h("button", { type: "button", "aria-label": "exchange the two sentences", title: "exchange the two sentences",
    onclick: () => { ends.reverse(); at = points - 1 - at; selects.forEach((select, k) => { select.value = ends[k]; }); list(); } }, "\u21c4");
  const range = h("input", { type: "range", min: 0, max: points - 1, step: 1, "aria-label": "from the one to the other",
    oninput: () => { at = +range.value; show(); } });
  const now = h("p", { class: "now" }), steps = h("ol", { "aria-label": "all sentences on the way" }), spoken = h("span", { class: "spoken", role: "status" });
  const root = h("div", { class: "dgm-sentences", role: "group", "aria-label": "a walk from one sentence to another" },
    h("div", { class: "pick" }, h("label", {}, "from", selects[0]), swap, h("label", {}, "to", selects[1])), range, now, steps, spoken);

  /** The sentences from the one end to the other; the same sentence twice has one code. */
  function path() {
    const [i, j] = ends;
    if (i === j) {
      const [key, at] = i ? [`0 ${i}`, points - 1] : ["0 1", 0];
      return Array(points).fill(texts[paths[key][at]]);
    }
    const way = paths[`${Math.min(i, j)} ${Math.max(i, j)}`].map((k) => texts[k]);
    return i < j ? way : way.reverse();
  }
  /** Words of b, each true if it is not in the longest common subsequence of words with a. */
  function fresh(a, b) {
    const n = a.length, m = b.length, best = Array.from({ length: n + 1 }, () => new Array(m + 1).fill(0));
    for (let i = n - 1; i >= 0; i--) for (let j = m - 1; j >= 0; j--) best[i][j] = a[i] === b[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
    let i = 0;
    return b.map((word, j) => {
      while (i < n && a[i] !== word && best[i + 1][j] === best[i][j]) i++;
      const kept = i < n && a[i] === word && best[i][j] === best[i + 1][j + 1] + 1;
      if (kept) i++;
      return !kept;
    });
  }
  const marked = (before, text) => {
    const words = text.split(" "), is = before === undefined ? words.map(() => false) : fresh(before.split(" "), words);
    return words.flatMap((word, k) => [k ? " " : "", is[k] ? h("mark", {}, word) : word]);
  };
  function list() {
    const way = path();
    steps.replaceChildren(...way.map((text, k) => h("li", { onclick: () => { at = k; show(); } }, h("span", {}, (k / (points - 1)).toFixed(1)), h("span", {}, ...marked(way[k - 1], text)))));
    show();
  }
  function show() {
    const way = path();
    range.value = at;
    range.setAttribute("aria-valuetext", way[at]);
    now.replaceChildren(...marked(way[at - 1], way[at]));
    [...steps.children].forEach((row, k) => row.setAttribute("aria-current", k === at));
    spoken.textContent = way[at];
  }

  const freeKeys = keepKeys(root);
  list();
  el.append(root);
  return freeKeys;
}

export default { render };
