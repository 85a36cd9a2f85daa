"""The walk fox shows the numbers of the document's own code, and the numbers of the formula."""

import re

import numpy as np
import pytest

from headscope.errors import UserError
from headscope.walkthrough import fox
from tests.walkthrough.reference import agree, attend, matrices, softmax, warned


def document(seed, sentences):
    """Runs the document's own program for the word in the middle; returns its intermediates and its prediction."""
    np.random.seed(seed)
    word_to_index, index_to_word, embeddings = {}, {}, []
    for sentence in sentences:
        for word in sentence.split():
            if word not in word_to_index:
                word_to_index[word] = len(word_to_index)
                index_to_word[len(index_to_word)] = word
                embeddings.append(np.random.rand(3))
    embeddings = np.array(embeddings)
    words = sentences[-1].split()
    at = words.index(words[len(words) // 2])
    query = embeddings[[word_to_index[w] for w in words[max(0, at - 2) : at]]].mean(0)
    keys = np.array([embeddings[word_to_index[w]] for w in words])
    weights = np.exp(np.dot(query, keys.T) / np.sqrt(3))
    probabilities = softmax(weights)
    return embeddings, query, keys, weights, probabilities, index_to_word.get(int(np.argmax(probabilities)))


DEFAULT = [fox.SENTENCE]
OTHERS = ["A rolling stone gathers no moss", "time flies like an arrow and fruit flies like a banana", "two words"]


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("sentences", [DEFAULT, OTHERS[:1], OTHERS[:2], OTHERS])
def test_every_number_again_in_float64(seed, sentences):
    embeddings, query, keys, exps, theirs, _ = document(seed, sentences)
    right = attend(query[None], keys, keys)
    context = right["output"]
    result = fox.WALK.run(seed, sentences=sentences)
    expected = {
        "embeddings": embeddings,
        "exponentials": exps,
        "scores": np.stack((right["scores"][0], right["scaled"][0]), -1),
        "weights": np.stack((theirs, right["weights"][0]), -1),
        "weighted values": np.concatenate((right["weights"][0][:, None] * keys, context)),
        "distances": np.sqrt(((embeddings - context) ** 2).sum(-1)),
    }
    agree(result, expected, 1e-12)
    shown = matrices(result)
    np.testing.assert_allclose(shown["query"][-1], query, atol=1e-12)
    np.testing.assert_allclose(shown["probabilities"].sum(0), 1, atol=1e-12)
    assert shown.keys() == expected.keys() | {"tokens", "query", "probabilities"}


def notes(result):
    step = result.matrices[-1]
    return {note: word for word, note in zip(step.rows, step.notes, strict=True) if note}


def test_the_default_is_the_document_s_sentence_word_and_window():
    result = fox.WALK.run(0)
    tokens = result.matrices[0]
    assert dict(zip(tokens.notes, tokens.rows, strict=True))["current word"] == "jumps"
    assert [w for w, note in zip(tokens.rows, tokens.notes, strict=True) if note == "context"] == ["brown", "fox"]
    *_, prediction = document(0, DEFAULT)
    assert notes(result) == {"predicted by the largest weight": prediction, "predicted by the values": "The"}


@pytest.mark.parametrize("seed", range(20))
def test_the_document_s_prediction_is_shown_even_where_its_code_looks_it_up_wrongly(seed):
    for sentences in (DEFAULT, [DEFAULT[0], "over and over we go on and on"], ["so so so it goes so"]):
        *_, theirs, prediction = document(seed, sentences)
        words = sentences[-1].split()
        result = fox.WALK.run(seed, sentences=sentences)
        best = words[int(np.argmax(theirs))]
        assert f"the largest weight, “{best}”" in warned(result)
        assert ("an index into the vocabulary predicts" in warned(result)) == (
            prediction is not None and prediction != best
        )
        assert ("an index into the vocabulary fails" in warned(result)) == (prediction is None)
        if prediction:
            assert any(w == prediction and "largest weight" in note for note, w in notes(result).items())


def test_an_index_beyond_the_vocabulary_is_explained():
    sentence = "a a a a b a a c"  # indices 4 and 7 into a vocabulary of 3
    failing = [seed for seed in range(30) if document(seed, [sentence])[-1] is None]
    assert failing
    for seed in failing:
        assert re.search(
            "index of this word in the sentence, [47], as an index into the vocabulary fails",
            warned(fox.WALK.run(seed, sentences=[sentence])),
        )


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "no I said no you did",
            "at index 0, and uses the context there. At index 0 the context is empty, and",
        ),
        ("I say no no no way", "at index 2, and uses"),
    ],
)
def test_a_current_word_that_came_before_is_explained(sentence, expected):
    assert expected in warned(fox.WALK.run(0, sentences=[sentence]))


@pytest.mark.parametrize(("sentences", "expected"), [([""], "0 words"), (["one"], "1 word"), (["a b", "c"], "1 word")])
def test_too_short_a_sentence_is_refused(sentences, expected):
    with pytest.raises(UserError, match=expected):
        fox.WALK.run(0, sentences=sentences)


def test_too_long_a_sentence_is_refused():
    with pytest.raises(UserError, match="1,000"):
        fox.WALK.run(0, sentences=["a " * 1001])
