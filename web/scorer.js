// Sphinx's search asks this for a result's score. Notebooks come first, by how much their best section says of
// what is asked, and there the result leads; `sections` is what web/search.py counted.
const likeness = {
  asked: null,
  words() {
    const stemmer = new Stemmer(), query = new URLSearchParams(location.search).get("q") ?? "";
    const words = splitQuery(query.toLowerCase()).filter((word) => !stopwords.has(word));
    return (this.asked ??= [...new Set(words.map((word) => stemmer.stemWord(word)))]);
  },
  // between 0 and 1, as in BM25: a word that few sections say counts for more, and in a long one for less
  of(place) {
    const { words, places } = window.sections;
    let sum = 0, most = 0;
    for (const word of this.words()) {
      const counts = words[word] ?? {}, rare = Math.log(1 + places.length / (1 + Object.keys(counts).length));
      const n = counts[place] ?? 0;
      sum += rare * n / (n + 2 * (0.25 + 0.75 * places[place][2]));
      most += rare;
    }
    return most ? sum / most : 0;
  },
};

var Scorer = {
  score(result) {
    const [page, title, anchor, , score] = result, own = window.sections?.of[page];
    if (!own) return page.startsWith("reference/") ? score - 3 : score;
    if (anchor) return score + 10;
    let best = own[0], most = 0;
    for (let place = own[0]; place < own[1]; place++) {
      const like = likeness.of(place);
      if (like > most) [best, most] = [place, like];
    }
    const [where, heading] = window.sections.places[best];
    if (best > own[0]) [result[1], result[2]] = [`${title} > ${heading}`, `#${where}`];
    return 5 + 20 * most;
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 15, 1: 5, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
