// Patterns of attention that are computed from the text alone. `headscope/heads/patterns.py` has the same patterns,
// with their formulas.
//
// Shapes: n positions, V vocabulary size.

/** A text in which patterns look for keys. Each array has one number per position; -1 is no position. */
export class Text {
  /**
   * @param ids - the ids of the n tokens.
   * @param vocabulary - facts about each token, from `headscope/heads/rule_data.py`.
   */
  constructor(ids, vocabulary) {
    this.ids = ids;
    this.vocabulary = vocabulary;
    this.classes = new Map(vocabulary.classes.map(({ name, members }) => [name, members]));
    this.lastMembers = new Map(); // see `lastMember`
    const run = ids.findIndex((id) => id !== ids[0]);
    this.firstRun = run < 0 ? ids.length : run; // the number of tokens at the start that equal the first one
    this.#readWords();
    this.#readLines();
    this.openBracket = this.#openBracket();
  }

  /** Whether a fact is true for each token. */
  #is(fact) {
    return this.ids.map((id) => this.vocabulary[fact][id] > 0);
  }

  /** Finds where words and sentences start and end. A sentence starts after an end mark and white space. */
  #readWords() {
    const [isWord, alwaysStarts] = [this.#is("words"), this.#is("starts")];
    const starts = isWord.map((x, i) => x && (!isWord[i - 1] || alwaysStarts[i]));
    const ends = isWord.map((x, i) => x && !(isWord[i + 1] && !starts[i + 1]));
    this.wordStart = lastUpTo(starts);
    this.previousWordStart = valuesAt(lastBefore(starts), this.wordStart);
    this.previousWordEnd = valuesAt(lastBefore(ends), this.wordStart);
    const mark = lastBefore(this.#is("end_marks"));
    const [gap, earlierWord] = [lastUpTo(this.#is("gaps")), lastBefore(starts)];
    const wide = this.#is("wide"); // end marks after which no white space follows
    const isApart = (i) => gap[i] > mark[i] || wide[mark[i]];
    const startsSentence = starts.map((x, i) => x && mark[i] >= Math.max(0, earlierWord[i]) && isApart(i));
    this.sentenceStart = orZero(lastUpTo(startsSentence));
  }

  /** Finds where lines and paragraphs start. A newline belongs to the line that it ends. */
  #readLines() {
    this.lineStart = lastBefore(this.#is("newlines")).map((i) => i + 1);
    const lineAbove = valuesAt(this.lineStart, this.lineStart.map((start) => start - 1));
    this.columnAbove = this.lineStart.map((start, i) => {
      const key = lineAbove[i] + i - start;
      return start > 0 && key < start ? key : -1;
    });
    let count = 0;
    const newlines = this.ids.map((id) => (count += this.vocabulary.newlines[id])); // up to each position
    const isText = this.#is("blank").map((x) => !x);
    const before = lastBefore(isText);
    const starts = isText.map((x, i) => x && before[i] >= 0 && newlines[i] - newlines[before[i]] >= 2);
    this.paragraphStart = orZero(lastUpTo(starts));
  }

  /** The position of the innermost bracket or quotation that is open before each position. */
  #openBracket() {
    const { brackets, opening, closing, straight } = this.vocabulary;
    const open = []; // the position and the character of each open bracket
    return this.ids.map((id, i) => {
      const innermost = open.at(-1)?.i ?? -1;
      for (const character of brackets[id] ?? "") {
        const quotation = open.findIndex((bracket) => bracket.character === straight);
        if (character === straight && quotation >= 0) open.length = quotation; // closes the brackets in it, too
        else if (character === straight || opening.includes(character)) open.push({ i, character });
        else if (open.at(-1)?.character === opening[closing.indexOf(character)]) open.pop();
      }
      return innermost;
    });
  }

  /** Whether each token belongs to a class. */
  members(name) {
    const members = this.classes.get(name);
    return this.ids.map((id) => members[id] > 0);
  }

  /** The last token of a class before each position. */
  lastMember(name) {
    if (!this.lastMembers.has(name)) this.lastMembers.set(name, lastBefore(this.members(name)));
    return this.lastMembers.get(name);
  }
}

/** The last marked position up to each position. */
function lastUpTo(marked) {
  let last = -1;
  return marked.map((isMarked, i) => (last = isMarked ? i : last));
}

/** The last marked position before each position. */
const lastBefore = (marked) => [-1, ...lastUpTo(marked).slice(0, -1)];

/** The values at the given positions. */
const valuesAt = (values, positions) => positions.map((i) => (i >= 0 ? values[i] : -1));

/** The positions, with 0 instead of no position. */
const orZero = (positions) => positions.map((i) => Math.max(0, i));

const one = (j) => (j >= 0 ? [j] : []);
const range = (from, to) => Array.from({ length: Math.max(0, to - from) }, (_, k) => from + k);
/** The positions up to i for which `isKey` is true. */
const matching = (i, isKey) => range(0, i + 1).filter(isKey);

/** The keys that query i looks at, in ascending order, for each pattern that every vocabulary has. */
const PATTERNS = {
  "the first token": (text, i) => range(0, Math.min(text.firstRun, i + 1)),
  "all earlier tokens": (text, i) => range(0, i + 1),
  "the start of the word": (text, i) => one(text.wordStart[i]),
  "this word": (text, i) => (text.wordStart[i] >= 0 ? range(text.wordStart[i], i + 1) : []),
  "the start of the previous word": (text, i) => one(text.previousWordStart[i]),
  "the end of the previous word": (text, i) => one(text.previousWordEnd[i]),
  "the start of the line": (text, i) => one(text.lineStart[i]),
  "this line": (text, i) => range(text.lineStart[i], i + 1),
  "the same column in the line above": (text, i) => one(text.columnAbove[i]),
  "the start of the sentence": (text, i) => one(text.sentenceStart[i]),
  "the start of the paragraph": (text, i) => one(text.paragraphStart[i]),
  "the open bracket or quotation mark": (text, i) => one(text.openBracket[i]),
  "the same token": ({ ids }, i) => matching(i, (j) => j < i && ids[j] === ids[i]),
  "the token after the same token": ({ ids }, i) => matching(i, (j) => j < i && ids[j - 1] === ids[i]),
  "the same pair of tokens": ({ ids }, i) => matching(i, (j) => j > 0 && j < i && isPair(ids, j, i)),
  "the token after the same pair": ({ ids }, i) => matching(i, (j) => j > 1 && j < i && isPair(ids, j - 1, i)),
};

/** Whether the tokens j - 1 and j equal the tokens i - 1 and i. */
const isPair = (ids, j, i) => ids[j] === ids[i] && ids[j - 1] === ids[i - 1];

/** The function (text, i) that returns the keys of a pattern. A vocabulary's classes have two patterns each. */
export function patternNamed(name, classes) {
  if (PATTERNS[name]) return PATTERNS[name];
  for (const { name: of } of classes) {
    if (name === `the last ${of}`) return (text, i) => one(text.lastMember(of)[i]);
    if (name === `all ${of}s`) return (text, i) => matching(i, (j) => text.classes.get(of)[text.ids[j]] > 0);
  }
  throw new Error(`no pattern is named “${name}”`);
}
