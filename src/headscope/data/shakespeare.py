"""Tiny Shakespeare, and the download of its file."""

import hashlib
import logging
import time
from pathlib import Path
from typing import Literal

from headscope.data.corpus import Corpus, Split, TextSource, TokenizerName, VocabSize
from headscope.data.pydoc import PyDoc
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.files import write_atomically

log = logging.getLogger(__name__)


class Unavailable(UserError):
    """The corpus is not on this machine and could not be downloaded."""


class TinyShakespeare(TextSource):
    """Tiny Shakespeare, 1,115,394 characters (Karpathy, char-rnn), downloaded once and verified by its checksum.

    If the download fails, a run trains on `fallback` instead, with a warning; without a fallback, the run fails.
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
        split: Split = "last",
    ) -> None:
        super().__init__(tokenizer, vocab_size, split)
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
            return PyDoc(self.tokenizer, self.vocab_size, self.split).load(block_size, tokenizer)


def download(url: str, path: Path, sha256: str, max_bytes: int, tries: int = 3, seconds: float = 60) -> None:
    """Downloads a file and checks it before moving it into place; several processes may do this at the same time.

    The pause between attempts doubles. Each attempt has a time limit in seconds, so that a server that sends one byte
    at a time cannot block a run. Raises `Unavailable` after the last attempt, or at once after an HTTP
    status from 400 to 499, and the errors of `write_atomically`.
    """
    import requests  # imported here because the import takes a quarter of a second
    import urllib3

    log.info("downloading %s", url)
    reason = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(2**attempt / 2)
        try:
            content = _fetch(url, max_bytes, seconds)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as e:
            response = getattr(e, "response", None)
            reason = type(e).__name__ if response is None else f"HTTP {response.status_code}"
            if response is not None and 400 <= response.status_code < 500:
                break
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            write_atomically(path, content)
            return
        reason = f"{len(content)} bytes with a wrong checksum"
    raise Unavailable(
        f"{path.name} could not be downloaded ({reason}); save {url} as {path} yourself,"
        " or train on data=pydoc, data=toy or data=text, which need no network"
    )


def _fetch(url: str, max_bytes: int, seconds: float) -> bytes:
    import requests

    deadline = time.monotonic() + seconds
    content = bytearray()
    with requests.get(url, stream=True, timeout=(5, 15)) as response:
        response.raise_for_status()
        # read1 returns as soon as some bytes arrive, so that the deadline is checked often.
        while piece := response.raw.read1(1 << 16, decode_content=True):
            content += piece
            if len(content) > max_bytes:
                raise requests.RequestException("more bytes than expected")
            if time.monotonic() > deadline:
                raise requests.Timeout("too slow")
    return bytes(content)
