"""Random rules and descriptions, for tests of the page."""

import torch

from headscope.heads.descriptions import Description, Estimate
from headscope.heads.patterns import KINDS, patterns_of
from headscope.heads.rules import BANDS, Rule, distance_bins
from headscope.heads.token_classes import Vocabulary


def vocabulary_of(tokenizer):
    return Vocabulary(tokenizer.shown)


def random_rule(vocabulary, t, seed, names=None, terms=5):
    """Returns a rule with random numbers, for texts of at most t tokens. `names` are its patterns; None means all."""
    random = torch.Generator().manual_seed(seed)
    names = list(patterns_of(vocabulary)) if names is None else names
    weights = torch.rand(1 + len(names), generator=random) + 0.05
    classes = [torch.randint(-1, 2, (len(vocabulary.text), terms), generator=random).to(torch.int8) for _ in range(2)]
    return Rule(
        torch.randn(int(distance_bins(t)[-1]) + 1, generator=random) * 2,
        dict(zip(["place", *names], (weights / weights.sum()).tolist(), strict=True)),
        *classes,
        torch.randn(terms, len(BANDS), generator=random),
    )


def described(layer, head, rule, recovered=0.71, **parts):
    """Returns a description of a head. `parts` are shares, by default 0. None: the cost is within the noise."""
    shares = {kind: parts.get(kind, 0.0) for kind in KINDS}
    return Description(
        layer=layer,
        head=head,
        rule=rule,
        cost=Estimate(0.048, 0.006),
        recovered=None if recovered is None else Estimate(recovered, 0.05),
        full=None if recovered is None else Estimate(0.92, 0.03),
        parts=shares,
        full_parts=dict.fromkeys(KINDS, 0.23),
        patterns=(),
        helps=None,
        sentence=f"L{layer}H{head} looks at <the> first letter of its word & at newlines.",
    )


def describe_all(model, tokenizer, terms=5, names=None, **parts):
    """Returns a random description of each head, in order of layer and head."""
    vocabulary, heads = vocabulary_of(tokenizer), model.n_heads
    rules = [
        random_rule(vocabulary, model.block_size, seed, names, terms) for seed in range(model.n_layers * model.n_heads)
    ]
    return [described(*divmod(i, heads), rule, **parts) for i, rule in enumerate(rules)]
