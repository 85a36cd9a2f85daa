"""model: one head of a trained model on a text, from characters to the probability that it changes.

Shapes: T positions, C = d_model, D = head width, V vocabulary, L layers, H heads.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from headscope import checkpoint as checkpoints
from headscope.data.tokenizers import Tokenizer
from headscope.errors import UserError
from headscope.generation.sampling import finite
from headscope.heads import look
from headscope.heads.ablation import Ablation, ablate, mean, zero
from headscope.heads.attribution import attribute
from headscope.heads.capture import Replace, heads_at, output_matrices
from headscope.heads.flow import views
from headscope.heads.sentences import sentences
from headscope.model.transformer import Block, TransformerLM
from headscope.render.labels import label
from headscope.show import heads as described
from headscope.show.attribution import largest
from headscope.show.page import target
from headscope.show.request import ShowRequest
from headscope.walkthrough.plain import Three, hide_later, mix, weigh
from headscope.walkthrough.step import Change, Matrix, Mistake, Step, Walk, WalkResult

RUNS = Path("outputs")
SHORTEST, LONGEST = 5, 8  #: tokens of the text where none is given: a map that one can read
TOP = 6  #: next tokens that are followed
PARTS = 9  #: of the model, in the table of who adds what
INSTEAD: dict[str, Ablation] = {"zero": zero, "mean": mean}
Head = tuple[int, int]  #: layer and head, from 0
P = Tensor  #: probabilities, (V,)


@dataclass
class Opened:
    """A checkpoint and a text."""

    request: ShowRequest
    model: TransformerLM
    ids: Tensor  #: (T,)
    shown: list[str]  #: T labels

    @cached_property
    def said(self) -> dict[tuple[int, int], str]:
        """What is known of each head (layer, head), from the texts that the checkpoint keeps."""
        try:
            found = described.reports(self.request)
        except UserError:  # its texts are too short to tell
            return {}
        return {(r.layer, r.head): sentences(r, self.request.tokenizer.unit) for r in found}


def read(tokenizer: Tokenizer, text: str) -> Tensor:
    return tokenizer.encode(text)  # (T,)


def embed(model: TransformerLM, ids: Tensor) -> Tensor:
    return model.embed(ids[None])[0]  # (T, C)


def project(model: TransformerLM, ids: Tensor, at: Head) -> Three:
    seen = look(model, ids[None], "queries", "keys", "values")
    place = (at[0], 0, at[1])  # in (L, 1, H, T, D); positions are applied
    return seen.queries[place], seen.keys[place], seen.values[place]


def score(block: Block, x: Tensor, q: Tensor, k: Tensor, h: int) -> Tensor:
    attention = block.attention
    scores = q @ k.T * attention.position.scale  # (T, T)
    _, keys, _ = attention.heads(block.norm1(x[None]))
    _, bias = attention.score_inputs(keys)  # of positional schemes that have one
    if bias is not None:
        scores = scores + bias.expand(1, attention.n_heads, -1, -1)[0, h]
    return hide_later(scores)


def write(model: TransformerLM, mixed: Tensor, at: Head) -> Tensor:
    out = model.layers()[at[0]].attention.out.weight
    return mixed @ output_matrices(out, model.n_heads)[at[1]]  # (T, C)


def push(model: TransformerLM, ids: Tensor, to: Tensor, at: Head) -> Tensor:
    found = attribute(model, ids.expand(len(to), -1), to)
    return found.heads[at[0], :, at[1]]  # added to the logit of each token


def likely(model: TransformerLM, ids: Tensor, *edits: Replace) -> P:
    logits = look(model, ids[None], edits=edits).logits[0, -1]
    return finite(logits).double().softmax(-1)  # (V,)


def remove(model: TransformerLM, ids: Tensor, at: Head, by: Ablation) -> P:
    mixed = look(model, ids[None], "z").z  # (L, 1, H, T, D)
    edit = Replace("z", by(mixed), heads_at(model, at))
    return likely(model, ids, edit)  # (V,)


@torch.no_grad()
def tell(
    seed: int | None = None,
    *,
    checkpoint: str = "",
    prompt: str = "",
    head: str = "",
    instead: Literal["zero", "mean"] = "zero",
) -> WalkResult:
    """The walk through a head of a checkpoint.

    Args:
        seed: not used, nothing is drawn.
        checkpoint: a file or a run's folder; empty is the best of the newest run in `outputs`.
        prompt: a text; empty is the beginning of one that the checkpoint keeps, where a head matters.
        head: such as L1H2; empty is the one without which the next token's probability changes most.
        instead: what takes the head's place where it is taken away.

    Raises:
        UserError: no checkpoint, no such head, no text of two tokens.
    """
    path = checkpoints.find(checkpoint) if checkpoint else _newest(RUNS)
    opened = _open(path, prompt, path.stat().st_mtime if path.is_file() else 0.0)
    page = target(opened.request)
    told = _Told(opened, _head(opened, head), instead)
    kept = opened.request.about
    trained = f"{kept.get('name', path.stem)}, trained on {kept.get('data', {}).get('name', 'an unnamed text')}"
    about = f"{trained}, {opened.request.when}: {path}"
    question = f"What does one head of this model do to the next {opened.request.tokenizer.unit}?"
    return WalkResult(question, told.steps(), told.mistakes(), told.checks(), about, page if page.is_file() else None)


def _newest(runs: Path) -> Path:
    """The best checkpoint of the newest run in a folder.

    Raises:
        UserError: there is none.
    """
    if (found := checkpoints.newest(runs)) is None:
        raise UserError(
            f"no run in {runs}/ has a checkpoint; train one with make train, or name one: --set checkpoint=…"
        )
    return found


@lru_cache(maxsize=8)  # the answers to what one may change walk through the same model again
def _open(path: Path, prompt: str, stamp: float) -> Opened:
    """The model and the text. A file that was written anew has another stamp."""
    model, tokenizer, about = checkpoints.load(path)
    request = ShowRequest(model, tokenizer, prompt, path, about)
    transformer = request.transformer()
    ids = request.context()[0] if prompt else _telling(transformer, _texts(request)[:, : LONGEST + 1])
    if len(ids) < 2:
        raise UserError(f"--set prompt={prompt}: that is 1 {tokenizer.unit}, and a head needs two to choose from")
    return Opened(request, transformer, ids, [label(tokenizer.show(i)) for i in ids.tolist()])


def _texts(request: ShowRequest) -> Tensor:
    """Texts (B, T) to choose from: those that the checkpoint keeps, or what its model writes."""
    kept = request.about.get("passages")
    texts = torch.tensor(kept) if kept else described.passages(request)
    if texts.shape[1] < 3:
        raise UserError(f"{request.checkpoint} keeps texts of {texts.shape[1]} tokens only; give one: --set prompt=…")
    return texts


@torch.no_grad()
def _telling(model: TransformerLM, texts: Tensor) -> Tensor:
    """Of texts (B, T) the beginning after which a head matters most: its true next token is the likeliest, and less so
    without the head."""
    logits = look(model, texts).logits[:, :-1]  # (B, T - 1, V)
    right = logits.argmax(-1) == texts[:, 1:]
    right[:, : min(SHORTEST, texts.shape[1] - 1) - 1] = False
    heads = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    rises = torch.stack([ablate(model, texts, [at], zero) for at in heads]).amax(0)  # (B, T - 1)
    row, end = divmod(int(torch.where(right, rises, -torch.inf).argmax()), rises.shape[1])
    return texts[row, : end + 1] if right.any() else texts[0, :-1]


def _head(opened: Opened, name: str) -> Head:
    """The head of a name; of an empty one, that without which the likeliest next token's probability changes most."""
    model = opened.model
    names = {f"L{i}H{j}": (i, j) for i in range(model.n_layers) for j in range(model.n_heads)}
    if name:
        if name.upper() not in names:
            raise UserError(f"--set head={name}: there is no such head; there are {' '.join(names)}")
        return names[name.upper()]
    p = likely(model, opened.ids)
    first = int(p.argmax())
    return max(names.values(), key=lambda at: abs(float(remove(model, opened.ids, at, zero)[first] - p[first])))


