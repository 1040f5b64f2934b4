// TeX from standard input, [[formula, is it displayed?], ...], to HTML with MathML in it. A formula that is wrong stops the build.
import { readFileSync } from "node:fs";
import katex from "katex";

const macros = { "\\step": "\\htmlClass{fragment}{#1}" }; // \step{...}: shown with the next key press
const formulas = JSON.parse(readFileSync(0, "utf8"));
const made = formulas.map(([formula, displayMode]) => {
  try {
    return katex.renderToString(formula, {
      displayMode,
      macros: { ...macros },
      strict: (code) => (code === "htmlExtension" ? "ignore" : "error"),
      trust: ({ command }) => command === "\\htmlClass",
    });
  } catch (error) {
    console.error(`${formula}\n${error.message}`);
    process.exit(1);
  }
});
process.stdout.write(JSON.stringify(made));
