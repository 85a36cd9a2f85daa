"""A model built by hand, whose induction head rests on the first token where nothing repeats."""

import torch

from headscope.model.position import Learned
from headscope.model.transformer import TransformerLM

V, T = 24, 32
C = 3 * V + T + 2  # channels: token, position, previous token, next token, and two that stay empty
TOKEN, POSITION, PREVIOUS, NEXT = (slice(a, a + n) for a, n in ((0, V), (V, T), (V + T, V), (2 * V + T, V)))
CONSTANT = C - 1  # the norm of the induction head's layer sets this channel to 1
D = C // 2
FIRST = 50  # the length of the first position's vector: position 0 is an outlier, as in trained models with sinks


@torch.no_grad()
def induction_that_rests(copies=1):
    """Returns a model with two heads per layer, which predicts repeated tokens and nothing else.

    Head 0 of each of the first `copies` layers copies the previous token, so that one of these heads is enough. In the
    last layer, head 0 attends to the token that followed the current token earlier, or to the first token if there is
    none, and head 1 always attends to the first token and writes nothing. All other heads attend evenly and write
    nothing.
    """
    model = TransformerLM(V, C, 2, copies + 1, T, 0.0, Learned)
    random = torch.Generator().manual_seed(0)
    for p in model.parameters():
        p.normal_(std=1e-4, generator=random)  # without noise, LAPACK finds no eigenvalues of the OV circuits
    for norm in (model.norm, *(norm for block in model.blocks for norm in (block.norm1, block.norm2))):
        norm.weight.fill_(1)
    model.embedding.weight[:, TOKEN] = torch.eye(V)
    model.position.vectors.weight[:, POSITION] = torch.eye(T)
    model.position.vectors.weight[0, POSITION.start] = FIRST
    *copying, last = model.blocks
    for block in copying:
        q, k, v = block.attention.qkv.weight.view(3, 2, D, C)
        q[0, :T, POSITION] = 5 * torch.eye(T)
        k[0, 1:T, POSITION] = 5 * torch.eye(T)[:-1]  # the key of position j matches the query of position j + 1
        v[0, :V, TOKEN] = torch.eye(V)
        block.attention.out.weight[PREVIOUS, :V] = torch.eye(V) / 7  # a token's channel is about 7 after the norm
    q, k, v = last.attention.qkv.weight.view(3, 2, D, C)
    last.norm1.bias[CONSTANT] = 1
    q[0, :V, TOKEN] = k[0, :V, PREVIOUS] = 2.5 * torch.eye(V)  # a match scores about 30
    q[:, V, CONSTANT] = 1
    k[:, V, POSITION.start] = 8  # the first token scores about 10
    v[0, :V, TOKEN] = torch.eye(V)
    last.attention.out.weight[NEXT, :V] = torch.eye(V) / 6
    model.head.weight[:, NEXT] = 2 * torch.eye(V)
    return model.eval()


def without_repeats(n, seed=0):
    """Returns n texts in which no token occurs twice: ids (n, V)."""
    random = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(V, generator=random) for _ in range(n)])
