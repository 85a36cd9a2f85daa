# %% [markdown]
# # Whom does everybody listen to?
#
# Four friends, three numbers each. Attention lets each friend listen to the others, and decides to whom. This
# notebook goes through it a line at a time, with the functions that `python -m headscope.walkthrough friends` runs.

# %%
import torch

import headscope
from headscope.walkthrough import friends
from headscope.walkthrough.notebook import mistakes, questions, show, whole
from headscope.walkthrough.plain import compare, mix, project, scale, weigh
from headscope.walkthrough.step import Matrix

names = list(friends.FRIENDS)
x = torch.tensor(list(friends.FRIENDS.values()))  # (T, C): 4 friends, 3 features
show(Matrix("embeddings", "X", x, names, friends.FEATURES))

# %% [markdown]
# ## How can the same friend ask, offer and say something?
#
# By three matrices: a query is what I ask for, a key what I offer, a value what I say if I am heard. A new model has
# random matrices, and so have we.

# %%
_ = torch.manual_seed(0)
wq, wk, wv = (torch.nn.Linear(3, 3, bias=False) for _ in range(3))
with torch.no_grad():
    q, k, v = project(x, wq, wk, wv)  # (T, D) each
show(Matrix("queries", "Q", q, names), Matrix("keys", "K", k, names), Matrix("values", "V", v, names))

# %% [markdown]
# ## Whose offer fits whose question?
#
# Every query times every key. A row asks, a column answers.

# %%
scores = scale(compare(q, k), 3)  # Q Kᵀ / √3, (T, T)
keys = Matrix("keys", "K", k, names)
show(Matrix("queries", "Q", q, names), "×", keys.turned, "/ √3 =", Matrix("scores", "S", scores, names, names))

# %% [markdown]
# ## How much does each listen to each?
#
# The softmax makes shares: each row adds up to 1.

# %%
weights = weigh(scores)
show(Matrix("weights", "A", weights, names, names, "weights"), "× V =", Matrix("output", "Y", mix(weights, v), names))

# %% [markdown]
# **Notice.** All 16 weights are about 1/4, and the rows of the output are nearly equal. Random matrices give scores
# near zero, and the softmax of equal scores is even: by chance alone, nobody has anyone to listen to.
#
# ## What would matrices look like that let us see something?
#
# Choose them by hand: everybody asks and offers one number, travel minus music, and the query is made ten times as
# large.

# %%
q, k = friends.choose(x, sharpness=10, sign=1)  # (T, 1) each
weights = weigh(compare(q, k))
heard = Matrix("output", "Y", mix(weights, x), names, friends.FEATURES)
show(Matrix("weights", "A", weights, names, names, "weights"), "× X =", heard)

# %% [markdown]
# **Notice.** Two camps: Charlie, who cares for music, listens to himself, the others to those who travel. What comes
# out says whom they heard.
#
# ## Change something
#
# What if the query is not made larger? And what if everybody offers the opposite (`sign=-1`)? Guess before you run
# it.

# %%
softly = weigh(compare(*friends.choose(x, sharpness=1, sign=1)))
opposite = weigh(compare(*friends.choose(x, sharpness=10, sign=-1)))
show(
    Matrix("weights, not sharpened", "A", softly, names, names, "weights"),
    Matrix("weights, opposite keys", "A", opposite, names, names, "weights"),
)

# %% [markdown]
# Small scores give even shares, large ones give nearly all to the best. With opposite keys the camps swap: Alice, Bob
# and Daisy listen to Charlie, and he to them.
#
# ## Common mistakes

# %%
told = friends.tell(0)
mistakes(told)

# %% [markdown]
# ## Can you answer these?

# %%
questions(told)

# %% [markdown]
# ## The whole walk
#
# Every step with its formula and its numbers, as `python -m headscope.walkthrough friends --out FOLDER` writes it.

# %%
headscope.Page(whole(friends.WALK))
