"""The walk causal-head shows the 64 weights that the document prints, and weights that are correct."""

import numpy as np
import torch

from headscope.walkthrough import causal_head
from tests.walkthrough.reference import agree, attend, double, matrices, shown, warned

#: Printed by the document with seed 1337: the weights of batch element 0.
WEIGHTS = """
1.0000 0.0000 0.0000 0.0000 0.0000 0.0000 0.0000 0.0000
0.1574 0.8426 0.0000 0.0000 0.0000 0.0000 0.0000 0.0000
0.2088 0.1646 0.6266 0.0000 0.0000 0.0000 0.0000 0.0000
0.5792 0.1187 0.1889 0.1131 0.0000 0.0000 0.0000 0.0000
0.0294 0.1052 0.0469 0.0276 0.7909 0.0000 0.0000 0.0000
0.0176 0.2689 0.0215 0.0089 0.6812 0.0019 0.0000 0.0000
0.1691 0.4066 0.0438 0.0416 0.1048 0.2012 0.0329 0.0000
0.0210 0.0843 0.0555 0.2297 0.0573 0.0709 0.2423 0.2391
"""
#: Printed by the document: x at its first two positions.
X = """
1.8077e-01 -6.9988e-02 -3.5962e-01 -9.1520e-01 6.2577e-01 2.5510e-02 9.5451e-01 6.4349e-02
3.6115e-01 1.1679e+00 -1.3499e+00 -5.1018e-01 2.3596e-01 -2.3978e-01 -9.2111e-01 1.5433e+00
1.3488e+00 -1.3964e-01 2.8580e-01 9.6512e-01 -2.0371e+00 4.9314e-01 1.4870e+00 5.9103e-01
1.2603e-01 -1.5627e+00 -1.1601e+00 -3.3484e-01 4.4777e-01 -8.0164e-01 1.5236e+00 2.5086e+00
-6.6310e-01 -2.5128e-01 1.0101e+00 1.2155e-01 1.5840e-01 1.1340e+00 -1.1539e+00 -2.9840e-01
-5.0754e-01 -9.2392e-01 5.4671e-01 -1.4948e+00 -1.2057e+00 5.7182e-01 -5.9735e-01 -6.9368e-01
1.6455e+00 -8.0299e-01 1.3514e+00 -2.7592e-01 -1.5108e+00 2.1048e+00 2.7630e+00 -1.7465e+00
1.4516e+00 -1.5103e+00 8.2115e-01 -2.1153e-01 7.7890e-01 1.5333e+00 1.6097e+00 -4.0323e-01
"""


def test_the_document_s_printed_numbers():
    result = causal_head.WALK.run(1337)
    assert shown(result, "weights").cells == [row.split() for row in WEIGHTS.split("\n") if row]
    printed = np.array(X.split(), dtype=float).reshape(2, 32)
    np.testing.assert_allclose(matrices(result)["embeddings"][:2], printed, rtol=5e-5, atol=5e-7)


def test_every_number_again_in_float64():
    for seed in (1337, 5):
        torch.manual_seed(seed)
        x = double(torch.randn(4, 8, 32))[0]
        key, query, value = (double(torch.nn.Linear(32, 16, bias=False).weight) for _ in range(3))
        q, k, v = x @ query.T, x @ key.T, x @ value.T
        theirs, right = attend(q, k, x, scale=1, causal=True), attend(q, k, v, causal=True)
        expected = {
            "embeddings": x,
            "keys": k,
            "queries": q,
            "values": v,
            "scores": theirs["scores"],
            "masked scores": theirs["masked"],
            "weights": theirs["weights"],
            "output by x": theirs["output"],
            "scaled weights": right["weights"],
            "weighted values": right["weights"][-1, :, None] * v,
            "output by v": right["output"],
        }
        result = causal_head.WALK.run(seed)
        agree(result, expected, 2e-6)
        assert expected.keys() == matrices(result).keys()


def test_another_seed_says_whose_numbers_are_well_known():
    def text(seed):
        return next(step.text for step in causal_head.WALK.run(seed).steps if step.matrices[0].title == "weights")

    assert "These are the 64 weights that Andrej Karpathy" in text(1337)
    assert "seed 1337" in text(5)
    assert "(4, 8, 32)" in warned(causal_head.WALK.run(1337))
    assert "(4, 8, 16)" in warned(causal_head.WALK.run(1337))
