// Text to ids and back, by the rules of `headscope.data.tokenizers`: characters, words or byte pairs.

/** A tokenizer of what Python hands over: `unit`, `vocab`, and for byte pairs `merges`. */
export function tokenizerOf(vocabulary) {
  if (vocabulary.merges) return new BytePairs(vocabulary);
  return vocabulary.unit === "word" ? new Words(vocabulary) : new Characters(vocabulary);
}

class Characters {
  constructor({ vocab }) {
    this.vocab = vocab;
    this.id = new Map(vocab.map((token, i) => [token, i]));
  }

  /** The tokens of a text, whatever the vocabulary. */
  split(text) {
    return Array.from(text);
  }

  /** Ids, and the tokens that the vocabulary lacks: they are left out. */
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
    // a newline, or characters that Python does not call white space
    return text.match(/\n|[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g) ?? [];
  }

  /** A space before each word, except at the start of a line and before its end. */
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

// As GPT-2 cuts a text; \s of JavaScript counts U+FEFF as white space and U+0085 not.
const PIECES =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

class BytePairs extends Characters {
  constructor(vocabulary) {
    super(vocabulary);
    this.rank = new Map(vocabulary.merges.map((pair, i) => [pair, i]));
    const printable = [
      [0x21, 0x7f],
      [0xa1, 0xad],
      [0xae, 0x100],
    ];
    const whole = printable.flatMap(([from, to]) => Array.from({ length: to - from }, (_, i) => from + i));
    const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !whole.includes(byte));
    this.byte = new Map([
      ...whole.map((byte) => [String.fromCharCode(byte), byte]),
      ...others.map((byte, i) => [String.fromCharCode(256 + i), byte]),
    ]);
    this.character = new Map([...this.byte].map(([character, byte]) => [byte, character]));
  }

  split(text) {
    return text
      .split(/(\n)/)
      .flatMap((line) => (line === "\n" ? [line] : (line.match(PIECES) ?? [])))
      .flatMap((piece) => this.#merged(piece));
  }

  /** One piece as bytes, of which the pairs that were learned first are merged first. */
  #merged(piece) {
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
