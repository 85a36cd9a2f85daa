"""Hand-made attention maps get exactly their role; maps that only resemble a role get none."""

import pytest
import torch

from headscope.heads import scores
from headscope.heads.measurements import Measurement, ProbeMaps, random_order
from headscope.heads.probes import repeated_probe
from headscope.heads.roles import ROLE_RULES, measure, name_roles, stability
from tests.heads import reference as ref

HEADS = {
    "previous token": lambda ids: ref.previous_head(len(ids)),
    "duplicate token": ref.duplicate_head,
    "induction": ref.induction_head,
    "sink": lambda ids: ref.sink_head(len(ids)),
    "local": lambda ids: ref.local_head(len(ids)),
    "uniform": lambda ids: ref.uniform_head(len(ids)),
}


def maps_of(heads, ids):
    """Returns one layer of hand-made maps: (1, B, H, T, T)."""
    return torch.stack([torch.stack([head(row) for head in heads]) for row in ids])[None]


def overall(text, repeated):
    """Returns the measurements on the maps of both probes."""
    return {role: rows.overall() for role, rows in measure({"text": text, "repeated": repeated}).items()}


def roles_of(heads, text, repeated):
    measured = overall(ProbeMaps(maps_of(heads, text), text), ProbeMaps(maps_of(heads, repeated), repeated))
    (names,) = name_roles(measured)
    return names, measured


@pytest.mark.parametrize("t", [8, 16, 64, 256])
@pytest.mark.parametrize("rest", [0, 1])
def test_heads_made_by_hand_take_exactly_their_role(t, rest):
    """Each head scores exactly 1 for its role. Without a match, heads attend to the first token or to themselves."""
    heads = dict(HEADS)
    heads["duplicate token"] = lambda ids: ref.duplicate_head(ids, rest)
    heads["induction"] = lambda ids: ref.induction_head(ids, rest)
    probe = repeated_probe(1000, t, 6, seed=1)
    text = torch.randint(30, (2, t), generator=torch.Generator().manual_seed(0))
    names, measured = roles_of(heads.values(), text, probe)
    assert names == list(heads)
    for h, role in enumerate(heads):
        value = measured[role].value[0, h].item()
        assert value == 1 or (ROLE_RULES[role].is_fallback and value == pytest.approx(1)), role


@pytest.mark.parametrize("t", range(3, 10))
def test_roles_of_places_hold_in_short_texts(t):
    places = {name: HEADS[name] for name in ("previous token", "sink", "uniform")}
    ids = torch.randint(9, (2, t), generator=torch.Generator().manual_seed(0))
    names, _ = roles_of(places.values(), ids, ids)
    assert names == list(places)


def test_in_two_tokens_the_first_is_the_one_before():
    """Both heads have the same maps, and a fallback does not compete with another role. `describe` refuses the text."""
    ids = torch.tensor([[1, 2], [3, 4]])
    names, measured = roles_of([HEADS["previous token"], HEADS["sink"]], ids, ids)
    assert names == ["previous token", "previous token"]
    assert ROLE_RULES["sink"].is_high(measured["sink"]).all()


@pytest.mark.parametrize("t", [6, 8, 64])
def test_a_head_that_looks_near_is_not_uniform(t):
    ids = torch.randint(9, (2, t), generator=torch.Generator().manual_seed(0))
    names, measured = roles_of([HEADS["local"], HEADS["uniform"], lambda i: torch.eye(len(i))], ids, ids)
    assert names == ["local", "uniform", "local"]
    assert measured["local"].excess()[0].tolist() == pytest.approx([1, 0, 1], abs=1e-5)


def test_a_head_between_roles_has_none():
    def half(ids):
        return (ref.uniform_head(len(ids)) + ref.previous_head(len(ids)) + ref.sink_head(len(ids))) / 3

    ids = repeated_probe(1000, 64, 4)
    names, _ = roles_of([half], ids, ids)
    assert names == ["none"]


