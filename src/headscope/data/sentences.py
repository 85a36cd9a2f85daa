"""A few sentences as a corpus, split into words."""

import hashlib
from collections.abc import Sequence

import torch

from headscope.data.corpus import Corpus, Source, name_text_in_errors
from headscope.data.textfiles import TextFiles
from headscope.data.tokenizers import EOS, PAD, Tokenizer, WordTokenizer
from headscope.data.windows import SentenceWindows
from headscope.errors import UserError

EXAMPLE, EXAMPLE_VOCABULARY = ["I love cats"], ["dogs"]  #: the smallest example of next-word prediction


class Toy(Source):
    """One window per sentence. The validation split is the same as the training split.

    The vocabulary starts with the words of the sentences in order of occurrence, so that its first word can begin a
    sentence. The extra words, `<pad>` and `<eos>` come after them.

    Args:
        sentences: the sentences; None means the example.
        path: a file with one sentence per line, instead of the list.
        vocabulary: extra words, which need not occur in a sentence. None means `dogs` for the example, else no words.
    """

    name = "toy"

    def __init__(
        self, sentences: Sequence[str] | None = None, path: str | None = None, vocabulary: Sequence[str] | None = None
    ) -> None:
        if sentences is None and path is None and vocabulary is None:
            vocabulary = EXAMPLE_VOCABULARY
        self.sentences = list(EXAMPLE if sentences is None else sentences)
        self.path, self.vocabulary = path, list(vocabulary or ())

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        sentences = self.sentences if self.path is None else TextFiles(self.path).read().splitlines()
        words = [WordTokenizer.split(s) for s in sentences if s.strip()]
        if not words:
            raise UserError("data=toy has no sentences; add some: 'data.sentences=[I love cats, I love dogs]'")
        if tokenizer is None:
            known = dict.fromkeys(word for sentence in [*words, self.vocabulary] for word in sentence)
            tokenizer = WordTokenizer(vocab=[*(word for word in known if word not in (PAD, EOS)), PAD, EOS])
        pad, end = tokenizer.pad, tokenizer.end
        if not isinstance(tokenizer, WordTokenizer) or pad is None or end is None:
            raise UserError(
                f"data=toy does not fit the checkpoint's tokenizer: the sentences need words, {PAD} and {EOS};"
                " use a checkpoint that was trained on data=toy, or train without one"
            )
        with name_text_in_errors("data=toy"):
            ids = [torch.cat((tokenizer.encode(" ".join(s)), torch.tensor([end]))) for s in words]
        windows = SentenceWindows(ids, pad, block_size)
        sha256 = hashlib.sha256("\n".join(map(" ".join, words)).encode()).hexdigest()
        tokens = sum(map(len, ids))
        characters = sum(len(" ".join(s)) for s in words) / tokens
        note = "validates on its training sentences"
        return Corpus(self.name, sha256, tokens, tokenizer, windows, windows, characters, note)
