"""Attention written once more, in NumPy and float64, for the walks to be compared with."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, scale=None, causal=False):
    """Scores, scaled, masked, weights, output of (T, D) arrays, by name."""
    raw = q @ k.T
    scaled = raw * (q.shape[-1] ** -0.5 if scale is None else scale)
    masked = np.where(np.tri(*raw.shape), scaled, -np.inf) if causal else scaled
    weights = softmax(masked)
    return {"scores": raw, "scaled": scaled, "masked": masked, "weights": weights, "output": weights @ v}


def double(tensor):
    return tensor.detach().double().numpy()


def matrices(told):
    """The matrix of every step, by its title."""
    return {step.title: step.values.double().numpy() for step in told.steps}


def agree(told, expected, atol):
    """Every expected matrix is shown, and shows those numbers."""
    shown = matrices(told)
    for title, values in expected.items():
        np.testing.assert_allclose(
            shown[title], np.reshape(values, shown[title].shape), rtol=0, atol=atol, err_msg=title
        )