def test_a_fixed_distance_is_no_induction_where_every_text_has_the_same_period():
    def back(ids):
        return ref.hard(len(ids), lambda i: max(i - 9, 0))

    same = torch.randint(1000, (4, 10), generator=torch.Generator().manual_seed(0)).repeat(1, 4)
    names, measured = roles_of([back, HEADS["induction"]], same, same)
    assert measured["induction"].value[0].tolist() == [1, 1]
    assert measured["induction"].shuffled[0].tolist() == [1, 1]
    assert "induction" not in names  # with one period, the probe cannot distinguish induction from a fixed distance


def test_controls_are_what_they_say():
    t, ids = 16, repeated_probe(50, 16, 3)
    maps = ref.random_maps(2, 3, 2, t=t).float()
    measured = overall(ProbeMaps(maps, ids, 5), ProbeMaps(maps, ids, 5))
    assert set(measured) == set(ROLE_RULES)
    harmonic = sum(1 / i for i in range(1, t + 1))
    assert measured["sink"].uniform == pytest.approx(harmonic / t)
    assert measured["previous token"].uniform == pytest.approx((harmonic - 1) / (t - 1))
    assert measured["uniform"].uniform == pytest.approx(1)
    flat = scores.uniform(torch.zeros(3, 1, t, t))
    assert measured["induction"].uniform == pytest.approx(scores.induction(flat, ids).item())
    assert (measured["previous token"].chance == measured["previous token"].uniform).all()
    assert (measured["induction"].chance >= measured["induction"].uniform - 1e-6).all()
    assert (measured["induction"].chance >= measured["induction"].shuffled).all()
    rolled = scores.induction(maps, ids[[2, 0, 1]])
    torch.testing.assert_close(measured["induction"].shuffled, rolled)
    # The uniform score does not depend on the order of the weights.
    torch.testing.assert_close(measured["uniform"].shuffled, measured["uniform"].value)
    order = random_order(ids, 5)
    by_loop = torch.zeros(2, 2)
    for layer in range(2):
        for h in range(2):
            for b in range(3):
                for i in range(1, t):
                    by_loop[layer, h] += maps[layer, b, h, i, order[b, i, i - 1]] / 3 / (t - 1)
    torch.testing.assert_close(measured["previous token"].shuffled, by_loop)


def test_random_order_stays_in_the_past():
    ids = torch.zeros(2, 12, dtype=torch.long)
    order = random_order(ids, 0)
    for b in range(2):
        for i in range(12):
            assert sorted(order[b, i, : i + 1].tolist()) == list(range(i + 1))
    assert not torch.equal(order[0], order[1])
    assert torch.equal(order, random_order(ids, 0))


def test_one_repeated_text_has_no_control():
    ids = repeated_probe(9, 8, 1)
    with pytest.raises(ValueError, match="at least two repeated texts"):
        roles_of([HEADS["sink"]], ids, ids)


@pytest.mark.parametrize("role", ["previous token", "duplicate token", "induction"])
@pytest.mark.parametrize("weight", [0.5, 0.6])
def test_a_sink_hides_no_other_role(role, weight):
    """The head does its work with half of its weight, or where it can, and otherwise rests on the first token."""

    def resting(ids):
        return weight * HEADS[role](ids) + (1 - weight) * ref.sink_head(len(ids))

    text = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i)) for i in range(3)])
    names, measured = roles_of([resting, HEADS["sink"]], text, repeated_probe(1000, 64, 4))
    assert names == [role, "sink"]
    assert ROLE_RULES["sink"].is_high(measured["sink"])[0].tolist() == [True, True] or weight == 0.6


@pytest.mark.parametrize("length", [2, 3])
def test_a_sink_is_found_in_texts_that_begin_with_equal_tokens(length):
    def divided(ids):
        maps = torch.zeros(len(ids), len(ids))
        maps[:, :length] = 1
        return maps.tril() / maps.tril().sum(-1, keepdim=True)

    text = torch.randint(5, 30, (3, 16), generator=torch.Generator().manual_seed(0))
    text[:, :length] = 1
    names, _ = roles_of([divided], text, repeated_probe(1000, 16, 4))
    assert names == ["sink"]
    names, _ = roles_of([divided, HEADS["sink"]], torch.ones_like(text), repeated_probe(1000, 16, 4))
    assert "sink" not in names, "in a text of equal tokens, every head attends to the first token only"


