"""Writes our tokenizers as a `tokenizer.json` for the `tokenizers` library, and reads such files.

The library gives the same ids for every text that our tokenizer accepts, and the same text for all ids, except that a
text of words begins with a space. Like our tokenizer, it raises an error for a character or word that the vocabulary
lacks.
"""

from typing import Any

from headscope.checkpoint.source import UnsupportedModel
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, LineTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError

#: Splits text into single characters.
CHARACTERS = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
#: Splits text as `WordTokenizer.split` does. Only Python, not the library, counts \x1c to \x1f as white space.
WORDS = {"type": "Split", "pattern": {"Regex": r"\n|[^\s\x1c-\x1f]+"}, "behavior": "Removed", "invert": True}
#: Split text into lines and newlines, then at GPT-2's borders of words, and write each byte as one character.
LINES = {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
#: Joins decoded tokens without spaces.
FUSE = {"type": "Fuse"}
#: Joins decoded words with spaces, but not next to newlines. The first word gets a space too, because programs such as
#: `pipeline` decode only the new tokens and append the text to the prompt.
SPACES = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"Regex": r"\A(?!\n)"}, "content": " "},
        FUSE,
        {"type": "Replace", "pattern": {"String": "\n "}, "content": "\n"},
    ],
}
#: The decoder of words in earlier exports, which gives the first word no space. `WordPiece` adds a space before each
#: other word that does not begin with the prefix " ", and no word does.
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
    """Returns a decoded text as the library decodes it: a text of words begins with a space; see `SPACES`."""
    begins_with_word = isinstance(tokenizer, WordTokenizer) and text and not text.startswith("\n")
    return f" {text}" if begins_with_word else text


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """Returns the tokens that end or pad a text, by the names of their options in `tokenizer_config.json`.

    The token that ends a text also pads if no other does. A tokenizer without either has no special tokens: every
    other token is part of some text, and programs that skip special tokens would remove it.
    """
    end = tokenizer.end
    pad = end if tokenizer.pad is None else tokenizer.pad
    ids = {"eos_token": end, "pad_token": pad}
    return {option: tokenizer.vocab[i] for option, i in ids.items() if i is not None}


def write(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the content of `tokenizer.json`; raises UserError if the library cannot represent it."""
    vocab = {token: i for i, token in enumerate(tokenizer.vocab)}
    if any(0xD800 <= ord(c) < 0xE000 for token in vocab for c in token):
        raise UserError("the vocabulary has a lone surrogate, which transformers cannot represent")
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
                f"the {key} in tokenizer.json differs from those of all tokenizers of Headscope; use a model with"
                " another tokenizer"
            )
    return tokenizer


def _is_known(token: dict[str, Any], tokenizer: Tokenizer) -> bool:
    """Whether transformers added a token because `special_tokens` names it."""
    known = special_tokens(tokenizer).values()
    return token["content"] in known and tokenizer.vocab[token["id"]] == token["content"] and not token.get("lstrip")
