# %% [markdown]
# # How does a position decide which earlier ones to listen to?
#
# A causal head over random vectors: what a head does with any input, before it has learned anything. The functions
# are those of `python -m headscope.walkthrough causal-head`, and the numbers those that Andrej Karpathy's lecture
# “Let's build GPT” prints.

# %%
import torch

import headscope
from headscope.walkthrough import causal_head
from headscope.walkthrough.causal_head import SEED, B, C, D, T, shrink
from headscope.walkthrough.notebook import mistakes, questions, show, whole
from headscope.walkthrough.plain import compare, hide_later, mix, project, weigh
from headscope.walkthrough.step import Matrix

_ = torch.manual_seed(SEED)
x = torch.randn(B, T, C)  # 4 sentences, 8 positions, 32 channels
wk, wq, wv = (torch.nn.Linear(C, D, bias=False) for _ in range(3))
with torch.no_grad():
    q, k, v = project(x, wq, wk, wv)  # (B, T, D) each
at = [f"t{i}" for i in range(T)]
show(Matrix("queries", "Q", q[0], at), "×", Matrix("keys", "K", k[0], at).turned)

# %% [markdown]
# ## Who may look at whom?
#
# A model that predicts what comes next must not see it. The mask gives every later position a score of -∞.

# %%
scores = hide_later(compare(q, k))  # (B, T, T)
show(Matrix("masked scores", "S", scores[0], at, at))

# %% [markdown]
# ## What if the scores go into the softmax as they are?

# %%
weights = weigh(scores)
for row in Matrix("weights", "A", weights[0], at, at).cells:
    print(*row)

# %% [markdown]
# **Notice.** e to the power of -∞ is 0, so the upper half is empty, and every row adds up to 1. Some rows give nearly
# all to one position, although nothing was learned. That comes from the size of the scores alone.
#
# ## What does 1/√D do?

# %%
scaled = weigh(shrink(scores, D**-0.5))
show(
    Matrix("weights", "A", weights[0], at, at, "weights"),
    "·  1/√16  →",
    Matrix("scaled weights", "A", scaled[0], at, at, "weights"),
)

# %% [markdown]
# A score is a sum over 16 channels and spreads with √16 = 4. Divided by 4, its spread is about 1, whatever the width
# of the head, and the softmax stays soft.
#
# ## What does a position hand over?

# %%
print("by values:", tuple(mix(scaled, v).shape), " by x itself:", tuple(mix(scaled, x).shape))
show(Matrix("scaled weights", "A", scaled[0], at, at, "weights"), "× V =", Matrix("output", "Y", mix(scaled, v)[0], at))

# %% [markdown]
# ## Change something
#
# What if all scores are 0? And what if nothing is hidden? Guess the last row of the first and the first row of the
# second.

# %%
none = weigh(hide_later(torch.zeros(T, T)))
free = weigh(shrink(compare(q, k), D**-0.5))
show(
    Matrix("weights of equal scores", "A", none, at, at, "weights"),
    Matrix("weights without a mask", "A", free[0], at, at, "weights"),
)

# %% [markdown]
# Equal scores give equal shares of what a position sees: 1/8 each in the last row. Without a mask t0 shares among all
# 8, later ones too; a model would read the answers in advance.
#
# ## Common mistakes

# %%
told = causal_head.tell(SEED)
mistakes(told)

# %% [markdown]
# ## Can you answer these?

# %%
questions(told)

# %% [markdown]
# ## The whole walk

# %%
headscope.Page(whole(causal_head.WALK))