def stabilities(heads, text, repeated):
    texts = ProbeMaps(heads(text), text), ProbeMaps(heads(repeated), repeated)
    return stability(measure(dict(zip(("text", "repeated"), texts, strict=True))), len(text))


def test_heads_that_do_the_same_in_every_text_are_stable():
    text, probe = torch.randint(30, (5, 64), generator=torch.Generator().manual_seed(0)), repeated_probe(1000, 64, 5)
    assert stabilities(lambda ids: maps_of(HEADS.values(), ids), text, probe).tolist() == [[1.0] * len(HEADS)]


def test_a_role_in_some_texts_or_lengths_only_is_less_stable():
    """One head is a sink in three texts of five; another attends to the previous token in the first half only."""

    def maps(ids):
        t = ids.shape[1]
        early = torch.cat((ref.previous_head(t)[: t // 2], torch.eye(t)[t // 2 :]))
        late = torch.cat((torch.eye(t)[: t // 2], ref.previous_head(t)[t // 2 :]))
        sometimes = [ref.sink_head(t)] * 3 + [torch.eye(t)] * 2
        return torch.stack([torch.stack((sometimes[b], early, late)) for b in range(len(ids))])[None]

    text, probe = torch.randint(30, (5, 64), generator=torch.Generator().manual_seed(0)), repeated_probe(1000, 64, 5)
    texts = ProbeMaps(maps(text), text), ProbeMaps(maps(probe), probe)
    measured = overall(*texts)
    assert name_roles(measured) == [["sink", "previous token", "previous token"]]
    sink, early, late = stabilities(maps, text, probe)[0].tolist()
    assert sink == 6 / 10
    assert early == 1
    assert late == 5 / 10


def test_stability_equals_naming_every_sample_alone():
    """Maps of a shortened text are the first rows of its maps; the control of tokens is another text."""
    t, n = 16, 4
    ids = {
        "text": torch.randint(5, (n, t), generator=torch.Generator().manual_seed(0)),
        "repeated": repeated_probe(9, t, n),
    }
    maps = {probe: ref.random_maps(3, n, 4, t=t, seed=seed).float() for seed, probe in enumerate(ids)}
    maps["text"][0] = 0.55 * maps["text"][0] + 0.45 * ref.sink_head(t)
    maps["repeated"][1] *= 0.5
    maps["repeated"][1] += 0.5 * torch.stack([ref.induction_head(row) for row in ids["repeated"]])[:, None]
    probes = {probe: ProbeMaps(maps[probe], ids[probe]) for probe in ids}
    whole = name_roles(overall(probes["text"], probes["repeated"]))
    assert {role for layer in whole for role in layer} >= {"none", "induction", "sink"}

    def alone(role, b, shares):
        probe = ROLE_RULES[role].probe
        length = int(t * shares[probe])
        own, text, other = (
            x[..., :length] for x in (maps[probe][:, [b], :, :length], ids[probe][[b]], ids[probe][[b - 1]])
        )
        score, uniform = getattr(scores, ROLE_RULES[role].score), scores.uniform(own)
        if role in ("duplicate token", "induction"):
            chance = torch.maximum(score(own, other), score(uniform, text))
            return Measurement(score(own, text), None, None, chance)
        more = (text,) if role == "sink" else ()
        return Measurement(score(own, *more), None, None, score(uniform, *more))

    same = torch.zeros(3, 4)
    for b in range(n):
        for shares in ({"text": 1, "repeated": 1}, {"text": 1 / 2, "repeated": 3 / 4}):
            names = name_roles({role: alone(role, b, shares) for role in ROLE_RULES})
            same += torch.tensor([[names[i][h] == whole[i][h] for h in range(4)] for i in range(3)])
    assert 0 < same.min() < same.max() == 2 * n
    torch.testing.assert_close(stability(measure(probes), n).float(), same / (2 * n))
