"""Writes our tokenizers as a `tokenizer.json` for the `tokenizers` library, and reads such files.

The library gives the same ids for every text that our tokenizer accepts, and the same text for all ids, except that it
puts a space before a text that begins with a word. Like our tokenizer, it raises an error for a character or word that
the vocabulary lacks.
"""

from typing import Any

from headscope.checkpoint.source import UnsupportedModel
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, LineTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError

#: Splits text into single characters.
CHARACTERS = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
#: Splits text as `WordTokenizer.split` does. Only Python, not the library, counts \x1c to \x1f as white space.
WORDS = {"type": "Split", "pattern": {"Regex": r"\n|[^\s\x1c-\x1f]+"}, "behavior": "Removed", "invert": True}
#: `LINES` splits text into lines and newlines. `BYTES` then splits the lines as GPT-2 does, and writes each byte as one
#: character.
LINES = {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
#: Joins decoded tokens without spaces.
FUSE = {"type": "Fuse"}
#: Joins decoded words with spaces, but not next to newlines. A space precedes the first word too, because programs like
#: `pipeline` decode only the new tokens and append their text to the prompt.
SPACES = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"Regex": r"\A(?!\n)"}, "content": " "},
        FUSE,
        {"type": "Replace", "pattern": {"String": "\n "}, "content": "\n"},
    ],
}
#: The decoder of words in earlier exports, which puts no space before the first word. `WordPiece` puts one before each
#: later word that does not begin with `prefix`. No word begins with a space, so every later word gets one.
OLD_SPACES = {
    "type": "Sequence",
    "decoders": [
        {"type": "WordPiece", "prefix": " ", "cleanup": False},
        FUSE,
        {"type": "Replace", "pattern": {"String": " \n"}, "content": "\n"},
        {"type": "Replace", "pattern": {"String": "\n "}, "content": "\n"},
    ],
}
#: A post-processor that adds no special tokens, in the form in which transformers saves it.
NO_SPECIAL_TOKENS = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
#: A BPE model, without its vocabulary and merges.
BYTE_PAIRS: dict[str, Any] = {
    "type": "BPE",
    **dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")),
    **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False),
}


def spaced(tokenizer: Tokenizer, text: str) -> str:
    """Returns a text that our tokenizer decoded as the library decodes it, with the first space of `SPACES`."""
    begins_with_word = isinstance(tokenizer, WordTokenizer) and text and not text.startswith("\n")
    return f" {text}" if begins_with_word else text


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns the tokens that end or pad a text, by the names of their options in `tokenizer_config.json`.

    If there is no padding token, the end token also pads. No other token is special, because programs that skip special
    tokens would remove it from a text.
    """
    end = tokenizer.end
    pad = end if tokenizer.pad is None else tokenizer.pad
    ids = {"eos_token": end, "pad_token": pad}
    return {option: tokenizer.vocab[i] for option, i in ids.items() if i is not None}


def write(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the content of `tokenizer.json`; raises UserError if the library cannot represent it."""
    vocab = {token: i for i, token in enumerate(tokenizer.vocab)}
    if any(0xD800 <= ord(c) < 0xE000 for token in vocab for c in token):
        advice = "use --format safetensors"
        raise UserError(f"the vocabulary has half of a surrogate pair, which transformers cannot store; {advice}")
    split: dict[str, Any]
    decoder: dict[str, Any]
    if isinstance(tokenizer, BytePairTokenizer):
        split, decoder = {"type": "Sequence", "pretokenizers": [LINES, BYTES]}, BYTES | {"add_prefix_space": True}
        model = BYTE_PAIRS | {"vocab": vocab, "merges": [pair.split(" ") for pair in tokenizer.merges]}
    elif isinstance(tokenizer, CharTokenizer | WordTokenizer):
        words = isinstance(tokenizer, WordTokenizer)
        split, decoder = (WORDS, SPACES) if words else (CHARACTERS, FUSE)
        # The unknown token is not in the vocabulary, so that unknown words and characters raise an error.
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": " " if words else "<unk>"}
    else:
        raise UserError(f"transformers has no counterpart to {type(tokenizer).__name__}; use --format safetensors")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": split,
        "post_processor": NO_SPECIAL_TOKENS,
        "decoder": decoder,
        "model": model,
    }


def read(saved: dict[str, Any], end: int | None) -> Tokenizer:
    """Returns the Headscope tokenizer that `write` would save as this `tokenizer.json`.

    `end` is the id of the token that ends a text: if that token is a newline, every line is a text. Raises
    UnsupportedModel if the tokenizer splits or joins text differently from ours.
    """
    model = saved["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    tokenizer: Tokenizer
    if model["type"] == "BPE":
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        tokenizer = BytePairTokenizer(vocab=vocab, merges=merges)
        model = model | {"merges": [pair.split(" ") for pair in tokenizer.merges]}  # older versions save strings
    elif all(len(token) == 1 for token in vocab) and saved.get("decoder") == FUSE:
        lines = end is not None and vocab[end : end + 1] == ["\n"]
        tokenizer = (LineTokenizer if lines else CharTokenizer)(vocab=vocab)
    else:
        tokenizer = WordTokenizer(vocab=vocab)
    theirs = saved | {"truncation": None, "padding": None, "model": model}
    theirs["added_tokens"] = [token for token in saved["added_tokens"] if not _is_known(token, tokenizer)]
    theirs["decoder"] = SPACES if saved.get("decoder") == OLD_SPACES else saved.get("decoder")
    for key, value in write(tokenizer).items():
        if theirs.get(key) != value:
            raise UnsupportedModel(
                f"no tokenizer of Headscope has the {key} that is in tokenizer.json; use a model with another tokenizer"
            )
    return tokenizer


def _is_known(token: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """Whether `special_tokens` names an added token, so that transformers added it to the file."""
    known = special_tokens(tokenizer).values()
    return token["content"] in known and tokenizer.vocab[token["id"]] == token["content"] and not token.get("lstrip")
