"""Writes our tokenizers as a `tokenizer.json` of the `tokenizers` library, and reads such files.

The library gives the same ids for every text that our tokenizer accepts, and the same text for all ids. Like ours,
it raises an error for a character or word that the vocabulary lacks.
"""

from typing import Any

from headscope.checkpoint.source import UnsupportedModel
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, LineTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError

#: Splits text into single characters.
CHARACTERS = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
#: Splits text as `WordTokenizer.split`. Python counts \x1c to \x1f as white space, and that library does not.
WORDS = {"type": "Split", "pattern": {"Regex": r"\n|[^\s\x1c-\x1f]+"}, "behavior": "Removed", "invert": True}
#: Split text into lines and newlines, and then into bytes, which a model of byte pairs joins.
LINES = {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": False}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
#: Joins decoded tokens without spaces.
FUSE = {"type": "Fuse"}
#: Joins decoded words with spaces, but not next to newlines. `WordPiece` adds a space before each word that does not
#: begin with the prefix, and no word begins with a space.
SPACES = {
    "type": "Sequence",
    "decoders": [
        {"type": "WordPiece", "prefix": " ", "cleanup": False},
        FUSE,
        {"type": "Replace", "pattern": {"String": " \n"}, "content": "\n"},
        {"type": "Replace", "pattern": {"String": "\n "}, "content": "\n"},
    ],
}
#: Adds no special tokens. transformers saves it in this form.
NO_SPECIAL_TOKENS = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
#: A model of byte pairs, without its vocabulary and merges.
BYTE_PAIRS: dict[str, Any] = {
    "type": "BPE",
    **dict.fromkeys(("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")),
    **dict.fromkeys(("fuse_unk", "byte_fallback", "ignore_merges"), False),
}


def write(tokenizer: Tokenizer) -> dict[str, Any]:
    """Returns the content of `tokenizer.json`; raises UserError if the library has no such tokenizer or token."""
    vocab = {token: i for i, token in enumerate(tokenizer.vocab)}
    if any(0xD800 <= ord(c) < 0xE000 for token in vocab for c in token):
        raise UserError("the vocabulary has a lone surrogate, which no text of transformers can have")
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
        raise UserError(f"transformers has no counterpart of {type(tokenizer).__name__}; use --format safetensors")
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
    """Returns our tokenizer that `write` would have saved as this `tokenizer.json`.

    `end` is the id of the token that ends a text: if that token is a newline, every line is a text. Raises
    UnsupportedModel if the tokenizer splits or joins text in another way than ours.
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
    for key, value in write(tokenizer).items():
        if theirs.get(key) != value:
            raise UnsupportedModel(
                f"Headscope has no such tokenizer: the {key} of tokenizer.json differs; a model reads only with the"
                " tokenizer that it was trained with"
            )
    return tokenizer
