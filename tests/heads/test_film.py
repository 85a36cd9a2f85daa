"""Maps stored as bytes: they stay close to the original, and a file can be read back."""

import numpy as np
import pytest
import torch

from headscope.heads import film, look
from headscope.heads.film import Film
from tests.conftest import filmed, small


def test_a_film_survives_its_file_and_a_weight_its_byte():
    ids = torch.randint(11, (1, 13))
    maps = look(small(), ids, "maps").maps
    frames = [film.frame(step, maps, {(1, 0): "local?"}) for step in (0, 10, 20)]
    whole = Film(ids[0].tolist(), frames)
    back = Film.from_bytes(whole.to_bytes())
    assert back.description() == whole.description()
    assert back.maps() == whole.maps()
    assert back.frames[2].roles == [["", ""], ["local?", ""]]
    found = filmed(back.frames[1], 1, 1, 13)
    np.testing.assert_allclose(found, maps[1, 0, 1].numpy(), atol=0.004)
    assert [f.step for f in back.until(10).frames] == [0, 10]


WHOLE = Film(list(range(9)), [film.frame(0, torch.rand(2, 1, 2, 9, 9), {})]).to_bytes()
BROKEN = WHOLE[:20] + bytes(255 - byte for byte in WHOLE[20:40]) + WHOLE[40:]


@pytest.mark.parametrize("content", [b"", b"x", film.Film([1]).to_bytes()[:-3], BROKEN])
def test_what_is_no_film_says_so(content):
    with pytest.raises(ValueError, match=r"."):
        Film.from_bytes(content)


def test_a_film_fits_models_of_its_shape_alone():
    kept = Film.from_bytes(WHOLE)
    assert kept.fits(2, 2, 9)
    assert not kept.fits(2, 1, 9)
    assert not kept.fits(2, 2, 8), "the film has a token outside this vocabulary"
    assert not Film(kept.ids[:-1], kept.frames).fits(2, 2, 9), "the maps are longer than the text"
    assert not Film([], []).fits(2, 2, 9)
