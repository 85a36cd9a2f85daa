"""Decodes files as UTF-8, or as the encoding that a byte-order mark names; never guesses an encoding.

Other files raise an error with advice that depends on their content, such as a command that converts their encoding.
"""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headscope.errors import UserError

CHUNK = 1 << 20  #: bytes read at a time
#: UTF-32 comes first, because its little-endian mark begins with the UTF-16 little-endian mark.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
#: First bytes of documents that contain text but are not text files.
BINARY = {b"%PDF-": "a PDF document", b"PK\x03\x04": "a ZIP archive (as are docx, odt and epub files)"}
#: Control characters that do not occur in text: all but tab, line ends, page breaks, escape and DOS end-of-file.
CONTROL = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1A, 0x1B})


class NotText(UserError):
    """The file is not text."""


class Unreadable(UserError):
    """The operating system does not let us read the file."""


def decode_stream(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yields the text of a binary stream in pieces, without a byte-order mark; raises `UserError` for other data."""
    content, offset = stream.read(CHUNK), 0
    codec = codec_of(content, name)
    decoder = codecs.getincrementaldecoder(codec)()
    while True:
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeDecodeError as e:
            raise _decoding_error(e.object, codec, name, offset + len(content) - len(e.object) + e.start) from e
        if "\0" in text:
            raise NotText(f"{name} is not text: it has NUL characters; use a text file, or save it as UTF-8")
        yield text
        if not content:
            return
        offset += len(content)
        content = stream.read(CHUNK)


def read_text(path: Path) -> str:
    """Returns the text of a file; raises the errors of `file_pieces`."""
    return "".join(file_pieces(path))


def file_pieces(path: Path) -> Iterator[str]:
    """Yields the text of a file in pieces; raises `Unreadable`, or the errors of `decode_stream`."""
    try:
        with path.open("rb") as f:
            yield from decode_stream(f, printable(path))
    except OSError as e:
        raise Unreadable(f"{printable(path)} could not be read: {e.strerror}; use a readable text file") from e


def codec_of(start: bytes, name: str) -> str:
    """Returns the codec of a text from its first bytes; raises `NotText` for a document that is not a text file."""
    for mark, codec in MARKS.items():
        if start.startswith(mark):
            return codec
    for magic, kind in BINARY.items():
        if start.startswith(magic):
            raise NotText(f"{name} is not text: it is {kind}; use a text file")
    return "utf-8"


def _decoding_error(content: bytes, codec: str, name: str, offset: int) -> UserError:
    """Returns the error for bytes that a codec cannot decode: damaged text, binary data or a one-byte encoding."""
    if codec != "utf-8":
        return UserError(f"{name} is damaged {codec.removesuffix('-sig').upper()} text (byte {offset}); repair it")
    if len(content) - len(content.translate(None, CONTROL)) > len(content) // 100:
        return NotText(f"{name} is not text: it is binary data (byte {offset}); use a text file")
    convert = "convert it: iconv -f latin1 -t utf-8, or -f cp1252 if it is from Windows"
    return UserError(f"{name} is not UTF-8 text (byte {offset}); {convert}")


def printable(path: Path | str) -> str:
    """Returns a path for a one-line message, quoted and escaped if it has unprintable characters."""
    return str(path) if str(path).isprintable() else repr(str(path))
