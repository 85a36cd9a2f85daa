"""A second implementation of attention, in NumPy and float64, as a reference for the walks."""

import numpy as np


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attend(q, k, v, scale=None, causal=False):
    """Returns scores, scaled and masked scores, weights and output for arrays (T, D), by name."""
    raw = q @ k.T
    scaled = raw * (q.shape[-1] ** -0.5 if scale is None else scale)
    masked = np.where(np.tri(*raw.shape), scaled, -np.inf) if causal else scaled
    weights = softmax(masked)
    return {"scores": raw, "scaled": scaled, "masked": masked, "weights": weights, "output": weights @ v}


def double(tensor):
    return tensor.detach().double().numpy()


def matrices(result):
    """Returns every matrix of a walk, by its title."""
    return {matrix.title: matrix.values.double().numpy() for matrix in result.matrices}


def shown(result, title):
    """Returns the matrix with a title."""
    return next(matrix for matrix in result.matrices if matrix.title == title)


def warned(result):
    """Returns the texts about common mistakes."""
    return " ".join(text for _, text in result.mistakes)


def agree(result, expected, atol):
    """Checks that the walk shows every expected matrix with the expected numbers."""
    found = matrices(result)
    for title, values in expected.items():
        np.testing.assert_allclose(
            found[title], np.reshape(values, found[title].shape), rtol=0, atol=atol, err_msg=title
        )
