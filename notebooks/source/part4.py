# %% [markdown]
# # What is in a transformer, and what has it to do with attention?
#
# From attention of three tokens to a model with 4.8 million parameters. The functions are those of `python -m
# headscope.walkthrough part4`.

# %%
import torch

import headscope
from headscope.model.position import Sinusoidal
from headscope.model.transformer import Block, TransformerLM
from headscope.walkthrough import part4
from headscope.walkthrough.notebook import mistakes, questions, show, step, whole
from headscope.walkthrough.plain import compare, hide_later, mix, scale, weigh
from headscope.walkthrough.step import Matrix

words = part4.TOKENS
_ = torch.manual_seed(42)
x = torch.randn(1, 3, 4)  # (B, T, C)
show(Matrix("embeddings", "X", x[0], words))

# %% [markdown]
# ## Which tokens are alike?
#
# To begin with there are no matrices: Q, K and V are all this same X.

# %%
scores = scale(compare(x, x), 4)  # X Xᵀ / √4
weights = weigh(scores)
show(
    Matrix("scores", "S", scores[0], words, words),
    "softmax →",
    Matrix("weights", "A", weights[0], words, words, "weights"),
)

# %% [markdown]
# **Notice.** The scores are the same on both sides of the diagonal: nobody asks for anything other than they are. And
# “The” gives weight to what comes after it.
#
# ## How is a token kept from seeing what comes later?

# %%
masked = weigh(hide_later(scores))
show(
    Matrix("masked weights", "A", masked[0], words, words, "weights"),
    "× X =",
    Matrix("output", "Y", mix(masked, x)[0], words),
)

# %% [markdown]
# **Notice.** The last row is as before, since nothing comes after it.
#
# ## How does a model know which token comes first?
#
# Nothing in the scores depends on order. Each position adds waves of its own to the embedding: the walk's own step.

# %%
told = part4.tell(42)
step(told, "Positions")

# %% [markdown]
# ## What is around attention in a model?
#
# A stream runs through all blocks. Attention reads it and adds what it found; a feed-forward does the same for each
# position by itself. `tour` goes through a block piece by piece.

# %%
block = Block(256, 8, part4.DROPOUT, Sinusoidal(256, 8, 128, 0)).eval()
stream = torch.randn(1, 3, 256)
with torch.no_grad():
    q, k, v, heads, middle, wide, out = part4.tour(block, stream)
print("queries", tuple(q.shape), " heads", tuple(heads.shape), " wide", tuple(wide.shape), " out", tuple(out.shape))
print(f"piece by piece and whole differ by {(out - block(stream)).abs().max():.0e}")

# %% [markdown]
# ## Where does a model keep what it learns?

# %%
model = TransformerLM(**part4.SHAPE, position=Sinusoidal)
print(f"{part4.count(model):,} parameters")
step(told, "Parameters")

# %% [markdown]
# ## Change something
#
# How many parameters has the same model with 4 heads in place of 8? And with 12 blocks in place of 6? Guess first.

# %%
for change in ({"n_heads": 4}, {"n_layers": 12}):
    print(change, f"{part4.count(TransformerLM(**part4.SHAPE | change, position=Sinusoidal)):,}")

# %% [markdown]
# Heads cost nothing: they share the same matrices, cut into other parts. Every block costs the same, and there are
# twice as many; the embedding, the last norm and the output are there once.
#
# ## Common mistakes

# %%
mistakes(told)

# %% [markdown]
# ## Can you answer these?

# %%
questions(told)

# %% [markdown]
# ## The whole walk

# %%
headscope.Page(whole(part4.WALK))
