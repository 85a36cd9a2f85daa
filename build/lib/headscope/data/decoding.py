"""From the bytes of a file to text. Nothing is guessed: UTF-8, or what a byte-order mark says.

Files of other kinds are refused with advice that suits them: a picture has no encoding to convert.
"""

import codecs
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from headscope.errors import UserError

CHUNK = 1 << 20  #: bytes read at a time
#: UTF-32 comes first: its little-endian mark begins with that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
#: How files begin that people take for text, or find beside it.
BINARY = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF87a": "a GIF image",
    b"GIF89a": "a GIF image",
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (as are docx, odt and epub files)",
    b"PK\x05\x06": "an empty ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"\x1f\x8b": "gzip data",
    b"BZh91AY&SY": "bzip2 data",
    b"\xfd7zXZ": "xz data",
    b"\x28\xb5\x2f\xfd": "zstd data",
    b"7z\xbc\xaf": "a 7z archive",
}
#: Control characters that text does not have: all but tab, line ends, page breaks, escape and the end mark of DOS.
CONTROL = bytes({*range(0x20), 0x7F} - {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x1A, 0x1B})
UNMARKED = ("utf-32le", "utf-32be", "utf-16le", "utf-16be")  #: as iconv spells them too


class NotText(UserError):
    """A file that holds something other than text."""


class Unreadable(UserError):
    """A file that the operating system does not let us read."""


def decoded(stream: BinaryIO, name: str) -> Iterator[str]:
    """Yields the text of a binary stream in pieces, without a byte-order mark.

    Args:
        stream: read once, from where it stands.
        name: of the file, for messages.

    Raises:
        NotText: it is binary: it begins as such files do, or has NUL characters.
        UserError: it is text in another encoding, or damaged.
    """
    content, place = stream.read(CHUNK), 0
    codec = codec_of(content, name)
    decoder = codecs.getincrementaldecoder(codec)()
    while True:
        try:
            text = decoder.decode(content, final=not content)
        except UnicodeDecodeError as e:
            raise _undecodable(e.object, codec, name, place + len(content) - len(e.object) + e.start) from e
        if "\0" in text:
            raise NotText(f"{name} is not text: it has NUL characters; give a text file")
        yield text
        if not content:
            return
        place += len(content)
        content = stream.read(CHUNK)


def read_text(path: Path) -> str:
    """Returns the text of a file.

    Raises:
        Unreadable: the operating system refuses.
        UserError: see `decoded`.
    """
    return "".join(file_pieces(path))


def file_pieces(path: Path) -> Iterator[str]:
    """Yields the text of a file in pieces.

    Raises:
        Unreadable: the operating system refuses.
        UserError: see `decoded`.
    """
    try:
        with path.open("rb") as f:
            yield from decoded(f, shown(path))
    except OSError as e:
        raise Unreadable(f"{shown(path)} could not be read: {e.strerror}; give a readable text file") from e


def codec_of(start: bytes, name: str) -> str:
    """Returns the codec of a text that begins with these bytes.

    Raises:
        NotText: the beginning is that of another kind of file.
        UserError: it is UTF-16 or UTF-32 and no mark says which.
    """
    for mark, codec in MARKS.items():
        if start.startswith(mark):
            return codec
    for magic, kind in BINARY.items():
        if start.startswith(magic):
            raise NotText(f"{name} is not text: it is {kind}; give a text file")
    if 0 in start and (codec := unmarked(start[:4096])):
        raise UserError(
            f"{name} is {codec.upper()} text without a byte-order mark; convert it: iconv -f {codec} -t utf-8"
        )
    return "utf-8"


def unmarked(start: bytes) -> str:
    """Returns the UTF-16 or UTF-32 codec that makes plain text of these bytes; empty if none does so beyond doubt.

    Plain text has no control characters, and seven of eight characters come from alphabets, not from the thousands of
    East Asian characters: with the wrong codec, pairs of ASCII bytes become those.
    """
    for codec in UNMARKED:
        try:
            text = codecs.getincrementaldecoder(codec)().decode(start)
        except UnicodeDecodeError:
            continue
        strange = any(unicodedata.category(c) in ("Cc", "Cn", "Co") and c not in "\t\n\v\f\r" for c in text)
        if text and not strange and sum(c < "\u2e80" for c in text) >= len(text) * 7 / 8:
            return codec
    return ""


def _undecodable(content: bytes, codec: str, name: str, place: int) -> UserError:
    """The error for bytes that a codec does not take: an encoding of one byte per character, damage, or no text."""
    if codec != "utf-8":
        return UserError(f"{name} is damaged {codec.removesuffix('-sig').upper()} text (byte {place}); repair the file")
    if len(content) - len(content.translate(None, CONTROL)) > len(content) // 100:
        return NotText(f"{name} is not text: it is binary data (byte {place}); give a text file")
    return UserError(
        f"{name} is not UTF-8 text (byte {place}); convert it: iconv -f latin1 -t utf-8, or -f cp1252 if it is from"
        " Windows"
    )


def shown(path: Path | str) -> str:
    """Returns a path for a message: odd names are quoted, so that a line stays one line and can be printed."""
    return str(path) if str(path).isprintable() else repr(str(path))
