"""Tiny Shakespeare."""

import hashlib
import logging
from pathlib import Path
from typing import Literal

from headscope.data.corpus import Corpus, TextSource, TokenizerName, VocabSize
from headscope.data.download import Unavailable, download
from headscope.data.pydoc import PyDoc
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError

log = logging.getLogger(__name__)


class TinyShakespeare(TextSource):
    """Tiny Shakespeare, 1,115,394 characters (Karpathy, char-rnn): downloaded once and verified.

    Args:
        data_dir: the folder for the file.
        tokenizer: splits the text into tokens.
        vocab_size: the largest vocabulary of byte pairs.
        fallback: the corpus to train on, with a warning, if the download fails; None raises an error instead.
    """

    name = "tiny_shakespeare"
    url = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    max_bytes = 2_000_000

    def __init__(
        self,
        data_dir: str = "data",
        tokenizer: TokenizerName = "char",
        vocab_size: VocabSize = 1024,
        fallback: Literal["pydoc"] | None = None,
    ) -> None:
        super().__init__(tokenizer, vocab_size)
        self.path = Path(data_dir) / "tiny_shakespeare.txt"
        self.tokenizer, self.fallback = tokenizer, fallback

    def read(self) -> str:
        if not self.path.exists():
            download(self.url, self.path, self.sha256, self.max_bytes)
        try:
            content = self.path.read_bytes()
        except OSError as e:
            raise UserError(f"{self.path} could not be read: {e.strerror}; choose another paths.data_dir") from e
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UserError(
                f"{self.path} is not tiny Shakespeare (its sha256 is not {self.sha256[:8]}…) and was left"
                " unchanged; move it away, or train on it with data=text data.path=…"
            )
        return content.decode()

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        try:
            return super().load(block_size, tokenizer)
        except Unavailable as e:
            if self.fallback is None:
                raise
            log.warning("%s", e)
            log.warning("NO TINY SHAKESPEARE: training on %s instead, Python's own documentation.", self.fallback)
            return PyDoc(self.tokenizer, self.vocab_size).load(block_size, tokenizer)
