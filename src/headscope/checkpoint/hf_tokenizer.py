"""Our tokenizers as a `tokenizer.json` of the `tokenizers` library, and back.

Nothing is added and nothing cleaned up: that library gives every text that ours can take the same ids, raises an error
for a character or a word that the vocabulary lacks, as ours does, and turns ids into the same text.
"""

from typing import Any

from headscope.checkpoint.hf_families import Foreign
from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, LineTokenizer, Tokenizer, WordTokenizer
from headscope.errors import UserError

#: Each character by itself.
CHARACTERS = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
#: What `WordTokenizer.split` finds: to Python, four more characters are white space than to that library.
WORDS = {"type": "Split", "pattern": {"Regex": r"\n|[^\s\x1c-\x1f]+"}, "behavior": "Removed", "invert": True}
#: Byte pairs within lines; a newline by itself.
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
LINES = {"type": "Split", "pattern": {"String": "\n"}, "behavior": "Isolated", "invert": False}
JOINED = {"type": "Fuse"}
#: Nothing before or behind a text, as transformers says it.
ALONE = {
    "type": "TemplateProcessing",
    "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}
#: A space before each word but the first, since no word begins with the prefix; none beside newlines.
SPACED = {
    "type": "Sequence",
    "decoders": [
        {"type": "WordPiece", "prefix": " ", "cleanup": False},
        JOINED,
        {"type": "Replace", "pattern": {"String": " \n"}, "content": "\n"},
        {"type": "Replace", "pattern": {"String": "\n "}, "content": "\n"},
    ],
}
#: What a model of byte pairs is, beside its vocabulary and merges.
PAIRS = {
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}


def write(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of `tokenizer.json`.

    Raises:
        UserError: that library has no such tokenizer, or cannot hold one of its tokens.
    """
    vocab = {token: i for i, token in enumerate(tokenizer.vocab)}
    if any(0xD800 <= ord(c) < 0xE000 for token in vocab for c in token):
        raise UserError("the vocabulary has a lone surrogate, which no text of transformers can have")
    if isinstance(tokenizer, BytePairTokenizer):
        split: Any = {"type": "Sequence", "pretokenizers": [LINES, BYTES]}
        decoder: Any = BYTES | {"add_prefix_space": True}
        model = PAIRS | {"vocab": vocab, "merges": [pair.split(" ") for pair in tokenizer.merges]}
    elif isinstance(tokenizer, CharTokenizer):
        split, decoder = CHARACTERS, JOINED
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"}  # no character: so nothing is unknown
    elif isinstance(tokenizer, WordTokenizer):
        split, decoder = WORDS, SPACED
        model = {"type": "WordLevel", "vocab": vocab, "unk_token": " "}  # no word either
    else:
        raise UserError(f"transformers has no counterpart of {type(tokenizer).__name__}; use --format safetensors")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": split,
        "post_processor": ALONE,
        "decoder": decoder,
        "model": model,
    }


def read(saved: dict[str, Any], end: int | None) -> Tokenizer:
    """The tokenizer of a `tokenizer.json`: one of ours, if ours would have written the same.

    Args:
        saved: the file's content.
        end: id of the token that ends a text. Where it is a newline, texts are lines.

    Raises:
        Foreign: it splits or joins text in another way than ours.
    """
    model = saved["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    found: Tokenizer
    if model["type"] == "BPE":
        merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
        found = BytePairTokenizer(vocab=vocab, merges=merges)
    elif all(len(token) == 1 for token in vocab) and saved.get("decoder") == JOINED:
        lines = end is not None and vocab[end : end + 1] == ["\n"]
        found = (LineTokenizer if lines else CharTokenizer)(vocab=vocab)
    else:
        found = WordTokenizer(vocab=vocab)
    ours = write(found)
    for key in ours:
        theirs = saved.get(key)
        if isinstance(theirs, dict) and key == "model":
            theirs = theirs | {"merges": ours[key].get("merges")} if "merges" in theirs else theirs
        if theirs != ours[key] and key not in ("truncation", "padding"):
            raise Foreign(
                f"its tokenizer is none of Headscope's: the {key} of tokenizer.json differs; a model reads only with"
                " the tokenizer that it was trained with"
            )
    return found
