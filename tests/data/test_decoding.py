"""Decoding of files: some encodings are read, and a message gives advice for all others."""

import bz2
import gzip
import io
import lzma
import pickle
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from headscope.data import decoding
from headscope.data.decoding import NotText, Unreadable, decode_stream, read_text
from headscope.errors import UserError

ENGLISH = "To be, or not to be:\r\nthat is the question.\n" * 30
RUSSIAN = "Быть или не быть, вот в чём вопрос.\n" * 30
TEXTS = (ENGLISH, RUSSIAN, "日本語の文章 and 𝒳\n" * 30, "x", "")


@pytest.fixture(params=[1 << 20, 101], ids=["whole", "chunks"], autouse=True)
def _chunk(request, monkeypatch):
    """The number of bytes read at a time: the whole file, or so few that reads split characters of several bytes."""
    monkeypatch.setattr(decoding, "CHUNK", request.param)


def read(content):
    return "".join(decode_stream(io.BytesIO(content), "a file"))


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("text", TEXTS, ids=["English", "Russian", "Japanese", "short", "empty"])
def test_text_is_read(text, codec):
    assert read(text.encode(codec)) == text


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"])
def test_a_byte_order_mark_is_believed(codec):
    assert read(("\ufeff" + RUSSIAN).encode(codec)) == RUSSIAN


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"])
@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN, "ab"], ids=["English", "Russian", "two letters"])
def test_without_a_mark_a_file_is_not_text(codec, text):
    with pytest.raises(NotText, match="a file is not text: ") as error:
        read(text.encode(codec))
    assert "latin1" not in str(error.value)


@pytest.mark.parametrize("text", ["naïve café, déjà vu\n" * 20, "é", "a" * 500 + "ÿþ"], ids=["French", "letter", "end"])
@pytest.mark.parametrize("codec", ["latin1", "cp1252"])
def test_one_byte_per_character_gets_advice_that_converts_the_file(text, codec):
    content = text.encode(codec)
    with pytest.raises(UserError, match=r"a file is not UTF-8 text \(byte \d+\); convert it: iconv -f latin1") as error:
        read(content)
    assert "cp1252" in str(error.value)
    assert f"(byte {next(i for i, byte in enumerate(content) if byte > 127)})" in str(error.value)
    assert not isinstance(error.value, NotText)


def binary_files():
    """Returns the bytes of files that are not text, by name. Libraries write them where possible."""
    png, archive = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(png, "png")
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("a.txt", ENGLISH)
    return {
        "PNG": png.getvalue(),
        "ZIP": archive.getvalue(),
        "gzip": gzip.compress(ENGLISH.encode()),
        "bzip2": bz2.compress(ENGLISH.encode()),
        "xz": lzma.compress(ENGLISH.encode()),
        "PDF": b"%PDF-1.4\n1 0 obj <</Type /Catalog>> endobj\n",
        "pickle": pickle.dumps({"a": [1.5, None]}),
        "token ids": b"".join(i.to_bytes(2, "little") for i in (18, 47, 56, 0, 1, 58, 39, 200) * 40),
        "noise": random.Random(1).randbytes(3000),
        "noise without NUL": random.Random(2).randbytes(3000).replace(b"\0", b"\1"),
        "text with a NUL": b"to be\0or not to be",
        "marked text with a NUL": "to be\0or not".encode("utf-16"),
    }


@pytest.mark.parametrize(("kind", "content"), binary_files().items(), ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_not_text_is_not_to_be_converted(kind, content):
    with pytest.raises(NotText, match="a file is not text: ") as error:
        read(content)
    assert "iconv" not in str(error.value)
    assert "latin1" not in str(error.value)
    if kind in ("ZIP", "PDF"):
        assert f" {kind} " in str(error.value)


def test_a_marked_text_that_is_cut_is_damaged():
    with pytest.raises(UserError, match=rf"a file is damaged UTF-16 text \(byte {2 * len(ENGLISH)}\)"):
        read(ENGLISH.encode("utf-16")[:-1])


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")))
def test_any_text_comes_back(text):
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        assert read(text.encode(codec)) == text


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a\nb").mkdir()
    with pytest.raises(Unreadable, match=r"a\\nb' could not be read: Is a directory"):
        read_text(tmp_path / "a\nb")