class _Told:
    """The story of one head on one text."""

    def __init__(self, opened: Opened, at: Head, instead: str) -> None:
        self.opened, self.at, self.instead = opened, at, instead
        layer, head = at
        self.name, self.unit = f"L{layer}H{head}", opened.request.tokenizer.unit
        model, ids = opened.model, opened.ids
        self.x = embed(model, ids)
        self.stream = look(model, ids[None], "resid").resid[layer, 0]  # (T, C)
        self.q, self.k, self.v = project(model, ids, at)
        self.scores = score(model.layers()[layer], self.stream, self.q, self.k, head)
        self.weights = weigh(self.scores)  # (T, T)
        self.z = mix(self.weights, self.v)  # (T, D)
        self.written = write(model, self.z, at)  # (T, C)
        self.p = likely(model, ids)  # (V,)
        self.p_without = remove(model, ids, at, INSTEAD[instead])
        self.top = self.p.topk(min(TOP, len(self.p))).indices
        self.logits = look(model, ids[None]).logits[0, -1][self.top]
        self.pushed = push(model, ids, self.top, at)
        self.parts = attribute(model, ids[None], self.top[:1])
        self.names = [label(opened.request.tokenizer.show(i)) for i in self.top.tolist()]
        self.moved = views(model, ids[None]).moved[layer, 0, head, -1]  # (T,)

    def steps(self) -> list[Step]:
        shown, unit, name, layer = self.opened.shown, self.unit, self.name, self.at[0]
        at, first = len(shown) - 1, self.names[0]
        here = f"“{shown[-1]}”, the last {unit}"
        m_x = Matrix("embeddings", "x", self.x, shown)
        m_stream = Matrix(f"stream before layer {layer}", "x", self.stream, shown)
        m_q, m_k, m_v = (
            Matrix(title, symbol, u, shown)
            for title, symbol, u in (("queries", "Q", self.q), ("keys", "K", self.k), ("values", "V", self.v))
        )
        m_scores = Matrix("scores", "S", self.scores, shown, shown)
        m_weights = Matrix("weights", "A", self.weights, shown, shown, "weights")
        m_mixed = Matrix("head output", "y", self.z[-1:], shown[-1:])
        m_written = Matrix("written", "w", self.written[-1:], shown[-1:])
        best = int(self.weights[-1].argmax())
        said = self.opened.said.get(self.at, "")
        adds_position = self.opened.model.position.table() is not None
        width, d = self.x.shape[1], self.q.shape[1]
        gone = "writes nothing" if self.instead == "zero" else "writes its mean over this text"
        after = float(self.p_without[self.top[0]])
        before = float(self.p[self.top[0]])
        return [
            Step(
                f"{unit.capitalize()}s to numbers", f"What does the model get of “{''.join(shown)}”?",
                f"The tokenizer replaces every {unit} by its place in a vocabulary of {len(self.p)}. (A dot is a "
                f"space, ↵ a new line.)",
                "text → ids", (read,), (),
                (Matrix("ids", "ids", self.opened.ids[None], ("id",), shown, "table", f"({len(shown)},)"),),
                f"The model sees {len(shown)} whole numbers. What follows is about what {here}, makes of the others "
                f"through head {name}: head {self.at[1]} of layer {layer}, both counted from 0, of "
                f"{self.opened.model.n_layers} layers with {self.opened.model.n_heads} heads each.",
            ),
            Step(
                "Embedding", "How does a number become something to calculate with?",
                f"Each id picks a row of {width} numbers from a table that was trained. They are the beginning of the "
                f"stream, the {width} numbers of a position that every layer reads and adds to.",
                "x = E[ids]" + adds_position * " + position", (embed,), (), (m_x,),
                f"Equal {unit}s have {'other rows, as positions were added' if adds_position else 'equal rows'}. Head "
                f"{name} reads the stream "
                f"before layer {layer}"
                + (", which is this embedding." if layer == 0 else ", to which the layers below have added already."),
            ),
            Step(
                "Query, key, value", f"What does head {name} make of it?",
                f"It norms each row of the stream and multiplies it with three matrices of its own, {width} channels "
                f"to {d}: what a {unit} looks for, what it offers, and what it hands over.",
                "Q = norm(x) Wqᵀ    K = norm(x) Wkᵀ    V = norm(x) Wvᵀ", (project,), (m_stream, "→"),
                (m_stream, m_q, m_k, m_v) if layer else (m_q, m_k, m_v),
                "The code does not compute them again: it listens at the layer while the model runs, so these are the "
                "vectors that the model uses, with positions applied.",
            ),
            Step(
                "Scores and weights", f"Where does “{shown[-1]}” look?",
                f"Every query times every key, divided by √{self.v.shape[1]}, plus a bias where the positional scheme "
                f"has one; what comes later is hidden. The softmax of each row makes the weights.",
                f"S = Q Kᵀ / √{self.v.shape[1]} + bias    A = softmax of each row of S", (score, weigh),
                (m_q, "×", m_k.turned, "→"), (m_scores, "softmax →", m_weights),
                f"The last row gives most, {self.weights[-1, best]:.4f}, to “{shown[best]}”, {at - best} back."
                + (f" That is one row of one text. On the texts that the checkpoint keeps: {said} (On the wrong keys: "
                   f"the same weights, dealt to other {unit}s. That is what chance scores.)" if said else ""),
                self._other_head(("weights", -1, best)),
            ),
            Step(
                "What it writes", "What does the head add to the stream?",
                f"The values, weighted by the last row of A and added up, are {self.v.shape[1]} numbers. The head's "
                f"part of the layer's output projection, Wo, makes {width} of them, and they are added to the stream "
                f"of “{shown[-1]}”.",
                "y = A V    w = y Wo", (mix, write), (m_weights.row(at), "×", m_v, "="), (m_mixed, "Wo →", m_written),
                f"What is written is {float(self.written[-1].norm()):.2f} long; the stream that it is added to, "
                f"{float(self.stream[-1].norm()):.2f}.",
            ),
            Step(
                "Direct attribution", f"What does that do to the next {unit}?",
                f"After the last layer the stream is normed and multiplied with the matrix U, which has a row for each "
                f"{unit} of the vocabulary: that gives the logits. The stream is a sum of all that was written into "
                f"it, so each part has its share of each logit: what the head wrote, divided by the spread σ by which "
                f"the norm divides the stream, times the {unit}'s row of U.",
                "share of a logit = w / σ · U", (push,), (m_written, "× U ="),
                (Matrix("next", "z", torch.stack((self.logits.double(), self.pushed), -1), self.names,
                        ("logit", f"from {name}"), shape=f"({len(self.p)},), the likeliest"),
                 self._shares()),
                f"Head {name} adds {float(self.pushed[0]):+.4f} to the logit of “{first}”, the likeliest next "
                f"{unit}. Only differences between logits change a probability: what is added to all alike does "
                "nothing.",
            ),
            Step(
                "With and without", "What if the head were not there?",
                f"The model runs again, and the head {gone}; everything after it reads what is left.",
                "P = softmax(logits)", (likely, remove), (),
                (Matrix("probabilities", "P", torch.stack((self.p[self.top], self.p_without[self.top]), -1), self.names,
                        ("with", "without"), "weights", f"({len(self.p)},) each, the likeliest", whole=True),),
                f"P({first}) = {before:.4f} with the head and {after:.4f} without. Through the head ln P changes by "
                f"{self._nats():+.4f}. The {float(self.pushed[0]):+.4f} that it adds to this logit directly is one of "
                f"several causes: it moves the other logits too, and later layers read what it wrote.",
                Change("instead", "mean" if self.instead == "zero" else "zero",
                       "What if the head is not silent, but says what it says on average?" if self.instead == "zero"
                       else "What if the head is silent?",
                       ("probabilities", 0, 1),
                       "Silence takes away all that the head writes, a constant part included that later layers may "
                       "rely on; its mean leaves that part, and takes away only what differs from place to place."),
            ),
        ]  # fmt: skip

    def _nats(self) -> float:
        """By how much the head raises ln P of the likeliest."""
        return float(self.p[self.top[0]].log() - self.p_without[self.top[0]].log())

    def _shares(self) -> Matrix:
        """Who adds what to the logit of the likeliest."""
        rows = largest([(name, x, 0.0) for name, x in self.parts.named()], PARTS)
        rows.append(("logit", float(self.parts.logit), 0.0))
        notes = ["this head" * (part == self.name) for part, _, _ in rows]
        values = torch.tensor([[x] for _, x, _ in rows])
        title = f"who makes “{self.names[0]}” likely"
        return Matrix(title, "Σ", values, [part for part, _, _ in rows], ("adds",), notes=notes, whole=True)

    def _other_head(self, at: tuple[str, int, int]) -> Change | None:
        model = self.opened.model
        if model.n_heads * model.n_layers == 1:
            return None
        following = self.at[0] * model.n_heads + self.at[1] + 1
        layer, head = divmod(following % (model.n_layers * model.n_heads), model.n_heads)
        because = self.opened.said.get((layer, head), "Each head has matrices of its own, so each looks elsewhere.")
        return Change("head", f"L{layer}H{head}", "What if we follow another head?", at, because)

    def mistakes(self) -> list[Mistake]:
        shown, name = self.opened.shown, self.name
        look_at, move = int(self.weights[-1].argmax()), int(self.moved.argmax())
        same = "the same place here, and it need not be" if look_at == move else "another place"
        return [
            Mistake(
                "Taking a weight for an influence",
                f"The largest weight of the last row is {self.weights[-1, look_at]:.4f}, on “{shown[look_at]}” at "
                f"position {look_at}. A large weight on a short value moves little: by weight times the length of "
                f"what is written, the most comes from “{shown[move]}” at position {move}, "
                f"{float(self.moved[move]):.4f}: {same}. (What comes from all positions can be shorter in sum, where "
                f"parts cancel.)",
            ),
            Mistake(
                "Taking a direct share for the whole effect",
                f"{name} adds {float(self.pushed[0]):+.4f} to the logit of “{self.names[0]}”, but ln P changes by "
                f"{-self._nats():+.4f} when it is taken away: the other logits move too, and later layers read what "
                f"the head wrote and make something else of it.",
            ),
            Mistake(
                "Judging a head by one text",
                f"All this is about {len(shown)} {self.unit}s. What a head does in general takes many texts and a "
                "control: " + self.opened.said.get(self.at, "this checkpoint keeps no texts long enough for that."),
            ),
        ]

    def checks(self) -> list[tuple[str, str]]:
        shown = self.opened.shown
        best = int(self.weights[-1].argmax())
        return [
            (
                f"Which {self.unit} does head {self.name} look at most from the last position, and with what weight?",
                f"“{shown[best]}”, with {self.weights[-1, best]:.4f}.",
            ),
            (
                "By what way does what the head found reach the prediction?",
                "Its weighted values go through Wo into the stream, which later layers read too; after the last one "
                "the stream, normed, times U gives the logits.",
            ),
            (
                f"How likely is “{self.names[0]}” with the head, and how likely without?",
                f"P is {float(self.p[self.top[0]]):.4f} with it and {float(self.p_without[self.top[0]]):.4f} without.",
            ),
        ]


WALK = Walk("model", "one head of your own model, from text to the probability that it changes", None, tell)
