"""Texts of ids in a checkpoint, as one string."""

import base64
import struct
import zlib

import pytest
import torch

from headscope.packing import LARGEST, pack, unpack


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (512, 64)])
def test_texts_come_back(shape):
    ids = torch.randint(1000, shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(pack(ids), 1000), ids)


def test_a_string_is_small():
    assert len(pack(torch.randint(65, (576, 64)))) < 50_000


@pytest.mark.parametrize("packed", ["", "not base 85 é", "abc", pack(torch.ones(2, 2).long())[:-4]])
def test_damaged_texts_are_refused(packed):
    with pytest.raises(ValueError, match="damaged"):
        unpack(packed, 10)


@pytest.mark.parametrize("ids", [[[1, 10]], [[-1, 2]]])
def test_ids_outside_of_the_vocabulary_are_refused(ids):
    with pytest.raises(ValueError, match="vocabulary of 10 tokens"):
        unpack(pack(torch.tensor(ids)), 10)


@pytest.mark.parametrize("shape", [(-1, 4), (0, 4), (4, 0), (3, 1), (1 << 30, 1 << 30)])
def test_a_shape_that_does_not_fit_is_refused(shape):
    data = base64.b85encode(zlib.compress(struct.pack("<6i", *shape, 1, 2, 3, 4))).decode()
    with pytest.raises(ValueError, match="damaged"):
        unpack(data, 10)


def test_a_small_string_does_not_become_large_in_memory():
    data = base64.b85encode(zlib.compress(bytes(8 * LARGEST), 9)).decode()
    with pytest.raises(ValueError, match="damaged"):
        unpack(data, 10)
