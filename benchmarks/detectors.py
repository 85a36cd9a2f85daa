"""Names and weights that detectors give to heads whose attention is known.

    python benchmarks/detectors.py          takes about 2 minutes on 2 cores

The heads follow one pattern, or a mixture with known weights; rest on the first token; act only on repeated tokens;
attend evenly; or are random. Some are heads of a model built by hand (tests/heads/built.py). The detectors are the
readable rules, the roles, and the head detector of TransformerLens, if it is installed:

    pip install transformer-lens==4.3.0

Rules are fitted on text; roles and the head detector also see repeated random tokens. A name is correct if its weight
in the head is at least `NAMED`. A false name is any name of a head that follows no pattern.
"""

import itertools
import random
import sys

import torch
from common import ROOT, save, table

sys.path.insert(0, str(ROOT))

from headscope.heads import fitting, look
from headscope.heads.measurements import ProbeMaps
from headscope.heads.patterns import patterns_of
from headscope.heads.probes import repeated_probe
from headscope.heads.roles import NO_ROLE, measure, name_roles
from headscope.heads.token_classes import Vocabulary
from tests.heads import built, made
from tests.heads.texts import dense

NAMED = 0.2  #: minimum weight of a pattern that a detector should name
PREVIOUS, SAME, AFTER = "the token before", "the same token", "the token after the same token"
FIRST, EVEN = "the first token", "all earlier tokens"
ROLES = {"previous token": PREVIOUS, "duplicate token": SAME, "induction": AFTER, "sink": FIRST, "uniform": EVEN}
LENS = {"previous_token_head": PREVIOUS, "duplicate_token_head": SAME, "induction_head": AFTER}
LENS_THRESHOLD = 0.4  #: usual for the detector of TransformerLens
B, T, RANDOM = 16, 40, 200


def previous(ids):
    """Returns the map of a head that attends to the token before, (B, T, T)."""
    found = torch.diag(torch.ones(ids.shape[1] - 1), -1)
    found[0, 0] = 1
    return found.expand(*ids.shape, -1)


def known(vocabulary):
    """Returns heads by group: a list of dictionaries of weights, or of None for random heads."""
    draw, names = random.Random(0), [PREVIOUS, *patterns_of(vocabulary)]
    others = [name for name in names if name not in (EVEN, FIRST)]
    pairs = [dict(zip(draw.sample(others, 2), (w, 1 - w), strict=True)) for w in (0.5, 0.6, 0.7) for _ in range(12)]
    threes = [dict(zip(draw.sample(others, 3), (0.45, 0.3, 0.25), strict=True)) for _ in range(24)]
    return {
        "one pattern": [{name: 1.0} for name in names if name != EVEN],
        "mixtures": pairs + threes,
        "sinks": [{FIRST: w, name: 1 - w} for name in others for w in (0.5, 0.75)],
        "nothing": [{EVEN: 1.0}] * 10,
        "random": [None] * RANDOM,
    }


def maps_of(heads, ids, vocabulary, seed):
    """Returns the maps of heads, (N, B, T, T). Random heads have noise with a standard deviation of 0.5 to 5."""
    parts = made.parts(ids, vocabulary) | {PREVIOUS: previous(ids)}
    found = []
    for i, weights in enumerate(heads):
        noise = made.random_maps(1, *ids.shape, 0.5 + 4.5 * i / len(heads), seed + i)[0] if weights is None else None
        found.append(made.mixed(weights, parts) if noise is None else noise)
    return torch.stack(found)


def by_rules(maps, ids, vocabulary):
    """Returns the weights in the readable rule of each head, of the patterns that explain a tenth of the attention.

    A profile over distances is named if more than half of it is one token back.
    """
    found, patterns = [], patterns_of(vocabulary)
    for part in maps.split(50):
        fitted = fitting.fit(made.observed(ids, vocabulary, part), patterns, len(vocabulary.text))
        for rule, shares in zip(fitted.rules, fitted.shares.tolist(), strict=True):
            explained = dict(zip(["place", *patterns], shares, strict=True))
            weights = {name: w for name, w in rule.weights.items() if max(w, explained[name]) >= NAMED / 2}
            place, _ = weights.pop("place", None), weights.pop(EVEN, None)
            if place is not None and rule.place.softmax(0)[1] >= 0.5:
                weights[PREVIOUS] = place
            found.append(weights)
    return found


def by_roles(text, text_maps, repeated, repeated_maps):
    """Returns the role of each head as a weight of 1."""
    probes = ((text, text_maps), (repeated, repeated_maps))
    on = [ProbeMaps(maps.transpose(0, 1)[None], ids) for ids, maps in probes]  # (1, B, N, T, T)
    (roles,) = name_roles(
        {role: rows.overall() for role, rows in measure(dict(zip(("text", "repeated"), on, strict=True))).items()}
    )
    return [{ROLES[role]: 1.0} if role in ROLES and role != "uniform" else {} for role in roles if role or NO_ROLE]


