"""From logits to text."""

import itertools

import pytest
import torch

from headscope.data.tokenizers import BytePairTokenizer, CharTokenizer, WordTokenizer
from headscope.errors import UserError
from headscope.generation.decode import decode
from headscope.generation.sampling import Draws, Sampling
from headscope.generation.text import next_tokens, opening, prompt_ids, write_texts
from tests.conftest import shell, small

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0]])


def test_temperature_divides_the_logits():
    torch.testing.assert_close(Sampling(0.5).probabilities(LOGITS), (LOGITS.double() / 0.5).softmax(-1))


def test_top_k_and_top_p_keep_the_most_likely():
    assert (Sampling(1, top_k=2).probabilities(LOGITS) > 0).tolist() == [[True, True, False, False]]
    p = LOGITS.softmax(-1)  # .644, .237, .087, .032
    for top_p, kept in [(0.5, 1), (0.7, 2), (0.95, 3), (0.99, 4), (1.0, 4)]:
        q = Sampling(1, top_p=top_p).probabilities(LOGITS)
        assert int((q > 0).sum()) == kept
        torch.testing.assert_close(q[0, :kept], (p / p[0, :kept].sum())[0, :kept].double())


@pytest.mark.parametrize(
    ("logits", "k", "kept"),
    [
        ([1.0, 3.0, 3.0, 3.0], 1, [1]),
        ([1.0, 3.0, 3.0, 3.0], 2, [1, 2]),
        ([0.0, 0.0, 0.0, 0.0], 3, [0, 1, 2]),
        ([2.0, 1.0, 2.0, 1.0], 3, [0, 1, 2]),
        ([2.0, 1.0, 2.0, 1.0], 9, [0, 1, 2, 3]),
    ],
)
def test_of_equally_likely_tokens_top_k_keeps_the_first(logits, k, kept):
    p = Sampling(1, top_k=k).probabilities(torch.tensor([logits]))
    assert p[0].nonzero().flatten().tolist() == kept
    expected = torch.tensor(logits, dtype=torch.float64)[kept].softmax(-1)
    torch.testing.assert_close(p[0, kept], expected)


def test_top_k_counts_in_a_vocabulary_of_ties_and_in_each_row():
    logits = torch.randint(3, (5, 1000), generator=torch.Generator().manual_seed(1)).float()
    for k in (1, 7, 400, 999):
        assert ((Sampling(1, top_k=k).probabilities(logits) > 0).sum(-1) == k).all()


def test_top_p_takes_its_share_of_what_top_k_left():
    p = Sampling(1, top_k=2, top_p=0.7).probabilities(LOGITS)  # after top-k, the probabilities are .731 and .269
    assert p.tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(1), Sampling(1, top_k=2), Sampling(1, top_p=0.5)])
def test_logits_that_are_not_finite_are_one_line(bad, sampling):
    with pytest.raises(UserError, match="the model's logits are not finite") as error:
        sampling.draw(torch.tensor([[1.0, bad, 0.0]]), torch.zeros(1, 3))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_with_a_damaged_weight_is_one_line(bad):
    model, tokenizer = small().eval(), CharTokenizer(vocab=list("abcdefghij\n"))
    with torch.no_grad():
        model.blocks[1].norm1.weight[3] = bad
    for temperature in (0, 1):
        with pytest.raises(UserError, match="logits are not finite"):
            list(write_texts(model, tokenizer, "a", 5, Sampling(temperature), [torch.Generator()])[0])
    with pytest.raises(UserError, match="logits are not finite"):
        next_tokens(model, tokenizer, "a", 5)


@pytest.mark.parametrize("sampling", [Sampling(1), Sampling(0.5), Sampling(1, top_k=3), Sampling(2, top_p=0.9)])
def test_draws_follow_the_probabilities(sampling):
    noise = torch.cat([sampling.noise([torch.Generator().manual_seed(i)], 4) for i in range(20_000)])
    frequency = sampling.draw(LOGITS.expand(20_000, 4), noise).bincount(minlength=4) / 20_000
    expected = sampling.probabilities(LOGITS)[0]
    torch.testing.assert_close(frequency, expected.float(), atol=0.015, rtol=0)
    assert (frequency[expected == 0] == 0).all()


def test_the_same_logits_draw_the_same_in_whatever_portions():
    logits = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1))

    def drawn(*portions):
        draw = Draws(Sampling(1), [torch.Generator().manual_seed(s) for s in (1, 2)])
        pieces = []
        for piece in logits.split(portions, 1):
            draw(piece[:, :1], 3)  # looking ahead must not change the draws
            pieces.append(draw(piece, 0))
            draw.advance(piece.shape[1])
        return torch.cat(pieces, 1)

    assert drawn(9).equal(drawn(1, 4, 2, 1, 1))


def test_infinite_and_tiny_temperatures_stay_finite():
    for t in (1e-6, 1e6):
        assert Sampling(t).probabilities(LOGITS).isfinite().all()


