# %% [markdown]
# # How can a machine learn that “cats” follows “I love”?
#
# One attention head with 8 channels learns one sentence. The functions are those of `python -m headscope.walkthrough
# toy`.

# %%
import tempfile

import torch

import headscope
from headscope.walkthrough import toy
from headscope.walkthrough.notebook import mistakes, questions, show, step, whole
from headscope.walkthrough.plain import compare, hide_later, mix, scale, weigh
from headscope.walkthrough.step import Matrix

words = toy.SENTENCE
print(toy.VOCABULARY, words, toy.ids(*words))

# %% [markdown]
# ## Where do the weights come from?
#
# From 200 rounds of the same: predict the word after “love”, measure how much the answer missed (the loss is -ln
# P(cats | I love)), and move every weight a little downhill.

# %%
model, losses = toy.train(seed=0, targets=toy.ids("cats"))
print(*[f"epoch {e:3}  loss {losses[e]:.1e}" for e in (0, 10, 50, 199)], sep="\n")

# %% [markdown]
# **Notice.** A guess over 6 words costs ln 6 = 1.79. All matrices below are those after the last round.
#
# ## What does a word do with its 8 numbers?
#
# Three matrices make three vectors of it: a query (what do I look for?), a key (what do I offer?) and a value (what
# do I hand over?).

# %%
with torch.no_grad():
    x = model.embedding(toy.ids(*words))  # (T, C): 2 words, 8 channels
    q, k, v = toy.project(model, x)
show(Matrix("embeddings", "X", x, words), "→", Matrix("queries", "Q", q, words))

# %% [markdown]
# ## Who listens to whom, and what comes of it?

# %%
weights = weigh(scale(compare(q, k), toy.WIDTH))  # softmax of Q Kᵀ / √8
y = mix(weights, v)
show(Matrix("weights", "A", weights, words, words, "weights"), "×", Matrix("values", "V", v, words))

# %% [markdown]
# ## How does a vector become a word?
#
# One more matrix, then a classifier that scores each word of the vocabulary by the last row of Y, and a softmax.

# %%
with torch.no_grad():
    logits, probabilities = toy.predict(model, y)
print(f"P(cats | I love) = {probabilities[toy.VOCABULARY.index('cats')]:.4f}")
show(
    Matrix("logits", "z", logits[None], ("love",), toy.VOCABULARY),
    Matrix("probabilities", "P", probabilities[None], ("love",), toy.VOCABULARY, "weights"),
)

# %% [markdown]
# ## Change something
#
# With a causal mask “I” no longer sees “love”. Does the prediction change? Guess first.

# %%
masked = weigh(hide_later(scale(compare(q, k), toy.WIDTH)))
with torch.no_grad():
    _, after = toy.predict(model, mix(masked, v))
print(f"largest change of a probability: {(after - probabilities).abs().max():.1e}")
show(Matrix("masked weights", "A", masked, words, words, "weights"))

# %% [markdown]
# It does not change: the prediction reads the last row alone, and nothing comes after the last word.
#
# What if it learns for 20 rounds only?

# %%
step(toy.tell(0, epochs=20), "The next word")

# %% [markdown]
# ## Common mistakes

# %%
told = toy.tell(0)
mistakes(told)

# %% [markdown]
# ## Can you answer these?

# %%
questions(told)

# %% [markdown]
# ## The same sentence in a transformer
#
# `experiment=toy` trains a model with positions, norms and a feed-forward on “I love cats”. This page holds it: type,
# look at the head, switch it off.

# %%
run = headscope.train("experiment=toy", "callbacks=none", f"hydra.run.dir={tempfile.mkdtemp()}/toy")
print(run.next("I love", most=2))
run.page("I love")

# %% [markdown]
# ## The whole walk

# %%
headscope.Page(whole(toy.WALK))
