"""Rules as arrays and plain data, for programs that predict attention maps without this code, such as the page.

`render/model_page/rules.js` reads this data. Shapes: T context size, V vocabulary, P distance bins, R content terms.
"""

from typing import Any

from headscope.heads.rules import BANDS, FLOOR, Rule, distance_bands, distance_bins
from headscope.heads.token_classes import CLOSING, OPENING, STRAIGHT, Vocabulary

FACTS = ("words", "starts", "end_marks", "gaps", "wide", "newlines", "blank")  #: properties of `Vocabulary`, (V,) each


def shared_data(vocabulary: Vocabulary, t: int) -> dict[str, Any]:
    """Returns what all rules of a model need: facts about each token, and the bins and bands of T distances.

    vocabulary  classes: a list with the name and the members (V,) of each class
                the `FACTS`, and the brackets and quotation marks of each token that has some, by its id
                the characters that are opening, closing and straight
    bins        (T,), the bin of each distance
    bands       (T,), the band of each distance
    n_bands     the number of bands
    floor       added to the mixed rows
    """
    classes = [{"name": name, "members": members} for name, members in vocabulary.classes.items()]
    facts = {name: getattr(vocabulary, name) for name in FACTS}
    brackets = {i: characters for i, characters in enumerate(vocabulary.brackets) if characters}
    marks = {"brackets": brackets, "opening": OPENING, "closing": CLOSING, "straight": STRAIGHT}
    distances = {"bins": distance_bins(t), "bands": distance_bands(t), "n_bands": len(BANDS)}
    return {"vocabulary": {"classes": classes, **facts, **marks}, **distances, "floor": FLOOR}


def rule_data(rule: Rule) -> dict[str, Any]:
    """Returns a rule with all digits: place (P,), weights by name, queries and keys (R, V), strengths (R, bands)."""
    tokens = {"queries": rule.queries.T, "keys": rule.keys.T}
    return {"place": rule.place, "weights": rule.weights, **tokens, "strengths": rule.strengths}