@pytest.mark.parametrize(
    ("tokenizer", "prompt"),
    [
        (CharTokenizer(vocab=list("abcdefghij\n")), "abc\n"),
        (WordTokenizer(vocab=["I", "love", "cats", "\n", *"defghij"]), "I love \n cats"),
    ],
)
def test_text_in_pieces_is_the_text_of_the_whole(tokenizer, prompt):
    model = small().eval()
    pieces = list(write_texts(model, tokenizer, prompt, 40, Sampling(1.0), [torch.Generator().manual_seed(1)])[0])
    ids = tokenizer.encode(prompt)
    drawn = (i for (i,) in decode(model, ids[None], 40, Sampling(1.0), [torch.Generator().manual_seed(1)]))
    assert "".join(pieces) == tokenizer.decode(itertools.chain(ids.tolist(), drawn))
    assert len(pieces) == 41


CHARACTERS = CharTokenizer(vocab=list("abc defghij"))
LINES = CharTokenizer(vocab=list("abc defghi\n"))
WORDS = WordTokenizer(vocab=["<pad>", "<eos>", "the", "mat", *"abcdefg"])
PAIRS = BytePairTokenizer.of(["nothing"], 256)


@pytest.mark.parametrize(
    ("tokenizer", "prompt", "written"),
    [
        (LINES, "", "\n"),
        (LINES, "  ", "  "),
        (CHARACTERS, "", "a"),
        (CHARACTERS, " ", " "),
        (WORDS, "", "the"),
        (WORDS, "  ", "the"),
        (WORDS, "\t", "the"),
        (WORDS, " mat\t", "mat"),
        (PAIRS, "", "\n"),
        (PAIRS, " \t", " \t"),
    ],
)
def test_a_prompt_without_tokens_becomes_the_opening(tokenizer, prompt, written):
    model = small(vocab_size=len(tokenizer)).eval()
    generator = torch.Generator().manual_seed(1)
    pieces = list(write_texts(model, tokenizer, prompt, 3, Sampling(0), [generator])[0])
    assert pieces[0] == tokenizer.decode(prompt_ids(tokenizer, prompt)) == written
    table = next_tokens(model, tokenizer, prompt, 5)
    assert table == next_tokens(model, tokenizer, written, 5)
    assert table[0][0] == tokenizer.show(int(model(tokenizer.encode(written)[None])[0, -1].argmax()))
    if not prompt:
        assert opening(tokenizer) == written


def test_next_tokens_are_all_there_and_sum_to_one():
    model = small().eval()
    table = next_tokens(model, LINES, "abc", 99)
    assert len(table) == 11
    assert sum(p for _, p in table) == pytest.approx(1)
    assert [p for _, p in table] == sorted((p for _, p in table), reverse=True)
    model.head.weight.data.zero_()
    model.head.bias.data.zero_()
    assert [token for token, _ in next_tokens(model, LINES, "abc", 4)] == list("abc "), "ties must be in id order"


class Reciter(torch.nn.Module):
    """A model that predicts the next token of one fixed text."""

    block_size = 1000

    def __init__(self, ids, size):
        super().__init__()
        self.nothing = torch.nn.Parameter(torch.zeros(()))
        self.ids, self.size = ids, size

    def forward(self, ids):
        following = self.ids[1 : ids.shape[1] + 1]
        return torch.nn.functional.one_hot(following, self.size)[None].float()


def test_a_character_of_several_tokens_is_written_whole():
    text = "a日本é, and \N{REPLACEMENT CHARACTER} 𝒳!\n"
    tokenizer = BytePairTokenizer.of(["nothing"], 256)  # a vocabulary of single bytes
    ids = tokenizer.encode(text)
    assert len(ids) == len(text.encode())
    pieces = list(
        write_texts(Reciter(ids, 256), tokenizer, "a", len(ids) - 1, Sampling(0), [torch.Generator().manual_seed(0)])[0]
    )
    assert "".join(pieces) == text
    assert {"日", "本", "é", "𝒳"} <= set(pieces)


def test_a_text_does_not_depend_on_those_beside_it():
    model, sampling = small().eval(), Sampling(1.0)
    seeds = range(3, 21)  # more texts than one batch of generation has

    def generators(seeds):
        return [torch.Generator().manual_seed(s) for s in seeds]

    together = ["".join(t) for t in write_texts(model, LINES, "abc", 30, sampling, generators(seeds))]
    alone = ["".join(write_texts(model, LINES, "abc", 30, sampling, [g])[0]) for g in generators(seeds)]
    assert together == alone
    assert len(set(together)) == len(seeds)


def test_texts_that_end_at_different_tokens():
    tokenizer = WordTokenizer(vocab=["<pad>", "<eos>", "the", "mat", *"abcdefg"])
    model = small().eval()
    generators = [torch.Generator().manual_seed(s) for s in range(6)]
    ids = tokenizer.encode("the mat")
    drawn = list(zip(*decode(model, ids.expand(6, -1), 30, Sampling(1.0), generators), strict=True))
    generators = [torch.Generator().manual_seed(s) for s in range(6)]
    texts = ["".join(t) for t in write_texts(model, tokenizer, "the mat", 30, Sampling(1.0), generators)]
    for text, row in zip(texts, drawn, strict=True):
        until = [*row, tokenizer.end].index(tokenizer.end) + 1
        assert text == tokenizer.decode([*ids.tolist(), *row[:until]])
    assert len({len(text) for text in texts}) > 1


def test_generation_imports_no_lightning():
    done = shell(
        "-c",
        "import sys, headscope.generation.text, headscope.cli.generate, headscope.checkpoint;"
        "print([m for m in sys.modules if m.split('.')[0] in ('lightning', 'pytorch_lightning')])",
    )
    assert done.stdout.strip() == "[]", done.stderr
