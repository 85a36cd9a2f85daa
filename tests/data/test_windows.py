"""The windows of a step are a pure function of seed, step, rank and world size; an epoch uses each window once."""

import pytest
import torch

from headscope.data.windows import IGNORE, SentenceWindows, TextWindows, TrainBatches, split_at_multiples
from headscope.errors import UserError

IDS = torch.arange(103, dtype=torch.uint8)  # a text in which each token is its own position


def batches(**changes):
    return TrainBatches(**{"windows": TextWindows(IDS, 8), "block_size": 8, "seed": 3, "batch_size": 4} | changes)


@pytest.mark.parametrize("step", [1, 3, 25])
@pytest.mark.parametrize("size", [1, 7, 10, 1000])
def test_places_are_cut_at_multiples_of_a_size(size, step):
    places, row = range(8, 60, step), list(range(size))
    found = [part * size + rest for part, here in split_at_multiples(places, size) for rest in row[here]]
    assert found == list(places)


def test_y_is_what_follows_x():
    x, y = batches().batch(0)
    assert x.shape == y.shape == (4, 8)
    assert torch.equal(y, x + 1)


@pytest.mark.parametrize("block_size", [1, 5, 8, 51, 102])
@pytest.mark.parametrize("world", [1, 3])
def test_validation_counts_every_target_once(block_size, world):
    seen = []
    for rank in range(world):
        for x, y in TextWindows(IDS, block_size).once(4, rank, world):
            assert torch.equal(y[y != IGNORE], x[y != IGNORE] + 1)
            seen += y[y != IGNORE].tolist()
    assert sorted(seen) == list(range(1, 103))


def test_an_epoch_visits_each_window_once_and_then_moves_its_borders():
    stream = batches()
    n = len(stream.windows)
    starts = torch.cat([stream.batch(step)[0][:, 0] for step in range(9)])  # four windows per step
    phases = []
    for epoch in range(3):
        mine = sorted(starts[epoch * n : (epoch + 1) * n].tolist())
        phases.append(mine[0])
        assert mine == [mine[0] + 8 * k for k in range(n)]
    assert len(set(phases)) > 1


def test_the_order_is_a_pure_function_of_seed_and_step():
    first = [batches().batch(step)[0] for step in range(9)]
    again = batches()
    for step in (7, 2, 5):
        assert torch.equal(again.batch(step)[0], first[step])
    assert not torch.equal(batches(seed=4).batch(0)[0], first[0])
    resumed = iter(batches(first_step=lambda: 5))
    assert torch.equal(next(resumed)[0], first[5])


def test_ranks_share_the_windows_of_one_process():
    whole, _ = batches().batch(6)
    shares = [batches(rank=rank, world=2).batch(6)[0] for rank in range(2)]
    assert torch.equal(torch.cat(shares).sort(0).values, whole.sort(0).values)


def test_accumulation_sees_the_windows_of_a_batch_as_large():
    parts = batches(batch_size=2, accumulate=2)
    assert torch.equal(torch.cat([parts.batch(3, 0)[0], parts.batch(3, 1)[0]]), batches().batch(3)[0])


def test_one_batch_for_ever():
    stream = batches(same_batch=True)
    assert torch.equal(stream.batch(0)[0], stream.batch(7)[0])


def test_a_batch_is_a_copy_and_the_text_is_not():
    windows = TextWindows(IDS, 8)
    assert windows.views.data_ptr() == IDS.data_ptr()
    assert windows.ids.dtype == torch.uint8


def test_sentences_are_padded_and_the_padding_is_ignored():
    windows = SentenceWindows([torch.tensor([1, 2, 3, 9]), torch.tensor([4, 9])], pad=0, block_size=8)
    x, y = windows.cut(torch.tensor([1, 0]), 0)
    assert x.tolist() == [[4, 9, 0], [1, 2, 3]]
    assert y.tolist() == [[9, IGNORE, IGNORE], [2, 3, 9]]
    with pytest.raises(
        UserError, match=r"a sentence of 3 words does not fit model.block_size=2; use model.block_size=3"
    ):
        SentenceWindows([torch.tensor([1, 2, 3, 9])], pad=0, block_size=2)
