# %% [markdown]
# # Which word follows “jumps”, if all we have is random vectors and attention?
#
# Nothing is learned here: what attention alone does can be seen best where the vectors mean nothing. The functions
# are those of `python -m headscope.walkthrough fox`.

# %%
import torch

import headscope
from headscope.walkthrough import fox
from headscope.walkthrough.notebook import mistakes, questions, show, step, whole
from headscope.walkthrough.plain import compare, mix, scale, weigh
from headscope.walkthrough.step import Matrix

words = fox.SENTENCE.split()
vectors = fox.draw(seed=0, words=len(words), width=fox.D)  # (T, D), from 0 to 1; no word comes twice
show(Matrix("vectors", "K = V", vectors, words))

# %% [markdown]
# ## What is asked?
#
# “jumps” is the current word. The mean of the two words before it is the query.

# %%
at = words.index("jumps")
query = fox.ask(vectors, slice(at - fox.WINDOW, at))  # (1, D)
scores = scale(compare(query, vectors), fox.D)  # (1, T)
show(Matrix("scores", "s", scores, ("query",), words))

# %% [markdown]
# **Notice.** All scores are positive, as all numbers are. A long vector scores high, whatever is asked.
#
# ## How does a score become a share?
#
# By the softmax, once: e to the power of each score, divided by the sum of all.

# %%
weights = weigh(scores)
context = mix(weights, vectors)  # (1, D)
show(Matrix("weights", "a", weights, ("query",), words, "weights"), "× V =", Matrix("context", "c", context, ("sum",)))

# %% [markdown]
# ## Which word comes next?
#
# There are two readings. By the values: the word whose vector is nearest to the context. By the largest weight: a
# word that is there already.

# %%
distances = fox.nearest_to(context, vectors)  # (T,)
print(f"by the values:         {words[distances.argmin()]}, {distances.min():.4f} away")
print(f"by the largest weight: {words[weights.argmax()]}, {weights.max():.4f}")

# %% [markdown]
# ## Change something
#
# What if the exponentials are taken for weights, and put through a softmax after that? Guess what happens to the
# shares.

# %%
twice = weigh(scores.exp())
show(Matrix("softmax once and twice", "a", torch.cat((weights, twice)), ("once", "twice"), words, "weights"))

# %% [markdown]
# The differences grow, and the shares no longer follow from the scores: exponentials of exponentials. Now a wider
# window:

# %%
step(fox.tell(0, window=4), "A prediction")

# %% [markdown]
# ## Common mistakes

# %%
told = fox.tell(0)
mistakes(told)

# %% [markdown]
# ## Can you answer these?

# %%
questions(told)

# %% [markdown]
# ## The whole walk

# %%
headscope.Page(whole(fox.WALK))