def by_lens(detector, repeated, maps):
    """Returns the scores of the head detector of TransformerLens on repeated tokens, averaged over texts."""
    found = [dict.fromkeys(LENS.values(), 0.0) for _ in maps]
    for (name, ours), (b, ids) in itertools.product(LENS.items(), enumerate(repeated)):
        wanted = getattr(detector, f"get_{name}_detection_pattern")(ids[None])
        for i, head in enumerate(maps):
            score = detector.compute_head_attention_similarity_score(
                head[b], wanted, exclude_bos=False, exclude_current_token=False, error_measure="mul"
            )
            found[i][ours] += score / len(repeated)
    return found


def judge(found, truth, names, threshold):
    """Returns precision, recall, the mean error of the weights and the numbers behind them."""
    right = wrong = missed = 0
    errors = []
    for ours, weights in zip(found, truth, strict=True):
        given = {name for name, w in ours.items() if w >= threshold and name in names}
        weights = {name: w for name, w in (weights or {}).items() if name in names}
        wanted = {name for name, w in weights.items() if w is None or w >= NAMED}
        right, wrong, missed = right + len(given & wanted), wrong + len(given - wanted), missed + len(wanted - given)
        errors += [abs(ours.get(name, 0) - weights[name]) for name in wanted if weights[name] is not None]
    return {
        "precision": right / max(right + wrong, 1), "recall": right / max(right + missed, 1), "right": right,
        "wrong": wrong, "missed": missed, "error": sum(errors) / max(len(errors), 1),
        "largest_error": max(errors, default=0),
    }  # fmt: skip


def built_heads():
    """Returns the model built by hand: its vocabulary, text, repeated tokens, and what its heads do.

    A weight is None if the head rests on the first token wherever there is no earlier equal token.
    """
    model, vocabulary = built.induction_that_rests(), Vocabulary([chr(ord("A") + i) for i in range(built.V)])
    text = torch.randint(built.V, (B, built.T), generator=torch.Generator().manual_seed(0))
    text[:, 1] = (text[:, 0] + 1) % built.V  # no text begins with two equal tokens, between which a sink cannot choose
    repeated = repeated_probe(built.V, built.T, 8)
    maps = [look(model, ids, "maps").maps.transpose(1, 2).flatten(0, 1) for ids in (text, repeated)]
    return vocabulary, text, repeated, maps, [{PREVIOUS: 1.0}, {EVEN: 1.0}, {FIRST: None, AFTER: None}, {FIRST: 1.0}]


def main():
    try:
        from transformer_lens import head_detector
    except ImportError:
        head_detector = None
        print("TransformerLens is not installed: pip install transformer-lens==4.3.0 adds its head detector")
    fitting.STEPS["full"] = 1  # the full rule is not read
    text, vocabulary = dense(B, T)
    repeated = repeated_probe(len(vocabulary.text), T, 8)
    groups = {}
    for name, heads in known(vocabulary).items():
        maps = [maps_of(heads, ids, vocabulary, seed) for ids, seed in ((text, 0), (repeated, 1000))]
        groups[name] = vocabulary, text, repeated, maps, heads
    groups["built by hand"] = built_heads()
    common, every = set(LENS.values()), {PREVIOUS, *patterns_of(vocabulary)} - {EVEN}
    detectors = {
        "rules": (lambda v, a, b, m: by_rules(m[0], a, v), every, 0.0),
        "rules, three names": (lambda v, a, b, m: by_rules(m[0], a, v), common, 0.0),
        "roles, three names": (lambda v, a, b, m: by_roles(a, m[0], b, m[1]), common, 0.5),
    }
    if head_detector:
        detectors["TransformerLens, three names"] = (
            lambda v, a, b, m: by_lens(head_detector, b, m[1]),
            common,
            LENS_THRESHOLD,
        )
    rows, figures, cache = [("detector", "heads", "number", "precision", "recall", "mean error", "largest")], {}, {}
    for detector, (detect, names, threshold) in detectors.items():
        found, truth = [], []
        for group, (*about, heads) in groups.items():
            key = detector.split(",")[0], group
            cache[key] = cache.get(key) or detect(*about)
            found, truth = found + cache[key], truth + heads
            figures[f"{detector}: {group}"] = judge(cache[key], heads, names, threshold)
        figures[detector] = judge(found, truth, names, threshold)
        silent = [ours for ours, weights in zip(found, truth, strict=True) if weights in (None, {EVEN: 1.0})]
        false = sum(any(w >= threshold and name in names for name, w in ours.items()) for ours in silent)
        figures[detector] |= {"false_names": false / len(silent), "heads_without_a_pattern": len(silent)}
        for group in (*groups, "all"):
            judged = figures[detector if group == "all" else f"{detector}: {group}"]
            number = len(truth) if group == "all" else len(groups[group][-1])
            rows.append(
                (
                    detector,
                    group,
                    number,
                    *(f"{judged[k]:.3f}" for k in ("precision", "recall", "error", "largest_error")),
                )
            )
        rows.append((detector, "false names", len(silent), f"{false / len(silent):.1%}", "", "", ""))
    table(rows)
    save("detectors", {"transformer_lens": head_detector is not None, "detectors": figures})


if __name__ == "__main__":
    main()
