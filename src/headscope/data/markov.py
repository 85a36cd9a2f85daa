"""In-context Markov chains: every window follows a new chain, which the model must learn while it reads."""

import numpy as np

from headscope.data.generated import Generated, Symbols, Tokens


class Markov(Generated):
    """Each window draws the rows of a transition matrix from Dirichlet(1, …, 1), and starts in a random state.

    A model knows nothing about a chain before its window, so the best strategy is to count which states have followed
    the current state (Edelman et al. 2024, section 2: statistical induction heads).
    """

    name = "markov"

    def __init__(self, vocab_size: Symbols = 3) -> None:
        self.vocab_size = vocab_size

    def sample(self, rng: np.random.Generator, n: int, block_size: int) -> tuple[Tokens, Tokens]:
        rows = rng.dirichlet(np.ones(self.vocab_size), (n, self.vocab_size)).cumsum(-1)  # (n, V, V)
        uniform = rng.random((n, block_size))
        window = np.empty((n, block_size + 1), dtype=np.int64)
        window[:, 0] = rng.integers(self.vocab_size, size=n)
        for t in range(block_size):
            exceeded = uniform[:, t, None] >= rows[np.arange(n), window[:, t]]  # (n, V)
            window[:, t + 1] = exceeded[:, :-1].sum(1)  # without the last sum, which may round to less than 1
        return window[:, :-1], window[:, 1:]

    def optimum(self, x: Tokens, y: Tokens) -> float:
        """Returns the loss of the Bayes predictor: after state i, p(j) = (n_ij + 1) / (n_i + V).

        So far in the window, state i has had n_i successors, of which n_ij were j.
        """
        n = np.arange(len(x))
        followed = np.ones((len(x), self.vocab_size, self.vocab_size))
        nats = 0.0
        for t in range(x.shape[1]):
            row = followed[n, x[:, t]]  # (N, V)
            nats -= float(np.log(row[n, y[:, t]] / row.sum(1)).sum())
            followed[n, x[:, t], y[:, t]] += 1
        return nats / x.size
