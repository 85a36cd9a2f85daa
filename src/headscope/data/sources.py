"""Where text comes from: download, file, embedded, a list of sentences."""

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from headscope.data.packed import pack
from headscope.data.tokenizers import EOS, PAD, BytePairTokenizer, CharTokenizer, Tokenizer, WordTokenizer
from headscope.data.tokenizers.base import tokenize
from headscope.data.windows import SentenceWindows, TextWindows, Windows
from headscope.errors import UserError
from headscope.files import write_atomically

log = logging.getLogger(__name__)

Kind = Literal["char", "word", "bpe"]
KINDS: dict[str, type[Tokenizer]] = {"char": CharTokenizer, "word": WordTokenizer, "bpe": BytePairTokenizer}
VocabSize = Annotated[int, Ge(256), Le(65536)]  #: of byte pairs; characters and words bring their own
TRAIN_FRACTION = 0.9
MOST_VALIDATION = 2_000_000  #: tokens: of gigabytes a tenth would validate for hours and be no more exact
LARGE = 64_000_000  #: bytes from which text is kept on disk, not in memory


class Unavailable(UserError):
    """The corpus is not here and cannot be fetched."""


@dataclass(frozen=True)
class Corpus:
    """What a source gives: two splits in windows, and what they are."""

    name: str
    sha256: str  #: of the text's UTF-8 bytes
    tokens: int  #: in both splits
    tokenizer: Tokenizer
    train: Windows
    val: Windows
    characters: float  #: per token of the validation split
    note: str = ""  #: what a reader of its losses must know


class Source:
    """Something that gives a corpus."""

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        """Both splits in windows of `block_size` tokens.

        Args:
            block_size: T.
            tokenizer: an earlier one, which must fit; None makes one of this text.

        Raises:
            UserError: text that is missing, empty, not UTF-8, too short for the context, or not of the tokenizer.
        """
        raise NotImplementedError


class TextSource(Source):
    """Running text, split by position: the first 90% train, the rest validates, and no window crosses the border.

    The vocabulary is that of the whole text, so that a character only validation has does not break it.
    """

    name: str

    def __init__(self, tokenizer: Kind, vocab_size: int) -> None:
        self.kind, self.vocab_size = KINDS[tokenizer], vocab_size

    def read(self) -> str:
        """The whole text."""
        raise NotImplementedError

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        self.kind.ready()
        text = self.read()
        if not text:
            raise UserError(f"the corpus {self.name} is empty; give a file with text in it")
        tokenizer, ids = tokenize(text, tokenizer or self.kind, self.vocab_size)
        return self.split(tokenizer, ids, hashlib.sha256(text.encode()).hexdigest(), block_size)

    def split(self, tokenizer: Tokenizer, ids: Tensor, sha256: str, block_size: int) -> Corpus:
        """Ids (N,) cut in two by position, each in windows of `block_size` tokens."""
        border = max(int(len(ids) * TRAIN_FRACTION), len(ids) - MOST_VALIDATION)
        val = TextWindows(ids[border:], block_size, "validation")
        train = TextWindows(ids[:border], block_size, "training")
        characters = len(tokenizer.decode(ids[border:].tolist())) / len(val.ids)
        return Corpus(self.name, sha256, len(ids), tokenizer, train, val, characters)


