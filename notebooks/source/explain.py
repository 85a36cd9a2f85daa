# %% [markdown]
# # Train a model, look at its heads, explain one
#
# Half a minute of training on Python's own documentation, without a network. Then: what does each head do, how do we
# know, and what happens without it?

# %%
import torch

import headscope
from headscope.heads import ablate, look, mean
from headscope.heads.attribution import attribute
from headscope.heads.sentences import sentences
from headscope.walkthrough.notebook import show
from headscope.walkthrough.step import Matrix

# %% [markdown]
# ## Train
#
# The words after `train` are those of the command line: `python train.py experiment=quickstart data=pydoc …`.

# %%
run = headscope.train(
    "experiment=quickstart", "data=pydoc", "model.n_layers=2", "model.d_model=64", "heads=h2",
    "trainer.max_steps=300", "trainer.val_check_interval=100", "+trainer.limit_val_batches=8", "trainer.threads=1",
)  # fmt: skip
steps = [f"step {entry['step']}" for entry in run.history]
show(Matrix("validation loss", "nats per character", torch.tensor(run.losses)[:, None], steps, ("loss",), "table"))

# %% [markdown]
# **Notice.** It falls. A guess over all V characters costs ln V nats, so this is how much the model has come to
# expect of the text. It is no good writer yet:

# %%
print(run.generate("def ", max_new_tokens=200))

# %% [markdown]
# ## Look
#
# One map a head: a row is a character that looks, its columns are where it looks, and a row adds up to 1.

# %%
heads = run.heads("return the name")
names = [f"L{layer}H{head}" for layer in range(2) for head in range(2)]
maps = zip(names, heads.maps.flatten(0, 1), strict=True)
show(*(Matrix(n, n, m, heads.tokens, heads.tokens, "weights") for n, m in maps))

# %% [markdown]
# ## Explain one head
#
# A map is one text; a role takes many, and a control. This is what each head does on text that the training did not
# see, with the evidence: chance, and what the loss loses without the head.

# %%
for report in heads.reports:
    print(sentences(report, run.tokenizer.unit))

# %% [markdown]
# **Notice.** Each sentence compares a head with one that looks evenly, and with its own weights on the wrong keys.
# Only a role whose head the model needs is confirmed. We go on with the one that it needs most:

# %%
chosen = max((report for report in heads.reports if report.evidence), key=lambda report: report.evidence.cost)
print(chosen.name, chosen.role)

# %% [markdown]
# ## What happens without it?
#
# Its output is replaced by its mean over the text, which leaves a constant part and takes away what it found. What each
# character's loss rises by:

# %%
ids = run.tokenizer.encode("return the name")
rises = ablate(run.model, ids[None], [(chosen.layer, chosen.head)], by=mean)  # (1, T - 1), in nats
show(Matrix("loss without it, minus with it", "nats", rises, (chosen.name,), heads.tokens[1:]))

# %% [markdown]
# ## Which part made the next character likely?
#
# A logit is a sum: the embedding, each head and each feed-forward has its share.

# %%
first = look(run.model, ids[None]).logits[0, -1].argmax()
shares = attribute(run.model, ids[None], first[None])
parts, adds = zip(*shares.named(), strict=True)
print(f"most likely after “return the name”: {run.tokenizer.show(int(first))!r}, logit {float(shares.logit):.4f}")
show(Matrix("what each part adds to the logit", "Σ", torch.tensor(adds)[:, None], parts, ("adds",), "table"))

# %% [markdown]
# **Common mistake.** A direct share is not the whole effect: later layers read what a head wrote, too. And a large
# weight on a short value moves little. Only the loss without the head says whether the model needs it.
#
# ## Change something
#
# What if all heads are taken away at once? Guess: is it the sum of what each costs alone?

# %%
every = [(layer, head) for layer in range(2) for head in range(2)]
alone = [float(ablate(run.model, ids[None], [at], by=mean).mean()) for at in every]
together = float(ablate(run.model, ids[None], every, by=mean).mean())
print(f"one at a time, added up: {sum(alone):+.4f} nats; all at once: {together:+.4f}")

# %% [markdown]
# It need not be, though it may come near. Where one head could do what another does, each alone seems to cost little;
# where one reads what another wrote, they are counted twice. Try a longer text.
#
# ## Try it yourself
#
# The page holds the model: type, look at a head, switch it off. It needs no network and no Python.

# %%
run.page("return the name")

# %% [markdown]
# ## Can you answer these?
#
# 1. <details><summary>Why is a map of one text no evidence for a role?</summary>Another text may show another picture.
#    The scores are of many texts, beside chance and beside the head's own weights on the wrong keys.</details>
# 2. <details><summary>What makes a role confirmed?</summary>Without the head the loss on held-out text rises, by far
#    more than the error of that number: the model needs it.</details>
# 3. <details><summary>A part adds a lot to a logit. Does it make the character likely?</summary>Only if it adds less to
#    the others: a probability depends on differences of logits.</details>
