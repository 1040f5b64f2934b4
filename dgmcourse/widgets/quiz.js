// A self-test: one question at a time, the first answer counts. Everything is here; the kernel is told and never asked.

let made = 0; // radio groups of two quizzes in a page must not be one

function render({ model, el }) {
  const questions = model.get("_questions"), n = questions.length, group = `dgm-quiz-${++made}`;
  let at = 0;
  const first = () => model.get("answers");
  const rightly = (i) => first()[i] === questions[i].right;

  const places = questions.map((_, i) => h("button", { type: "button", onclick: () => go(i) }, `${i + 1}`));
  const where = h("ol", { class: "where", "aria-label": "questions" }, ...places.map((button) => h("li", {}, button)));
  const legend = h("legend"), text = h("p", { class: "question", id: `${group}-question` }), choices = h("div");
  const fields = h("fieldset", { "aria-describedby": `${group}-question` }, legend, text, choices);
  const said = h("div", { class: "said", "aria-live": "polite" });
  const check = h("button", { type: "button", onclick: judge }, "Check"), count = h("span", { class: "count" });
  const row = h("div", { class: "row" }, check, h("button", { type: "button", onclick: () => go(at - 1) }, "Back"),
    h("button", { type: "button", onclick: () => go(at + 1) }, "Next"), h("button", { type: "button", onclick: result }, "Result"), count);
  const root = h("section", { class: "dgm-quiz", "aria-label": `self-test of ${n} questions` }, where, fields, said, row);

  function go(to) {
    at = (to + n) % n;
    const { notebook, text: words, choices: pairs } = questions[at];
    legend.textContent = `Question ${at + 1} of ${n}, on notebook ${notebook.slice(0, 2)}`;
    text.textContent = words;
    choices.replaceChildren(...pairs.map(([choice], k) => h("label", {},
      h("input", { type: "radio", name: `${group}-${at}`, value: k, "data-lm-suppress-shortcuts": "true" }), h("span", {}, choice))));
    said.className = "said";
    said.replaceChildren();
    if (first()[at] >= 0) { // seen before: what was said then stands there again
      choices.querySelectorAll("input")[first()[at]].checked = true;
      say(first()[at]);
    }
    mark();
  }
  function judge() {
    const chosen = choices.querySelector("input:checked");
    if (!chosen) { said.className = "said"; said.replaceChildren("Choose one of the four first."); return; }
    const k = Number(chosen.value);
    if (first()[at] < 0) {
      model.set("answers", first().map((old, i) => (i === at ? k : old)));
      try { model.save_changes(); } catch { /* no kernel: what was answered stays here */ }
    }
    say(k);
    mark();
  }
  function say(k) {
    const { right, choices: pairs } = questions[at], good = k === right;
    said.className = good ? "said right" : "said wrong";
    const again = good ? (rightly(at) ? "" : "The first answer is the one that counts.") : "Try again: it does not change the score.";
    said.replaceChildren(h("p", {}, h("b", {}, good ? "Right. " : "Not so. "), pairs[k][1]), h("p", {}, again));
  }
  function mark() {
    const answers = first();
    places.forEach((button, i) => {
      button.className = answers[i] < 0 ? "" : rightly(i) ? "right" : "wrong";
      button.textContent = `${i + 1}${answers[i] < 0 ? "" : rightly(i) ? "\u2713" : "\u2717"}`;
      button.setAttribute("aria-current", String(i === at));
      button.setAttribute("aria-label", `question ${i + 1}, ${answers[i] < 0 ? "open" : rightly(i) ? "right" : "wrong"}`);
    });
    const given = answers.filter((a) => a >= 0).length, right = answers.filter((_, i) => rightly(i)).length;
    count.textContent = `${right} right of ${given} answered`;
  }
  function result() {
    const topics = new Map();
    questions.forEach(({ notebook }, i) => {
      const [right, open, of] = topics.get(notebook) ?? [0, 0, 0];
      topics.set(notebook, [right + rightly(i), open + (first()[i] < 0), of + 1]);
    });
    const rows = [...topics].map(([notebook, [right, open, of]]) => {
      const [number, ...words] = notebook.split("_");
      return h("tr", {}, h("th", { scope: "row" }, number),
        h("td", {}, `${right} of ${of}${open ? `, ${open} open` : ""}`),
        h("td", {}, right + open < of ? h("a", { href: `${notebook}.ipynb`, target: "_blank", rel: "noopener" }, `read ${number} again, ${words.join(" ")}`) : ""));
    });
    const open = first().filter((a) => a < 0).length, right = first().filter((_, i) => rightly(i)).length;
    said.className = "said";
    said.replaceChildren(h("p", {}, h("b", {}, `${right} of ${n} right`), open ? `, ${open} still open.` : "."),
      h("table", {}, h("thead", {}, h("tr", {}, ...["notebook", "right", ""].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows)));
  }
  // Enter in the choices checks; Jupyter takes no key in here but Ctrl-S, Shift-Enter and Escape.
  fields.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.ctrlKey) { event.preventDefault(); judge(); }
  });
  const freeKeys = keepKeys(root);
  model.on("change:answers", mark);
  go(0);
  el.append(root);
  return () => { freeKeys(); model.off("change:answers", mark); };
}

export default { render };