class TinyShakespeare(TextSource):
    """Tiny Shakespeare, 1,115,394 characters (Karpathy, char-rnn): downloaded once and verified.

    Args:
        data_dir: where the file lies or will lie.
        tokenizer: what a token is.
        vocab_size: how many byte pairs at most.
        fallback: what to train on, and say so, where the corpus cannot be had; None makes that an error.
    """

    name = "tiny_shakespeare"
    url = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
    max_bytes = 2_000_000

    def __init__(
        self,
        data_dir: str = "data",
        tokenizer: Kind = "char",
        vocab_size: VocabSize = 1024,
        fallback: Literal["pydoc"] | None = None,
    ) -> None:
        super().__init__(tokenizer, vocab_size)
        self.path = Path(data_dir) / "tiny_shakespeare.txt"
        self.tokenizer, self.fallback = tokenizer, fallback

    def read(self) -> str:
        if not self.path.exists():
            download(self.url, self.path, self.sha256, self.max_bytes)
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise UserError(
                f"{self.path} is not tiny Shakespeare (its sha256 is not {self.sha256[:8]}…) and was left as it is;"
                " move it away, or train on it with data=text data.path=…"
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


class PyDoc(TextSource):
    """The language-reference topics that every CPython carries: half a megabyte of English, no network needed.

    Args:
        tokenizer: what a token is.
        vocab_size: how many byte pairs at most.
    """

    name = "pydoc"

    def __init__(self, tokenizer: Kind = "char", vocab_size: VocabSize = 1024) -> None:
        super().__init__(tokenizer, vocab_size)

    def read(self) -> str:
        from pydoc_data.topics import topics

        return "\n\n".join(topics[key].strip() for key in sorted(topics))


class TextFiles(TextSource):
    """The user's own UTF-8 text: a file, or a folder whose files are joined in the order of their names.

    Args:
        path: the file or folder.
        tokenizer: what a token is.
        vocab_size: how many byte pairs at most.
        data_dir: where the ids of large text are kept, in a folder `packed`.
    """

    def __init__(
        self, path: str, tokenizer: Kind = "char", vocab_size: VocabSize = 1024, data_dir: str = "data"
    ) -> None:
        super().__init__(tokenizer, vocab_size)
        self.path, self.packed = Path(path), Path(data_dir) / "packed"
        self.name = self.path.name or "text"

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        files = self.files()
        if sum(f.stat().st_size for f in files) < LARGE:
            return super().load(block_size, tokenizer)
        self.kind.ready()
        tokenizer, ids, sha256 = pack(files, self.packed, tokenizer or self.kind, self.vocab_size)
        return self.split(tokenizer, ids, sha256, block_size)

    def files(self) -> list[Path]:
        """The file, or those of the folder, hidden ones left out."""
        if not self.path.exists():
            raise UserError(f"data.path={self.path} does not exist; give a UTF-8 text file or a folder of them")
        if not self.path.is_dir():
            return [self.path]
        return sorted(f for f in self.path.rglob("*") if f.is_file() and not f.name.startswith("."))

    def read(self) -> str:
        files = self.files()
        try:
            return "\n".join(read_utf8(f) for f in files)
        except OSError as e:
            raise UserError(f"data.path={self.path} cannot be read: {e.strerror}") from e


class Toy(Source):
    """Sentences, word by word, each a window of its own. It validates on the sentences it trains on.

    Args:
        sentences: the sentences.
        path: a file of them, one a line, in place of the list.
        vocabulary: words that exist even where no sentence uses them; `<pad>` and `<eos>` follow, then new words.
    """

    name = "toy"

    def __init__(self, sentences: Sequence[str], path: str | None = None, vocabulary: Sequence[str] = ()) -> None:
        self.sentences, self.path, self.vocabulary = list(sentences), path, list(vocabulary)

    def load(self, block_size: int, tokenizer: Tokenizer | None = None) -> Corpus:
        sentences = TextFiles(self.path).read().splitlines() if self.path else self.sentences
        words = [WordTokenizer.split(s) for s in sentences if s.strip()]
        if not words:
            raise UserError("data=toy has no sentences; give some: 'data.sentences=[I love cats, I love dogs]'")
        vocab = dict.fromkeys([*self.vocabulary, PAD, EOS, *(w for sentence in words for w in sentence)])
        tokenizer = tokenizer or WordTokenizer(vocab=list(vocab))
        pad, eos = tokenizer.encode(PAD), tokenizer.encode(EOS)
        ids = [torch.cat((tokenizer.encode(" ".join(s)), eos)) for s in words]
        windows = SentenceWindows(ids, int(pad), block_size)
        sha256 = hashlib.sha256("\n".join(map(" ".join, words)).encode()).hexdigest()
        tokens = sum(map(len, ids))
        characters = sum(len(" ".join(s)) for s in words) / tokens
        note = "validates on its training sentences"
        return Corpus(self.name, sha256, tokens, tokenizer, windows, windows, characters, note)


def read_utf8(path: Path) -> str:
    """The text of a file, without a byte-order mark.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise UserError(
            f"{path} is not UTF-8 text (byte {e.start}); convert it: iconv -f latin1 -t utf-8 {path.name}"
        ) from e


def download(url: str, path: Path, sha256: str, max_bytes: int, tries: int = 3, seconds: float = 60) -> None:
    """Fetches a file, checks it, and only then puts it in place; safe when two processes do it at once.

    Args:
        url: where from.
        path: where to; its folder is made.
        sha256: of the right content.
        max_bytes: more is refused while it arrives.
        tries: attempts, with a pause that doubles.
        seconds: for each attempt as a whole, so that a drip ends.

    Raises:
        Unavailable: not to be had, in one line with what to do.
    """
    import requests  # here: a quarter of a second that only a download needs
    import urllib3

    log.info("fetching %s", url)
    reason = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(2**attempt / 2)
        try:
            content = _fetch(url, max_bytes, seconds)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as e:
            reason = f"{type(e).__name__}"
            response = getattr(e, "response", None)
            if response is not None:
                reason = f"HTTP {response.status_code}"
                if 400 <= response.status_code < 500:
                    break
            continue
        if hashlib.sha256(content).hexdigest() == sha256:
            write_atomically(path, content)
            return
        reason = f"{len(content)} bytes with a wrong checksum"
    raise Unavailable(
        f"{path.name} cannot be had ({reason}): put the file at {path} yourself, from {url},"
        " or train on data=pydoc, data=toy or data=text, which need no network"
    )


def _fetch(url: str, max_bytes: int, seconds: float) -> bytes:
    import requests

    deadline = time.monotonic() + seconds
    content = bytearray()
    with requests.get(url, stream=True, timeout=(5, 15)) as response:
        response.raise_for_status()
        while piece := response.raw.read1(1 << 16, decode_content=True):  # what is there: a drip is noticed
            content += piece
            if len(content) > max_bytes:
                raise requests.RequestException("more than was expected")
            if time.monotonic() > deadline:
                raise requests.Timeout("too slow")
    return bytes(content)
