# %% [markdown]
# # Train a model, look at its heads, explain one
#
# This notebook trains a model for half a minute on Python's own documentation; no network is needed. It then shows what
# each head does, what the evidence for this is, and what happens without one head.

# %%
import torch

import headscope
from headscope.heads import ablate, look, mean
from headscope.heads.attribution import attribute
from headscope.heads.sentences import sentences
from headscope.walkthrough.matrix import Matrix
from headscope.walkthrough.notebook import show

# %% [markdown]
# ## Train
#
# On the command line this is `python train.py experiment=quickstart data=pydoc …`.

# %%
run = headscope.train(
    "experiment=quickstart", "data=pydoc", "model.n_layers=2", "model.d_model=64", "heads=h2",
    "trainer.max_steps=300", "trainer.val_check_interval=100", "+trainer.limit_val_batches=8", "trainer.threads=1",
)  # fmt: skip
steps = [f"step {entry['step']}" for entry in run.history]
show(Matrix("validation loss", "nats per character", torch.tensor(run.losses)[:, None], steps, ("loss",), "table"))

# %% [markdown]
# **Notice.** The loss falls. A uniform guess over V characters has a loss of ln V nats. The difference shows how
# much better the model predicts the text. The model does not write well yet:

# %%
print(run.generate("def ", max_new_tokens=200))

# %% [markdown]
# ## Look
#
# There is one attention pattern for each head. Each row belongs to a character and shows how much attention that
# character pays to itself and to earlier characters. Each row adds up to 1.

# %%
heads = run.heads("return the name")
names = [f"L{layer}H{head}" for layer in range(2) for head in range(2)]
maps = zip(names, heads.maps.flatten(0, 1), strict=True)
show(*(Matrix(n, n, m, heads.tokens, heads.tokens, "weights") for n, m in maps))

# %% [markdown]
# ## Explain one head
#
# A pattern shows only one text, but evidence for a role needs many texts and a control. The following sentences
# describe each head on held-out text. The evidence has two parts: a comparison with chance, and the loss without the
# head.

# %%
for report in heads.reports:
    print(sentences(report, run.tokenizer.unit))

# %% [markdown]
# **Notice.** Each sentence compares a head with uniform attention, and with its own weights on the wrong keys. A
# role is confirmed only if the model needs the head.
#
# A role is a short name. A description says more: it is a rule that predicts the attention of a head from the text
# alone. At the end of training, such a rule was fitted to each head, and then replaced the head's attention on held-out
# text. “Explains” is the share of the head's contribution that the rule keeps.

# %%
for description in heads.descriptions:
    print(description.sentence)

# %% [markdown]
# **Notice.** A rule describes how a head behaves on this kind of text, not how the head computes it. The next cells use
# the head that the model needs most:

# %%
chosen = max((report for report in heads.reports if report.evidence), key=lambda report: report.evidence.cost)
print(chosen.name, chosen.role)

# %% [markdown]
# ## What happens without it?
#
# The output of the head is replaced with its mean over the text. The constant part of the output stays, and the
# differences between positions are removed. Position 0, which sees only itself, keeps its output. The picture shows how
# much the loss of each character rises:

# %%
ids = run.tokenizer.encode("return the name")
rises = ablate(run.model, ids[None], [(chosen.layer, chosen.head)], by=mean)  # (1, T - 1), in nats
show(Matrix("loss without it, minus with it", "nats", rises, (chosen.name,), heads.tokens[1:]))

# %% [markdown]
# ## Which part made the next character likely?
#
# A logit is a sum of contributions from the embedding, each head and each feed-forward layer.

# %%
first = look(run.model, ids[None]).logits[0, -1].argmax()
shares = attribute(run.model, ids[None], first[None])
parts, adds = zip(*shares.named(), strict=True)
print(f"most likely after “return the name”: {run.tokenizer.show(int(first))!r}, logit {float(shares.logit):.4f}")
show(Matrix("contributions to the logit", "Σ", torch.tensor(adds)[:, None], parts, ("adds",), "table"))

# %% [markdown]
# **Common mistake.** The direct contribution of a head is not its whole effect, because later layers also read what the
# head wrote. A large attention weight on a short value vector has little effect. Only the loss without the head shows
# whether the model needs it.
#
# ## Change something
#
# What if all heads are removed at once? Guess first: is the rise in the loss the sum of the rises for single heads?

# %%
every = [(layer, head) for layer in range(2) for head in range(2)]
single = [float(ablate(run.model, ids[None], [at], by=mean).mean()) for at in every]
together = float(ablate(run.model, ids[None], every, by=mean).mean())
print(f"one at a time, added up: {sum(single):+.4f} nats; all at once: {together:+.4f}")

# %% [markdown]
# It can be larger or smaller. If one head can replace another, removing only one of them has little effect. If one head
# reads the output of another, the sum counts a shared effect twice. Try a longer text.
#
# ## Try it yourself
#
# The page contains the model: type a text, look at a head, and switch the head off. The page needs no network and no
# Python.

# %%
run.page("return the name")

# %% [markdown]
# ## Can you answer these?
#
# 1. <details><summary>Why is the pattern of one text not enough evidence for a role?</summary>Another text may show
#    another pattern. Scores come from many texts, and are compared with chance and with the head's own weights
#    on the wrong keys.</details>
# 2. <details><summary>What makes a role confirmed?</summary>Without the head, the loss on held-out text rises by
#    much more than the uncertainty of this rise. So the model needs the head.</details>
# 3. <details><summary>If a part adds much to a logit, does it make the character likely?</summary>Only if it adds
#    less to the other logits. A probability depends on differences between logits.</details>
