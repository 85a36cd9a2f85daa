"""Labels show every character of a token, and different tokens have different labels."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headscope.render.labels import label, shorten


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (" ", "·"),
        ("\n", "↵"),
        ("\t", "→"),
        ("$", "$"),
        (" love", "·love"),
        ("é日🙂", "é日🙂"),
        ("\0", "U+0000"),
        ("\r", "U+000D"),
        ("\x0b", "U+000B"),
        ("\r\n", "<U+000D>↵"),
        ("\0A", "<U+0000>A"),
        ("·", "U+00B7"),
        ("↵", "U+21B5"),
        ("→", "U+2192"),
        ("␀", "␀"),
        ("\u0301", "◌\u0301"),
        ("◌", "U+25CC"),
        ("e\u0301", "e\u0301"),
        ("\u200d", "U+200D"),
        ("\ufe0f", "U+FE0F"),
        ("⚠\ufe0f", "⚠<U+FE0F>"),
        ("\u202e", "U+202E"),
        ("\ud800", "U+D800"),
        (r"\xe2\x82", r"\xe2\x82"),
        ("", ""),
    ],
)
def test_a_token_is_readable(token, shown):
    assert label(token) == shown


def test_every_character_has_its_own_visible_label():
    characters = [chr(i) for i in range(0x30000)]
    labels = [label(c) for c in characters]
    assert len(set(labels)) == len(characters)
    assert not any(set(x) & set(" \n\t\r\0\xa0\u3000\u2028") or not x.isprintable() for x in labels)


@pytest.mark.parametrize(
    ("labels", "most", "shown"),
    [
        (["love", "cats", "love"], 8, ["love", "cats", "love"]),
        (["internal", "interesting"], 8, ["internal", "inte…ing"]),
        (["internationalisation", "internationalization"], 8, ["internat…isation", "internat…ization"]),
        (["a" * 50 + "b" * 20, "a" * 51 + "b" * 19, "c"], 5, ["aaaaaaaaaa…bbbbbbbbb#1", "aaaaaaaaaa…bbbbbbbbb#2", "c"]),
        (["abcdefghi", "abcd…ghi"], 8, ["abcdefghi", "abcd…ghi"]),
        (["<U+0000>" * 8, "<U+000D>" * 9], 8, ["<U+0000>" * 8, "<U+000D>" * 4 + "…" + "<U+000D>" * 3]),
        ([r"\xe2\x82" * 3], 5, [r"\xe2\x82…\xe2\x82"]),
        ([], 8, []),
    ],
)
def test_long_labels_lose_their_middle(labels, most, shown):
    assert shorten(labels, most) == shown


@given(st.lists(st.text("ab🙂", max_size=60)), st.integers(5, 12))
@example(["a" * n for n in range(100)], 5)
def test_different_labels_stay_different(labels, most):
    short = dict(zip(labels, shorten(labels, most), strict=True))
    assert len(set(short.values())) == len(set(labels))
    for text, shown in short.items():
        assert len(shown) <= 4 * most + 4
        assert shown == text if len(text) <= most else shown.startswith(text[: most // 2])
