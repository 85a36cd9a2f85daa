"""Python's own documentation as a corpus."""

from headscope.data.corpus import Kind, TextSource, VocabSize


class PyDoc(TextSource):
    """The language-reference topics that come with every CPython: half a megabyte of English, no network needed.

    Args:
        tokenizer: what a token is.
        vocab_size: the largest vocabulary of byte pairs.
    """

    name = "pydoc"

    def __init__(self, tokenizer: Kind = "char", vocab_size: VocabSize = 1024) -> None:
        super().__init__(tokenizer, vocab_size)

    def read(self) -> str:
        from pydoc_data.topics import topics

        return "\n\n".join(topics[key].strip() for key in sorted(topics))
