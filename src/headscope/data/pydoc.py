"""Python's own documentation as a corpus."""

from headscope.data.corpus import TextSource


class PyDoc(TextSource):
    """The language reference included in every CPython: half a megabyte of English, available without a network."""

    name = "pydoc"

    def read(self) -> str:
        from pydoc_data.topics import topics

        return "\n\n".join(topics[key].strip() for key in sorted(topics))
