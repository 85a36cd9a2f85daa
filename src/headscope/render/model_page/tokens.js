// Converts text to ids and back, by the same rules as the tokenizers in `headscope.data`.

/** Returns the tokenizer for a vocabulary (see `headscope.show.page`), chosen by its `split_rule`. */
export function tokenizerOf(vocabulary) {
  const Rule = RULES[vocabulary.split_rule] ?? LabelsOnly;
  return new Rule(vocabulary);
}

class Characters {
  canSplit = true;

  constructor({ vocab }) {
    this.vocab = vocab;
    this.id = new Map(vocab.map((token, i) => [token, i]));
  }

  /** The tokens of a text, including tokens that are not in the vocabulary. */
  split(text) {
    return Array.from(text);
  }

  /** The ids of a text, and the `unknown` tokens, which are ignored because they are not in the vocabulary. */
  encode(text) {
    const tokens = this.split(text);
    return {
      ids: tokens.filter((token) => this.id.has(token)).map((token) => this.id.get(token)),
      unknown: [...new Set(tokens.filter((token) => !this.id.has(token)))],
    };
  }

  decode(ids) {
    return ids.map((i) => this.vocab[i]).join("");
  }
}

class Words extends Characters {
  split(text) {
    // a newline, or a run of characters that Python does not treat as white space
    return text.match(/\n|[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g) ?? [];
  }

  /** Joins words with spaces, except at newlines. */
  decode(ids) {
    let before = "\n";
    let text = "";
    for (const word of ids.map((i) => this.vocab[i])) {
      text += before === "\n" || word === "\n" ? word : ` ${word}`;
      before = word;
    }
    return text;
  }
}

// GPT-2's pattern, without \s, because JavaScript's \s matches U+FEFF but not U+0085.
const PIECES =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

class BytePairs extends Characters {
  constructor(vocabulary) {
    super(vocabulary);
    this.rank = new Map(vocabulary.merges.map((pair, i) => [pair, i]));
    const isPrintable = (byte) => (byte >= 0x21 && byte < 0x7f) || (byte >= 0xa1 && byte !== 0xad);
    const bytes = Array.from({ length: 256 }, (_, byte) => byte);
    this.byte = new Map([
      ...bytes.filter(isPrintable).map((byte) => [String.fromCharCode(byte), byte]),
      ...bytes.filter((byte) => !isPrintable(byte)).map((byte, i) => [String.fromCharCode(256 + i), byte]),
    ]);
    this.character = new Map([...this.byte].map(([character, byte]) => [byte, character]));
  }

  split(text) {
    return text
      .split(/(\n)/)
      .flatMap((line) => (line === "\n" ? [line] : (line.match(PIECES) ?? [])))
      .flatMap((piece) => this.#merge(piece));
  }

  /** The tokens of one piece: its bytes, merged in the order in which the merges were learned. */
  #merge(piece) {
    const parts = Array.from(new TextEncoder().encode(piece), (byte) => this.character.get(byte));
    for (;;) {
      let best = Infinity;
      let at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.rank.get(`${parts[i]} ${parts[i + 1]}`) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts;
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }

  decode(ids) {
    const bytes = ids.flatMap((i) => Array.from(this.vocab[i], (character) => this.byte.get(character) ?? 0x3f));
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
  }
}

/** For a tokenizer with any other rule: can show the labels of ids, but cannot split a text. */
class LabelsOnly {
  canSplit = false;

  constructor({ shown, unit }) {
    Object.assign(this, { shown, separator: unit === "character" ? "" : " " });
  }

  decode(ids) {
    return ids.map((i) => this.shown[i]).join(this.separator);
  }
}

/** The classes above by `Tokenizer.split_rule`, the name of the rule for splitting a text. */
const RULES = { characters: Characters, words: Words, "byte pairs": BytePairs };
