"""Every drawn glyph is in its font, and no part of a glyph is cut off."""

import unicodedata

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

from headscope.render import fonts
from tests.conftest import shell

DEJAVU = fonts._font_names()[:2]


@pytest.fixture
def only(monkeypatch):
    """Draws text with only the given fonts, and ignores the system's fonts."""

    def use(*names):
        fonts.text_mask.cache_clear()
        monkeypatch.setattr(fonts, "_font_names", lambda: names)

    yield use
    fonts.text_mask.cache_clear()


def drawn(text, font):
    """Returns a text in one font (mode L), drawn with room on all sides and cropped."""
    page = Image.new("L", (60 + 20 * len(text), 120))
    ImageDraw.Draw(page).text((30, 60), text, 255, font, anchor="ls")
    return page.crop(page.getbbox())


@pytest.mark.parametrize("name", DEJAVU, ids=["mono", "sans"])
def test_a_font_has_the_characters_of_its_table(name):
    with TTFont(name) as file:
        table = file.getBestCmap()
    simple = [c for c in map(chr, range(0x21, 0x3000)) if c.isprintable() and not unicodedata.decomposition(c)]
    letters = [c for c in simple if unicodedata.category(c)[0] in "LN"]
    assert len(letters) > 5000
    assert [c for c in letters if fonts._can_draw(name, c)] == [c for c in letters if ord(c) in table]


def test_a_missing_font_has_nothing():
    assert not fonts._can_draw("no-such-font.ttf", "a")


def test_common_characters_need_no_font_of_the_system(only):
    only(*DEJAVU, fonts.PILLOW)
    text = "é ß — × € Ж λ · ↵ → … ◌ ± ∞ √ א ع 😀"
    assert fonts.replace_undrawable(text) == text


def test_similar_letters_differ():
    assert len({fonts.text_mask(c, 11).tobytes() for c in "Il1|O0"}) == 6


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("你", "U+4F60"),
        ("a你A", "a<U+4F60>A"),
        ("\n", "U+000A"),
        ("\u2800", "U+2800"),  # a Braille pattern without dots
        ("\u200b", "U+200B"),
        ("\ud800", "U+D800"),
        ("\U0010ffff", "U+10FFFF"),
        ("◌\u093f", "◌<U+093F>"),  # text shaping would draw an additional circle and a box
        ("a b", "a b"),
    ],
)
def test_what_no_font_shows_is_a_code_point(only, text, shown):
    only(*DEJAVU, fonts.PILLOW)
    assert fonts.replace_undrawable(text) == shown


def test_ascii_needs_pillow_alone(only):
    only(fonts.PILLOW)
    text = "".join(map(chr, range(0x20, 0x7F)))
    assert fonts.replace_undrawable(text) == text
    assert fonts.text_mask("é", 13).tobytes() == fonts.text_mask("U+00E9", 13).tobytes()


def test_a_character_comes_from_the_first_font_that_has_it(only):
    only("no-such-font.ttf", fonts.PILLOW, DEJAVU[1])
    seen = fonts.text_mask("λ", 13)
    wanted = drawn("λ", ImageFont.truetype(DEJAVU[1], 13))
    assert seen.crop(seen.getbbox()).tobytes() == wanted.tobytes()
    mixed = fonts.text_mask("Ilλ", 13)  # one font has all three characters
    assert mixed.crop(mixed.getbbox()).tobytes() == drawn("Ilλ", ImageFont.truetype(DEJAVU[1], 13)).tobytes()


@pytest.mark.parametrize("size", [11, 13, 16])
@pytest.mark.parametrize("text", ["g", "jÉ_|", "layer 0, step 200", "·↵→", "Жизнь", "fj", "مرحبا", "שלום"])
def test_nothing_of_a_text_is_cut_off(only, text, size):
    only(*DEJAVU)
    mask = fonts.text_mask(text, size)
    assert mask.height == fonts.line_height(size)
    font = next(f for f in DEJAVU if all(c == " " or fonts._can_draw(f, c) for c in text))
    assert mask.crop(mask.getbbox()).tobytes() == drawn(text, ImageFont.truetype(font, size)).tobytes()


def test_text_that_is_higher_than_a_line_is_shrunk():
    whole = drawn("█", ImageFont.truetype(DEJAVU[0], 64))
    mask = fonts.text_mask("█", 64)
    assert mask.height == fonts.line_height(64) < whole.height
    assert np.asarray(mask)[[0, -1]].any(1).all()


@pytest.mark.parametrize("text", ["", "\u0301", "👩‍🚀", "\u202eabc", "\ud800\udfff", "क्षि", "\0" * 20, "﷽"])
def test_unusual_text_has_the_height_of_a_line(text):
    assert fonts.text_mask(text, 11).height == fonts.line_height(11)


def test_drawing_imports_no_matplotlib():
    done = shell(
        "-c",
        "import sys, numpy; from headscope.render.pictures import maps_picture\n"
        "maps_picture(numpy.ones((1, 1, 1)), ['é'], 'λ', ['L0H0']); print('matplotlib' in sys.modules)",
    )
    assert done.stdout.strip() == "False", done.stderr
