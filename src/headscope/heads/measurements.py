"""Measures one score of every head, with its controls: the score of a uniform head, and of weights on wrong keys.

Shapes: maps (L, B, H, T, T), ids (B, T), scores (L, H), S text samples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import torch
from torch import Tensor

from headscope.heads import scores
from headscope.heads.scores import Score


@dataclass(frozen=True)
class ProbeMaps:
    """The attention maps of all heads on one probe."""

    maps: Tensor  #: (L, B, H, T, T)
    ids: Tensor  #: (B, T)
    seed: int = 0  #: seed of the random order in `shuffled`

    @cached_property
    def shuffled(self) -> Tensor:
        """The maps with the weights of each row in random order, (L, B, H, T, T). Later keys keep weight 0."""
        order = random_order(self.ids, self.seed)[:, None].to(self.maps.device)  # (B, 1, T, T)
        return self.maps.gather(-1, order.expand(self.maps.shape))

    @property
    def uniform(self) -> Tensor:
        """The map of a head that attends to its past evenly, (1, B, 1, T, T)."""
        return scores.uniform(self.maps[:1, :, :1])


class Measurement(NamedTuple):
    """One score of every head, with its controls. In S text samples, all shapes begin with S."""

    value: Tensor  #: (L, H)
    uniform: Tensor  #: the score of a head that attends to its past evenly, (1, 1)
    shuffled: Tensor  #: (L, H), the score of the head's own weights in random order, or on the tokens of another text
    chance: Tensor  #: the score that counts as chance; broadcasts to (L, H)

    def excess(self) -> Tensor:
        """Returns the value on a scale where chance is 0 and the maximum is 1; -inf where the score is NaN.

        The excess is also -inf if chance is the maximum, so that no head can stand out.
        """
        scaled = (self.value - self.chance) / (1 - self.chance)
        return scaled.where(self.chance < 1 - 1e-6, torch.nan).nan_to_num(nan=-torch.inf)


class RowScores(NamedTuple):
    """One score of every head in every row of the maps, with its controls. A row with NaN does not count."""

    value: Tensor  #: (L, B, H, T)
    uniform: Tensor  #: (1, B, 1, T)
    shuffled: Tensor  #: (L, B, H, T)
    is_shuffled_chance: bool  #: whether the higher of `shuffled` and `uniform` counts as chance, or `uniform` alone

    def overall(self) -> Measurement:
        """Returns the measurement on all texts together."""
        return self._measurement(lambda rows: rows.nanmean((1, 3)))

    def in_samples(self, samples: int, shortened: float) -> Measurement:
        """Returns the measurement in each of S = 2 `samples` text samples: each text alone, complete and shortened.

        A shortened text has this share of the positions. Because maps are causal, their first rows are the maps of the
        shortened text. If there are fewer texts than `samples`, texts are used several times.
        """
        b, t = self.value.shape[1], self.value.shape[-1]
        text = torch.arange(samples, device=self.value.device) % b

        def mean(rows: Tensor) -> Tensor:  # (L, B, H, T) to (S, L, H)
            means = [rows[..., :n].nanmean(-1).movedim(1, 0)[text] for n in (t, int(t * shortened))]
            return torch.cat(means)

        return self._measurement(mean)

    def _measurement(self, mean: Callable[[Tensor], Tensor]) -> Measurement:
        value, uniform, shuffled = mean(self.value), mean(self.uniform), mean(self.shuffled)
        chance = torch.maximum(shuffled, uniform) if self.is_shuffled_chance else uniform
        return Measurement(value, uniform, shuffled, chance)


def position_score(score: Score) -> Callable[[ProbeMaps], RowScores]:
    """Returns a function that measures a score of positions. Its control puts the weights of each row in random order.

    The mean over many random orders equals the score of a uniform head, so that score counts as chance.
    """

    def measure(probe: ProbeMaps) -> RowScores:
        value, uniform, shuffled = map(score.rows, (probe.maps, probe.uniform, probe.shuffled))
        return RowScores(value, uniform, shuffled, False)

    return measure


def sink_score(probe: ProbeMaps) -> RowScores:
    """Measures `scores.sink` like a score of positions. The texts decide which positions have the first token."""
    return position_score(Score(partial(scores.sink.rows, ids=probe.ids)))(probe)


def evenness_score(probe: ProbeMaps) -> RowScores:
    """Measures `scores.evenness`. It does not depend on the order of the weights, so it is its own control."""
    rows = scores.evenness.rows(probe.maps)
    return RowScores(rows, scores.evenness.rows(probe.uniform), rows, False)


def token_score(score: Score) -> Callable[[ProbeMaps], RowScores]:
    """Returns a function that measures a score of tokens. Its control uses the head's maps with another text's tokens.

    A head that always looks back a fixed distance scores as high in the control, so it does not stand out. The higher
    of the control's score and a uniform head's score counts as chance.
    """

    def measure(probe: ProbeMaps) -> RowScores:
        shuffled = score.rows(probe.maps, probe.ids.roll(1, 0))
        return RowScores(score.rows(probe.maps, probe.ids), score.rows(probe.uniform, probe.ids), shuffled, True)

    return measure


def random_order(ids: Tensor, seed: int) -> Tensor:
    """Returns an order of keys for each query of ids (B, T): (B, T, T). Row i begins with a random order of 0 … i."""
    b, t = ids.shape
    noise = torch.rand(b, t, t, generator=torch.Generator().manual_seed(seed))
    return (noise + torch.ones(t, t).triu(1)).argsort(-1)
